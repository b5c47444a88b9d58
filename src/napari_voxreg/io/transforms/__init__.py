"""Transforms on disk."""

from .native import (
    check_record,
    fixed_grid,
    load_record,
    load_transform,
    moving_grid,
    save_transform,
    software,
)

__all__ = [
    "check_record",
    "fixed_grid",
    "load_record",
    "load_transform",
    "moving_grid",
    "save_transform",
    "software",
]
