"""Train as each of five known systems does, with one command, on pairs made from the simulated samples.

    .venv/bin/python scripts/training_examples.py sar -o examples
    .venv/bin/python scripts/training_examples.py voxelmorph -o examples --epochs 20

Writes the pairs in the form that the system takes, prints the command that trains on them and runs it; then
prints a table of all that were run so far and draws their curves. True displacements are a measure alone; the
moving images are moved at random, since a rotation and translation that all pairs share is learnt blindly.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import ndimage

from napari_voxreg import Grid, Image, figures
from napari_voxreg.cli import main as cli
from napari_voxreg.core.geometry import Array
from napari_voxreg.images.preprocess import driving_channel
from napari_voxreg.io.images import write_image
from napari_voxreg.io.pairs import Pair, PairSet, open_pairs, pack
from napari_voxreg.samples import Sample, make_sample
from napari_voxreg.train.pairs.endpoint_error import error
from napari_voxreg.train.runs import BEST, read_history, read_run
from napari_voxreg.transforms import Affine, chain, warp

SIDE = 128  # pixels of a radar chip
EACH = 8  # chips of a scene
LOOKS = 3  # pixels along each axis over which speckle is averaged
VALIDATION = 0.2  # of the pairs, for validation
TABLE, RESULT = "pairs.csv", "result.json"


@dataclass(frozen=True)
class Example:
    """A system: its data, and the options of `napari-voxreg train` that make it."""

    title: str
    pairs: int
    make: Callable[[int], Iterator[Pair]]
    form: str
    epochs: int
    options: str


def radar(seed: int) -> Sample:
    """A radar scene."""
    return make_sample("sar", seed)


def chips(count: int, scene: Callable[[int], Sample] = radar) -> Iterator[Pair]:
    """Cut-outs of radar scenes in decibel, `EACH` of each, the moving one where the truth puts its middle."""
    starts = range(0, 400 - SIDE + 1, SIDE // 2)
    made = 0
    for seed in itertools.count():
        sample = scene(seed)
        images = [
            image.with_data(10 * np.log10(np.maximum(image.data, 1e-6)))
            for image in (sample.fixed, sample.moving)
        ]
        corners = np.random.default_rng(seed).permutation(list(itertools.product(starts, starts)))
        found = (_chip(*images, sample, corner) for corner in corners)
        for fixed, moving, field in itertools.islice(filter(None, found), EACH):
            if made == count:
                return
            name = f"scene{seed:02d}"
            yield Pair(
                f"{name}_{made:03d}",
                fixed,
                moving,
                displacement=field,
                fixed_patient=name,
                moving_patient=name,
            )
            made += 1


def _chip(fixed: Image, moving: Image, sample: Sample, corner: Array) -> tuple[Image, Image, Array] | None:
    """A cut-out of both images and the displacement between them; None where the moving scene ends."""
    grid = Grid.from_spacing((SIDE, SIDE))
    there = moving.grid.to_index(sample.truth(fixed.grid.to_world(grid.nodes() + corner)))
    middle = np.rint(there.mean(0)).astype(int) - SIDE // 2
    if (middle < 0).any() or (middle + SIDE > moving.data.shape).any():
        return None
    field = (there - middle).T.reshape(2, SIDE, SIDE) - np.indices((SIDE, SIDE))
    cut = [
        Image(np.ascontiguousarray(image.data[a : a + SIDE, b : b + SIDE]), grid)
        for image, (a, b) in ((fixed, corner), (moving, middle))
    ]
    if not np.isfinite(cut[1].data).all():
        return None
    return cut[0], cut[1], field.astype(np.float32)


def calm_chips(count: int) -> Iterator[Pair]:
    """The same of scenes with less speckle, which any blur would lower MSE on, lying elsewhere at random."""

    def scene(seed: int) -> Sample:
        sample = radar(seed)
        fixed, moving = (
            image.with_data(ndimage.uniform_filter(image.data, LOOKS))
            for image in (sample.fixed, sample.moving)
        )
        return elsewhere(replace(sample, fixed=fixed, moving=moving), 2.0, seed, np.nan)

    return chips(count, scene)


def elsewhere(sample: Sample, much: float, seed: int, fill: float = 0.0) -> Sample:
    """The moving image on the fixed one's grid: its own affine motion undone, another one at random.

    Parameters
    ----------
    much : float
        Largest rotation, in degrees, and largest zoom and translation, in per cent of its size.
    seed : int
    fill : float
        Where the moving image ends.
    """
    grid = sample.fixed.grid
    nodes = grid.nodes()
    usual = np.eye(3)
    usual[:2] = np.linalg.lstsq(np.c_[nodes, np.ones(len(nodes))], sample.truth(nodes), rcond=None)[0].T
    angle, zoom, *translation = np.random.default_rng(seed).uniform(-much, much, 4)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    own = np.eye(3)
    own[:2, :2] = (1 + zoom / 100) * np.array([[cos, -sin], [sin, cos]])
    side = (grid.spacing * grid.shape).max()
    own[:2, 2] = grid.centre + np.array(translation) / 100 * side - own[:2, :2] @ grid.centre
    move = own @ np.linalg.inv(usual)
    moving = warp(sample.moving, Affine(np.linalg.inv(move)), grid, fill=fill)
    return replace(sample, moving=moving, truth=chain(sample.truth, Affine(move)))


def whole(
    name: str, much: float, channel: int | None = None, same_contrast: bool = False
) -> Callable[[int], Iterator[Pair]]:
    """A sample's pair again and again, of other seeds and `elsewhere`, both on the fixed image's grid.

    If `same_contrast`, the moving image is the fixed one, deformed as the other contrast was.
    """

    def make(count: int) -> Iterator[Pair]:
        for seed in range(count):
            sample = make_sample(name, seed)
            fixed, moving = (driving_channel(image, channel) for image in (sample.fixed, sample.moving))
            if same_contrast:
                moving = warp(fixed, sample.truth.inverse(fixed.grid), fixed.grid)
            sample = elsewhere(replace(sample, fixed=fixed, moving=moving), much, seed)
            there = fixed.grid.to_index(sample.truth(fixed.grid.nodes()))
            field = there.T.reshape(2, *fixed.grid.shape) - np.indices(fixed.grid.shape)
            who = f"{name}{seed:02d}"
            yield Pair(
                who,
                fixed,
                sample.moving,
                displacement=field.astype(np.float32),
                fixed_patient=who,
                moving_patient=who,
            )

    return make


SAR = "--architecture sar-voxelmorph --loss MSE --learning-rate 0.001 --batch-size 4 --flips "
EXAMPLES = {
    "sar": Example(
        "SAR-VoxelMorph: path lists, MSE + 0.1 x gradient",
        80,
        calm_chips,
        "lists",
        50,
        SAR + "--smoothness-weight 0.1",
    ),
    "sar-0.01": Example(
        "the same with the published weight of smoothness",
        80,
        calm_chips,
        "lists",
        50,
        SAR + "--smoothness-weight 0.01",
    ),
    "voxelmorph": Example(
        "VoxelMorph (CVPR 2018): local NCC + gradient on 2D slices, T1 and T2",
        60,
        whole("brain2d", 2.0),
        "table",
        80,
        "--architecture 'voxelmorph displacement' --no-compare --loss LNCC --smoothness-weight 1 "
        "--batch-size 4",
    ),
    "avsm": Example(
        "AVSM: affine in steps, then vSVF, mk-LNCC and symmetry, twice the same contrast",
        60,
        whole("brain2d", 5.0, same_contrast=True),
        "table",
        30,
        "--architecture avsm --loss mk-LNCC --symmetry 10 --learning-rate 0.001 --batch-size 4",
    ),
    "jsm": Example(
        "Joint saliency: an HDF5 pair file, Charbonnier and gradient, a bleeding in one image",
        40,
        whole("fundus", 4.0, channel=1),
        "hdf5",
        40,
        "--architecture jsm --loss edges --smoothness Charbonnier --learning-rate 0.0003 --batch-size 4",
    ),
    "stn": Example(
        "STN on fundus photographs: correlation without black borders",
        40,
        whole("fundus", 8.0, channel=1),
        "table",
        40,
        "--architecture stn --loss 'seen NCC' --batch-size 4 --rotation 15",
    ),
}


def write(example: Example, folder: Path, count: int) -> Path:
    """The pairs as the system takes them; what to give to train."""
    source = {"lists": folder, "table": folder / TABLE, "hdf5": folder / "pairs.h5"}[example.form]
    if folder.exists():
        return source
    pairs = open_pairs(list(example.make(count)), validation=VALIDATION)
    folder.mkdir(parents=True)
    if example.form == "hdf5":
        return pack(pairs, source)
    write_table(pairs, folder)
    if example.form == "lists":
        for name, some in (("train", pairs.training), ("val", pairs.validation)):
            for side in ("fixed", "moving"):
                lines = [f"{side}/{pair.name}.tif\n" for pair in some]
                (folder / f"{name}_{side}.txt").write_text("".join(lines))
    return source


def write_table(pairs: PairSet, folder: Path) -> Path:
    """The pairs as files and a table of them, with their true displacements."""
    rows = []
    for name, some in (("train", pairs.training), ("val", pairs.validation)):
        for pair in some:
            files = [f"{side}/{pair.name}.tif" for side in ("fixed", "moving")]
            for image, file in zip((pair.fixed, pair.moving), files, strict=True):
                write_image(image, folder / file)
            np.save(folder / f"{pair.name}.npy", pair.displacement)
            rows.append((name, pair.name, *files, f"{pair.name}.npy", pair.fixed_patient))
    with (folder / TABLE).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("set", "name", "fixed", "moving", "displacement", "patient"), *rows])
    return folder / TABLE


def true_error(source: Path, run: Path, weights: Path | None) -> float:
    """Mean true error of validation in pixels, of weights or of identity; see `endpoint_error.error`."""
    from napari_voxreg.nets.checkpoints.checkpoint import load_weights

    net = None if weights is None else load_weights(weights).net
    return _mean_error(
        source,
        run,
        lambda fixed, moving: torch.zeros(1) if net is None else net(fixed, moving).displacement,
    )


def blind_error(source: Path, run: Path) -> float:
    """The same of the training pairs' mean true displacement, a prediction that needs no images."""
    mean = mean_truth(source, read_run(run).shape)
    return _mean_error(source, run, lambda fixed, moving: mean)


def mean_truth(source: Path, shape: tuple[int, ...]) -> torch.Tensor:
    """The training pairs' mean true displacement, (d, *shape), in pixels."""
    from napari_voxreg.train.pairs.prepare import TRUTH, prepare

    truths = [prepare(pair, shape, {TRUTH}).tensors[TRUTH] for pair in open_pairs(source).training]
    return torch.nanmean(torch.stack(truths), 0)


def _mean_error(
    source: Path, run: Path, predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> float:
    """Of a prediction for the validation pairs."""
    from napari_voxreg.train.pairs.data import PairData, in_order, together
    from napari_voxreg.train.pairs.prepare import TRUTH

    info, pairs = read_run(run), open_pairs(source).validation
    data = PairData(pairs, info.shape, frozenset({TRUTH}), info.options)
    total, count = 0.0, 0
    for draws in in_order(len(data), 8):
        batch = together([data[draw] for draw in draws])
        tensors = batch.tensors
        with torch.no_grad():
            found = torch.nan_to_num(predict(tensors["fixed"], tensors["moving"])).expand_as(tensors[TRUTH])
        known = error(tensors, found)
        if known is not None:
            total, count = total + float(known) * len(batch.names), count + len(batch.names)
    return total / count


def draw(folder: Path) -> Path:
    """The losses of all runs in a folder, and the true errors before and after, in one figure."""
    names = [name for name in EXAMPLES if (folder / f"{name}-run" / RESULT).is_file()]
    wide, high = min(len(names) + 1, 4), -(-(len(names) + 1) // 4)
    figure = Figure(figsize=(3 * wide, 2.6 * high), layout="constrained")
    panels = figure.subplots(high, wide, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        rows = read_history(folder / f"{name}-run")
        for side, colour in (("training", figures.AFTER), ("validation", figures.ALONE)):
            known = [(row.epoch, losses.total) for row in rows if (losses := getattr(row, side))]
            axes.plot(*zip(*known, strict=True), color=colour, lw=1.3, label=side)
        axes.set(xlabel="epoch", ylabel="loss")
        options = read_run(folder / f"{name}-run").options
        if options.architecture == "avsm":
            axes.axvline(options.affine_part(), color="0.6", lw=1, ls=":")
        axes.set_title(name, fontsize=10)
    panels[0].legend(frameon=False, fontsize=8)
    bars = panels[len(names)]
    results = [json.loads((folder / f"{name}-run" / RESULT).read_text()) for name in names]
    shown = (("before", figures.BEFORE), ("blind", "0.8"), ("best", figures.ALONE))
    for offset, (key, colour) in zip((-0.27, 0.0, 0.27), shown, strict=True):
        heights = [result[key] for result in results]
        bars.bar(np.arange(len(names)) + offset, heights, 0.25, color=colour, label=key)
    bars.set_xticks(range(len(names)), names, fontsize=8, rotation=40, ha="right")
    bars.set_ylabel("pixels")
    bars.set_title("true error, validation", fontsize=10)
    bars.legend(frameon=False, fontsize=8)
    for axes in panels:
        axes.tick_params(labelsize=8)
    for axes in panels[len(names) + 1 :]:
        axes.remove()
    return figures.save(figure, folder / "curves.png")


def train(name: str, folder: Path, count: int | None, epochs: int | None) -> int:
    """Make the pairs, train, and keep what was found."""
    example = EXAMPLES[name]
    source = write(example, folder / f"{name}-pairs", count or example.pairs)
    run = folder / f"{name}-run"
    words = ["train", str(source), "-o", str(run), *shlex.split(example.options)]
    words += ["--epochs", str(epochs or example.epochs)]
    print("napari-voxreg", shlex.join(words), flush=True)
    code = cli.main(words)
    if code:
        return code
    table = source / TABLE if source.is_dir() else source
    rows = read_history(run)
    losses = [row.validation.total for row in rows if row.validation is not None]
    pairs = open_pairs(source)
    result = {
        "training": len(pairs.training),
        "validation": len(pairs.validation),
        "epochs": rows[-1].epoch,
        "minutes": rows[-1].seconds / 60,
        "first loss": losses[0],
        "best loss": min(losses[1:]),
        "before": true_error(table, run, None),
        "blind": blind_error(table, run),
        "best": true_error(table, run, run / BEST),
    }
    (run / RESULT).write_text(json.dumps(result, indent=2) + "\n")
    return 0


def show(folder: Path) -> None:
    """A table of all runs in a folder, and their curves."""
    print("| | pairs (validation) | epochs | minutes | validation loss | true error, pixels | blindly |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in EXAMPLES:
        file = folder / f"{name}-run" / RESULT
        if file.is_file():
            r = json.loads(file.read_text())
            print(
                f"| `{name}` | {r['training']} ({r['validation']}) | {r['epochs']} | {r['minutes']:.1f} "
                f"| {r['first loss']:.4g} -> {r['best loss']:.4g} | {r['before']:.2f} -> {r['best']:.2f} "
                f"| {r['blind']:.2f} |"
            )
    print(draw(folder))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    titles = "; ".join(f"{name}: {example.title}" for name, example in EXAMPLES.items())
    parser.add_argument("name", choices=EXAMPLES, help=titles)
    parser.add_argument("-o", "--output", type=Path, default=Path("examples"), metavar="DIR")
    parser.add_argument("--pairs", type=int, metavar="N", help="how many to make")
    parser.add_argument("--epochs", type=int, metavar="N", help="other than those in the documentation")
    chosen = parser.parse_args()
    code = train(chosen.name, chosen.output, chosen.pairs, chosen.epochs)
    if code == 0:
        show(chosen.output)
    return code


if __name__ == "__main__":
    sys.exit(main())
