"""Train as each of five known systems does, with one command, on pairs made from the simulated samples.

    .venv/bin/python scripts/training_examples.py sar -o examples
    .venv/bin/python scripts/training_examples.py voxelmorph -o examples --epochs 20

Writes the pairs in the form that the system takes, prints the command that trains on them, runs it, and draws
its curves. The true displacements are there too, for the column `val_error` of history.csv alone.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_voxreg import Grid, Image, cli
from napari_voxreg.io.images import write_image
from napari_voxreg.io.pairs import Pair, open_pairs, pack
from napari_voxreg.preprocess import driving_channel
from napari_voxreg.samples import Sample, make_sample
from napari_voxreg.train.runs import read_history
from napari_voxreg.transforms import warp

SIDE = 128  # pixels of a radar chip
HELD = 0.2  # of the pairs, for validation


@dataclass(frozen=True)
class Example:
    """A system: its data, and the options of `napari-voxreg train` that make it."""

    title: str
    pairs: int
    make: Callable[[int], Iterator[Pair]]
    form: str
    options: str


def chips(count: int) -> Iterator[Pair]:
    """Cut-outs of radar scenes in decibel, each with the moving one where the truth puts its middle."""
    made = 0
    for seed in range(count):
        sample = make_sample("sar", seed)
        fixed, moving = (
            image.with_data(10 * np.log10(np.maximum(image.data, 1e-6)))
            for image in (sample.fixed, sample.moving)
        )
        for row in range(0, 400 - SIDE + 1, 68):
            for column in range(0, 400 - SIDE + 1, 68):
                if made == count:
                    return
                corner = np.array((row, column))
                grid = Grid.from_spacing((SIDE, SIDE))
                nodes = fixed.grid.to_world(grid.nodes() + corner)
                there = moving.grid.to_index(sample.truth(nodes))
                middle = np.rint(there.mean(0)).astype(int) - SIDE // 2
                if (middle < 0).any() or (middle + SIDE > moving.data.shape).any():
                    continue
                field = (there - middle).T.reshape(2, SIDE, SIDE) - np.indices((SIDE, SIDE))
                cut = [
                    Image(np.ascontiguousarray(image.data[a : a + SIDE, b : b + SIDE]), grid, f"scene{seed}")
                    for image, (a, b) in ((fixed, corner), (moving, middle))
                ]
                yield Pair(
                    f"scene{seed}_{made:03d}",
                    *cut,
                    displacement=field.astype(np.float32),
                    fixed_patient=f"scene{seed}",
                    moving_patient=f"scene{seed}",
                )
                made += 1


def whole(name: str, channel: int | None = None) -> Callable[[int], Iterator[Pair]]:
    """A sample's pair again and again, of other seeds, both on the fixed image's grid."""

    def make(count: int) -> Iterator[Pair]:
        for seed in range(count):
            yield _on_one_grid(make_sample(name, seed), f"{name}{seed:02d}", channel)

    return make


def _on_one_grid(sample: Sample, name: str, channel: int | None) -> Pair:
    fixed = driving_channel(sample.fixed, channel)
    moving = warp(driving_channel(sample.moving, channel), None, fixed.grid)
    there = fixed.grid.to_index(sample.truth(fixed.grid.nodes()))
    field = there.T.reshape(fixed.ndim, *fixed.grid.shape) - np.indices(fixed.grid.shape)
    return Pair(
        name, fixed, moving, displacement=field.astype(np.float32), fixed_patient=name, moving_patient=name
    )


EXAMPLES = {
    "sar": Example(
        "SAR-VoxelMorph: path lists, MSE + 0.01 x gradient",
        80,
        chips,
        "lists",
        "--architecture sar-voxelmorph --loss MSE --smoothness-weight 0.01 --batch-size 16 --size 128",
    ),
    "voxelmorph": Example(
        "VoxelMorph (CVPR 2018): local NCC + gradient on 2D slices, T1 and T2",
        30,
        whole("brain2d"),
        "table",
        "--architecture 'voxelmorph displacement' --no-compare --loss LNCC --smoothness-weight 1 "
        "--batch-size 4",
    ),
    "avsm": Example(
        "AVSM: affine in steps, then vSVF, mk-LNCC and symmetry",
        30,
        whole("brain2d"),
        "table",
        "--architecture avsm --loss mk-LNCC --symmetry 10 --batch-size 4",
    ),
    "jsm": Example(
        "Joint saliency: an HDF5 pair file, Charbonnier and gradient",
        40,
        chips,
        "hdf5",
        "--architecture jsm --loss edges --smoothness Charbonnier --batch-size 4",
    ),
    "stn": Example(
        "STN on fundus photographs: correlation without black borders",
        20,
        whole("fundus", channel=1),
        "table",
        "--architecture stn --loss 'seen NCC' --batch-size 4 --rotation 15",
    ),
}


def write(example: Example, folder: Path, count: int) -> Path:
    """The pairs as the system takes them; what to give to train."""
    source = {"lists": folder, "table": folder / "pairs.csv", "hdf5": folder / "pairs.h5"}[example.form]
    if folder.exists():
        return source
    pairs = open_pairs(list(example.make(count)), validation=HELD)
    folder.mkdir(parents=True)
    if example.form == "hdf5":
        return pack(pairs, source)
    sets = {"train": pairs.training, "val": pairs.validation}
    rows = []
    for name, some in sets.items():
        for pair in some:
            files = [f"{side}/{pair.name}.tif" for side in ("fixed", "moving")]
            for side, file in zip((pair.fixed, pair.moving), files, strict=True):
                write_image(side, folder / file)
            np.save(folder / f"{pair.name}.npy", pair.displacement)
            rows.append((name, pair.name, *files, f"{pair.name}.npy"))
    if example.form == "lists":
        for name in sets:
            for column, side in ((2, "fixed"), (3, "moving")):
                lines = [row[column] + "\n" for row in rows if row[0] == name]
                (folder / f"{name}_{side}.txt").write_text("".join(lines))
    else:
        with source.open("w", newline="") as file:
            csv.writer(file).writerows([("set", "name", "fixed", "moving", "displacement"), *rows])
    return source


def draw(title: str, run: Path) -> Path:
    """The losses of all epochs."""
    from matplotlib.figure import Figure

    rows = read_history(run)
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        [r.epoch for r in rows[1:]], [r.training.total for r in rows[1:] if r.training], label="training"
    )
    axes.plot([r.epoch for r in rows], [r.validation.total for r in rows if r.validation], label="validation")
    axes.set(xlabel="epoch", ylabel="loss", title=title)
    axes.title.set_fontsize(8)
    axes.legend()
    figure.savefig(run / "curve.png", dpi=120)
    return run / "curve.png"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "name", choices=EXAMPLES, help="; ".join(f"{k}: {e.title}" for k, e in EXAMPLES.items())
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("examples"), metavar="DIR")
    parser.add_argument("--pairs", type=int, metavar="N", help="how many to make")
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="default 20")
    chosen = parser.parse_args()
    example = EXAMPLES[chosen.name]
    source = write(example, chosen.output / f"{chosen.name}-pairs", chosen.pairs or example.pairs)
    run = chosen.output / f"{chosen.name}-run"
    words = [
        "train",
        str(source),
        "-o",
        str(run),
        *shlex.split(example.options),
        "--epochs",
        str(chosen.epochs),
    ]
    print("napari-voxreg", shlex.join(words), flush=True)
    code = cli.main(words)
    if code == 0:
        first, *_, last = read_history(run)
        print("| | loss | similarity | error, pixels |\n| --- | --- | --- | --- |")
        for name, row in (("before", first), ("after", last)):
            if row.validation is not None:
                error = "" if row.validation.error is None else f"{row.validation.error:.2f}"
                print(f"| {name} | {row.validation.total:.4g} | {row.validation.similarity:.4g} | {error} |")
        print(f"{last.seconds / 60:.1f} minutes; {draw(example.title, run)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
