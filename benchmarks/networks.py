"""The networks on their own: ``python networks.py KIND WHAT [ARGUMENT ...] OUT.json``.

WHAT is a file of weights, one of `UNTRAINED`, or (for ``unseen``) the optimiser alone. Kinds: ``unseen`` NDIM
COUNT, ``objects`` COUNT, ``far`` NDIM COUNT, ``head`` SOURCE, ``speed`` DEVICE SIDE..., ``vsvf`` NDIM COUNT.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from case import load
from cell import errors, peak_megabytes
from napari_voxreg.core.geometry import Array, Grid, Image
from napari_voxreg.diffeo.deform import deform
from napari_voxreg.diffeo.settings import Settings
from napari_voxreg.images.task import Task
from napari_voxreg.methods.networks.affinenet import AffineNetParams
from napari_voxreg.methods.networks.avsm import AVSMParams
from napari_voxreg.methods.networks.network_method import shipped
from napari_voxreg.metrics.similarity import folded_percentage
from napari_voxreg.nets.architectures.avsm import AVSM
from napari_voxreg.nets.architectures.network import Network
from napari_voxreg.nets.checkpoints.checkpoint import build, open_checkpoint
from napari_voxreg.nets.inference.predict import Predicted, predict
from napari_voxreg.tensor.warp import identity, resize, warp_batch
from napari_voxreg.train.synthetic.recipes import FAR
from napari_voxreg.train.synthetic.score import jacobian_determinant, unseen
from napari_voxreg.train.synthetic.synthetic_pairs import Batch, Motion
from napari_voxreg.transforms import Affine, Displacement, Transform, chain, displacement_on
from network_page import OPTIMISER, PASSES, SHAPES, UNTRAINED, WEIGHTS

SEED = 2_000_003  # of pairs that no recipe trains on, nor is watched by while it trains
MIND: dict[str, Any] = {"similarity": "self-similarity"}
SOFT: dict[str, Any] = {**MIND, "control_spacing": 4.0, "smoothness": 0.33}
# The optimiser from coarse settings to more than its defaults: error against time.
RUNGS = {
    "1/4 of the resolution, 2 steps": Settings(**MIND, finest=4, iterations=2),
    "1/2, 2 steps": Settings(**MIND, finest=2, iterations=2),
    "1/2, 12 steps": Settings(**MIND, finest=2),
    "full, 2 steps": Settings(**MIND, iterations=2),
    "full, 4 steps": Settings(**MIND, iterations=4),
    "full, 12 steps (the defaults)": Settings(**MIND),
    "the same, softer": Settings(**SOFT),
    "the same, softer, both ways": Settings(**SOFT, inverse_consistent=True),
}
OBJECT = 0.10  # of the image
STIRRED = 6.0  # voxels, the largest velocity that an untrained momentum network is scaled to
INVERTED = 1.0  # voxels from the rim, inside of which a map and its inverse are compared


@dataclass(frozen=True, eq=False)
class Pair:
    """Images of unit pixels, the true displacement (*shape, d) and 1 where texture shows it."""

    fixed: Image
    moving: Image
    truth: Array
    textured: Array

    @classmethod
    def of(cls, batch: Batch) -> Pair:
        """The first of a batch."""
        grid = Grid.from_spacing(tuple(batch.fixed.shape[2:]))
        fixed, moving = (Image(x[0, 0].numpy(), grid) for x in (batch.fixed, batch.moving))
        return cls(fixed, moving, batch.displacement[0].movedim(0, -1).numpy(), batch.textured[0, 0].numpy())

    def distance(self, transform: Transform) -> Array:
        """Of a transform from the truth at every pixel."""
        return np.linalg.norm(displacement_on(transform, self.fixed.grid) - self.truth, axis=-1)

    def error(self, transform: Transform, where: Array | None = None) -> float:
        """Mean distance from the truth over textured pixels, or over those of them that `where` keeps."""
        weight = self.textured if where is None else self.textured * where
        return float((self.distance(transform) * weight).sum() / max(weight.sum(), 1))


def made(ndim: int, count: int, motion: Motion) -> list[Pair]:
    """Unseen pairs, each with a scene of its own."""
    return [Pair.of(batch) for batch in unseen(count, SHAPES[ndim], motion, SEED, batch=1)]


def opened(what: str) -> tuple[Network, Callable[..., Predicted]]:
    """A network, and what sends a pair through it as the methods do.

    Affine ones run several passes; before shipped deformable ones, an affine one runs.
    """
    lead = None
    if what in UNTRAINED:
        torch.manual_seed(0)
        architecture, arguments = UNTRAINED[what]
        net = build(architecture, arguments).eval()
    else:
        loaded = open_checkpoint(what)
        net, architecture = loaded.net, loaded.card["architecture"]
    steps, size = 1, None
    for params in (AffineNetParams, AVSMParams):
        if architecture in params.architectures:
            steps = params().passes
            size = None if params.sizes is None else params.sizes[net.ndim]
    if Path(what).parent == WEIGHTS and architecture not in AffineNetParams.architectures:
        lead = open_checkpoint(shipped("affine", net.ndim)).net

    def run(fixed: Image, moving: Image, device: str = "cpu") -> Predicted:
        return predict(Task(fixed, moving, device=device), net, lead=lead, steps=steps, size=size)

    return net, run


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and its seconds."""
    start = time.perf_counter()
    found = work()
    return found, time.perf_counter() - start


def means(pairs: Sequence[Pair], found: Sequence[tuple[Transform, float]]) -> dict[str, float]:
    """Error before and after, folding in %, pairs made worse, and the median of the seconds."""
    before = [pair.error(Affine.identity(pair.fixed.ndim)) for pair in pairs]
    after = [pair.error(transform) for pair, (transform, _) in zip(pairs, found, strict=True)]
    folding = [folded_percentage(t, pair.fixed.grid) for pair, (t, _) in zip(pairs, found, strict=True)]
    return {
        "before": statistics.mean(before),
        "after": statistics.mean(after),
        "folds": statistics.mean(folding),
        "worse": sum(b < a for b, a in zip(before, after, strict=True)),
        "seconds": statistics.median(seconds for _, seconds in found),
    }


def measure_unseen(what: str, ndim: str, count: str) -> dict[str, Any]:
    """One pass and the optimiser after it, or the optimiser alone."""
    pairs = made(int(ndim), int(count), Motion())
    content: dict[str, Any] = {"count": len(pairs)}
    # Alone it starts from the identity: without an initial transform it would count pixels of one image only.
    passes: list[tuple[Transform, float]] = [(Affine.identity(int(ndim)), 0.0)] * len(pairs)
    if what != OPTIMISER:
        _, run = opened(what)
        run(pairs[0].fixed, pairs[0].moving)
        passes = [timed(lambda p=p: run(p.fixed, p.moving).transform) for p in pairs]
        content["pass"] = means(pairs, passes)
    content["rungs"] = {}
    for name, settings in RUNGS.items():
        _optimised(pairs[0], passes[0][0], settings)
        found = []
        for pair, (initial, before) in zip(pairs, passes, strict=True):
            transform, seconds = timed(lambda p=pair, i=initial, r=settings: _optimised(p, i, r))
            found.append((transform, before + seconds))
        content["rungs"][name] = means(pairs, found)
    return content


def _optimised(pair: Pair, initial: Transform, settings: Settings) -> Transform:
    placed = Task(pair.fixed, pair.moving, device="cpu").placed(initial)
    return chain(deform(placed, settings).transform, initial)


def measure_objects(what: str, count: str) -> dict[str, Any]:
    """Error outside an ellipse that only one image has, and on the same pixels without it.

    Of one pass of the network alone, and of the passes that the methods run.
    """
    net, run = opened(what)
    ways = {"once": lambda *pair: _once(net, *pair), "method": lambda *pair: run(*pair).transform}
    rng = np.random.default_rng(SEED)
    rows: dict[str, list[list[float]]] = {way: [] for way in ways}
    for k, pair in enumerate(made(2, int(count), Motion())):
        added = bool(k % 2)  # in the moving image, else in the fixed one: missing from the moving one
        ellipse = _ellipse(pair.fixed.grid.shape, rng)
        image = pair.moving if added else pair.fixed
        marred = image.with_data(np.where(ellipse, rng.random(), image.data).astype(np.float32))
        hidden = ellipse
        if added:
            shown = np.rint(np.moveaxis(np.indices(ellipse.shape), 0, -1) + pair.truth).astype(int)
            rows_, columns = (shown[..., a].clip(0, n - 1) for a, n in enumerate(ellipse.shape))
            hidden = ellipse[rows_, columns]
        images = (pair.fixed, marred) if added else (marred, pair.moving)
        for way, predicted in ways.items():
            both = predicted(pair.fixed, pair.moving), predicted(*images)
            rows[way].append([pair.error(transform, ~hidden) for transform in both])
    return {"count": int(count), **{way: np.mean(errors, axis=0).tolist() for way, errors in rows.items()}}


def _once(net: Network, fixed: Image, moving: Image) -> Transform:
    """A network's own prediction for a pair of images on one grid."""
    with torch.inference_mode():
        prediction = net.eval()(*(torch.from_numpy(image.data)[None, None] for image in (fixed, moving)))
    return Displacement(np.moveaxis(prediction.displacement[0].numpy(), 0, -1), fixed.grid)


def _ellipse(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Wholly inside the image, rotated at random."""
    flat, angle = rng.uniform(0.6, 1), rng.uniform(0, np.pi)
    radius = np.sqrt(OBJECT * np.prod(shape) / np.pi / flat)
    y, x = np.indices(shape) - np.array([rng.uniform(radius, n - 1 - radius) for n in shape])[:, None, None]
    a, b = np.cos(angle) * y + np.sin(angle) * x, (np.cos(angle) * x - np.sin(angle) * y) / flat
    return np.hypot(a, b) <= radius


def measure_far(what: str, ndim: str, count: str) -> dict[str, Any]:
    """Mean distance of affine maps from the truth in % of the diagonal, by the number of passes."""
    _, run = opened(what)
    pairs = made(int(ndim), int(count), FAR)
    run(pairs[0].fixed, pairs[0].moving)
    found: dict[str, list[float]] = {str(k): [] for k in (0, 1, 3, PASSES)}
    seconds = []
    for pair in pairs:
        prediction, took = timed(lambda p=pair: run(p.fixed, p.moving))
        seconds.append(took)
        after: dict[str, Any] = {"0": Affine.identity(pair.fixed.ndim), str(PASSES): prediction.transform}
        after |= {str(k): prediction.extras[f"step {k}"] for k in (1, 3)}
        for passes, transform in after.items():
            share = pair.distance(transform).mean() / pair.fixed.grid.diagonal
            found[passes].append(100 * float(share))
    return {"errors": found, "seconds": statistics.median(seconds)}


def measure_head(what: str, source: str) -> dict[str, Any]:
    """One warm pass over a pair of heads."""
    case = load(source)
    _, run = opened(what)
    run(case.fixed, case.moving)
    prediction, seconds = timed(lambda: run(case.fixed, case.moving))
    return {
        "before": errors(case, Affine.identity(case.fixed.ndim)),
        "after": errors(case, prediction.transform),
        "folds": folded_percentage(prediction.transform, case.fixed.grid),
        "seconds": seconds,
        "peak": peak_megabytes(),
        "notes": prediction.notes,
    }


def measure_speed(what: str, device: str, *sides: str) -> dict[str, Any]:
    """Opening, the first pass and later ones over an unseen pair of that size, and over noise."""
    (_, run), opening = timed(lambda: opened(what))
    shape = tuple(map(int, sides))
    grid, rng = Grid.from_spacing(shape), np.random.default_rng(0)
    # Made at half the resolution: a whole scene would take more memory than what is measured.
    made = unseen(1, tuple(n // 2 for n in shape), Motion(), SEED, batch=1)[0]
    pair = [Image(resize(image, shape)[0, 0].numpy(), grid) for image in (made.fixed, made.moving)]
    noise = [Image(rng.random(shape, np.float32), grid) for _ in range(2)]
    prediction, first = timed(lambda: run(*pair, device))
    count = 9 if len(shape) == 2 else 3
    later, vain = (
        statistics.median(timed(lambda p=images: run(*p, device))[1] for _ in range(count))
        for images in (pair, noise)
    )
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "opening": opening,
        "first": first,
        "later": later,
        "noise": vain,
        "peak": peak_megabytes(),
        "notes": prediction.notes,
    }


def measure_vsvf(what: str, ndim: str, count: str) -> dict[str, Any]:
    """Folding, and the distance to the start after forward and inverse map, in voxels."""
    net, _ = opened(what)
    assert isinstance(net, AVSM)
    batches = unseen(int(count), SHAPES[int(ndim)], Motion(), SEED, batch=1)
    rows = []
    with torch.inference_mode():
        if what in UNTRAINED:
            _stir(net, batches[0])
        for batch in batches:
            prediction = net(batch.fixed, batch.moving)
            there = prediction.displacement
            round_trip = (there + warp_batch(net.inverse(prediction), there)).norm(dim=1)[0]
            off = round_trip[_inside(there)]
            folded = (jacobian_determinant(there) <= 0).float().mean()
            rows.append([there.norm(dim=1).mean(), folded * 100, off.mean(), off.quantile(0.99), off.max()])
    length, folding, mean, most, worst = np.array(rows, dtype=float).T
    return {
        "count": len(rows),
        "length": length.mean(),
        "folds": folding.mean(),
        "mean": mean.mean(),
        "most": most.mean(),
        "worst": worst.max(),
    }


def _stir(net: AVSM, batch: Batch) -> None:
    """Scale an untrained momentum network to a velocity of a few voxels."""
    longest = net(batch.fixed, batch.moving).extras["velocity"].norm(dim=1).max()
    for parameter in net.momentum.out.parameters():
        parameter.mul_(STIRRED / longest)


def _inside(displacement: Tensor) -> Tensor:
    """Where x + u(x) is inside the image, (*shape); the inverse is unknown beyond."""
    shape = displacement.shape[2:]
    places = (identity(tuple(shape), displacement) + displacement)[0]
    last = torch.tensor([n - 1.0 for n in shape]).view(-1, *(1,) * len(shape))
    return ((places >= INVERTED) & (places <= last - INVERTED)).all(dim=0)


KINDS: dict[str, Callable[..., dict[str, Any]]] = {
    "unseen": measure_unseen,
    "objects": measure_objects,
    "far": measure_far,
    "head": measure_head,
    "speed": measure_speed,
    "vsvf": measure_vsvf,
}


def main(kind: str, *arguments: str) -> None:
    """Measure and write, the reason in the place of numbers where a network gives up."""
    *given, out = arguments
    try:
        content = KINDS[kind](*given)
    except (ValueError, RuntimeError) as error:
        content = {"failed": str(error).splitlines()[0]}
    Path(out).write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
