"""What is known of one pair after its evaluation: a row of the table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..io.pairs import LoadedPair, Pair, read_pair
from ..registration.result import Result, load_result

FAILED = "failed"


@dataclass(frozen=True)
class Measure:
    """A score that a pair has before and after.

    Parameters
    ----------
    key, title : str
        In files, and for people.
    form : str
        A format for its numbers.
    higher : bool
        Whether more is better.
    help : str
        What it is.
    """

    key: str
    title: str
    form: str
    higher: bool
    help: str

    def improved(self, before: float, after: float) -> bool:
        """Whether it got better; not where either is nan."""
        return after > before if self.higher else after < before


@dataclass(frozen=True, eq=False)
class Row:
    """One pair under one method.

    Parameters
    ----------
    name : str
        The pair's.
    method, weights : str
        The method's name and the file of its weights, empty if it has none of the user's own.
    content, settings : str
        Fingerprints of the pair, and of method, parameters, seed and device; `content` is empty if the pair
        could not be read.
    outcome : str
        The verdict in a word, or "failed".
    sentence : str
        The verdict, or why there is none.
    before, after : mapping
        By the keys of `MEASURES`.
    interpolated : float
        SSIM that interpolation alone gives, to be compared with ``ssim_common``.
    overlap : float
        Percentage of the fixed image on which the registered one falls.
    folding : float
        Percentage of the fixed image where the deformation folds.
    seconds : float
        Of the method itself.
    pair : Pair or None
        Where its images are; None for a row of an earlier run whose pair is not in the present set.
    result : Result, Path or None
        All about the run, or the folder in which it was saved.
    rejected : bool
        Whether a network's prediction was rejected: the scores after are not the network's.
    """

    name: str
    method: str
    weights: str
    content: str
    settings: str
    outcome: str
    sentence: str
    before: Mapping[str, float] = field(default_factory=dict)
    after: Mapping[str, float] = field(default_factory=dict)
    interpolated: float = math.nan
    overlap: float = math.nan
    folding: float = math.nan
    seconds: float = math.nan
    pair: Pair | None = None
    result: Result | Path | None = None
    rejected: bool = False

    @property
    def title(self) -> str:
        """The method, with the weights if they are the user's own."""
        return f"{self.method} with {self.weights}" if self.weights else self.method

    @property
    def failed(self) -> bool:
        """Whether the pair could not be read or registered."""
        return self.outcome == FAILED

    @property
    def beyond(self) -> float:
        """How much SSIM is higher than interpolation alone would make it."""
        return self.after.get("ssim_common", math.nan) - self.interpolated


@dataclass(frozen=True)
class Column:
    """A number of each row.

    Parameters
    ----------
    key, title, form, help : str
        As in `Measure`.
    value : callable
        A row's number, nan where there is none.
    """

    key: str
    title: str
    form: str
    help: str
    value: Callable[[Row], float]

    def text(self, row: Row) -> str:
        """A row's number as text, a dash where there is none."""
        value = self.value(row)
        return "–" if math.isnan(value) else format(value, self.form)


_UNLIT = "where neither image is black"
MEASURES = (
    Measure("end_point_error", "End-point error", ".3f", False, "from the true displacement, pixels"),
    Measure("landmark_error", "Landmark error", ".3g", False, "mean distance of landmarks, world units"),
    Measure("dice", "Dice", ".3f", True, "overlap of labels, mean over all but 0"),
    Measure("ssim", "SSIM", ".3f", True, "structural similarity, whole image"),
    Measure("ncc", "NCC", ".3f", True, "correlation, whole image"),
    Measure("rmse", "RMSE", ".3f", False, "root mean squared difference, whole image"),
    Measure("l1", "L1", ".3f", False, "mean absolute difference, whole image"),
    Measure("ssim_lit", "SSIM not black", ".3f", True, f"structural similarity {_UNLIT}"),
    Measure("ncc_lit", "NCC not black", ".3f", True, f"correlation {_UNLIT}"),
    Measure("rmse_lit", "RMSE not black", ".3f", False, f"root mean squared difference {_UNLIT}"),
    Measure("l1_lit", "L1 not black", ".3f", False, f"mean absolute difference {_UNLIT}"),
    Measure("ssim_common", "SSIM common", ".3f", True, "where the images overlap before and after"),
)
"""All scores, those that rest on known correspondence first."""


def _sides(measure: Measure) -> tuple[Column, Column]:
    """The columns of a measure before and after."""

    def side(which: str) -> Column:
        return Column(
            f"{measure.key}_{which}",
            f"{measure.title} {which}",
            measure.form,
            f"{measure.help}, {which} registration",
            lambda row: getattr(row, which).get(measure.key, math.nan),
        )

    return side("before"), side("after")


COLUMNS = (
    *(column for measure in MEASURES for column in _sides(measure)),
    Column(
        "ssim_interpolated",
        "SSIM interpolated",
        ".3f",
        "of the unregistered image, interpolated as strongly; compare with SSIM common",
        lambda row: row.interpolated,
    ),
    Column(
        "ssim_beyond",
        "Gain beyond smoothing",
        ".3f",
        "gain beyond what interpolation alone gives",
        lambda row: row.beyond,
    ),
    Column("overlap_percent", "Overlap %", ".0f", "of the fixed image, after", lambda row: row.overlap),
    Column("folds_percent", "Folding %", ".2g", "of the fixed image", lambda row: row.folding),
    Column("seconds", "s", ".2f", "seconds of the method itself", lambda row: row.seconds),
)
"""All numbers of a row."""


def columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """The columns that say something about these rows."""
    return tuple(column for column in COLUMNS if any(not math.isnan(column.value(row)) for row in rows))


def open_row(row: Row) -> tuple[LoadedPair, Result]:
    """Read a row's pair again, and its result, without running the method.

    Raises
    ------
    ValueError
        If there is no result, or a file has gone.
    """
    if row.pair is None or row.result is None:
        raise ValueError(f"There is no result of {row.name} to be shown; {row.sentence or 'run it again.'}")
    pair = read_pair(row.pair)
    result = load_result(row.result) if isinstance(row.result, Path) else row.result
    return pair, result.with_images(pair.fixed, pair.moving)
