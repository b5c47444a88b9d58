"""Points, and pairs of points, in files of this and other programs."""

from .bigwarp import BIGWARP
from .files import (
    ENDINGS,
    PAIRS,
    POINTS,
    holds_pairs,
    holds_points,
    points_ending,
    read_point_file,
    read_point_pairs,
    read_points,
    write_point_pairs,
    write_points,
)
from .matching import common_labels, outside_note, read_landmarks
from .pair_table import PAIR_TABLE
from .values import Format, PairFile, PointFile, check_finite

__all__ = [
    "BIGWARP",
    "ENDINGS",
    "PAIRS",
    "PAIR_TABLE",
    "POINTS",
    "Format",
    "PairFile",
    "PointFile",
    "check_finite",
    "common_labels",
    "holds_pairs",
    "holds_points",
    "outside_note",
    "points_ending",
    "read_landmarks",
    "read_point_file",
    "read_point_pairs",
    "read_points",
    "write_point_pairs",
    "write_points",
]
