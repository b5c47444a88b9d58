"""Transforms on disk."""

from .native import fixed_grid, load_record, load_transform, save_transform, software

__all__ = ["fixed_grid", "load_record", "load_transform", "save_transform", "software"]
