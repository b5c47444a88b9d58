"""Every plot: before and after of each pair, the best and the worst, loss curves, clusters (matplotlib).

Figures are objects of their own, never pyplot's: they can be made in any thread and leave nothing behind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .core.geometry import Array, short_unit
from .evaluation import MEASURES, Measure, Row, open_row, ranked
from .images.nodata import without_nodata
from .images.preprocess import driving_channel, unit_range
from .io.files import replace_file
from .transforms import warp

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .cohort import Cluster
    from .cohort.series import SeriesResult
    from .train.events import Row as EpochRow


@dataclass(frozen=True)
class Colours:
    """Of what is before and after, and of what is set against it."""

    before: str
    after: str
    alone: str


PAPER = Colours("#9aa3ab", "#2a6f97", "#d9593d")
SCREEN = Colours("#9aa3ab", "#4aa8c9", "#e0825f")
"""Visible on a dark background and on a light one."""
BEFORE, AFTER, ALONE = PAPER.before, PAPER.after, PAPER.alone
OUTSIDE = "#3b4147"  # outside the image
ENDINGS = (".png", ".svg", ".pdf")
SIDES = {"training": ("training", "train"), "validation": ("validation", "val")}
CLOCKS = ("epoch", "step", "seconds")  # columns of a history that are no curves
TILE = 2.0  # inches
NEAREST = 8  # images of a cluster


def save(figure: Figure, path: Path | str) -> Path:
    """Write a figure, as PNG, SVG or PDF by the name's ending.

    Raises
    ------
    ValueError
        If the ending is another.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(
            f"{path.name} cannot be written as a figure; give a name that ends in {', '.join(ENDINGS)}."
        )
    replace_file(path, lambda target: figure.savefig(target, dpi=150))
    return path


def before_after(rows: Sequence[Row], key: str = "ssim") -> Figure:
    """A score of every pair before and after, in the order of the scores after.

    For SSIM, what interpolation alone gives is marked too.

    Parameters
    ----------
    rows : sequence of Row
        Those without the score are skipped.
    key : str
        Of one of `MEASURES`.

    Raises
    ------
    ValueError
        If no row has the score.
    """
    measure = _measure(key)
    if key == "ssim":
        # On the same pixels, so that the three numbers can be compared.
        key = "ssim_common"
    known = by_score(rows, key)
    if not known:
        raise ValueError(f"No pair has the score {measure.title}; choose another.")
    count = len(known)
    figure = _figure(min(max(6.0, 0.22 * count), 16.0), 4.0)
    axes = figure.add_subplot()
    improved = draw_before_after(axes, known, key)
    axes.set_ylabel(measure.title)
    if count <= 40:
        names = [_short(row.name) for row in known]
        places = np.arange(1, count + 1)
        axes.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
    else:
        axes.set_xlabel("pairs, by their score after registration")
    axes.set_title(f"{known[0].title}: {improved} of {count} pairs improved", fontsize=9, loc="left")
    figure.legend(frameon=False, fontsize=8, ncols=3, loc="outside upper right")
    axes.grid(axis="y", alpha=0.25)
    return figure


def by_score(rows: Sequence[Row], key: str) -> list[Row]:
    """The rows that have a score before and after, in the order of the scores after."""
    known = [
        row for row in rows if not math.isnan(row.before.get(key, math.nan) + row.after.get(key, math.nan))
    ]
    return sorted(known, key=lambda row: row.after[key])


def draw_before_after(axes: Axes, rows: Sequence[Row], key: str, colours: Colours = PAPER) -> int:
    """Draw a score of each row before and after, the first row at 1, the next at 2.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Empty ones.
    rows : sequence of Row
        All have the score.
    key : str
        Of one of `MEASURES`.
    colours : Colours

    Returns
    -------
    int
        How many rows improved.
    """
    measure, count = _measure(key), len(rows)
    places = np.arange(1, count + 1)
    before, after = (np.array([getattr(row, side)[key] for row in rows]) for side in ("before", "after"))
    size = float(np.clip(400 / count, 4, 36))
    better = np.array([measure.improved(a, b) for a, b in zip(before, after, strict=True)])
    # As one line with gaps for each colour: of thousands, each drawn by itself, a screen would have to wait.
    pieces = np.stack([before, after, np.full(count, math.nan)], axis=1)
    for good, colour in ((True, colours.after), (False, colours.alone)):
        chosen = better == good
        axes.plot(np.repeat(places[chosen], 3), pieces[chosen].ravel(), color=colour, lw=1, alpha=0.6)
    axes.scatter(places, before, s=size, color=colours.before, label="before", zorder=3)
    axes.scatter(places, after, s=size, color=colours.after, label="after", zorder=3)
    if key == "ssim_common":
        alone = [row.interpolated for row in rows]
        axes.scatter(
            places, alone, s=2 * size, color=colours.alone, marker="_", label="interpolation alone", zorder=4
        )
    axes.set_xlim(0.3, count + 0.7)
    return int(better.sum())


def gallery(rows: Sequence[Row], count: int = 3) -> Figure:
    """The best and the worst pairs: fixed, moving, registered, and the difference before and after.

    Parameters
    ----------
    rows : sequence of Row
        Of one method; those that can be opened again are ranked by `ranked`. Of volumes the middle plane is
        shown.
    count : int
        How many of each, at most.

    Raises
    ------
    ValueError
        If no row has a result.
    """
    by, order = ranked([row for row in rows if row.pair is not None and row.result is not None])
    if not order:
        raise ValueError("No pair has a result to be shown; see the table for the reasons.")
    count = min(count, len(order))
    chosen = [(f"best {k + 1}", row) for k, row in enumerate(order[:count])]
    left = order[count:][-count:]
    chosen += [(f"worst {len(left) - k}", row) for k, row in enumerate(left)]
    shown = [(rank, row, _images(row)) for rank, row in chosen]
    heights = [TILE * images[0].shape[0] / images[0].shape[1] for *_, images in shown]
    figure = _figure(5 * TILE, sum(heights) + 0.4 * len(shown) + 0.4)
    grid = figure.subplots(len(shown), 5, squeeze=False, height_ratios=heights)
    for line, (rank, row, images) in zip(grid, shown, strict=True):
        for axes, image, title in zip(line, images, _titles(row, rank), strict=True):
            low, colours = (-1, "RdBu_r") if title.startswith("difference") else (0, "gray")
            axes.imshow(image, cmap=colours, vmin=low, vmax=1, interpolation="nearest")
            axes.set_facecolor(OUTSIDE)
            axes.set_title(title, fontsize=6.5)
            axes.set_xticks([])
            axes.set_yticks([])
    figure.suptitle(f"{order[0].title}: best and worst by {by}", fontsize=9)
    return figure


def curves(
    history: Mapping[str, Sequence[float | None]] | Sequence[EpochRow], along: str = "epoch"
) -> Figure:
    """Loss curves of a training, one panel a term, training and validation together.

    Parameters
    ----------
    history : mapping, or sequence of train.events.Row
        What `train.runs.read_history` gives, or columns of equal length by name, such as "epoch",
        "train total", "val_total" or "validation/folds": a name that begins with train, training, val or
        validation belongs to that side of the term that follows; "epoch", "step" and "seconds" are no curves.
        Where a number is missing (nan or None) the curve goes on to the next.
    along : str
        The column along the horizontal axis; 1, 2, 3, ... if there is none.

    Raises
    ------
    ValueError
        If there is no column with a number besides it.
    """
    if not isinstance(history, Mapping):
        lines_read = [row.as_dict() for row in history]
        history = {name: [line[name] for line in lines_read] for name in (lines_read or [{}])[0]}
    terms: dict[str, list[tuple[str, Array]]] = {}
    for name, values in history.items():
        column = np.asarray(values, dtype=float)
        if name not in (along, *CLOCKS) and np.isfinite(column).any():
            side, term = _side_and_term(name)
            terms.setdefault(term, []).append((side, column))
    if not terms:
        raise ValueError("The history holds no curve yet; train for at least one step.")
    width = min(len(terms), 3)
    height = -(-len(terms) // width)
    figure = _figure(3.6 * width, 2.8 * height)
    panels = figure.subplots(height, width, squeeze=False).ravel()
    for axes, (term, lines) in zip(panels, terms.items(), strict=False):
        for side, column in lines:
            steps = np.asarray(history.get(along, np.arange(1, len(column) + 1)), dtype=float)
            known = np.isfinite(column)
            axes.plot(
                steps[known],
                column[known],
                color=ALONE if side == "validation" else AFTER,
                lw=1.4,
                marker="." if known.sum() < 30 else None,
                label=side,
            )
        axes.set_title(term, fontsize=9)
        axes.set_xlabel(along, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
        if len(lines) > 1 or lines[0][0]:
            axes.legend(frameon=False, fontsize=7)
    for axes in panels[len(terms) :]:
        axes.remove()
    return figure


def motion(result: SeriesResult) -> Figure:
    """Translation and rotation of a series over its frames, those that are bridged marked.

    Parameters
    ----------
    result : SeriesResult
    """
    figure = _figure(7.2, 4.4)
    panels = figure.subplots(2, 1, sharex=True)
    for axes, rotation in zip(panels, (False, True), strict=True):
        draw_motion(axes, result, rotation)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
    bad = any(frame.problem for frame in result.frames)
    panels[-1].set_xlabel("frame" if not bad else "frame (crosses: bad frames)", fontsize=8)
    return figure


def draw_motion(axes: Axes, result: SeriesResult, rotation: bool, colours: Colours = PAPER) -> None:
    """Draw the rotations of a series, or its translations, with crosses at bad frames."""
    numbers = np.arange(len(result))
    bad = [k for k, frame in enumerate(result.frames) if frame.problem]
    names = ("plane", "row", "column")[-result.grid.ndim :]
    values, labels, title = result.translations, names, f"translation, {short_unit(result.grid.units[0])}"
    if rotation:
        labels = ("rotation",) if result.grid.ndim == 2 else names
        values, title = result.rotations, "rotation, degrees"
    for column, label, colour in zip(
        values.T, labels, (colours.after, colours.alone, colours.before), strict=False
    ):
        axes.plot(numbers, column, lw=1.0, color=colour, label=label)
        axes.plot(bad, column[bad], "x", ms=5, color=colour)
    axes.set_ylabel(title, fontsize=8)
    if len(labels) > 1:
        axes.legend(frameon=False, fontsize=7, ncols=len(labels))


def elbow(inertias: Sequence[float], suggested: int, chosen: int | None = None) -> Figure:
    """Inertia against the number of clusters, with the elbow.

    Parameters
    ----------
    inertias : sequence of float
        For 1, 2, ... clusters.
    suggested, chosen : int
        At the elbow, and the number that was taken where it is another one.
    """
    figure = _figure(5.0, 3.2)
    axes = figure.add_subplot()
    draw_elbow(axes, inertias, suggested, None if chosen == suggested else chosen)
    axes.set_xlabel("clusters")
    axes.set_ylabel("summed squared distance\nto the nearest centre")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    return figure


def draw_elbow(
    axes: Axes, inertias: Sequence[float], suggested: int, chosen: int | None, colours: Colours = PAPER
) -> None:
    """Draw inertia against the number of clusters: a dot at the elbow, a ring around the chosen number.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Empty ones.
    inertias, suggested, chosen
        As in `elbow`; no ring without `chosen`.
    colours : Colours
    """
    counts = np.arange(1, len(inertias) + 1)
    # The last dot may lie on the axis.
    axes.plot(counts, inertias, color=colours.before, lw=1.4, marker="o", ms=4, clip_on=False)
    axes.plot(counts[[0, -1]], [inertias[0], inertias[-1]], color=colours.before, lw=0.8, ls=":")
    axes.plot(suggested, inertias[suggested - 1], "o", ms=7, color=colours.after, label=f"elbow: {suggested}")
    if chosen is not None:
        axes.plot(
            chosen,
            inertias[chosen - 1],
            "o",
            ms=12,
            mfc="none",
            mew=1.6,
            color=colours.alone,
            label=f"chosen: {chosen}",
        )
    axes.set_xticks(counts)
    axes.set_ylim(bottom=0)


def members(clusters: Sequence[Cluster], count: int = NEAREST) -> Figure:
    """The members of each cluster that are nearest to its centre, the nearest first.

    Parameters
    ----------
    clusters : sequence of Cluster
        One line each.
    count : int
        Images of a cluster, at most.
    """
    count = min(count, max(len(cluster.members) for cluster in clusters))
    tile = 0.6 * TILE
    figure = _figure(max(tile * count, 4.0), (tile + 0.4) * len(clusters))
    for cluster, line in zip(clusters, figure.subfigures(len(clusters), 1, squeeze=False)[:, 0], strict=True):
        training, validation = len(cluster.pairs.training), len(cluster.pairs.validation)
        line.suptitle(
            f"cluster {cluster.number}: {training} training, {validation} validation pairs",
            x=0.01,
            ha="left",
            fontsize=8,
        )
        for k, axes in enumerate(line.subplots(1, count, squeeze=False)[0]):
            axes.set_axis_off()
            if k < len(cluster.members):
                member = cluster.members[k]
                axes.imshow(member.thumbnail, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
                axes.set_title(f"{_short(member.pair.name)}\n{member.distance:.2f}", fontsize=4.5)
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained", facecolor="white")


def _measure(key: str) -> Measure:
    for measure in MEASURES:
        if measure.key == key:
            return measure
    raise ValueError(f"There is no score {key!r}; choose from: {', '.join(m.key for m in MEASURES)}.")


def _images(row: Row) -> tuple[Array, ...]:
    """Fixed, moving on the fixed grid, registered (in [0, 1], nan outside), and fixed minus either."""
    pair, result = open_row(row)
    fixed, moving = (without_nodata(driving_channel(image))[0] for image in (pair.fixed, pair.moving))
    moving = moving.with_data(unit_range(moving.data))
    target = _plane(unit_range(fixed.data))
    before, after = (
        _plane(warp(moving, transform, fixed.grid, fill=math.nan).data)
        for transform in (None, result.transform)
    )
    return target, before, after, target - before, target - after


def _plane(data: Array) -> Array:
    """An image, or the middle plane of a volume."""
    return data if data.ndim == 2 else data[data.shape[0] // 2]


def _titles(row: Row, rank: str) -> tuple[str, ...]:
    ssim = [f"SSIM {getattr(row, side).get('ssim_common', math.nan):.2f}" for side in ("before", "after")]
    name = f"{rank}: {_short(row.name)}"
    return name, f"moving, {ssim[0]}", f"registered, {ssim[1]}", "difference before", "difference after"


def _side_and_term(name: str) -> tuple[str, str]:
    """Of "val_total" the side "validation" and the term "total"; other names are terms of no side."""
    words = name.replace("/", " ").replace("_", " ").split()
    for side, names in SIDES.items():
        if len(words) > 1 and words[0].lower() in names:
            return side, " ".join(words[1:])
    return "", " ".join(words)


def _short(name: str) -> str:
    """A name of at most 24 characters, its middle omitted."""
    return name if len(name) <= 24 else f"{name[:11]}…{name[-12:]}"
