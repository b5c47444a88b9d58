"""Several methods on one pair, side by side."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy.typing as npt

from ..core.geometry import Image
from ..core.progress import Cancelled, Progress, silent, subprogress
from ..methods import METHODS
from ..methods.availability import installed
from ..metrics.pair import Scores
from ..metrics.verdict import FOLDED, MEASURE
from ..transforms import Transform
from .pair_transform import PairTransform
from .prepare import PreparedPair, check_device, method_named, prepare
from .result import Result

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    import pandas

ERROR = "error"
BEFORE = "before"  # what the first row is called
# By the number of axes: the first choice, then one method of each kind; those there are.
USUAL = {
    2: ("auto", "pose", "elastix", "bspline", "diffeo", "flow", "tvl1"),
    3: ("auto", "pose", "elastix", "bspline", "diffeo"),
}


@dataclass(frozen=True, eq=False)
class Row:
    """A method's result on the pair, or why there is none.

    Parameters
    ----------
    method : str
        The method's name; `BEFORE` for the images at their current positions.
    scores : Scores or None
        Measured with the method's transform.
    lncc : float
        Local normalised cross-correlation, on the same pixels in all rows of a table; see `PairMetrics.lncc`.
    result : Result or None
        All about the run.
    failure : str
        One sentence, if the method failed.
    notes : tuple of str
        In the first row: what a user should know of the images and their files.
    """

    method: str
    scores: Scores | None = None
    lncc: float = math.nan
    result: Result | None = None
    failure: str = ""
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """The verdict in a word; "failed" for a method that has no result, nothing for the first row."""
        return self.result.verdict.outcome if self.result else "failed" if self.failure else ""


@dataclass(frozen=True)
class Column:
    """A measured number of each row.

    Parameters
    ----------
    title : str
        The heading.
    form : str
        A format for the number.
    help : str
        What it is.
    value : callable
        A row's number, nan or None where there is none.
    """

    title: str
    form: str
    help: str
    value: Callable[[Row], float | None]

    def text(self, row: Row) -> str:
        """A row's number as text, a dash where there is none."""
        value = self.value(row)
        return "–" if value is None or math.isnan(value) else format(value, self.form)


def _score(read: Callable[[Scores], float | None]) -> Callable[[Row], float | None]:
    return lambda row: None if row.scores is None else read(row.scores)


COLUMNS = (
    Column(ERROR, ".3g", "mean landmark error, world units", _score(lambda s: s.landmark_error)),
    Column(
        MEASURE,
        ".3f",
        "local normalised cross-correlation, 0 to 1, on which verdicts rest: on the same pixels in all rows",
        lambda row: row.lncc,
    ),
    Column("SSIM", ".3f", "structural similarity where both overlap", _score(lambda s: s.overlap["ssim"])),
    Column("folding %", ".2g", "of the fixed image", _score(lambda s: s.folded)),
    Column(
        "s", ".1f", "seconds of the method itself", lambda row: row.result.seconds if row.result else None
    ),
    Column("NCC", ".3f", "correlation where both overlap", _score(lambda s: s.overlap["ncc"])),
    Column("NMI", ".3f", "normalised mutual information there", _score(lambda s: s.overlap["nmi"])),
    Column("overlap %", ".0f", "of the fixed image", _score(lambda s: 100 * s.overlap_fraction)),
)


def compare(
    fixed: Image | npt.ArrayLike,
    moving: Image | npt.ArrayLike,
    *,
    methods: Sequence[str] | None = None,
    initial: str | Path | Transform | Result | PairTransform | None = None,
    fixed_mask: Image | npt.ArrayLike | None = None,
    moving_mask: Image | npt.ArrayLike | None = None,
    landmarks: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    channel: int | str | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    arrived: Callable[[Row], None] | None = None,
) -> tuple[Row, ...]:
    """Run several methods on one pair, each with its first preset.

    A method that fails is a row with its sentence, and the others go on.

    Parameters
    ----------
    methods : sequence of str, optional
        Names in ``METHODS``; the usual ones for the number of axes by default.
    arrived : callable, optional
        Called with each row as soon as it is complete, so that rows survive a `Cancelled`.
    fixed, moving, initial, fixed_mask, moving_mask, landmarks, channel, seed, device, progress
        As in `register`.

    Returns
    -------
    tuple of Row
        The images at their current positions, then the methods in their order. `best` finds the best row.

    Raises
    ------
    ValueError
        With one plain sentence, for an unknown method, a device that is not there or a pair that no method
        can register.
    Cancelled
        If `progress` requested it.
    """
    report = silent if progress is None else progress
    for name in methods or ():
        method_named(name)
    report(0.0, "checking the images")
    pair = prepare(
        fixed,
        moving,
        initial=initial,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        landmarks=landmarks,
        channel=channel,
        seed=seed,
        device=device,
    )
    names = usual_methods(pair.task.fixed.ndim) if methods is None else tuple(methods)
    if not names:
        raise ValueError("There is no method to compare; choose one or more.")
    check_device(device, [METHODS[name] for name in names], report)
    before = pair.before(subprogress(report, 0.01, 0.04))
    rows: list[Row] = []

    def add(row: Row) -> None:
        if row.result is not None:
            row = replace(row, result=row.result.with_images(fixed, moving))
        rows.append(row)
        if row.failure:
            log.info("%s failed: %s", row.method, row.failure)
        if arrived is not None:
            arrived(row)

    add(Row(BEFORE, before, pair.metrics.lncc(None), notes=pair.notes))
    for k, name in enumerate(names):
        start, stop = (0.04 + 0.96 * step / len(names) for step in (k, k + 1))
        add(_row(name, pair, _titled(METHODS[name].title, subprogress(report, start, stop))))
    return tuple(rows)


def usual_methods(ndim: int) -> tuple[str, ...]:
    """The methods that are compared unless others are chosen: those that are installed."""
    return tuple(name for name in USUAL[ndim] if name in METHODS and installed(METHODS[name]))


def best(rows: Sequence[Row]) -> Row | None:
    """The row of the best method: the smallest landmark error, else the highest LNCC.

    Only results that are better than before and have hardly any folding are eligible; None if there are none.
    """
    eligible = [
        row
        for row in rows
        if row.scores is not None and row.outcome == "better" and row.scores.folded <= FOLDED
    ]
    return min(eligible, key=_rank, default=None)


def _rank(row: Row) -> float:
    """Smaller is better; where nothing could be compared comes last."""
    error = None if row.scores is None else row.scores.landmark_error
    return (math.inf if math.isnan(row.lncc) else -row.lncc) if error is None else error


def columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """The columns that say something about these rows: no landmark error without landmarks."""
    landmarks = any(row.scores is not None and row.scores.landmark_error is not None for row in rows)
    return COLUMNS if landmarks else tuple(column for column in COLUMNS if column.title != ERROR)


def to_dataframe(rows: Sequence[Row]) -> pandas.DataFrame:
    """The table with all digits: method, verdict, whether it is the best, the columns, and the failure."""
    import pandas

    top = best(rows)
    return pandas.DataFrame(
        {
            "method": [row.method for row in rows],
            "verdict": [row.outcome for row in rows],
            "best": [row is top for row in rows],
            **{column.title: [column.value(row) for row in rows] for column in columns(rows)},
            "failure": [row.failure for row in rows],
        }
    )


def remarks(rows: Sequence[Row]) -> list[str]:
    """Sentences below the table: the best method and by what, why others have none, notes on the images."""
    top = best(rows)
    done = [row for row in rows if row.result is not None]
    sentences = []
    if top is not None and top.scores is not None:
        by = MEASURE if top.scores.landmark_error is None else "landmark error"
        sentences.append(f"* best by {by}: {METHODS[top.method].title}.")
    elif done:
        sentences.append("No method made it better.")
    failures = (f"{row.method} failed: {row.failure}" for row in rows if row.failure)
    return [*sentences, *failures, *(note for row in rows for note in row.notes)]


def _row(name: str, pair: PreparedPair, progress: Progress) -> Row:
    """Run one method; whatever goes wrong becomes its row."""
    try:
        result = pair.run(name, METHODS[name].parameters(), progress)
    except Cancelled:
        raise
    except (ValueError, RuntimeError) as error:  # refusals, missing libraries, ITK's own errors
        return Row(name, failure=str(error).split("\n")[0])
    except Exception as error:  # noqa: BLE001 - a defect of one method must not lose the others' rows
        return Row(name, failure=f"{type(error).__name__}: {error}".split("\n")[0])
    return Row(name, result.after, pair.lncc(result), result)


def _titled(title: str, progress: Progress) -> Progress:
    """Progress that names the method at work, without its metric: methods share no curve."""

    def report(fraction: float | None, message: str, metric: float | None = None) -> None:
        progress(fraction, f"{title}: {message}")

    return report
