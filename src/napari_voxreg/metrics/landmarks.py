"""What landmarks say of a fit, and where the partner of a landmark lies."""

from __future__ import annotations

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..core.progress import Progress, silent
from ..transforms import Transform, chain, warp
from ..transforms.affine import Affine
from ..transforms.fit import fit
from .similarity import landmark_errors

PATCH = 10  # pixels from the middle of the compared patch to its border
REACH = 12  # pixels that a partner may lie from where it is expected
FLAT = 1e-6  # variance of a patch, relative to the square of its mean, that shows nothing


def leave_one_out(
    kind: str, fixed: Array, moving: Array, smoothing: float = 0.0, progress: Progress = silent
) -> Array:
    """How far each pair is missed by the fit to all others, world units.

    Unlike the residual it does not shrink as the fit gets freer: a pair with a large one is wrong, or alone
    in its region.

    Parameters
    ----------
    kind : str
        As in `fit`.
    fixed, moving : ndarray, shape (N, d)
        Corresponding world points.
    smoothing : float
        As in `fit`.
    progress : Progress
        Called for each pair.

    Returns
    -------
    ndarray, shape (N,)
        NaN where the others do not determine the fit.
    """
    errors = np.full(len(fixed), np.nan)
    for k in range(len(fixed)):
        progress(k / len(fixed), "leaving out each landmark")
        others = np.arange(len(fixed)) != k
        try:
            without = fit(kind, fixed[others], moving[others], smoothing)
        except ValueError:
            continue
        errors[k] = landmark_errors(without, fixed[k : k + 1], moving[k : k + 1])[0]
    return errors


def find_partner(fixed: Image, moving: Image, point: Array, transform: Transform) -> tuple[Array, float]:
    """The place in the moving image that looks like a point of the fixed one.

    The moving image is warped by the transform around the point, and the patch of the fixed image is sought
    in it by normalised cross-correlation; the peak is interpolated between pixels.

    Parameters
    ----------
    fixed, moving : Image
        One channel each, in the same units.
    point : ndarray, shape (d,)
        World point of the fixed image.
    transform : Transform
        From where the search begins.

    Returns
    -------
    place : ndarray, shape (d,)
        World point of the moving image.
    correlation : float
        Of the patches there, at most 1; contrast may be inverted, so its absolute value counts.

    Raises
    ------
    ValueError
        If one of the images shows nothing there.
    """
    from skimage.feature import match_template

    spacing = float(fixed.grid.spacing.min())
    patch, around = (_grid_around(fixed.grid, point, spacing, reach) for reach in (PATCH, PATCH + REACH))
    here = warp(fixed, Affine.identity(fixed.ndim), patch).data.astype(float)
    there = warp(moving, transform, around).data.astype(float)
    for pixels, which in ((here, "fixed"), (there, "moving")):
        if pixels.var() <= FLAT * max(float((pixels**2).mean()), 1e-12):
            raise ValueError(f"The {which} image shows nothing around this landmark; place it by hand.")
    scores = match_template(there, here)
    best = np.unravel_index(np.argmax(np.abs(scores)), scores.shape)
    offset = (np.array(best, dtype=float) + _between(np.abs(scores), best) - REACH) * spacing
    moved = chain(Affine.translation(offset), transform)
    return moved(point[None])[0], float(scores[best])


def _grid_around(grid: Grid, point: Array, spacing: float, reach: int) -> Grid:
    """Cubic pixels along the axes of the world, `reach` of them to each side of a point."""
    side = 2 * reach + 1
    affine = np.diag([*[spacing] * grid.ndim, 1.0])
    affine[:-1, -1] = point - reach * spacing
    return Grid((side,) * grid.ndim, affine, grid.units, grid.crs)


def _between(scores: Array, at: tuple[np.intp, ...]) -> Array:
    """Where between the pixels the peak lies: the top of a parabola along each axis."""
    offset = np.zeros(scores.ndim)
    for axis in range(scores.ndim):
        if 0 < at[axis] < scores.shape[axis] - 1:
            before, peak, after = (
                float(scores[tuple(np.add(at, step * np.eye(scores.ndim, dtype=int)[axis]))])
                for step in (-1, 0, 1)
            )
            bend = before - 2 * peak + after
            offset[axis] = 0.0 if bend == 0 else 0.5 * (before - after) / bend
    return offset
