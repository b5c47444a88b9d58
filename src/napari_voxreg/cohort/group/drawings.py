"""The errors between every two images of a cohort, drawn on axes of matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.geometry import Array
from .choice import ranked
from .result import CohortResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

BINS = 40


def errors_between(result: CohortResult) -> tuple[Array, int, str] | None:
    """The errors between every two images of a cohort, where they are known.

    Parameters
    ----------
    result : CohortResult

    Returns
    -------
    matrix : ndarray, shape (n, n)
        NaN on the diagonal and where a pair was not measured.
    row : int
        The image that was chosen for them: the one that resembles the others most, or from which they are
        reached best.
    words : str
        What an error is.
    """
    matrix, words = result.dissimilarities, "1 - correlation after a rigid motion, on small copies"
    if matrix is None:
        matrix = result.disagreement
        words = "by how many pixels a pair disagrees with the ways by a third image"
    if matrix is None:
        return None
    shown = np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix)
    if not np.isfinite(shown).any():
        return None
    if result.dissimilarities is None:
        return shown, [member.name for member in result.members].index(result.template.name), words
    usable = np.flatnonzero(np.isfinite(shown).any(axis=1))
    return shown, int(usable[ranked(matrix[np.ix_(usable, usable)])[0]]), words


def draw_matrix(axes: Axes, matrix: Array, row: int, mark: str) -> AxesImage:
    """Draw the errors between all images, with a mark at a row.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Empty ones.
    matrix, row
        From `errors_between`.
    mark : str
        The colour of the mark.

    Returns
    -------
    matplotlib.image.AxesImage
        For a bar of its colours.
    """
    image = axes.imshow(np.ma.masked_invalid(matrix), cmap="magma", interpolation="nearest", aspect="equal")
    axes.plot(-0.9, row, ">", color=mark, ms=6, clip_on=False)
    places = sorted({0, row, len(matrix) - 1})
    axes.set_xticks(places, [str(k) for k in places])
    axes.set_yticks([])
    axes.set_xlim(-0.5, len(matrix) - 0.5)
    return image


def draw_errors(axes: Axes, matrix: Array, row: int, colour: str, mark: str) -> None:
    """Draw the histogram of the errors, with a line at the median of a row.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Empty ones.
    matrix, row
        From `errors_between`.
    colour, mark : str
        Of the bars and the line.
    """
    values = matrix[np.isfinite(matrix)]
    axes.hist(values, bins=min(BINS, max(5, len(values) // 2)), color=colour)
    axes.axvline(float(np.nanmedian(matrix[row])), color=mark, lw=1.5)
    axes.set_yticks([])
