"""Preparation of pixels before registration."""
