"""Choosing among the layers of the viewer."""
