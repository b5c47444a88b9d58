"""Sampling arrays of pixels on another grid, in their own data type, also labels by a vote."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ..core.geometry import Array, Grid, Image, apply_affine
from ..core.pixels import with_nan
from ..core.progress import Progress, subprogress
from .base import Transform
from .composite import displacement_on

if TYPE_CHECKING:
    import SimpleITK as sitk

Interpolation = Literal["nearest", "linear", "cubic", "vote"]
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)
LARGEST = 2**29  # bytes of displacements that are kept, so that they are computed once for all channels
SLAB = 300_000  # pixels at once, which bounds the memory
EQUAL = 1e-9  # up to which weights are equal


@dataclass(frozen=True, eq=False)
class Sampler:
    """Samples arrays on one grid at the places to which a transform maps the nodes of another.

    Parameters
    ----------
    source : Grid
        Of the arrays.
    transform : Transform
        From the world of `target` to the world of `source`.
    target : Grid
        Where the results lie.
    """

    source: Grid
    transform: Transform
    target: Grid

    def __call__(
        self, data: Array, interpolation: Interpolation, fill: float | None, progress: Progress
    ) -> Array:
        """Sample an array, with channels last if there are any; see `resampled`."""
        if isinstance(data, np.ma.MaskedArray):
            return self._masked(data, interpolation, fill, progress)
        if np.iscomplexobj(data):
            halves = subprogress(progress, 0, 0.5), subprogress(progress, 0.5, 1)
            real, imaginary = (
                self(part, interpolation, fill, half)
                for part, half in zip((data.real, data.imag), halves, strict=True)
            )
            return (real + 1j * imaginary).astype(data.dtype)
        if data.ndim == self.source.ndim:
            return self._plain(data, interpolation, fill, progress)
        # ITK takes twice as long for channels together as one by one.
        count = data.shape[-1]
        found = np.empty((*self.target.shape, count), data.dtype)
        for c in range(count):
            part = subprogress(progress, c / count, (c + 1) / count)
            found[..., c] = self._plain(data[..., c], interpolation, fill, part, several=count > 1)
        return found

    def _masked(
        self,
        data: np.ma.MaskedArray[Any, Any],
        interpolation: Interpolation,
        fill: float | None,
        progress: Progress,
    ) -> Array:
        """Masked where a masked pixel contributes, and outside."""
        plain = with_nan(data)
        if not np.ma.is_masked(data):
            return self(plain, interpolation, fill, progress)
        if data.dtype == bool:
            interpolation = "nearest"
        found = self(plain, interpolation, None if fill is None else np.nan, progress)
        empty = np.isnan(found)
        rounded = found if data.dtype.kind in "fc" else np.rint(found)
        pixels = np.where(empty, data.fill_value, rounded).astype(data.dtype)
        return np.ma.array(pixels, mask=empty, fill_value=data.fill_value)

    def _plain(
        self,
        data: Array,
        interpolation: Interpolation,
        fill: float | None,
        progress: Progress,
        several: bool = False,
    ) -> Array:
        """Sample an array without channels, which may be one of several."""
        if interpolation == "vote":
            return vote(data, self.source, self._displacement, self.target, fill)
        nearest = interpolation == "nearest" or data.dtype == bool
        if nearest and data.dtype.kind in "iu" and data.dtype.itemsize > 4:
            return self._nearest_wide(data, fill, progress, several)
        if nearest or data.dtype.kind == "f":
            known = np.isfinite(data) if interpolation == "cubic" and not nearest else None
            if known is None or known.all() or not known.any():
                return self._in_itk(data, interpolation, fill, progress, several).astype(
                    data.dtype, copy=False
                )
            from scipy.ndimage import distance_transform_edt

            # Cubic splines would spread a pixel without data over all others.
            at = distance_transform_edt(~known, return_distances=False, return_indices=True)
            smooth = self._in_itk(data[tuple(at)], "cubic", fill, progress, several)
            rough = self._in_itk(np.where(known, data, np.nan), "linear", fill, progress, several)
            return np.where(np.isnan(rough), np.nan, smooth).astype(data.dtype, copy=False)
        # ITK would truncate; float64 holds every integer up to 2^53, float32 those of 16 bits.
        floats = data.astype(np.float32 if data.dtype.itemsize <= 2 else np.float64)
        found = self._in_itk(floats, interpolation, fill, progress, several)
        limits = np.iinfo(data.dtype)
        np.rint(found, out=found)
        np.clip(found, limits.min, limits.max, out=found)
        return found.astype(data.dtype)

    def _nearest_wide(self, data: Array, fill: float | None, progress: Progress, several: bool) -> Array:
        """Nearest integers of 64 bits, of which ITK's double numbers hold 53: their ranks are sampled."""
        known, ranks = np.unique(data, return_inverse=True)
        outside = None if fill is None else len(known)
        if fill is not None:
            known = np.append(known, np.array(fill).astype(data.dtype))
        ranks = ranks.reshape(data.shape).astype(np.float64)
        return known[self._in_itk(ranks, "nearest", outside, progress, several).astype(np.intp)]

    def _in_itk(
        self, data: Array, interpolation: Interpolation, fill: float | None, progress: Progress, several: bool
    ) -> Array:
        """Sample by SimpleITK, in one of its own data types."""
        import SimpleITK as sitk

        from .itk import displaced, image_to_itk, resample

        image = image_to_itk(Image(data, self.source))
        kinds = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear, "cubic": sitk.sitkBSpline3}
        how = sitk.sitkNearestNeighbor if data.dtype == bool else kinds[interpolation]
        size = 8 * self.target.ndim * math.prod(self.target.shape)
        # A transform that takes its time is evaluated once for all channels; its nodes are as exact.
        if several and not self.transform.linear and fill is not None and size <= LARGEST:
            return displaced(image, self._field, how, fill, progress)
        return resample(image, self._transform, self.target, how, fill, progress)

    @cached_property
    def _transform(self) -> sitk.Transform:
        return self.transform.to_itk(self.target)

    @cached_property
    def _displacement(self) -> Array:
        """World displacements at the target's nodes."""
        return displacement_on(self.transform, self.target)

    @cached_property
    def _field(self) -> sitk.Image:
        """The same for ITK."""
        from .itk import field_to_itk

        return field_to_itk(self._displacement, self.target)


def vote(data: Array, source: Grid, displacement: Array, target: Grid, fill: float | None) -> Array:
    """The label whose weights in linear interpolation add up to most, at displaced nodes of a grid.

    Parameters
    ----------
    data : ndarray, shape source.shape
        Labels of any data type.
    source : Grid
        Where they lie.
    displacement : ndarray, shape (*target.shape, d)
        From the nodes of `target` to the places that are sampled, world units.
    target : Grid
        Where the result lies.
    fill : float or None
        The label of what comes from outside; None for that of the nearest pixel.

    Returns
    -------
    ndarray, shape target.shape
        Only labels of `data`, and `fill`. Of labels with equal weights the one of the nearest pixel.
    """
    d, last = source.ndim, np.array(source.shape) - 1
    found = np.empty(target.shape, data.dtype)
    to_index = np.linalg.inv(source.affine)
    thick = max(1, SLAB // max(1, int(np.prod(target.shape[1:]))))
    for start in range(0, target.shape[0], thick):
        slab = slice(start, start + thick)
        nodes = np.indices(found[slab].shape, dtype=float).reshape(d, -1).T
        nodes[:, 0] += start
        places = target.to_world(nodes) + displacement[slab].reshape(-1, d)
        index = apply_affine(to_index, places)
        labels = _winners(data, np.clip(index, 0, last))
        if fill is not None:
            labels[~np.all((index >= -0.5) & (index < last + 0.5), axis=1)] = fill
        found[slab] = labels.reshape(found[slab].shape)
    return found


def _winners(data: Array, index: Array) -> Array:
    """The label with the largest weight at index coordinates (N, d) inside the array."""
    d = data.ndim
    low = np.minimum(np.floor(index).astype(int), np.maximum(np.array(data.shape) - 2, 0))
    part = index - low
    labels, weights = [], []
    for corner in product((0, 1), repeat=d):
        at = np.minimum(low + corner, np.array(data.shape) - 1)
        labels.append(data[tuple(at.T)])
        weights.append(np.prod(np.where(corner, part, 1 - part), axis=1))
    winner = data[tuple(np.rint(index).astype(int).T)]
    best = _weight_of(winner, labels, weights)
    for label in labels:
        total = _weight_of(label, labels, weights)
        better = total > best + EQUAL
        best, winner = np.where(better, total, best), np.where(better, label, winner)
    return winner


def _weight_of(label: Array, labels: list[Array], weights: list[Array]) -> Array:
    """The weights of the corners that have this label, (N,)."""
    total = np.zeros(len(label))
    for weight, other in zip(weights, labels, strict=True):
        total += weight * (other == label)
    return total
