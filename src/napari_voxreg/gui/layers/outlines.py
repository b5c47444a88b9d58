"""Outlines of shapes: as polygons, and mapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...core.geometry import Array

PIECES = 16  # of an edge that may be bent
MANY = 64  # vertices of an outline whose edges need no division


def ellipse(corners: Array) -> Array:
    """The outline inside a box given by its four corners in order, (100, n)."""
    angle = np.linspace(0, 2 * np.pi, 100, endpoint=False)[:, None]
    first, second = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    outline: Array = corners.mean(axis=0) + np.cos(angle) * first + np.sin(angle) * second
    return outline


def mapped_shapes(
    data: Sequence[Array], kinds: Sequence[str], mapped: Callable[[Array], Array], straight: bool
) -> tuple[list[Array], list[str]]:
    """Map the vertices of shapes, and make of each what it has become.

    Parameters
    ----------
    data : sequence of ndarray, each (V, n)
        Their vertices.
    kinds : sequence of str
        As napari names them.
    mapped : callable
        Maps vertices (N, n).
    straight : bool
        Whether lines stay straight; else edges are divided, so that they can bend.

    Returns
    -------
    list of ndarray, list of str
        Rectangles and ellipses have become polygons, lines that may be bent paths.
    """
    outlines, new = [], []
    for vertices, kind in zip(data, kinds, strict=True):
        outline = ellipse(vertices) if kind == "ellipse" else np.asarray(vertices)
        closed = kind in ("rectangle", "ellipse", "polygon")
        if not straight and len(outline) < MANY:
            outline = _divided(outline, closed)
        outlines.append(outline)
        new.append("polygon" if closed else "line" if kind == "line" and straight else "path")
    if not outlines:
        return [], []
    moved = mapped(np.concatenate(outlines))
    ends = np.cumsum([len(outline) for outline in outlines])[:-1]
    return list(np.split(moved, ends)), new


def _divided(vertices: Array, closed: bool) -> Array:
    """An outline with its edges in pieces."""
    following = np.roll(vertices, -1, axis=0)
    part = np.arange(PIECES)[:, None] / PIECES
    edges = [a + part * (b - a) for a, b in zip(vertices, following, strict=True)]
    return np.concatenate(edges if closed else [*edges[:-1], vertices[-1:]])
