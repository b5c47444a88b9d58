"""Representation of a result in a notebook: two small images and a table, as HTML."""

from __future__ import annotations

import base64
import html
import math
from dataclasses import replace

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..images.nodata import without_nodata
from ..images.preprocess import driving_channel, range_of
from ..metrics.pair import Scores
from ..metrics.verdict import Verdict
from ..transforms import Transform, warp

SIDE = 256  # pixels along the longest side, at most


def before_and_after(fixed: Image, moving: Image, transform: Transform) -> str:
    """Overlays of two images before and under a transform, as HTML.

    The fixed image is red, the moving one cyan; where they are equal the overlay is grey.
    Volumes show the middle plane along the first axis.

    Parameters
    ----------
    fixed, moving : Image
        Both 2D or both 3D, with any number of channels, in units that can be converted.
    transform : Transform
        From world points of the fixed to world points of the moving image.
    """
    cells = "".join(f"<td>{_overlay(fixed, moving, through)}</td>" for through in (None, transform))
    where = "; the middle plane" if fixed.ndim == 3 else ""
    return (
        f"<table><tr><th>before</th><th>after</th></tr><tr>{cells}</tr></table>"
        f"<p>Fixed image red, moving image cyan{where}.</p>"
    )


def score_table(before: Scores, after: Scores, verdict: Verdict) -> str:
    """Scores as an HTML table: over the whole fixed grid, where both images overlap, and what decides."""
    sides = (before.whole, after.whole, before.overlap, after.overlap)
    rows = [(name.upper(), *(f"{side.get(name, math.nan):.4f}" for side in sides)) for name in before.whole]
    if before.landmark_error is None or after.landmark_error is None:
        ends = (f"{value:.4f}" for value in (verdict.before, verdict.after))
        rows.insert(0, (f"{verdict.measure} (decides)", "", "", *ends))
    rows.append(("overlap %", *(f"{100 * side.overlap_fraction:.0f}" for side in (before, after)), "", ""))
    rows.append(("folding %", "", f"{after.folded:.2g}", "", ""))
    if before.landmark_error is not None and after.landmark_error is not None:
        errors = (f"{side.landmark_error:.3g}" for side in (before, after))
        rows.append(("landmark error (decides)", *errors, "", ""))
    head = ("", "whole, before", "whole, after", "overlap, before", "overlap, after")
    lines = ["".join(f"<th>{cell}</th>" for cell in head)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def picture(image: Image) -> str:
    """An image, or the middle plane of a volume, in shades of grey as an HTML image.

    Parameters
    ----------
    image : Image
        2D or 3D, with any number of channels.
    """
    plane = _plane(image.grid)
    return _html(_sampled(image, None, plane), plane)


def _overlay(fixed: Image, moving: Image, transform: Transform | None) -> str:
    """The fixed image in red and the moving one in cyan, as an HTML image."""
    plane = _plane(fixed.grid)
    below, above = _sampled(fixed, None, plane), _sampled(moving, transform, plane)
    return _html(np.stack([below, above, above], axis=-1), plane)


def _html(pixels: Array, plane: Grid) -> str:
    """Pixels in [0, 1] on a plane, with colours or without."""
    import imageio.v3 as iio

    levels = np.rint(255 * pixels).astype(np.uint8)
    png = base64.b64encode(iio.imwrite("<bytes>", levels, extension=".png")).decode("ascii")
    # Pixels need not be square; the browser shows them at their size in the world.
    size = plane.spacing[-2:] * plane.shape[-2:]
    height, width = np.maximum(1, np.rint(SIDE * size / size.max())).astype(int)
    return f'<img src="data:image/png;base64,{png}" width="{width}" height="{height}">'


def _sampled(image: Image, transform: Transform | None, plane: Grid) -> Array:
    """An image on a plane, in [0, 1] by the percentiles of the whole image."""
    image, _ = without_nodata(driving_channel(image))
    low, extent = range_of(image.data)
    pixels = warp(image, transform, plane, fill=low).data.reshape(plane.shape[-2:])
    return np.clip((pixels - low) / extent, 0, 1)


def _plane(grid: Grid) -> Grid:
    """The image's own grid, or the middle plane of a volume's, with few enough pixels to be shown."""
    if grid.ndim == 3:
        affine = grid.affine.copy()
        affine[:-1, -1] = grid.to_world([[grid.shape[0] // 2, 0, 0]])[0]
        grid = replace(grid, shape=(1, *grid.shape[1:]), affine=affine)
    return grid.coarsened([-(-n // SIDE) for n in grid.shape])
