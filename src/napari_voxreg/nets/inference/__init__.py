"""Inference: registering a pair of images with a network."""
