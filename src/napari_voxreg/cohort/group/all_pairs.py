"""A cohort without a template: pairs are registered directly, and all images brought into agreement."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from ...core.geometry import Image
from ...core.progress import Progress, subprogress
from ...transforms import Affine, Transform
from ..series.consensus import Edge, consensus
from ..series.motion import Kind
from .graph import Agreed, Pair, agreed
from .tasks import unreliable
from .unbiased import linear_matrix
from .work import Work

DOUBTFUL = 3.0  # times the median disagreement, from which on a pair is named


def in_agreement(work: Work, progress: Progress) -> tuple[Image, dict[int, Transform]]:
    """The image from which all others are reached best, and the transform of each."""
    found = _linear(work, subprogress(progress, 0.0, 0.4))
    if work.options.deform != "none":
        found = _deformed(work, found, subprogress(progress, 0.4, 0.9))
    result = agreed(found, work.grids, subprogress(progress, 0.9, 1.0))
    for number in work.usable:
        if number not in result.transforms:
            work.problems[number] = "No reliable pose to the other images was found."
    work.notes += _doubtful(work, result)
    work.disagreement = result.disagreement
    return work.image(result.root), result.transforms


def _linear(work: Work, progress: Progress) -> dict[Pair, Transform]:
    """What takes each image of a pair to the other, by the matrices that agree best with all pairs."""
    near = work.options.neighbours
    pairs = [(a, b) for a, b in combinations(work.usable, 2) if not near or b - a <= near]
    method = work.options.linear
    if method == "none":
        return {pair: Affine.identity(work.frames.grid.ndim) for pair in pairs}
    edges: list[Edge] = []
    for place, first in enumerate(work.usable):
        part = subprogress(progress, place / len(work.usable), (place + 1) / len(work.usable))
        ends = [b for a, b in pairs if a == first]
        verb = f"aligning {work.frames.name(first)} and"
        found, _ = work.run(work.image(first), ends, method, {}, verb, part)
        edges += [
            Edge(first, end, linear_matrix(transform, work.grids[first]), 1.0)
            for end, (transform, notes) in found.items()
            if not unreliable(notes)
        ]
    kind: Kind = "rigid" if method == "rigid" else "affine"
    counts = np.bincount([number for edge in edges for number in (edge.start, edge.end)], minlength=1)
    matrices = consensus(edges, work.frames.count, int(counts.argmax()), work.frames.grid, kind)
    known = {number: matrix for number, matrix in enumerate(matrices) if matrix is not None}
    return {(a, b): Affine(known[b] @ np.linalg.inv(known[a])) for a, b in pairs if a in known and b in known}


def _deformed(work: Work, linear: Mapping[Pair, Transform], progress: Progress) -> dict[Pair, Transform]:
    """Each pair deformed from its linear transform on, which stays where that fails."""
    found: dict[Pair, Transform] = {}
    firsts = sorted({first for first, _ in linear})
    for place, first in enumerate(firsts):
        part = subprogress(progress, place / len(firsts), (place + 1) / len(firsts))
        own = {b: transform for (a, b), transform in linear.items() if a == first}
        verb = f"deforming {work.frames.name(first)} and"
        deformed = work.each(work.image(first), list(own), work.options.deform, own, verb, part)
        found |= {(first, end): transform for end, transform in deformed.items()}
    return found


def _doubtful(work: Work, result: Agreed) -> list[str]:
    """A note on the pairs that disagree with all others."""
    found = np.triu(np.nan_to_num(result.disagreement), 1)
    known = found[found > 0]
    if not known.size:
        return []
    bad = [
        f"{work.frames.name(int(a))} with {work.frames.name(int(b))}"
        for a, b in np.argwhere(found > max(DOUBTFUL * np.median(known), 1.0))
    ]
    if not bad:
        return []
    listing = ", ".join(bad[:3]) + (" and others" if len(bad) > 3 else "")
    verb = "disagrees" if len(bad) == 1 else "disagree"
    pairs = "1 pair" if len(bad) == 1 else f"{len(bad)} pairs"
    return [f"{pairs} {verb} with the ways by other images and hardly count: {listing}."]
