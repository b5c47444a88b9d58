"""A pair as training uses it: both images and what belongs to them on one small grid."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...core.geometry import Array, Grid, Image
from ...images.nodata import nodata_note, without_nodata
from ...images.notes import reading_notes
from ...images.preprocess import driving_channel, mask_on
from ...io.pairs import LoadedPair, Pair, read_pair
from ...nets.inference.frame import TensorImage, coarsened, moved, network_grid, sampled
from ...tensor.warp import normalised, sample
from ...transforms import warp

LABELS, MASKS, TRUTH = "labels", "masks", "displacement"
CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A pair on a training grid.

    Parameters
    ----------
    name : str
    grid : Grid
        Where it lies.
    tensors : dict of str to Tensor
        "fixed" and "moving", (1, \\*shape) float32 in [0, 1]. If requested, also "fixed_labels" and
        "moving_labels", (1, \\*shape) int64; "fixed_mask" and "moving_mask", (1, \\*shape) float32.
        "displacement", (d, \\*shape) float32, is in pixels of the grid, NaN where not known. A pair that
        lacks them has labels 0, masks 1 and displacements NaN.
    notes : tuple of str
        What a user should know of its images.
    """

    name: str
    grid: Grid
    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def members(pairs: Iterable[Pair]) -> frozenset[str]:
    """What any of the pairs has beside its images, of labels, masks and displacement."""
    found = set()
    for pair in pairs:
        if pair.fixed_labels is not None and pair.moving_labels is not None:
            found.add(LABELS)
        if pair.fixed_mask is not None or pair.moving_mask is not None:
            found.add(MASKS)
        if pair.displacement is not None:
            found.add(TRUTH)
    return frozenset(found)


def training_shape(fixed: Grid, stride: int, size: int) -> tuple[int, ...]:
    """The shape of all training images, from one of them: that of its grid for networks."""
    return network_grid(fixed, stride, size).shape


def covering(fixed: Grid, shape: tuple[int, ...]) -> Grid:
    """A grid of that shape that covers an image: cubic pixels along its axes, no finer than the image's own.

    As `network_grid` lays it, but that the shape is given, as all pairs of a batch need the same.
    """
    spacing = fixed.spacing
    extent = spacing * fixed.shape
    pixel = max(float(spacing.min()), float((extent / shape).max()))
    needed = np.ceil(extent / pixel - 1e-6)
    before = (np.array(shape) - needed) // 2
    affine = fixed.affine.copy()
    affine[:-1, :-1] = fixed.direction * pixel
    affine[:-1, -1] = fixed.to_world([-0.5 + (0.5 - before) * pixel / spacing])[0]
    return Grid(shape, affine, fixed.units)


def prepare(pair: Pair, shape: tuple[int, ...], wanted: Collection[str]) -> Prepared:
    """Read a pair and lay it on a training grid, the moving image where it is in the world.

    Raises
    ------
    ValueError
        If it cannot be read, has other axes, or shows nothing; the sentence names it.
    """
    loaded = read_pair(pair)
    if loaded.fixed.ndim != len(shape):
        raise ValueError(f"The pair {pair.name} is {loaded.fixed.ndim}D and the others are {len(shape)}D.")
    fixed = loaded.fixed
    moving = loaded.moving.with_grid(loaded.moving.grid.in_world_of(fixed.grid))
    grid = covering(fixed.grid, shape)
    (fixed, known), (moving, known_too) = (
        without_nodata(driving_channel(image)) for image in (fixed, moving)
    )
    tensors = {"fixed": _toned(fixed, grid), "moving": _toned(moving, grid)}
    units = fixed.grid.units
    for side, labels, masks in (
        ("fixed", loaded.fixed_labels, (loaded.fixed_mask, known)),
        ("moving", loaded.moving_labels, (loaded.moving_mask, known_too)),
    ):
        if LABELS in wanted:
            there = None not in (loaded.fixed_labels, loaded.moving_labels)
            tensors[f"{side}_labels"] = _nearest(labels if there else None, grid, units)
        if MASKS in wanted:
            inside = np.ones(shape, bool)
            for mask in masks:
                inside &= True if mask is None else mask_on(_in_units(mask, units), grid).data
            tensors[f"{side}_mask"] = torch.from_numpy(inside.astype(np.float32))[None]
    if TRUTH in wanted:
        tensors[TRUTH] = _truth(loaded, moving.grid, grid)
    notes = reading_notes((loaded.fixed, loaded.moving), (loaded.fixed_mask, loaded.moving_mask))
    notes += nodata_note(("fixed", known), ("moving", known_too))
    return Prepared(pair.name, grid, tensors, notes)


def _toned(image: Image, grid: Grid) -> Tensor:
    """One channel in [0, 1] on a grid, (1, *shape)."""
    # Rounded here, so that what comes from the cache is the same.
    return sampled(coarsened(TensorImage.of(image, CPU), grid), grid)[0].half().float()


def _in_units(image: Image, units: tuple[str, ...]) -> Image:
    return image.with_grid(image.grid.in_units(units))


def _nearest(labels: Image | None, grid: Grid, units: tuple[str, ...]) -> Tensor:
    """Labels at the nearest pixels, (1, *shape) int64."""
    if labels is None:
        return torch.zeros(1, *grid.shape, dtype=torch.int64)
    whole = _in_units(labels.with_data(np.rint(labels.data).astype(np.int32)), units)
    return torch.from_numpy(warp(whole, None, grid, order=0).data.astype(np.int64))[None]


def _truth(loaded: LoadedPair, moving: Grid, grid: Grid) -> Tensor:
    """The true displacement on a grid and in its pixels, (d, *shape); NaN where it is not known."""
    fixed, d = loaded.fixed.grid, grid.ndim
    if loaded.displacement is None:
        return torch.full((d, *grid.shape), torch.nan)
    index = moved(np.linalg.inv(fixed.affine) @ grid.affine, grid.shape, CPU)
    field = torch.from_numpy(np.ascontiguousarray(loaded.displacement, np.float32))
    onward = index + sample(field, normalised(index, fixed.shape))
    # From the moving image's pixels through the world back to the grid's.
    back: Array = np.linalg.inv(grid.affine) @ moving.affine
    linear = torch.einsum("ij,j...->i...", torch.from_numpy(back[:d, :d]).float(), onward)
    here = moved(np.eye(d + 1), grid.shape, CPU)
    found = linear + torch.from_numpy(back[:d, d]).float().view(-1, *(1,) * d) - here
    last = torch.tensor(fixed.shape).view(-1, *(1,) * d) - 0.5
    outside = ((index < -0.5) | (index > last)).any(0)
    return found.masked_fill(outside, torch.nan)
