"""What the joint saliency brings: ``python benchmarks/saliency.py [--seeds 3]``.

Trains the network with the map, with ones in its place, and VoxelMorph, all alike, about ten minutes on one
core and resumed after a stop. Then measures them on unseen pairs and writes docs/saliency.md and its images.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from skimage import color, data, transform
from torch import Tensor
from torch.nn import functional as F

from napari_voxreg.nets.architectures.jsm import JSM
from napari_voxreg.nets.architectures.network import Network
from napari_voxreg.nets.architectures.saliency import joint_saliency
from napari_voxreg.nets.checkpoints.checkpoint import load_weights, shipped
from napari_voxreg.nets.losses import diffusion
from napari_voxreg.tensor.warp import resize, warp_batch
from napari_voxreg.train.synthetic.loop import train
from napari_voxreg.train.synthetic.noise import smooth_noise
from napari_voxreg.train.synthetic.objectives import SMOOTH
from napari_voxreg.train.synthetic.recipes import ABLATION
from napari_voxreg.train.synthetic.scenes import Objects
from napari_voxreg.train.synthetic.score import unseen
from tables import table

ROOT = Path(__file__).resolve().parents[1]
PAGE, IMAGES = ROOT / "docs" / "saliency.md", ROOT / "docs" / "images"
KEPT = ROOT / "build" / "saliency"
MAP, ONES, VOXELMORPH = "saliency-map", "saliency-ones", "saliency-voxelmorph"
SWAPPED = "the map's network, with ones when tested"
SHIPPED = "shipped jsm2d, trained on true maps"
NAMES = {MAP: "joint saliency", ONES: "control: ones", VOXELMORPH: "VoxelMorph", SWAPPED: SWAPPED}
WITHOUT = "object left out"
SEED = 4_000_003  # of pairs that no recipe trains on and nothing was chosen on
SIDE, NEAR = 96, 20  # pixels
COUNT = 64  # synthetic pairs
CROPS = 4  # of each photograph
PHOTOGRAPHS = (
    *("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "gravel", "hubble_deep_field"),
    *("immunohistochemistry", "moon", "retina", "rocket"),
)
LARGEST = 256  # pixels, side of the images whose seconds count
FITTED, FIT_SIZES, FIT_STEPS = 24, (12, 24, 48), 50  # pairs, pixels of the field's levels, steps at each
SMOOTHNESS = (0.1, 0.3, 1.0, 3.0)  # weights of the squared slopes, when fields are fitted
SHOWN, DRAWN, WORST = (0, 3, 5, 13), 0.3, 4.0  # pairs, their smoothness, and the error that is white, pixels
MOVED = 2.0  # pixels, root mean square of each component, as in training


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs with and without an object in one image, (B, C, H, W) tensors.

    Parameters
    ----------
    fixed, moving : Tensor
    truth : Tensor
        Displacement in pixels.
    seen : Tensor
        1 where it stays inside the moving image.
    unmatched : Tensor
        1 where only one image shows an object.
    """

    fixed: Tensor
    moving: Tensor
    truth: Tensor
    seen: Tensor
    unmatched: Tensor

    @property
    def near(self) -> Tensor:
        """1 within 20 pixels of an object and inside it."""
        away = [distance_transform_edt(mask == 0) for mask in self.unmatched[:, 0].numpy()]
        return torch.from_numpy(np.stack(away)[:, None] <= NEAR).float()

    def of(self, which: Tensor) -> Pairs:
        """Some of them."""
        return Pairs(*(value[which] for value in vars(self).values()))


def synthetic() -> tuple[Pairs, Pairs]:
    """Unseen pairs made as for training, with and without objects."""
    motion = ABLATION[MAP].motion
    made = []
    for objects in (Objects(chance=0.5), Objects(chance=0.0)):
        batches = unseen(COUNT, (SIDE, SIDE), motion, SEED, objects=objects, alike=True)
        names = ("fixed", "moving", "displacement", "seen", "unmatched")
        made.append(Pairs(*(torch.cat([getattr(batch, name) for batch in batches]) for name in names)))
    some = made[0].unmatched.flatten(1).amax(1) > 0
    return made[0].of(some), made[1].of(some)


def photographs() -> tuple[Pairs, Pairs]:
    """Photographs and themselves deformed: objects of other photographs pasted in turn with lesions."""
    rng, generator = np.random.default_rng(SEED), torch.Generator().manual_seed(SEED)
    crops = [crop for name in PHOTOGRAPHS for crop in _crops(name, rng)]
    moving = torch.from_numpy(np.stack(crops)[:, None]).float()
    truth = MOVED * smooth_noise(len(moving), 2, (SIDE, SIDE), SIDE / 4, generator)
    here = torch.stack(torch.meshgrid(*[torch.arange(SIDE)] * 2, indexing="ij"))
    seen = ((here + truth >= 0) & (here + truth <= SIDE - 1)).all(1, keepdim=True).float()
    fixed = warp_batch(moving, truth)
    marred, unmatched = [fixed.clone(), moving.clone()], torch.zeros_like(fixed)
    for k in range(len(moving)):
        inside = torch.from_numpy(_blob(rng, soft=k % 2 == 1)).float()[None]
        other = (
            moving[(k + 2 * CROPS + 1) % len(moving)]
            if k % 2 == 0
            else torch.tensor(float(rng.choice([0.05, 0.95])))
        )
        image = marred[k // 2 % 2]
        image[k] = torch.lerp(image[k], other.expand_as(image[k]), inside)
        shown = (inside > 0.1).float()[None]
        unmatched[k] = (warp_batch(shown, truth[k : k + 1])[0] > 0.5).float() if k // 2 % 2 else shown[0]
    pairs = [
        [(image + 0.01 * torch.randn(image.shape, generator=generator)).clamp(0, 1) for image in two]
        for two in (marred, (fixed, moving))
    ]
    with_objects, without = (Pairs(*two, truth, seen, unmatched) for two in pairs)
    return with_objects, without


def _crops(name: str, rng: np.random.Generator) -> Iterator[np.ndarray[Any, Any]]:
    """Square crops of a photograph at twice the side, grey, 0 to 1."""
    image = getattr(data, name)()
    grey = color.rgb2gray(image) if image.ndim == 3 else image / image.max()
    factor = 2 * SIDE / min(grey.shape)
    grey = transform.resize(grey, [round(factor * n) for n in grey.shape], anti_aliasing=True)
    grey = (grey - grey.min()) / np.ptp(grey)
    for _ in range(CROPS):
        row, column = (int(rng.integers(0, n - SIDE + 1)) for n in grey.shape)
        yield grey[row : row + SIDE, column : column + SIDE]


def _blob(rng: np.random.Generator, soft: bool) -> np.ndarray[Any, Any]:
    """An ellipse of 8 to 18 pixels' radius, 1 inside, with a sharp or a soft rim."""
    radii, middle = rng.uniform(8, 18, 2), rng.uniform(0.25 * SIDE, 0.75 * SIDE, 2)
    rows, columns = np.indices((SIDE, SIDE))
    distance = np.hypot((rows - middle[0]) / radii[0], (columns - middle[1]) / radii[1])
    return np.clip((1 - distance) * 4, 0, 1) if soft else (distance < 1).astype(float)


def predicted(net: Network, pairs: Pairs) -> Tensor:
    """Displacements; the global network sees the images at their resolution, as in training."""
    if isinstance(net, JSM):
        net.side = SIDE
    with torch.inference_mode():
        parts = zip(pairs.fixed.split(8), pairs.moving.split(8), strict=True)
        return torch.cat([net.eval()(fixed, moving).displacement for fixed, moving in parts])


def errors(displacement: Tensor, pairs: Pairs) -> dict[str, float]:
    """Mean distances from the truth in pixels: near objects, inside them, around them, everywhere."""
    distance = (displacement - pairs.truth).norm(dim=1, keepdim=True)
    places = {
        "near": pairs.near,
        "inside": pairs.unmatched,
        "around": pairs.near * (1 - pairs.unmatched),
        "everywhere": torch.ones_like(pairs.seen),
    }
    return {name: _mean(distance, pairs.seen * where) for name, where in places.items()}


def _mean(distance: Tensor, weight: Tensor) -> float:
    """Mean over pairs of the mean over pixels, of the pairs that have any."""
    total = weight.flatten(1).sum(1)
    found = (distance * weight).flatten(1).sum(1) / total.clamp_min(1)
    return float(found[total > 0].mean())


def measure(seeds: int) -> dict[str, Any]:
    """Errors by kind of pairs, network and seed, with and without objects."""
    found: dict[str, Any] = {}
    for kind, (with_objects, without) in {"synthetic": synthetic(), "photographs": photographs()}.items():
        still = torch.zeros_like(with_objects.truth)
        found[kind] = {"before": [_both(still, still, with_objects, without)]}
        for name in (MAP, ONES, VOXELMORPH, SWAPPED, SHIPPED):
            rows = []
            for seed in range(1 if name == SHIPPED else seeds):
                net = _network(name, seed)
                fields = [predicted(net, pairs) for pairs in (with_objects, without)]
                rows.append(_both(*fields, with_objects, without))
            found[kind][name] = rows
    return found


def _both(marred: Tensor, clean: Tensor, with_objects: Pairs, without: Pairs) -> dict[str, float]:
    return {**errors(marred, with_objects), "without objects": errors(clean, without)["everywhere"]}


def _network(name: str, seed: int) -> Network:
    if name == SHIPPED:
        return load_weights(shipped("jsm2d")).net
    trained = MAP if name == SWAPPED else name
    net = load_weights(KEPT / f"seed {seed}" / f"{trained}.safetensors").net
    if name == SWAPPED:
        assert isinstance(net, JSM)
        net.guidance = "ones"
    return net


def fitted(way: str, smooth: float, pairs: Pairs) -> Tensor:
    """A field fitted to each pair, coarse to fine, by the loss of the networks; no training."""
    field = torch.zeros(len(pairs.fixed), 2, FIT_SIZES[0], FIT_SIZES[0])
    for size in FIT_SIZES:
        images = (pairs.fixed, pairs.moving, pairs.unmatched)
        fixed, moving, unmatched = (F.avg_pool2d(image, SIDE // size) for image in images)
        field = _enlarged(field.detach(), size).requires_grad_()
        optimizer = torch.optim.Adam([field], 0.15)
        for _ in range(FIT_STEPS):
            warped = warp_batch(moving, field)
            weight = _weight(way, fixed, warped.detach(), unmatched)
            difference = weight * ((fixed - warped) ** 2 + 1e-6).sqrt()
            (len(fixed) * (difference.mean() + smooth * diffusion(field))).backward()
            optimizer.step()
            optimizer.zero_grad()
    return _enlarged(field.detach(), SIDE)


def _enlarged(field: Tensor, size: int) -> Tensor:
    """A displacement with more pixels, in units of those."""
    return resize(field, (size, size)) * ((size - 1) / (field.shape[2] - 1))


def _weight(way: str, fixed: Tensor, warped: Tensor, unmatched: Tensor) -> Tensor:
    """Weight of each pixel in the loss, mean 1."""
    weight = 1 - unmatched if way == WITHOUT else torch.ones_like(unmatched)
    if way == NAMES[MAP]:
        weight = joint_saliency(fixed, warped, norm="mean").joint
    return weight / weight.mean((1, 2, 3), keepdim=True).clamp_min(1e-6)


def loss_alone() -> list[str]:
    """Without any network."""
    pairs = synthetic()[0].of(torch.arange(FITTED))
    ways = ("ones", NAMES[MAP], WITHOUT)
    rows = []
    for smooth in SMOOTHNESS:
        fields = [fitted(way, smooth, pairs) for way in ways]
        ones, guided, left_out = (errors(field, pairs)["near"] for field in fields)
        numbers = [f"{error:.2f}" for error in (ones, guided, left_out)]
        rows.append([f"{smooth:g}", *numbers, f"{100 * (guided / ones - 1):+.0f} %"])
        if smooth == DRAWN:
            warped = warp_batch(pairs.moving, fields[1])
            joint = joint_saliency(pairs.fixed, warped, norm="mean").joint
            draw("saliency-loss.png", ways, [(pairs, joint, fields)], SHOWN)
    return [
        "## The loss alone",
        f"A field is fitted to each of {FITTED} synthetic pairs, at half resolution, by the loss that the "
        "networks are trained with. Error in pixels near the object: with ones, with the joint saliency, "
        "and with the object left out, which only a test can know.",
        table(("smoothness", *ways, "joint saliency, against ones"), rows),
        "![The joint saliency and the errors of fitted fields](images/saliency-loss.png)",
        "Fixed and moving image, the joint saliency, and the distance from the true displacement of the "
        f"fields with a smoothness of {DRAWN:g}; white is {WORST:g} pixels. The object is outlined.",
    ]


def seconds() -> str:
    """Of one pass over images as large as the methods give to a network."""
    net, images = _network(MAP, 0).eval(), torch.rand(2, 1, 1, LARGEST, LARGEST)
    times = []
    with torch.inference_mode():
        for _ in range(4):
            began = time.perf_counter()
            net(*images)
            times.append(time.perf_counter() - began)
    return f"{statistics.median(times[1:]):.2f}"


def rows_of(found: Mapping[str, Sequence[Mapping[str, float]]]) -> list[list[str]]:
    """A row for each network and seed, and the change against the control."""
    rows = []
    for name, cells in found.items():
        for seed, cell in enumerate(cells):
            change = cell["near"] / found[ONES][seed]["near"] - 1
            columns = ("near", "inside", "around", "without objects")
            numbers = [f"{cell[column]:.2f}" for column in columns]
            against = f"{100 * change:+.0f} %" if name in (MAP, VOXELMORPH, SWAPPED) else ""
            rows.append([NAMES.get(name, name), str(seed) if len(cells) > 1 else "", *numbers, against])
    return rows


def networks(seeds: int) -> list[str]:
    """Trained alike."""
    found, recipe = measure(seeds), ABLATION[MAP]
    head = ("network", "seed", "near", "inside", "around", "without objects", "near, against ones")
    fields, maps = [], []
    for pairs in (synthetic()[0], photographs()[0]):
        fields.append((pairs, [predicted(_network(name, 0), pairs) for name in (MAP, ONES, VOXELMORPH)]))
        with torch.inference_mode():
            maps.append(_network(MAP, 0).eval()(pairs.fixed, pairs.moving).extras["joint saliency"])
    drawn = [(pairs, joint, some) for (pairs, some), joint in zip(fields, maps, strict=True)]
    draw("saliency.png", [NAMES[name] for name in (MAP, ONES, VOXELMORPH)], drawn, SHOWN[::3])
    return [
        "## Networks",
        "Three networks are trained alike, on the images alone: the same synthetic pairs, "
        f"{recipe.steps:,} steps of {recipe.batch} pairs of {recipe.shape[0]} pixels, the same seeds. The "
        f"first two begin with the shipped `{recipe.start}` inside and nothing else, VoxelMorph with the "
        f"shipped `{ABLATION[VOXELMORPH].start}`, which learnt from true maps for longer. The control has "
        "a map of ones in place of the joint saliency, in the network and in the loss. As a second check, "
        "the map of the trained network is replaced only when it is tested.",
        f"The smoothness is {SMOOTH:g}. With more, objects pull less and the map brings less. With 0.5 and "
        "200 steps, the control's error near objects is 0.69 to 0.76 on the synthetic pairs and 0.90 to 1.01 "
        "on the photographs, and without objects 0.40 and more.",
        f"Error in pixels on unseen pairs of {SIDE} x {SIDE} pixels: within {NEAR} pixels of the object, "
        "inside it, around it, and on the same pairs without objects.",
        "### Synthetic pairs",
        table(head, rows_of(found["synthetic"])),
        "### Photographs with pasted objects and lesions",
        table(head, rows_of(found["photographs"])),
        f"One pass over {LARGEST} x {LARGEST} pixels takes {seconds()} s on one core.",
        "![The joint saliency and the errors of the networks](images/saliency.png)",
        f"As above, of the networks of seed 0; white is {WORST:g} pixels.",
    ]


def draw(
    name: str,
    titles: Sequence[str],
    rows: Sequence[tuple[Pairs, Tensor, Sequence[Tensor]]],
    which: Sequence[int],
) -> None:
    """Pairs, their joint saliency and the errors of displacements, to docs/images."""
    columns = ("fixed", "moving", "joint saliency", *(f"error, {title}" for title in titles))
    count = len(rows) * len(which)
    figure, axes = plt.subplots(count, len(columns), figsize=(10, 1.75 * count), layout="tight")
    chosen = [(row, k) for row in rows for k in which]
    for line, ((pairs, joint, fields), k) in zip(axes, chosen, strict=True):
        shown = [(image[k, 0], 1.0) for image in (pairs.fixed, pairs.moving, joint)]
        shown += [((field - pairs.truth)[k].norm(dim=0), WORST) for field in fields]
        for axis, title, (image, most) in zip(line, columns, shown, strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=most)
            axis.contour(pairs.unmatched[k, 0], [0.5], colors="tab:orange", linewidths=0.8)
            axis.set_axis_off()
            if axis.get_subplotspec().is_first_row():
                axis.set_title(title, fontsize=8)
    figure.savefig(IMAGES / name, dpi=100)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="networks of each kind; 0: the loss alone")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(chosen.seeds):
        folder = KEPT / f"seed {seed}"
        folder.mkdir(parents=True, exist_ok=True)
        for start in {recipe.start for recipe in ABLATION.values()}:
            for ending in (".safetensors", ".json"):
                copyfile(shipped(start).with_suffix(ending), folder / f"{start}{ending}")
        for name, recipe in ABLATION.items():
            train(recipe, folder, seed=seed, every=100)
            print(f"seed {seed}: {name}", flush=True)
    parts = [
        "# What the joint saliency brings",
        "Written by `python benchmarks/saliency.py`. The two images of a pair have equal contrast, and an "
        "object that only one of them shows.",
        *loss_alone(),
        *(networks(chosen.seeds) if chosen.seeds else []),
    ]
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8", newline="")


if __name__ == "__main__":
    main()
