"""Simulated images and pairs on disk, for the panels that read files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_voxreg import Grid, Image, warp
from napari_voxreg.images.preprocess import block_mean, driving_channel
from napari_voxreg.io.images import write_image
from napari_voxreg.io.pairs import Pair, open_pairs
from napari_voxreg.samples import make_sample
from napari_voxreg.samples.drawing import similarity

sys.path.append(str(Path(__file__).resolve().parents[1]))
from training_examples import calm_chips, write_table

STEP = 4  # pixels of the fundus sample that become one
VISITS, PEOPLE, CHIPS, EACH = 6, 12, 40, 12  # of one eye, pairs of eyes, radar chips, pairs of a kind
SIDE = 64  # pixels of an image of a kind
VALIDATION = 0.2  # of the pairs


def write_visits(folder: Path) -> None:
    """The simulated eye, rotated and moved a little, of changing brightness."""
    eye = block_mean(make_sample("fundus").fixed, (STEP, STEP))
    rng = np.random.default_rng(0)
    for k in range(VISITS):
        pose = similarity(eye.grid, rng.normal(0, 3), rng.normal(1, 0.02), tuple(rng.normal(0, 6, 2)))
        pixels = np.asarray(warp(eye, pose, eye.grid).data, dtype=float) * rng.uniform(0.8, 1.1)
        if k == VISITS - 2:
            pixels[:] = 12  # the lid was closed
        visit = Image(np.clip(pixels, 0, 255).astype(np.uint8), eye.grid)
        write_image(visit, folder / f"p07_L_{2016 + k}-05-{k + 10}.tif")
    (folder / "p07_L_2024-05-20.tif").write_bytes(b"a damaged file")


def write_people(folder: Path) -> None:
    """Two simulated visits of some people, one file each, in the folders fixed and moving."""
    for seed in range(PEOPLE):
        sample = make_sample("fundus", seed)
        for side, image in (("fixed", sample.fixed), ("moving", sample.moving)):
            small = block_mean(image, (STEP, STEP))
            pixels = np.clip(np.rint(small.data), 0, 255).astype(np.uint8)
            write_image(Image(pixels, small.grid), folder / side / f"P{seed:03d}_OD.tif")


def write_chips(folder: Path) -> None:
    """Pairs of radar chips with their true displacements, and a table of them, pairs.csv."""
    folder.mkdir()
    write_table(open_pairs(list(calm_chips(CHIPS)), validation=VALIDATION), folder)


def write_kinds(folder: Path) -> None:
    """Small pairs of heads, of fundus photographs and of radar scenes, and a table of them, pairs.csv."""
    rows = ["set,name,fixed,moving,patient"]
    for k, (name, fixed, moving) in enumerate(_kinds()):
        files = [f"{side}/{name}.tif" for side in ("fixed", "moving")]
        for image, file in zip((fixed, moving), files, strict=True):
            write_image(_small(image), folder / file)
        side = "train" if k % EACH < EACH * (1 - VALIDATION) else "val"
        rows.append(",".join((side, name, *files, name)))
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")


def _kinds() -> Iterator[tuple[str, Image, Image]]:
    for kind in ("brain2d", "fundus"):
        for seed in range(EACH):
            sample = make_sample(kind, seed)
            yield f"{kind}{seed:02d}", driving_channel(sample.fixed), driving_channel(sample.moving)
    chips: Iterator[Pair] = calm_chips(EACH)
    yield from ((f"sar_{chip.name}", chip.fixed, chip.moving) for chip in chips)


def _small(image: Image) -> Image:
    """An image on a few square pixels, in which all kinds look alike in size."""
    pixel = float((image.grid.spacing * image.grid.shape).max()) / SIDE
    corner = image.grid.centre - (SIDE - 1) / 2 * pixel
    grid = Grid.from_spacing((SIDE, SIDE), pixel, corner, units=image.grid.units)
    steps = np.maximum(1, np.rint(pixel / image.grid.spacing)).astype(int)
    small = warp(block_mean(image, steps.tolist()), None, grid)
    return small.with_data(np.asarray(small.data, dtype=np.float32))
