"""Transforms on disk."""

from .base import Found, Grids
from .formats import FORMATS, WRITTEN
from .formats.ants import files_with_prefix
from .loading import (
    check_transform,
    format_in_chain,
    grid_of,
    load_transform,
    load_unlogged,
    needs_more,
    read_transform,
    source_files,
)
from .native import check_record, fixed_grid, load_record, moving_grid, software
from .saving import OURS, save_transform, write_transform, written_files, written_format

__all__ = [
    "FORMATS",
    "OURS",
    "WRITTEN",
    "Found",
    "Grids",
    "check_record",
    "check_transform",
    "files_with_prefix",
    "fixed_grid",
    "format_in_chain",
    "grid_of",
    "load_record",
    "load_transform",
    "load_unlogged",
    "moving_grid",
    "needs_more",
    "read_transform",
    "save_transform",
    "software",
    "source_files",
    "write_transform",
    "written_files",
    "written_format",
]
