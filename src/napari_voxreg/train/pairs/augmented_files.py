"""Augmented pairs as files, for a look at them or for other programs."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...core.geometry import Grid, Image
from ...core.progress import Progress, silent
from ...io.files import check_outputs, replace_file
from ...io.guards import user_path
from ...io.images import write_image
from ...io.pairs import Pair, PairSet
from ..options import TrainOptions
from .augment import augmented
from .data import seed_of
from .networks import first_network
from .prepare import TRUTH, Prepared, members, prepare, training_shape

TABLE = "pairs.csv"
COLUMNS = (
    *("set", "name", "fixed", "moving", "fixed_labels", "moving_labels", "fixed_mask", "moving_mask"),
    *("displacement", "fixed_patient", "moving_patient"),
)


def save_augmented(
    pairs: PairSet,
    options: TrainOptions,
    folder: Path | str,
    copies: int,
    grid: Grid,
    progress: Progress = silent,
) -> Path:
    """Write what training would see: each training pair changed several times, validation pairs unchanged.

    Parameters
    ----------
    pairs : PairSet
    options : TrainOptions
        The changes, the size, the network (which decides the multiples that sides have) and the seed.
    folder : path
        Gets a subfolder for each member of a pair, with a TIFF file (.npy for displacements) for each pair,
        and `TABLE`, which `open_pairs` reads.
    copies : int
        Of each training pair, 1 or more.
    grid : Grid
        Of the first fixed image.
    progress : Progress
        Called before each pair; may raise `Cancelled`.

    Returns
    -------
    Path
        Of the table, which is written last.

    Raises
    ------
    ValueError
        If the folder holds a table already, there is less than one copy, or a pair cannot be read.
    """
    folder = user_path(folder).absolute()
    table = folder / TABLE
    if copies < 1:
        raise ValueError(f"Augmentation makes 1 copy or more of a pair, not {copies}.")
    if table.exists():
        raise ValueError(f"{table} is there already; choose another folder.")
    check_outputs(table)
    shape = training_shape(grid, first_network(options, grid.ndim).stride, options.side(grid.ndim))
    wanted = members(pairs.all)
    jobs: list[tuple[str, Pair, int | None]]
    jobs = [("train", pair, k) for pair in pairs.training for k in range(copies)]
    jobs += [("val", pair, None) for pair in pairs.validation]
    lines = io.StringIO(newline="")
    writer = csv.DictWriter(lines, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for number, (where, pair, copy) in enumerate(jobs):
        progress(number / len(jobs), f"pair {number + 1} of {len(jobs)}, {pair.name}")
        found = prepare(pair, shape, wanted)
        tensors, name = found.tensors, pair.name
        if copy is not None:
            generator = torch.Generator().manual_seed(seed_of(options.seed, "file", pair.name, copy))
            tensors, name = augmented(tensors, options, generator), f"{pair.name}, {copy + 1}"
        files = _write(folder, f"{number:05d}", found, pair, tensors)
        patients = {"fixed_patient": pair.fixed_patient or "", "moving_patient": pair.moving_patient or ""}
        writer.writerow({"set": where, "name": name, **files, **patients})
    replace_file(table, partial(Path.write_text, data=lines.getvalue(), encoding="utf-8", newline=""))
    return table


def _write(
    folder: Path, stem: str, found: Prepared, pair: Pair, tensors: dict[str, Tensor]
) -> dict[str, str]:
    """Write the members that a pair has; their paths relative to the folder, by column."""
    # Both images lie on one grid, whose place and direction in the world no longer matter.
    grid = Grid.from_spacing(found.grid.shape, found.grid.spacing, units=found.grid.units)
    files = {}
    for column, tensor in tensors.items():
        side, _, kind = column.partition("_")
        both = pair.fixed_labels is not None and pair.moving_labels is not None
        if (kind == "labels" and not both) or (column == TRUTH and pair.displacement is None):
            continue
        values = tensor.numpy()
        path = Path(column) / f"{stem}{'.npy' if column == TRUTH else '.tif'}"
        files[column] = path.as_posix()
        if column == TRUTH:
            (folder / column).mkdir(parents=True, exist_ok=True)
            np.save(folder / path, values)
        else:
            plain = {"labels": np.uint16, "mask": np.uint8}.get(kind, np.float32)
            write_image(Image(values[0].astype(plain), grid, side), folder / path)
    return files
