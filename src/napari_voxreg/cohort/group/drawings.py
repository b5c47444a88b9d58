"""How little the images of a cohort resemble each other, drawn on axes of matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.geometry import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

BINS = 40


def draw_matrix(axes: Axes, matrix: Array, mark: str) -> AxesImage:
    """Draw the dissimilarities of all pairs of images, the best image's row marked.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Empty ones.
    matrix : ndarray, shape (n, n)
        NaN for images that are unusable.
    mark : str
        The colour of the mark.

    Returns
    -------
    matplotlib.image.AxesImage
        For a bar of its colours.
    """
    shown = np.ma.masked_invalid(np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix))
    image = axes.imshow(shown, cmap="magma", interpolation="nearest", aspect="equal")
    best = best_row(matrix)
    axes.plot(-0.9, best, ">", color=mark, ms=6, clip_on=False)
    places = sorted({0, best, len(matrix) - 1})
    axes.set_xticks(places, [str(k) for k in places])
    axes.set_yticks([])
    axes.set_xlim(-0.5, len(matrix) - 0.5)
    return image


def draw_errors(axes: Axes, matrix: Array, colour: str, mark: str) -> None:
    """Draw the histogram of the dissimilarities of all pairs, a line at the best image's median.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Empty ones.
    matrix : ndarray, shape (n, n)
        NaN for images that are unusable.
    colour, mark : str
        Of the bars and the line.
    """
    values = matrix[~np.eye(len(matrix), dtype=bool) & np.isfinite(matrix)]
    axes.hist(values, bins=min(BINS, max(5, len(values) // 2)), color=colour)
    axes.axvline(_medians(matrix)[best_row(matrix)], color=mark, lw=1.5)
    axes.set_yticks([])


def best_row(matrix: Array) -> int:
    """The image that resembles the others most, by the median of its row."""
    return int(np.nanargmin(_medians(matrix)))


def _medians(matrix: Array) -> Array:
    """The median dissimilarity of each image with the others; NaN for those that are unusable."""
    found = np.full(len(matrix), np.nan)
    for k, row in enumerate(matrix):
        others = np.delete(row, k)
        if np.isfinite(others).any():
            found[k] = np.nanmedian(others)
    return found
