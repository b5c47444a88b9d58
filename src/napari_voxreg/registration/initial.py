"""Initial transforms: simple poses from geometry, intensities or landmarks."""

from __future__ import annotations

import numpy as np

from ..core.geometry import Array, Image
from ..images.task import Landmarks
from ..transforms import Affine
from ..transforms.affine import fit_points

INITIAL_TRANSFORMS = ("corners", "centres", "moments", "landmarks")


def initial_transform(kind: str, fixed: Image, moving: Image, landmarks: Landmarks | None = None) -> Affine:
    """An affine map from the world of the fixed image to the world of the moving image.

    Parameters
    ----------
    kind : str
        ``"corners"`` aligns the first pixels and the array axes, whatever the layer positions;
        ``"centres"`` moves the middle of the moving image onto the middle of the fixed one;
        ``"moments"`` does so with the centres of mass of their intensities;
        ``"landmarks"`` fits corresponding points: a translation to one, a rigid motion to up to d, an
        affine map to more.
    fixed, moving : Image
        One channel each, in the same units.
    landmarks : tuple of ndarray, optional
        Corresponding world points, (N, d) each.

    Raises
    ------
    ValueError
        For an unknown kind, or "landmarks" without any.
    """
    if kind == "corners":
        to_index = np.linalg.inv(fixed.grid.affine) * np.append(fixed.grid.spacing, 1.0)[:, None]
        to_world = moving.grid.affine / np.append(moving.grid.spacing, 1.0)[None, :]
        return Affine(to_world @ to_index)
    if kind == "centres":
        return Affine.translation(moving.grid.centre - fixed.grid.centre)
    if kind == "moments":
        return Affine.translation(_centre_of_mass(moving) - _centre_of_mass(fixed))
    if kind == "landmarks":
        if landmarks is None:
            raise ValueError(
                "An initial transform from landmarks needs some; choose a Points layer for each image."
            )
        return fit_points(*landmarks)
    raise ValueError(
        f"{kind!r} is not a valid initial transform; choose from: {', '.join(INITIAL_TRANSFORMS)}."
    )


def _centre_of_mass(image: Image) -> Array:
    """World position of the centre of mass, intensities counted from their minimum."""
    weights = image.data.astype(np.float64) - float(image.data.min())
    axes = range(image.ndim)
    total = weights.sum()
    index = [
        (weights.sum(axis=tuple(j for j in axes if j != k)) @ np.arange(image.grid.shape[k])) / total
        for k in axes
    ]
    return image.grid.to_world(np.array([index]))[0]
