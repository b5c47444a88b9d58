"""The checks before anything runs, and the pair as methods get it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Image, as_image
from ..images.preprocess import driving_channel, mask_on
from ..transforms import Affine, Transform
from .initial import start

Points = tuple[Array, Array]


@dataclass(frozen=True)
class Pair:
    """A checked pair: one float32 channel each, the same units, no thin axes, masks on the images' grids."""

    fixed: Image
    moving: Image
    fixed_mask: Image | None
    moving_mask: Image | None
    points: Points | None
    initial: Transform | None


def prepare(
    fixed: Image | npt.ArrayLike,
    moving: Image | npt.ArrayLike,
    *,
    initial: Any = None,
    fixed_mask: Image | npt.ArrayLike | None = None,
    moving_mask: Image | npt.ArrayLike | None = None,
    points: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    channel: int | str | None = None,
) -> Pair:
    """Check a pair and bring it into the form that methods take; see `register` for the parameters.

    Whether the two overlap is left to `check_overlap`: not all methods need it.

    Raises
    ------
    ValueError
        With one plain sentence, for a pair that cannot be registered.
    """
    images = as_image(fixed, "fixed"), as_image(moving, "moving")
    masks = [
        _mask(mask, image, which)
        for mask, image, which in zip((fixed_mask, moving_mask), images, ("fixed", "moving"), strict=True)
    ]
    (fixed, fixed_mask), (moving, moving_mask) = (
        _flat(image, mask) for image, mask in zip(images, masks, strict=True)
    )
    if fixed.ndim != moving.ndim:
        raise ValueError(
            f"The fixed image is {fixed.ndim}D and the moving image {moving.ndim}D; "
            "choose two images with as many axes."
        )
    if fixed.ndim not in (2, 3):
        raise ValueError(f"Images with {fixed.ndim} axes cannot be registered; choose 2D or 3D ones.")
    moving = moving.with_grid(moving.grid.in_units(fixed.grid.units))
    fixed, moving = driving_channel(fixed, channel), driving_channel(moving, channel)
    _check_pixels(fixed, "fixed")
    _check_pixels(moving, "moving")
    masks = [
        _mask_for(mask, image, which)
        for mask, image, which in ((fixed_mask, fixed, "fixed"), (moving_mask, moving, "moving"))
    ]
    pairs = None if points is None else _points(points, fixed.ndim)
    begin = _initial(initial, fixed, moving, pairs)
    return Pair(fixed, moving, masks[0], masks[1], pairs, begin)


def _flat(image: Image, mask: Image | None) -> tuple[Image, Image | None]:
    """Both without axes of one pixel: a single slice is a 2D image."""
    thin = image.grid.thin_axes()
    if not thin:
        return image, mask
    return image.without(thin), mask_on(mask, image.grid).without(thin) if mask is not None else None


def _mask(mask: Image | npt.ArrayLike | None, image: Image, which: str) -> Image | None:
    """A mask as an image; a plain array lies on its image's own grid."""
    if mask is None or isinstance(mask, Image):
        return mask
    data = np.asarray(mask)
    if data.shape != image.grid.shape:
        raise ValueError(
            f"The {which} mask has the shape {data.shape} and its image {image.grid.shape}; "
            "give an Image with its own grid, or an array of the image's shape."
        )
    return Image(data, image.grid)


def _mask_for(mask: Image | None, image: Image, which: str) -> Image | None:
    """The mask on its image's grid, with something in it."""
    if mask is None:
        return None
    mask = mask.with_grid(mask.grid.in_units(image.grid.units))
    if mask.ndim != image.ndim:
        raise ValueError(
            f"The {which} mask is {mask.ndim}D and its image {image.ndim}D; draw it on the image."
        )
    sampled = mask_on(mask, image.grid)
    if not sampled.data.any():
        raise ValueError(
            f"The {which} mask covers no pixel of its image; draw it on the image or choose none."
        )
    return sampled


def _check_pixels(image: Image, which: str) -> None:
    """Refuse pixels that are not finite, and images without contrast."""
    low, high = float(image.data.min()), float(image.data.max())
    if not np.isfinite([low, high]).all():
        count = int(image.data.size - np.count_nonzero(np.isfinite(image.data)))
        raise ValueError(
            f"The {which} image has {count} NaN or infinite pixels; "
            "replace them first, with numpy.nan_to_num say."
        )
    if low == high:
        raise ValueError(
            f"The {which} image is constant ({low:g} everywhere); choose one with something in it."
        )


def _points(points: tuple[npt.ArrayLike, npt.ArrayLike], ndim: int) -> Points:
    """Corresponding points as float arrays (N, d)."""
    fixed, moving = (np.asarray(p, dtype=float) for p in points)
    if len(fixed) != len(moving):
        raise ValueError(
            f"There are {len(fixed)} fixed and {len(moving)} moving points; they must correspond one to one."
        )
    if not len(fixed):
        raise ValueError("The point sets are empty; add corresponding points or choose none.")
    for p, which in ((fixed, "fixed"), (moving, "moving")):
        if p.ndim != 2 or p.shape[1] != ndim or not np.isfinite(p).all():
            raise ValueError(f"The {which} points must be finite world coordinates of shape (N, {ndim}).")
    return fixed, moving


def _initial(initial: Any, fixed: Image, moving: Image, points: Points | None) -> Transform | None:
    """The start as a transform."""
    if isinstance(initial, str):
        return start(initial, fixed, moving, points)
    transform = getattr(initial, "transform", initial)  # an earlier result carries its own
    if transform is None:
        return None
    if not isinstance(transform, Transform):
        raise ValueError(
            f"{initial!r} is no start; give a transform, an earlier result or the name of a start."
        )
    if transform.ndim != fixed.ndim:
        raise ValueError(f"The initial transform is {transform.ndim}D and the images {fixed.ndim}D.")
    return transform


def check_overlap(pair: Pair) -> None:
    """Refuse a pair none of whose pixels meet at its start.

    Raises
    ------
    ValueError
        With one plain sentence.
    """
    fixed, moving, initial = pair.fixed.grid, pair.moving.grid, pair.initial
    nodes = fixed.coarsened([max(1, n // 32) for n in fixed.shape]).nodes()
    nodes = np.concatenate([nodes, fixed.corners()])
    initial = Affine.identity(fixed.ndim) if initial is None else initial
    if moving.contains(initial(nodes)).any():
        return
    # A small moving image may lie between the lattice's nodes: look the other way round too.
    back = moving.coarsened([max(1, n // 32) for n in moving.shape]).nodes()
    if isinstance(initial, Affine) and fixed.contains(initial.inverse()(back)).any():
        return
    raise ValueError("The images do not overlap in the world; start from their centres.")
