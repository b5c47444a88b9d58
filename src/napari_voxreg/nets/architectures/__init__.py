"""Architectures of the registration networks."""
