"""A mean image that no image of the group draws towards itself.

After every round the mean of all transforms is undone: the linear parts by the logarithm of their matrices
(Arsigny et al., 2006), the deformations by the inverse of their mean displacement (Guimond et al., CVIU 77,
2000; Avants et al., NeuroImage 49, 2010). So a point of the mean image lies, on average, where it lies in the
images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ...core.geometry import Array, Grid, Image
from ...images.preprocess import unit_range
from ...transforms import Affine, Displacement, Transform, chain, displacement_on, warp
from ...transforms.affine import fit_points

WIDE = 45.0  # degrees from their mean rotation at which images count as rotated far from each other
MARGIN = 0.05  # of a mean image, in which images are compared: its rim shows few of them


def without_mean_matrix(matrices: Sequence[Array], grid: Grid) -> list[Array]:
    """Matrices from the template to each image, after the template has been moved to their mean.

    Parameters
    ----------
    matrices : sequence of ndarray, shape (d + 1, d + 1)
        Homogeneous, from world points of the template to world points of each image.
    grid : Grid
        Of the template.
    """
    from scipy.linalg import expm, logm

    own = [np.linalg.inv(lies) @ m for lies, m in zip(_places(matrices, grid), matrices, strict=True)]
    mean = np.mean([logm(matrix).real for matrix in own], axis=0)
    back = expm(-mean)
    return [matrix @ back for matrix in matrices]


def without_mean_displacement(transforms: Sequence[Transform], grid: Grid) -> tuple[list[Transform], float]:
    """Transforms from the template, after it has been deformed so that their mean displacement is zero.

    Parameters
    ----------
    transforms : sequence of Transform
        From world points of the template to world points of each image.
    grid : Grid
        Of the template.

    Returns
    -------
    transforms : list of Transform
    moved : float
        By how much the template was deformed: the mean length, in its finest pixels.
    """
    mean = _mean(transforms, grid)
    change = Displacement(mean, grid).inverse(grid)
    return [chain(change, transform) for transform in transforms], _length(mean, grid)


def mean_displacement(transforms: Sequence[Transform], grid: Grid) -> float:
    """The mean length of the mean displacement, in the finest pixels of the grid.

    Where images are rotated by more than `WIDE` degrees from their mean rotation, it is measured after the
    rigid motion of each.
    """
    return _length(_mean(transforms, grid), grid)


def _mean(transforms: Sequence[Transform], grid: Grid) -> Array:
    """The mean displacement at each pixel, rigid motions left out where they are far apart."""
    places = _places([linear_matrix(transform, grid) for transform in transforms], grid)
    own = [chain(t, Affine(np.linalg.inv(lies))) for t, lies in zip(transforms, places, strict=True)]
    return np.asarray(np.mean([displacement_on(transform, grid) for transform in own], axis=0))


def _length(displacement: Array, grid: Grid) -> float:
    return float(np.linalg.norm(displacement, axis=-1).mean() / grid.spacing.min())


def _places(matrices: Sequence[Array], grid: Grid) -> list[Array]:
    """The rigid motion of each image if they are rotated far from each other, else none (the identity)."""
    d, centre = grid.ndim, grid.centre
    rotations = [_nearest_rotation(matrix[:d, :d]) for matrix in matrices]
    mean = _nearest_rotation(np.mean(rotations, axis=0))
    # The cosine of the angle of a rotation in 2D or 3D.
    least = min((np.trace(rotation @ mean.T) - (d - 2)) / 2 for rotation in rotations)
    found = [np.eye(d + 1) for _ in matrices]
    if least < np.cos(np.deg2rad(WIDE)):
        for place, rotation, matrix in zip(found, rotations, matrices, strict=True):
            place[:d, :d] = rotation
            place[:d, d] = matrix[:d, :d] @ centre + matrix[:d, d] - rotation @ centre
    return found


def _nearest_rotation(linear: Array) -> Array:
    u, _, vt = np.linalg.svd(linear)
    sign = np.ones(len(linear))
    sign[-1] = np.linalg.det(u @ vt)
    return np.asarray(u @ np.diag(sign) @ vt)


def mean_image(images: Iterable[Image], transforms: Sequence[Transform], grid: Grid) -> Image:
    """The mean of aligned images, each in [0, 1], over the images that show a place.

    Parameters
    ----------
    images : iterable of Image
        One channel; taken one at a time.
    transforms : sequence of Transform
        From world points of the mean to world points of each image.
    grid : Grid
        Of the mean.
    """
    total, count = np.zeros(grid.shape), np.zeros(grid.shape)
    for image, transform in zip(images, transforms, strict=True):
        scaled = image.with_data(unit_range(image.data))
        warped = warp(scaled, transform, grid, fill=np.nan).data
        there = np.isfinite(warped)
        total[there] += warped[there]
        count += there
    # Where few images reach, their edges would show.
    few = count < max(1.0, 0.25 * count.max())
    mean = np.where(few, 0.0, total / np.maximum(count, 1))
    return Image(mean.astype(np.float32), grid, "mean")


def sharpness(image: Image) -> float:
    """How sharp an image is: the mean length of its gradient per pixel, of its contrast.

    Parameters
    ----------
    image : Image
        One channel.
    """
    inner = tuple(slice(int(MARGIN * n), n - int(MARGIN * n)) for n in image.grid.shape)
    data = np.asarray(image.data, dtype=float)[inner]
    slopes = np.gradient(data)
    return float(np.sqrt(sum(slope**2 for slope in slopes)).mean() / (data.std() or 1.0))


def linear_matrix(transform: Transform, grid: Grid) -> Array:
    """The matrix of a linear transform, and of another the one that fits it best on a grid."""
    if transform.matrix is not None and transform.linear:
        return np.asarray(transform.matrix)
    nodes = grid.coarsened([max(1, n // 16) for n in grid.shape]).nodes()
    return np.asarray(fit_points(nodes, transform(nodes)).matrix)
