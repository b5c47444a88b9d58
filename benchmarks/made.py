"""Made pairs with a known map: samples, heads, sizes, flows; ``python made.py NAME OUT.npz``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import flow_pairs
from case import Case, save
from napari_voxreg.core.geometry import Array, Grid, Image, short_unit
from napari_voxreg.images.preprocess import driving_channel
from napari_voxreg.samples import make_sample
from napari_voxreg.samples.drawing import rim, smooth_noise
from napari_voxreg.samples.mri import T1, scan
from napari_voxreg.samples.phantom import TISSUES, Head, tissue_labels
from napari_voxreg.transforms import StationaryVelocity, Transform

HEAD = Grid.from_spacing((160, 192, 224), 1.0, (-88.0, -104.0, -112.0), units="millimeter")
STRUCTURES = ("cerebrospinal fluid", "grey matter", "white matter", "ventricles", "deep nuclei", "eyes")
# The same tissues in another contrast, still T1: fat and marrow darker, grey and white closer.
OTHER_T1 = tuple(0.9 * value**0.7 for value in T1)
POINTS = 20_000


def make(name: str) -> Case:
    """The case of that name: ``sample-NAME``, ``flow-KIND-N``, ``head-people`` or ``-warped``, ``size-N``."""
    kind, _, rest = name.partition("-")
    if kind == "flow":
        return flow_pairs.make(rest)
    if kind == "sample":
        return sample(rest)
    if kind == "size":
        n = int(rest)
        return warped(Grid.from_spacing((n,) * 3, 224 / n, -112.0, units="millimeter"))
    return people() if rest == "people" else warped(HEAD)


def sample(name: str) -> Case:
    """A sample with its known map, one channel each as `register` takes it."""
    made = make_sample(name)
    labels = inside = None
    if made.labels_fixed is not None and made.labels_moving is not None:
        labels = made.labels_fixed, made.labels_moving
        inside = labels[0].data > 0
    classes = tuple(range(1, len(made.label_names) + 1))
    unit = short_unit(made.fixed.grid.units[0])
    fixed, moving = (driving_channel(image) for image in (made.fixed, made.moving))
    return Case(fixed, moving, known_points(fixed, moving, made.truth, inside), labels, classes, unit)


def people() -> Case:
    """Two anatomies of the head phantom, T1 both, labels of their structures, no known map."""
    rng = np.random.default_rng(3)
    scans, labels = [], []
    for seed in (1, 2):
        fractions = _head(Head(seed), HEAD, None)
        scans.append(scan(fractions, HEAD, T1, rng, bias=0.05, noise=0.02, name=f"head {seed}"))
        labels.append(Image(tissue_labels(fractions), HEAD))
    return Case(*_float(scans), None, (labels[0], labels[1]), _structures(), "mm")


def warped(grid: Grid) -> Case:
    """One head and the same under a smooth diffeomorphism of 4.9 mm in the mean, in another contrast."""
    rng = np.random.default_rng(7)
    coarse = Grid.from_spacing((64, 64, 64), 256 / 63, -128.0, units=grid.units)
    noise = [smooth_noise(coarse.shape, 24.0 / float(coarse.spacing[0]), rng) for _ in range(3)]
    velocity = np.stack(noise, axis=-1) * rim(coarse.shape)[..., None]
    inner = Grid.from_spacing((20,) * 3, 8.0, -76.0)
    for _ in range(3):  # the integrated length is nearly proportional to the velocity
        length = StationaryVelocity(velocity, coarse)(inner.nodes()) - inner.nodes()
        velocity = velocity * 4.9 / np.linalg.norm(length, axis=1).mean()
    truth = StationaryVelocity(velocity, coarse)
    first, second = _head(Head(1), grid, None), _head(Head(1), grid, truth.inverse())
    scans = [
        scan(first, grid, T1, rng, bias=0.05, noise=0.02, name="head"),
        scan(second, grid, OTHER_T1, rng, bias=0.1, noise=0.03, name="head, warped"),
    ]
    labels = Image(tissue_labels(first), grid), Image(tissue_labels(second), grid)
    fixed, moving = _float(scans)
    inside = labels[0].data > 0
    return Case(fixed, moving, known_points(fixed, moving, truth, inside), labels, _structures(), "mm")


def known_points(
    fixed: Image, moving: Image, truth: Transform, inside: Array | None = None
) -> tuple[Array, Array]:
    """Nodes of the fixed grid that the moving image shows, and where the truth has them; seeded."""
    rng = np.random.default_rng(0)
    where = np.flatnonzero(np.ones(fixed.grid.shape, bool) if inside is None else inside)
    where = rng.choice(where, min(4 * POINTS, len(where)), replace=False)
    index = np.stack(np.unravel_index(np.sort(where), fixed.grid.shape), axis=-1)
    nodes = fixed.grid.to_world(index)
    mapped = truth(nodes)
    inside = moving.grid.contains(mapped)
    return nodes[inside][:: max(1, inside.sum() // POINTS)], mapped[inside][:: max(1, inside.sum() // POINTS)]


def _head(head: Head, grid: Grid, back: Transform | None) -> Array:
    """Tissue fractions (*grid.shape, tissues) of a head under a map, plane by plane."""
    fractions = np.empty((*grid.shape, len(TISSUES)), np.float32)
    pixel = float(grid.spacing.max())
    for start in range(0, grid.shape[0], 8):
        index = np.indices((min(8, grid.shape[0] - start), *grid.shape[1:])).reshape(3, -1).T
        nodes = grid.to_world(index + np.array([start, 0, 0]))
        covered = head.fractions(nodes if back is None else back(nodes), pixel)
        fractions[start : start + 8] = covered.reshape(-1, *grid.shape[1:], len(TISSUES))
    return fractions


def _structures() -> tuple[int, ...]:
    return tuple(TISSUES.index(name) for name in STRUCTURES)


def _float(scans: list[Image]) -> tuple[Image, Image]:
    first, second = (image.with_data(image.data.astype(np.float32)) for image in scans)
    return first, second


if __name__ == "__main__":
    save(make(sys.argv[1]), Path(sys.argv[2]))
