"""Optical flow by dense inverse search, refined variationally, its motion boundaries corrected (OpenCV)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from ...core.geometry import Array
from ...core.params import Params, param
from ...core.progress import Progress, subprogress
from ..base import Method, Outcome, Task
from .scikit import register_by_flow

_SEARCHED = 2048**2  # pixels of the search at most; larger images are searched at lower resolution
_SMALLEST = 32  # pixels along an axis that the search needs
_TILE, _MARGIN = 2048, 64  # pixels refined at once, and the margin around them that the refinement uses
_AGREEMENT = 0.5  # pixels by which forward and backward flows may disagree
_STEEP = 0.3  # change of the flow from one pixel to the next from which it is a boundary
_SIMILAR = 0.05  # difference in brightness, of the whole range, up to which neighbours move together
_CHUNK = 8192  # pixels whose neighbours are sorted at once


@dataclass(frozen=True, kw_only=True)
class FlowParams(Params):
    """Parameters of `cv2.DISOpticalFlow`, `cv2.VariationalRefinement` and the median at boundaries."""

    smoothness: float = param(30.0, "How smooth the deformation is; more for noise.", range=(0.1, 1000))
    gradient: float = param(
        10.0, "How closely edges must match, whatever the brightness of the two images.", range=(0, 1000)
    )
    brightness: float = param(
        3.0,
        "How closely the brightness itself must match; 0 where light has changed.",
        range=(0, 1000),
        special="off",
    )
    boundaries: int = param(
        12,
        "Radius of the weighted median at motion boundaries, in pixels; 0 disables it and halves the time.",
        range=(0, 50),
        special="off",
    )
    refinements: int = param(
        6, "How often the flow is smoothed by a median and refined again.", range=(0, 100)
    )
    presmoothing: float = param(
        0.5, "Blur of both images beforehand, pixels; more for noise.", range=(0, 10), advanced=True
    )


def run(task: Task, params: FlowParams, progress: Progress) -> Outcome:
    """Register; see `Run`. Landmarks are not used."""
    flow = partial(optical_flow, params=params, progress=progress)
    return register_by_flow(flow, task)


def optical_flow(fixed: Array, moving: Array, params: FlowParams, progress: Progress) -> Array:
    """The dense flow between two images of one modality.

    Dense inverse search finds it coarse to fine (Kroeger et al., ECCV 2016). A variational refinement with
    robust brightness and gradient constancy (Brox et al., ECCV 2004) alternates with medians. At motion
    boundaries, where forward and backward flows disagree, a median weighted by similarity, distance and
    agreement decides with which side a pixel moves (Sun, Roth, Black, CVPR 2010).

    Parameters
    ----------
    fixed, moving : ndarray, shape (rows, columns), float32
        In [0, 1].
    params : FlowParams
    progress : Progress

    Returns
    -------
    ndarray, shape (2, rows, columns), float32
        In pixels, (row, column): moving at x + flow(x) corresponds to fixed at x.
    """
    import cv2

    shape = fixed.shape
    # For the same scene in another light, one gain and offset matches both images best.
    gain = fixed.std() / max(float(moving.std()), 1e-6)
    moving = np.clip((moving - moving.mean()) * gain + fixed.mean(), 0, 1, dtype=np.float32)
    missing = [max(0, _SMALLEST - n) for n in shape]

    def prepared(image: Array) -> Array:
        if params.presmoothing:
            image = cv2.GaussianBlur(image, (0, 0), params.presmoothing, borderType=cv2.BORDER_REPLICATE)
        return cv2.copyMakeBorder(image, 0, missing[0], 0, missing[1], cv2.BORDER_REFLECT)

    fixed, moving = prepared(fixed), prepared(moving)
    whole = 0.4 if params.boundaries else 1.0
    flow = _found(fixed, moving, params, subprogress(progress, 0.0, whole))
    if params.boundaries:
        back = _found(moving, fixed, params, subprogress(progress, whole, 2 * whole))
        missed = _disagreement(flow, back)
        del back
        for k in range(2):
            report = subprogress(progress, 2 * whole + 0.1 * k, 2 * whole + 0.1 * (k + 1))
            flow = _corrected(flow, missed, fixed, params.boundaries, report)
    flow = flow[: shape[0], : shape[1]]
    return np.stack([flow[..., 1], flow[..., 0]])  # OpenCV's come (column, row)


def _found(fixed: Array, moving: Array, params: FlowParams, progress: Progress) -> Array:
    """Search and refinement in one direction; (rows, columns, 2) as (column, row)."""
    import cv2

    progress(0.0, "searching")
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(max(0, math.ceil(math.log2(fixed.size / _SEARCHED) / 2)))
    search.setVariationalRefinementIterations(10)
    search.setVariationalRefinementAlpha(params.smoothness)
    search.setVariationalRefinementGamma(params.gradient)
    search.setVariationalRefinementDelta(params.brightness)
    first, second = (np.rint(255 * image).astype(np.uint8) for image in (fixed, moving))
    flow = np.asarray(search.calc(first, second, np.zeros((*fixed.shape, 2), np.float32)))
    variation = cv2.VariationalRefinement.create()
    variation.setAlpha(params.smoothness)
    variation.setGamma(params.gradient)
    variation.setDelta(params.brightness)
    for k in range(params.refinements):
        progress((k + 1) / (params.refinements + 1), f"refinement {k + 1} of {params.refinements}")
        flow = _median(flow)
        refined = np.empty_like(flow)
        for around, inner, tile in _tiles(fixed.shape):
            a, b = (255 * image[around] for image in (fixed, moving))
            refined[tile] = variation.calc(a, b, np.ascontiguousarray(flow[around]))[inner]
        flow = refined
    return _median(flow)


def _median(flow: Array) -> Array:
    """Median of each component over 5 x 5 pixels."""
    import cv2

    return np.dstack([cv2.medianBlur(np.ascontiguousarray(flow[..., k]), 5) for k in (0, 1)])


def _tiles(shape: tuple[int, ...]) -> Iterator[tuple[tuple[slice, ...], ...]]:
    """Tiles of a image: the region with its margin, the tile inside that region, and the tile itself."""
    for index in np.ndindex(*(-(-n // _TILE) for n in shape)):
        tile = [(i * _TILE, min((i + 1) * _TILE, n)) for i, n in zip(index, shape, strict=True)]
        wide = [(max(0, a - _MARGIN), min(n, b + _MARGIN)) for (a, b), n in zip(tile, shape, strict=True)]
        inner = (slice(a - c, b - c) for (a, b), (c, _) in zip(tile, wide, strict=True))
        yield tuple(slice(*x) for x in wide), tuple(inner), tuple(slice(*x) for x in tile)


def _disagreement(flow: Array, back: Array) -> Array:
    """Distance in pixels to the start after the forward and the backward flow; infinite outside the image."""
    import cv2

    rows, columns = flow.shape[:2]
    missed = np.empty((rows, columns), np.float32)
    for start in range(0, rows, 512):
        block = flow[start : start + 512]
        x = block[..., 0] + np.arange(columns, dtype=np.float32)
        y = block[..., 1] + np.arange(start, start + len(block), dtype=np.float32)[:, None]
        home = cv2.remap(back, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        left = (x < 0) | (x > columns - 1) | (y < 0) | (y > rows - 1)
        missed[start : start + 512] = np.where(left, np.inf, np.linalg.norm(block + home, axis=2))
    return missed


def _corrected(flow: Array, missed: Array, image: Array, radius: int, progress: Progress) -> Array:
    """The flow with its values at motion boundaries replaced by weighted medians of some fifty neighbours."""
    import cv2

    progress(0.0, "correcting motion boundaries")
    slope = sum(
        cv2.magnitude(*(cv2.Sobel(flow[..., k], cv2.CV_32F, *o, scale=1 / 8) for o in ((1, 0), (0, 1))))
        for k in (0, 1)
    )
    unsure = (slope > _STEEP) | (missed > 1.4 * _AGREEMENT)
    where = np.nonzero(cv2.dilate(unsure.astype(np.uint8), np.ones((7, 7), np.uint8)))
    trust = np.exp(-0.5 * (np.minimum(missed, 1e3) / _AGREEMENT) ** 2) + np.float32(1e-3)
    rim = cv2.BORDER_REFLECT_101 if min(image.shape) > radius else cv2.BORDER_REPLICATE
    wide = [cv2.copyMakeBorder(x, *(radius,) * 4, rim) for x in (flow, trust, image)]
    step = max(1, radius // 4)
    steps = np.arange(0, radius + 1, step)
    steps = np.concatenate([-steps[:0:-1], steps])
    off = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    distance = (off**2).sum(axis=1)
    off, near = off[distance <= radius**2], np.exp(-distance[distance <= radius**2] / radius**2)
    jump = off @ (wide[2].shape[1], 1)

    def medians(chunk: slice) -> Array:
        y, x = where[0][chunk], where[1][chunk]
        index = ((y + radius) * wide[2].shape[1] + x + radius)[:, None] + jump
        difference = (wide[2].ravel()[index] - image[y, x][:, None]) / _SIMILAR
        weight = near.astype(np.float32) * np.exp(-0.5 * difference**2) * wide[1].ravel()[index]
        around = wide[0].reshape(-1, 2)[index]
        return np.stack([_weighted_median(around[..., k], weight) for k in (0, 1)], axis=-1)

    corrected = flow.copy()
    chunks = [slice(k, k + _CHUNK) for k in range(0, len(where[0]), _CHUNK)]
    with ThreadPoolExecutor() as pool:  # sorting releases the interpreter lock
        for k, values in enumerate(pool.map(medians, chunks)):
            corrected[where[0][chunks[k]], where[1][chunks[k]]] = values
            progress((k + 1) / len(chunks), "correcting motion boundaries")
    return corrected


def _weighted_median(values: Array, weights: Array) -> Array:
    """The value in each row (N, n) up to which half of the row's weight is reached."""
    order = np.argsort(values, axis=1)
    reached = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    middle = (reached < 0.5 * reached[:, -1:]).sum(axis=1, keepdims=True)
    return np.take_along_axis(values, np.take_along_axis(order, middle, axis=1), axis=1)[:, 0]


METHOD = Method(
    name="flow",
    title="Optical flow (inverse search)",
    params=FlowParams,
    run=run,
    presets={
        "default": {},
        "quick": {"boundaries": 0, "refinements": 1},
        "changed light": {"brightness": 0.0},
        "noisy images": {"smoothness": 60.0, "presmoothing": 1.0},
    },
    motion="deformable",
    ndims=(2,),
    isolate=True,
    reference="Kroeger et al., ECCV 2016; Brox et al., ECCV 2004; Sun, Roth, Black, CVPR 2010; OpenCV",
)
