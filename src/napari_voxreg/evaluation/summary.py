"""What the rows say together: means, the fraction improved, and whether a gain in SSIM is real."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .rows import MEASURES, Measure, Row

NOISE = 0.005  # changes of a mean SSIM that say nothing
MOSTLY = 0.75  # fraction of a gain from which it is attributed to registration


@dataclass(frozen=True)
class Spread:
    """Mean, median and standard deviation (of the sample) over pairs."""

    mean: float
    median: float
    sd: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of finite numbers, at least one."""
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        return cls(float(np.mean(values)), float(np.median(values)), sd)


@dataclass(frozen=True)
class Line:
    """One score over all pairs that have it.

    Parameters
    ----------
    measure : Measure
        Which.
    count : int
        Pairs that have it before and after.
    before, after : Spread
        Over these pairs.
    improved : float
        Fraction of them that improved, 0 to 1.
    """

    measure: Measure
    count: int
    before: Spread
    after: Spread
    improved: float


@dataclass(frozen=True)
class Summary:
    """One method over all its pairs.

    Parameters
    ----------
    title : str
        The method, with its weights.
    pairs, failed : int
        How many there are, and how many of them have no result.
    lines : tuple of Line
        The scores that there are.
    folding, seconds : Spread or None
        Over the pairs with a result.
    interpolation : str
        Whether the gain in SSIM comes from registration, in one sentence.
    rejections : str
        How many pairs do not show what the network predicted, in one sentence; empty if there are none.
    """

    title: str
    pairs: int
    failed: int
    lines: tuple[Line, ...]
    folding: Spread | None
    seconds: Spread | None
    interpolation: str
    rejections: str


def summaries(rows: Sequence[Row]) -> tuple[Summary, ...]:
    """One summary for each method, weights and parameters among the rows, in their order."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.settings, []).append(row)
    return tuple(_summary(group) for group in groups.values())


def interpolation(rows: Sequence[Row]) -> str:
    """Whether the gain in SSIM comes from registration or from smoothing, in one sentence; else empty.

    Interpolation averages neighbouring pixels, which on speckle and noise raises SSIM whatever the images
    show. The registered image is therefore compared with the unregistered one, interpolated as strongly.
    """
    known = [row for row in rows if not math.isnan(row.beyond)]
    if not known:
        return ""
    before, after = (
        float(np.mean([getattr(row, side)["ssim_common"] for row in known])) for side in ("before", "after")
    )
    alone = float(np.mean([row.interpolated for row in known]))
    beyond = Spread.of([row.beyond for row in known])
    doubt = max(NOISE, 2 * beyond.sd / math.sqrt(len(known)))
    figures = f"SSIM {before:.3f} -> {after:.3f} where the images overlap before and after"
    if after - before <= NOISE:
        return f"{figures}: no gain."
    given = f"{figures}; interpolation alone gives {alone:.3f}"
    share = beyond.mean / (after - before)
    if beyond.mean <= doubt:
        return f"{given}: the gain comes from smoothing, not from registration."
    if share >= MOSTLY:
        return f"{given}: the gain comes from registration."
    return f"{given}: {100 * share:.0f} % of the gain comes from registration, the rest from smoothing."


def rejections(rows: Sequence[Row]) -> str:
    """How many predictions of a network were rejected, in one sentence with the remedy; empty if none."""
    count = sum(row.rejected for row in rows)
    if not count:
        return ""
    return (
        f"The network's prediction was rejected in {count} of {len(rows)} pairs, whose scores are not the "
        'network\'s; to see its own, set keep_prediction to "always".'
    )


def ranked(rows: Sequence[Row]) -> tuple[str, list[Row]]:
    """The rows with a result, the best first, and by what.

    By the change of the first score with known correspondence (end-point error, landmark error, Dice), if
    all rows have it; else by the gain in SSIM beyond what interpolation alone gives.
    """
    done = [row for row in rows if not row.failed]
    for measure in MEASURES[:3]:
        if done and all(measure.key in row.before and measure.key in row.after for row in done):
            sign, key = (1 if measure.higher else -1), measure.key
            changes = {id(row): sign * (row.after[key] - row.before[key]) for row in done}
            return f"change of {measure.title}", _sorted(done, changes)
    return "gain in SSIM beyond smoothing", _sorted(done, {id(row): row.beyond for row in done})


def text(summary: Summary) -> str:
    """A summary in aligned columns, for a terminal."""
    head, *lines = _cells(summary)
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    table = (
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (head, *lines)
    )
    return "\n".join([_heading(summary), "", *table, *_remarks(summary)])


TITLE = "# Evaluation"  # of the page


def markdown(every: Sequence[Summary]) -> str:
    """All summaries as a page."""
    blocks = []
    for summary in every:
        head, *lines = _cells(summary)
        rule = ["---", *("--:" for _ in head[1:])]
        table = "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))
        blocks.append("\n\n".join([f"## {_heading(summary)}", table, *_remarks(summary)]))
    return "\n\n".join([TITLE, *blocks]) + "\n"


def _summary(rows: Sequence[Row]) -> Summary:
    done = [row for row in rows if not row.failed]
    return Summary(
        rows[0].title,
        len(rows),
        len(rows) - len(done),
        tuple(line for measure in MEASURES if (line := _line(measure, done)) is not None),
        Spread.of([row.folding for row in done]) if done else None,
        Spread.of([row.seconds for row in done]) if done else None,
        interpolation(done),
        rejections(rows),
    )


def _line(measure: Measure, rows: Sequence[Row]) -> Line | None:
    """A score over the rows that have it."""
    both = [(row.before.get(measure.key, math.nan), row.after.get(measure.key, math.nan)) for row in rows]
    both = [values for values in both if not any(map(math.isnan, values))]
    if not both:
        return None
    before, after = zip(*both, strict=True)
    better = sum(measure.improved(*values) for values in both)
    return Line(measure, len(both), Spread.of(before), Spread.of(after), better / len(both))


def _cells(summary: Summary) -> list[tuple[str, ...]]:
    """The table of a summary as text."""
    head = ("before -> after", "pairs", "mean", "median", "sd", "improved")
    rows: list[tuple[str, ...]] = [head]
    for line in summary.lines:
        numbers = [
            " -> ".join(format(getattr(side, name), line.measure.form) for side in (line.before, line.after))
            for name in ("mean", "median", "sd")
        ]
        rows.append((line.measure.title, str(line.count), *numbers, f"{100 * line.improved:.0f} %"))
    return rows


def _heading(summary: Summary) -> str:
    left = f", {summary.failed} without a result" if summary.failed else ""
    return f"{summary.title}: {summary.pairs} pair{'s' if summary.pairs != 1 else ''}{left}"


def _remarks(summary: Summary) -> list[str]:
    """Sentences below the table."""
    sentences = []
    if summary.folding is not None and summary.seconds is not None:
        sentences.append(
            f"Folding {summary.folding.mean:.2g} % on average; {summary.seconds.mean:.2g} s per pair "
            f"(median {summary.seconds.median:.2g} s)."
        )
    return [*sentences, *filter(None, (summary.interpolation, summary.rejections))]


def _sorted(rows: Sequence[Row], values: dict[int, float]) -> list[Row]:
    """Highest first; what has no number comes last."""
    return sorted(rows, key=lambda row: -math.inf if math.isnan(v := values[id(row)]) else v, reverse=True)
