"""Verdicts on images that show different things: ``python unrelated.py METHOD AXES COUNT OUT.json``."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import binomtest
from skimage import data
from skimage.color import rgb2gray
from skimage.transform import resize

import contestants
from napari_voxreg import MethodUnavailable, register
from napari_voxreg.core import process
from napari_voxreg.core.geometry import Array
from tables import NONE, Results, shown, table

COUNTS = {2: 200, 3: 100}
SIDES = {2: (96, 161), 3: (40, 57)}  # pixels
KINDS = {2: ("smooth", "noise", "photographs", "same kind"), 3: ("smooth", "noise", "mixed", "objects")}
# Fast enough in 3D.
VOLUMES = ("auto", "rigid", "affine", "demons", "diffeo", "pose", "pyramid", "voxelmorph")
PHOTOGRAPHS = (
    "astronaut",
    "camera",
    "chelsea",
    "clock",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "page",
    "retina",
    "rocket",
    "text",
)
SURFACES = ("brick", "grass", "gravel")  # of which two places are shown


def pairs(ndim: int, count: int) -> Iterator[tuple[str, Array, Array]]:
    """Kind, fixed and moving; the kinds take turns, all seeded."""
    for k in range(count):
        rng = np.random.default_rng([ndim, k, 17])
        kind = KINDS[ndim][k % 4]
        shape = tuple(int(n) for n in rng.integers(*SIDES[ndim], ndim))
        if kind == "photographs":
            names = rng.choice(PHOTOGRAPHS, 2, replace=False)
            fixed, moving = (resize(_photograph(name), shape, anti_aliasing=True) for name in names)
        elif kind == "same kind":
            if k % 8 == 3:
                fixed, moving = _two_places(_photograph(str(rng.choice(SURFACES))), shape, rng)
            else:
                fixed, moving = (_cells(shape, rng) if k % 16 == 7 else _object(shape, rng) for _ in range(2))
        elif kind == "mixed":
            fixed, moving = (
                _texture(shape, size, rng) for size in rng.choice((1, 2, 3, 5), 2, replace=False)
            )
        elif kind == "objects":
            fixed, moving = (_cells(shape, rng) if k % 8 == 3 else _object(shape, rng) for _ in range(2))
        else:
            size = float(rng.choice((1, 2, 3, 5, 8, 12)[: 8 - ndim])) if kind == "smooth" or k % 8 > 3 else 0
            noise = 0.0 if kind == "smooth" else 0.3 if size else 1.0
            fixed, moving = (
                (_texture(shape, size, rng) if size else 0) + noise * rng.standard_normal(shape)
                for _ in range(2)
            )
        yield kind, *(image.astype(np.float32) for image in (fixed, moving))


def _texture(shape: tuple[int, ...], size: float, rng: np.random.Generator) -> Array:
    pixels = gaussian_filter(rng.standard_normal(shape), size)
    return np.asarray(pixels / pixels.std())


def _photograph(name: str) -> Array:
    pixels = getattr(data, name)()
    return np.asarray(rgb2gray(pixels) if pixels.ndim == 3 else pixels / 255.0)


def _two_places(pixels: Array, shape: tuple[int, ...], rng: np.random.Generator) -> list[Array]:
    """From the upper and the lower half, so that they share nothing."""
    rows = (rng.integers(0, 256 - shape[0] + 1), rng.integers(256, 512 - shape[0] + 1))
    columns = rng.integers(0, 512 - shape[1] + 1, 2)
    return [pixels[r : r + shape[0], c : c + shape[1]] for r, c in zip(rows, columns, strict=True)]


def _cells(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Many small cells anywhere, brighter inside, with noise."""
    places = rng.uniform(0, shape, (40, len(shape)))
    return _balls(shape, places, rng.uniform(2, 6, 40), rng)


def _object(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """One object of a few large parts in the middle of a dark image, with noise."""
    places = np.asarray(shape) * rng.uniform(0.3, 0.7, (8, len(shape)))
    return _balls(shape, places, min(shape) * rng.uniform(0.06, 0.2, 8), rng)


def _balls(shape: tuple[int, ...], places: Array, radii: Array, rng: np.random.Generator) -> Array:
    index = np.indices(shape, dtype=np.float32)
    image = np.zeros(shape, np.float32)
    for place, radius in zip(places, radii, strict=True):
        distance = np.sqrt(((index - place.reshape(-1, *[1] * len(shape))) ** 2).sum(axis=0))
        image = np.maximum(image, rng.uniform(0.4, 1) / (1 + np.exp(2 * (distance - radius))))
    return np.asarray(image + 0.03 * rng.standard_normal(shape))


def measure(method: str, ndim: int, count: int) -> dict[str, Any]:
    """How often each kind is called what."""
    contestants.warm(method, ndim)
    found: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS[ndim]}
    for kind, fixed, moving in pairs(ndim, count):
        try:
            outcome: str = register(fixed, moving, method=method, device="cpu").verdict.outcome
        except (ValueError, MethodUnavailable):
            outcome = "refused"
        found[kind][outcome] += 1
    return {"kinds": found}


def page(results: Results) -> str:
    """One row a method; the rate of wrong verdicts with its 95 % interval."""
    parts = [
        "Generated pairs of images that show different things. How many are called *better* by the verdict, "
        "and the 95 % interval (Clopper-Pearson) of that rate. In 2D images have 96 to 160 pixels along a "
        "side: smooth textures of six scales, noise with and without texture, different photographs of "
        "scikit-image's, and images of the same kind: two places of one surface (brick, grass, gravel), "
        "cells, or one object on a dark ground. In 3D they have 40 to 56 pixels: smooth textures, noise, "
        "textures of two scales, cells or one object on a dark ground. *Left alone* counts pairs that the "
        "method refuses, or whose similarity it leaves as it was: `auto` then does not move them."
    ]
    for ndim, kinds in KINDS.items():
        rows = []
        for (case, method), cell in results.items():
            if case != f"{ndim}D":
                continue
            if "failed" in cell:
                rows.append([method, shown(cell, str), *[NONE] * (len(kinds) + 2)])
                continue
            wrong = [cell["kinds"][kind].get("better", 0) for kind in kinds]
            sizes = [sum(cell["kinds"][kind].values()) for kind in kinds]
            low, high = binomtest(sum(wrong), sum(sizes)).proportion_ci(0.95, "exact")
            alone = sum(cell["kinds"][kind].get(how, 0) for kind in kinds for how in ("unchanged", "refused"))
            numbers = [f"{k} of {n}" for k, n in zip(wrong, sizes, strict=True)]
            total = [f"{sum(wrong)} of {sum(sizes)}", f"{100 * low:.1f} to {100 * high:.1f} %", str(alone)]
            rows.append([method, *total, *numbers])
        if rows:
            heads = (f"method, {ndim}D", "better", "95 % interval", "left alone", *kinds)
            parts.append(table(heads, rows))
    return "\n\n".join(parts)


if __name__ == "__main__":
    content = measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    process.shutdown()
    Path(sys.argv[4]).write_text(json.dumps(content, indent=1))
