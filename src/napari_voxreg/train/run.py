"""Training on one's own pairs: it can be paused, stopped or killed, and resumed exactly."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..core.disk import FULL, DiskFull
from ..core.geometry import Grid
from ..core.progress import Progress, silent
from ..io.files import check_outputs
from ..io.guards import user_path
from ..io.pairs import Pair, PairSet, read_pair
from . import runs
from .distributed import Processes, SingleProcess
from .events import Control, Ended, Example, Preparing, Report
from .lock import ENDING, locked
from .options import TrainOptions
from .pairs import augmented_files
from .pairs.augment import augmented
from .pairs.networks import first_network, same_network
from .pairs.prepare import prepare, training_shape
from .pairs.session import Session, go, quiet
from .state import Place, place_from, read_state

log = logging.getLogger(__name__)


def train_pairs(
    pairs: PairSet,
    options: TrainOptions,
    folder: Path | str,
    *,
    report: Report = quiet,
    control: Control = go,
    processes: Processes | None = None,
) -> Ended:
    """Train a network on pairs.

    Parameters
    ----------
    pairs : PairSet
        From `io.pairs.open_pairs`.
    options : TrainOptions
    folder : path
        Made if need be. Gets options.json, pairs.csv, history.csv, TensorBoard events, the weights of the
        last and of the best epoch with their cards, and state.pt to resume from.
    report : callable
        Gets the events of `train.events`, in this thread.
    control : callable
        Returns "go", "pause" or "stop"; called between steps and, while waiting, ten times a second.
    processes : Processes, optional
        That train together; by default this one alone.

    Returns
    -------
    Ended
        The last event, too.

    Raises
    ------
    ValueError
        If the folder cannot be written, holds a run or files of such names, or another training is on in it.
        If no pair can be read, the weights do not fit, or the loss needs what the pairs lack. If the device
        is absent or its memory too small.
    OSError
        If the disk is full, or the folder cannot be written; what was saved before stays.
    """
    folder, options = user_path(folder).absolute(), options.settled(pairs.known)
    processes = processes or SingleProcess()
    check_outputs(folder / runs.OPTIONS)
    if not pairs.training:
        raise ValueError("There are no pairs to train on; choose a smaller fraction for validation.")
    processes.device(options.device)  # refuses an absent one before anything is written
    if processes.rank == 0:
        report(Preparing("reading the first pair"))
    grid, ndim = _first_grid(pairs.training)
    net = first_network(options, ndim)
    shape = training_shape(grid, net.stride, options.side(ndim))
    counts = len(pairs.training), len(pairs.validation)
    log.info("training on %d pairs (%d for validation) in %s: %s", *counts, folder, options.as_dict())
    with full_disk_reported(folder), locked(folder, processes, 0.0):
        # Queried by the first process, before it writes anything.
        reason = runs.in_the_way(folder)
        if processes.agree("stop" if reason else "go") == "stop":
            raise ValueError(reason or f"{folder} cannot hold a new run; choose another folder.")
        if processes.rank == 0:
            pairs = runs.kept_on_disk(pairs, folder)
            runs.write_pairs(folder, pairs, {})
            runs.write_options(folder, options, shape)
        return Session(folder, pairs, options, shape, net, Place(), processes, report, control).run(None)


def resume(
    folder: Path | str,
    *,
    report: Report = quiet,
    control: Control = go,
    processes: Processes | None = None,
    **changes: Any,
) -> Ended:
    """Go on with a run that was stopped or killed, with the same curve as if it had not been.

    Parameters
    ----------
    folder : path
        Of the run.
    report, control, processes
        As for `train_pairs`.
    **changes
        Other values of the options named in `options.LATER`.

    Returns
    -------
    Ended

    Raises
    ------
    ValueError
        If the folder holds no run, it is damaged, or another training is on in it and does not end within
        ten seconds; else as `train_pairs`.
    OSError
        As `train_pairs`.
    """
    folder, processes = user_path(folder).absolute(), processes or SingleProcess()
    runs.read_run(folder)  # refuses what is none
    with full_disk_reported(folder), locked(folder, processes, ENDING):
        info = runs.read_run(folder)  # as the last training has left it
        options, pairs = info.options.changed(**changes), runs.read_pairs(folder)
        processes.device(options.device)  # refuses an absent one before anything is written
        state = read_state(folder / runs.STATE) if info.resumable else None
        if state is None:
            net, place = first_network(options, info.ndim), Place()
        else:
            with runs.damaged(folder / runs.STATE, f"start another run from {folder}'s weights"):
                net, place = same_network(options, state), place_from(state)
        if processes.rank == 0:
            runs.write_options(folder, options, info.shape)
        return Session(folder, pairs, options, info.shape, net, place, processes, report, control).run(state)


def preview(options: TrainOptions, pair: Pair, seed: int = 0) -> tuple[Example, Example]:
    """A pair as training uses it, unchanged and as the options change it, to show the user.

    Both come with no displacement; `warped` is the moving image.

    Raises
    ------
    ValueError
        If the pair cannot be read or the weights cannot be used.
    """
    grid, ndim = _first_grid([pair])
    shape = training_shape(grid, first_network(options, ndim).stride, options.side(ndim))
    plain = prepare(pair, shape, frozenset())
    generator = torch.Generator().manual_seed(seed)
    other = augmented(plain.tensors, options, generator) if options.augmented else plain.tensors
    still = torch.zeros(ndim, *shape).numpy()
    shown = []
    for tensors in (plain.tensors, other):
        fixed, moving = (tensors[side][0].numpy() for side in ("fixed", "moving"))
        shown.append(Example(0, pair.name, plain.grid, fixed, moving, moving, still))
    return shown[0], shown[1]


def save_augmented(
    pairs: PairSet, options: TrainOptions, folder: Path | str, copies: int = 1, progress: Progress = silent
) -> Path:
    """Write pairs as training sees them, changed at random, as files; see `pairs.augmented_files`.

    Raises
    ------
    ValueError
        If no pair can be read, or files of such a name are in the folder.
    """
    grid, _ = _first_grid(pairs.training)
    return augmented_files.save_augmented(pairs, options, folder, copies, grid, progress)


def _first_grid(pairs: Iterable[Pair]) -> tuple[Grid, int]:
    """The grid of the first fixed image that can be read, and its number of axes."""
    why, count = "", 0
    for pair in pairs:
        count += 1
        try:
            grid = read_pair(pair).fixed.grid
        except (ValueError, OSError) as error:
            why = why or str(error)
            continue
        return grid, grid.ndim
    which = "The pair" if count == 1 else f"None of the {count} training pairs"
    raise ValueError(f"{which} cannot be read; the error of the first one: {why}")


@contextmanager
def full_disk_reported(folder: Path) -> Iterator[None]:
    """Replace the error of a full disk by one sentence."""
    try:
        yield
    except OSError as error:
        full = str(folder) in str(error) if isinstance(error, DiskFull) else error.errno in FULL
        if not full:  # or the disk of another folder is
            raise
        raise DiskFull(
            f"The disk of {folder} is full; what was saved before is intact; free space and resume the run."
        ) from error
