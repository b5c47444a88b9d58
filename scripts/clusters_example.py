"""One model for each kind of image against one for all, on pairs made from three simulated samples.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/clusters_example.py -o clusters

Writes radar chips, fundus photographs and slices of heads, 64 x 64 pixels, with their true displacements;
then prints `napari-voxreg clusters` with its options, and runs it.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from training_examples import TABLE, chips, write_table

from napari_voxreg import Grid, Image
from napari_voxreg.cli import main as cli
from napari_voxreg.images.preprocess import block_mean, driving_channel
from napari_voxreg.io.pairs import Pair, PairSet
from napari_voxreg.samples import make_sample
from napari_voxreg.transforms import Displacement, Transform, warp

SIDE = 64  # pixels of an image
EACH, VALIDATION = 40, 8  # pairs of a kind, and how many of them are for validation
TRAINING = "--start shipped --loss LNCC --epochs 15 --batch-size 8 --workers 0 --show-every 0"


def small(fixed: Image, moving: Image, truth: Transform, name: str, who: str) -> Pair:
    """Both images on one grid of 64 x 64 square pixels around the fixed one, with the true displacement."""
    pixel = float((fixed.grid.spacing * fixed.grid.shape).max()) / SIDE
    corner = fixed.grid.centre - (SIDE - 1) / 2 * pixel
    grid = Grid.from_spacing((SIDE, SIDE), pixel, corner, units=fixed.grid.units)
    images = []
    for image in (fixed, moving):
        steps = np.maximum(1, np.rint(pixel / image.grid.spacing)).astype(int)
        images.append(warp(block_mean(image, steps.tolist()), None, grid))
    there = grid.to_index(truth(grid.nodes())).T.reshape(2, SIDE, SIDE)
    field = (there - np.indices(grid.shape)).astype(np.float32)
    return Pair(name, *images, displacement=field, fixed_patient=who, moving_patient=who)


def samples(kind: str) -> Iterator[Pair]:
    """A sample's pairs, one a seed."""
    for seed in range(EACH):
        sample, name = make_sample(kind, seed), f"{kind}{seed:02d}"
        yield small(driving_channel(sample.fixed), driving_channel(sample.moving), sample.truth, name, name)


def radar() -> Iterator[Pair]:
    """Chips of radar scenes, eight of each."""
    for pair in chips(EACH):
        fixed = pair.fixed
        truth = Displacement(np.moveaxis(pair.displacement, 0, -1), fixed.grid)
        yield small(fixed, pair.moving, truth, pair.name, pair.fixed_patient)


def write(folder: Path) -> Path:
    """The pairs of all kinds as files and a table."""
    kinds = [list(kind) for kind in (radar(), samples("fundus"), samples("brain2d"))]
    validation = [pair for kind in kinds for pair in kind[-VALIDATION:]]
    training = [pair for kind in kinds for pair in kind[:-VALIDATION]]
    return write_table(PairSet(tuple(training), tuple(validation)), folder)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("clusters"), metavar="DIR")
    folder = parser.parse_args().output
    table = folder / "pairs" / TABLE
    if not table.is_file():
        write(table.parent)
    words = ["clusters", str(table), "-o", str(folder / "out"), "--train", *shlex.split(TRAINING)]
    print("napari-voxreg", shlex.join(words), flush=True)
    return cli.main(words)


if __name__ == "__main__":
    sys.exit(main())
