"""What the limits of `auto` and of the verdict rest on: ``python calibration.py COUNT OUT.json``.

Pairs whose truth is known (photographs of scikit-image and the head phantom) and pairs that show different
things are registered by `auto`. Each measurement that is compared with a limit is recorded by kind of pair.
Run it again when weights or measurements change: a limit should lie between the kinds it must tell apart.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.transform import resize

import unrelated
from napari_voxreg.core.geometry import Array, Grid, Image
from napari_voxreg.core.progress import silent
from napari_voxreg.methods import METHODS, deformations
from napari_voxreg.methods.deformations import EXCESS, GAIN, UNIFORM
from napari_voxreg.metrics import chance, verdict
from napari_voxreg.metrics.pair import PairMetrics
from napari_voxreg.metrics.verdict import judge
from napari_voxreg.pose import information, plane
from napari_voxreg.registration.prepare import prepare
from napari_voxreg.samples.mri import T1
from napari_voxreg.samples.phantom import Head
from tables import NONE, Results, table

KINDS = ("in place", "moved", "deformed", "two people", "PET and MRI", "unrelated")
AT_MOST = ("halves",)
COUNT = 20  # pairs of each kind, and four times as many unrelated ones
SIDE = 144  # pixels
INTRODUCTION = (
    "Values from the 5th to the 95th percentile on generated pairs of each kind in 2D, and on how many the "
    "value passes the limit. Not all is measured on every pair: a deformation is tried only where a pose was "
    "found, mutual information only where none was."
)
Recorded = dict[str, dict[str, list[float]]]
ACTIVITY = {4: 1.0, 5: 0.3, 7: 0.9}  # PET: grey matter, a little white matter, and nuclei
HEAD = Grid.from_spacing((SIDE, SIDE), 1.6, -1.6 * (SIDE - 1) / 2)
PLANE = 20.0  # mm above the head's middle


def photograph(rng: np.random.Generator) -> Array:
    """One of scikit-image's, as large as the pairs here with a margin of a quarter on all sides."""
    pixels = unrelated._photograph(str(rng.choice(unrelated.PHOTOGRAPHS)))
    return np.asarray(resize(pixels, (SIDE * 3 // 2,) * 2, anti_aliasing=True))


def seen(pixels: Array, rng: np.random.Generator, linear: Array, motion: Array | None = None) -> Array:
    """The middle of a photograph under a map, in another contrast, with noise."""
    index = np.indices((SIDE, SIDE)).astype(float) - (SIDE - 1) / 2
    if motion is not None:
        index = index + motion
    at = np.tensordot(linear, index, 1) + (np.array(pixels.shape)[:, None, None] - 1) / 2
    found = map_coordinates(pixels, at, order=1, mode="reflect")
    contrast = (lambda x: x, lambda x: 1 - x, np.sqrt)[int(rng.integers(3))]
    return np.asarray(contrast(np.clip(found, 0, 1)) + 0.03 * rng.standard_normal(found.shape))


def rotation(degrees: float, scale: float = 1.0) -> Array:
    """A matrix of (row, column)."""
    a = np.deg2rad(degrees)
    return scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


def smooth_motion(rng: np.random.Generator, length: float) -> Array:
    """Displacements (2, h, w) of a mean length in pixels."""
    u = np.stack([gaussian_filter(rng.standard_normal((SIDE, SIDE)), 14) for _ in range(2)])
    return np.asarray(u * length / np.linalg.norm(u, axis=0).mean())


def head(seed: int, brightness: dict[int, float], degrees: float, blur: float, noise: int) -> Array:
    """A slice of a head whose tissues are as bright as given, rotated."""
    points = HEAD.nodes() @ rotation(degrees).T
    # The phantom's outline is so smooth that it could be an instrument's border; a real head's is not.
    points = points * (1 + 0.07 * np.sin(9 * np.arctan2(*points.T)))[:, None]
    fractions = Head(seed).fractions(np.c_[np.full(len(points), PLANE), points], 1.6)
    weights = np.array([brightness.get(tissue, 0.0) for tissue in range(fractions.shape[1])])
    pixels = gaussian_filter((fractions @ weights).reshape(HEAD.shape), blur)
    return np.asarray(pixels + 0.02 * np.random.default_rng(noise).standard_normal(HEAD.shape))


def pairs(count: int) -> Iterator[tuple[str, Array, Array]]:
    """Kind, fixed and moving, all seeded."""
    t1 = dict(enumerate(T1))
    for k in range(count):
        rng = np.random.default_rng([18, k])
        pixels, still = photograph(rng), np.eye(2)
        fixed = seen(pixels, rng, still)
        yield "in place", fixed, seen(pixels, rng, still)
        turned = rotation(float(rng.uniform(-180, 180)), float(rng.uniform(0.8, 1.25)))
        yield "moved", fixed, seen(pixels, rng, turned)
        yield "deformed", fixed, seen(pixels, rng, still, smooth_motion(rng, 4.0))
        first = head(k, t1, 0, 0.5, k)
        yield "two people", first, head(k + 1000, t1, float(rng.uniform(-8, 8)), 0.5, k + 1000)
        yield "PET and MRI", first, head(k, ACTIVITY, float(rng.uniform(-20, 20)), 2.0, k + 2000)
    for _, fixed, moving in unrelated.pairs(2, 4 * count):
        yield "unrelated", fixed, moving


def recording(kept: dict[str, list[float]]) -> ExitStack:
    """While this is open, what is compared with a limit is kept under its name."""
    stack = ExitStack()

    def spied(owner: Any, name: str, found: Callable[[Any], dict[str, float]]) -> None:
        original = getattr(owner, name)

        @wraps(original)
        def spy(*args: Any, **kwargs: Any) -> Any:
            value = original(*args, **kwargs)
            for key, number in ({} if value is None else found(value)).items():
                if np.isfinite(number):
                    kept[key].append(float(number))
            return value

        stack.enter_context(patch.object(owner, name, spy))

    names = {"lead": "margin"} | {name: name for name in ("halves", "agree", "support", "confidence")}
    spied(plane, "trust", lambda e: {key: getattr(e, name) for key, name in names.items()})
    spied(information, "inside", lambda ratio: {"inside": ratio})
    spied(deformations.Copies, "held_out", lambda trials: {"held out": max(t.gain for t in trials.values())})
    spied(
        deformations.Copies,
        "with_excess",
        lambda t: {"excess": t.excess, "uniform": t.uniform} if t.name == deformations.FREE else {},
    )
    spied(verdict, "match", lambda m: {"rise": _rise(m) / m.margin, "spreads": _spreads(m)})
    spied(verdict, "match_rotated", lambda m: {"rise beyond rotated": _rise(m) / m.margin})
    return stack


def _rise(match: chance.Match) -> float:
    """How many times as far as unrelated images LNCC rises."""
    return (match.found - match.unrelated) / max(match.fitted - match.unrelated, 1e-3)


def _spreads(match: chance.Match) -> float:
    return (match.found - match.fitted) / max(match.spread, 1e-6)


# What is recorded, in words, and its limit.
LIMITS: dict[str, tuple[str, float]] = {
    "confidence": ("confidence of the pose", 0.5),
    "lead": ("lead of the best pose over others", 0.08),
    "halves": ("distance of poses from halves, at most", 0.0135),
    "agree": ("structure in place", 0.2),
    "support": ("support by the network", 0.075),
    "inside": ("mutual information inside objects, times that rotated", plane.WITHIN),
    "held out": ("gain on held-out blocks", GAIN),
    "excess": ("gain beyond chance of a free deformation", EXCESS),
    "uniform": ("uniform relation of brightnesses", UNIFORM),
    "rise": ("rise of LNCC over that by chance, times the margin", 1.0),
    "rise beyond rotated": ("the same against rotated images", 1.0),
    "spreads": ("its distance from chance in standard deviations", chance.SPREADS),
}


def measure(count: int) -> Recorded:
    """Measurement to kind to values; what was measured last on a pair counts."""
    found: Recorded = defaultdict(lambda: defaultdict(list))
    auto = METHODS["auto"]
    for kind, fixed, moving in pairs(count):
        kept: dict[str, list[float]] = defaultdict(list)
        images = [Image(x.astype(np.float32), Grid.from_spacing(x.shape)) for x in (fixed, moving)]
        task = prepare(*images, device="cpu").task
        # In this process, where it can be recorded.
        with recording(kept):
            transform = auto.run(task, auto.parameters(), silent).transform
            metrics = PairMetrics.of(task)
            judged = judge(metrics, metrics.scores(None), metrics.scores(transform), transform)
        for name, values in kept.items():
            found[name][kind].append(values[-1])
        found["better"][kind].append(float(judged.outcome == "better"))
    return found


def page(results: Results) -> str:
    """A row a limit; of each kind of pair, values from the 5th to the 95th percentile and how many pass."""
    found = next(iter(results.values()))
    if "failed" in found:
        return f"Failed: {found['failed']}"
    rows = []
    for name, (words, limit) in LIMITS.items():
        row = [words, f"{limit:.3g}"]
        for kind in KINDS:
            values = np.array(found.get(name, {}).get(kind, []))
            if not len(values):
                row.append(NONE)
                continue
            low, high = np.percentile(values, (5, 95))
            passed = (values < limit if name in AT_MOST else values > limit).sum()
            row.append(f"{low:.2g} to {high:.2g}; {passed} of {len(values)}")
        rows.append(row)
    better = [f"{sum(found['better'][kind]):.0f} of {len(found['better'][kind])}" for kind in KINDS]
    rows.append(["called *better*", NONE, *better])
    return "\n\n".join([INTRODUCTION, table(("measurement", "limit", *KINDS), rows)])


if __name__ == "__main__":
    content = measure(int(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps(content, indent=1))
