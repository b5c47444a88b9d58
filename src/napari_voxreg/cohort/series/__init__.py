"""Series: the frames of a movie or a stack, aligned to each other.

`register_series` finds one transform a frame; ``docs/series.md`` explains the choices.
"""

from .frames import Frames, frames_of
from .motion import KINDS
from .options import SeriesOptions
from .register import register_series
from .result import Frame, SeriesResult, load_series
from .written import CURVES, aligned_files, check_places, write_aligned

__all__ = [
    "CURVES",
    "KINDS",
    "Frame",
    "Frames",
    "SeriesOptions",
    "SeriesResult",
    "aligned_files",
    "check_places",
    "frames_of",
    "load_series",
    "register_series",
    "write_aligned",
]
