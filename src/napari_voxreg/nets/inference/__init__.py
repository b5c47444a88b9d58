"""A pair of images through a network."""
