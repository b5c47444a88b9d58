"""Plots drawn by Qt."""
