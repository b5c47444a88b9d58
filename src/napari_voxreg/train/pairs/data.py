"""Pairs into batches: which, in which order, read by other processes, kept on disk."""

from __future__ import annotations

import hashlib
import math
import queue
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...core.disk import FULL
from ...core.geometry import Grid
from ...io.files import replace_file
from ...io.pairs import Pair, content_hash
from ..options import TrainOptions
from .augment import augmented
from .prepare import LABELS, MASKS, TRUTH, Prepared, prepare

PATIENCE = 0.2  # seconds for the reading thread to end
STORED = 20e9  # bytes of prepared pairs kept on disk at most, and half of the free space
LONGEST_WAIT = 0.1  # seconds between two queries of the user's request
TIMED_OUT = "DataLoader timed out"  # where a batch takes longer than that; it can be asked for again
READERS_ENDED = (
    'The processes that read pairs have ended; in a script, train below `if __name__ == "__main__":`, and '
    "where memory is short, choose fewer workers or 0."
)

SHARED_MEMORY_FULL = (
    "The memory that processes share (/dev/shm on Linux) is full; choose fewer workers or 0, or enlarge it."
)


@dataclass(frozen=True)
class Draw:
    """A pair to be shown: its number among the pairs, and the seed of its changes (none if None)."""

    index: int
    seed: int | None


@dataclass(frozen=True, eq=False)
class Batch:
    """Pairs side by side.

    Parameters
    ----------
    tensors : dict of str to Tensor, shape (B, C, \\*shape)
        Of `Prepared` pairs.
    names : tuple of str
    hashes : dict of int to str
        Of the pairs in it, by their numbers.
    unreadable : dict of int to str
        Why pairs that were to be in it are not, by their numbers.
    notes : dict of int to tuple of str
        What a user should know of the images of the pairs in it, by their numbers.
    """

    tensors: dict[str, Tensor]
    names: tuple[str, ...]
    hashes: dict[int, str]
    unreadable: dict[int, str]
    notes: dict[int, tuple[str, ...]]

    def to(self, device: torch.device) -> Batch:
        """On a device."""
        return replace(self, tensors={name: value.to(device) for name, value in self.tensors.items()})


@dataclass(frozen=True)
class Store:
    """Prepared pairs on disk.

    Parameters
    ----------
    folder : Path
    most : int
        Pairs with numbers from here on are read anew each time, so that the disk is not filled.
    """

    folder: Path
    most: int

    @classmethod
    def within(cls, folder: Path, shape: tuple[int, ...], wanted: frozenset[str]) -> Store:
        """With as many pairs of that shape as may be kept on the disk of the run, two folders up.

        Training and validation share the space.
        """
        pixels = math.prod(shape)
        each = pixels * (4 + 16 * (LABELS in wanted) + 8 * (MASKS in wanted))
        each += pixels * 4 * len(shape) * (TRUTH in wanted)
        space = min(STORED, shutil.disk_usage(folder.parents[1]).free / 2) / 2
        return cls(folder, int(space / each))

    def file(self, index: int) -> Path:
        """Where a pair is kept."""
        return self.folder / f"{index:07d}.npz"

    def remove(self, count: int) -> None:
        """Remove the files of that many pairs, and the folder if nothing else is in it."""
        with suppress(OSError):
            for index in range(min(count, self.most)):
                self.file(index).unlink(missing_ok=True)
            self.folder.rmdir()


class PairData(Dataset[Any]):
    """Prepared pairs by `Draw`; can be sent to other processes.

    A pair that cannot be read is skipped and reported; while training the next one takes its place.

    Parameters
    ----------
    pairs : sequence of Pair
    shape : tuple of int
        Of the training images.
    wanted : frozenset of str
        What is read beside the images.
    options : TrainOptions
        The changes of pairs that are drawn with a seed.
    store : Store, optional
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        shape: tuple[int, ...],
        wanted: frozenset[str],
        options: TrainOptions,
        store: Store | None = None,
    ) -> None:
        self.pairs, self.shape, self.wanted = tuple(pairs), shape, wanted
        self.options, self.store = options, store

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, draw: Draw) -> tuple[int | None, Prepared | None, str, dict[int, str]]:
        """The number of the pair that was read, the pair, its fingerprint, and why others were not read."""
        unreadable: dict[int, str] = {}
        for k in range(len(self.pairs) if draw.seed is not None else 1):
            index = (draw.index + k) % len(self.pairs)
            try:
                found, fingerprint = self.load(index)
            except (ValueError, OSError, MemoryError) as error:
                unreadable[index] = str(error) or type(error).__name__
                continue
            if draw.seed is not None and self.options.augmented:
                generator = torch.Generator().manual_seed(draw.seed)
                found = replace(found, tensors=augmented(found.tensors, self.options, generator))
            return index, found, fingerprint, unreadable
        return None, None, "", unreadable

    def forget(self) -> None:
        """Remove the pairs that were kept on disk, and nothing else."""
        if self.store is not None:
            self.store.remove(len(self.pairs))

    def load(self, index: int) -> tuple[Prepared, str]:
        """A pair and its fingerprint, from the store if it is there.

        Raises
        ------
        ValueError
            If it cannot be read.
        """
        pair = self.pairs[index]
        kept = None
        if self.store is not None and index < self.store.most:
            kept = self.store.file(index)
            if (known := _stored(kept)) is not None:
                return known
        found = prepare(pair, self.shape, self.wanted)
        fingerprint = content_hash(pair)
        if kept is not None:
            _store(kept, found, fingerprint)
        return found, fingerprint


def _store(path: Path, found: Prepared, fingerprint: str) -> None:
    """Keep a pair; on a full disk it is read anew the next time."""
    arrays: dict[str, Any] = {name: value.numpy() for name, value in found.tensors.items()}
    for side in ("fixed", "moving"):
        arrays[side] = arrays[side].astype(np.float16)
    arrays |= {"_name": found.name, "_sha256": fingerprint, "_notes": np.array(found.notes, str)}
    arrays |= {"_units": found.grid.units, "_affine": found.grid.affine}
    try:
        replace_file(path, partial(np.savez, **arrays))
    except OSError:
        return


def _stored(path: Path) -> tuple[Prepared, str] | None:
    """Undo `_store`; None if there is nothing that can be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            values = dict(file)
        words = {name: values.pop(f"_{name}") for name in ("name", "sha256", "notes", "units", "affine")}
        tensors = {name: torch.from_numpy(value) for name, value in values.items()}
        tensors |= {side: tensors[side].float() for side in ("fixed", "moving")}
        shape = tuple(tensors["fixed"].shape[1:])
        grid = Grid(shape, words["affine"], tuple(words["units"].tolist()))
    except Exception:  # noqa: BLE001 (NumPy fails in many ways on a damaged file, which is made anew)
        return None
    notes = tuple(words["notes"].tolist())
    return Prepared(str(words["name"]), grid, tensors, notes), str(words["sha256"])


def together(items: Sequence[tuple[int | None, Prepared | None, str, dict[int, str]]]) -> Batch:
    """Items of `PairData` as one batch, empty if none could be read."""
    read = [(index, found, sha) for index, found, sha, _ in items if found is not None and index is not None]
    unreadable = {k: why for *_, left in items for k, why in left.items()}
    names = read[0][1].tensors if read else ()
    tensors = {name: torch.stack([found.tensors[name] for _, found, _ in read]) for name in names}
    hashes, notes = {k: sha for k, _, sha in read}, {k: found.notes for k, found, _ in read}
    return Batch(tensors, tuple(found.name for _, found, _ in read), hashes, unreadable, notes)


@dataclass(frozen=True)
class Plan:
    """Which pairs are in which step: a function of the seed alone, so that it needs no memory to go on.

    Parameters
    ----------
    pairs : int
        How many there are.
    batch : int
        Pairs a step, over all processes.
    steps : int
        Steps an epoch; 0 takes all pairs once.
    seed : int
    processes, rank : int
        How many processes share each step, and which of them this is.
    """

    pairs: int
    batch: int
    steps: int
    seed: int
    processes: int = 1
    rank: int = 0

    @property
    def together(self) -> int:
        """Pairs a step that there really are; as many for each process."""
        return max(min(self.batch, self.pairs // self.processes * self.processes), self.processes)

    @property
    def length(self) -> int:
        """Steps an epoch."""
        return self.steps or -(-self.pairs // self.together)

    def epoch(self, number: int, first: int = 0) -> Iterator[list[Draw]]:
        """The steps of an epoch, from one on.

        Every pair once before any a second time; the last step of an epoch is filled up from the next pass.
        """
        order: list[int] = []
        for k in range(-(-self.length * self.together // self.pairs)):
            generator = torch.Generator().manual_seed(seed_of(self.seed, "order", number, k))
            order += torch.randperm(self.pairs, generator=generator).tolist()
        for step in range(first, self.length):
            places = range(step * self.together + self.rank, (step + 1) * self.together, self.processes)
            yield [Draw(order[p], seed_of(self.seed, "pair", number, p)) for p in places]


def seed_of(*parts: object) -> int:
    """A number that differs whenever a part does."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7], "big")


def in_order(count: int, batch: int) -> list[list[Draw]]:
    """All pairs once, unchanged, for validation."""
    return [[Draw(k, None) for k in range(n, min(n + batch, count))] for n in range(0, count, batch)]


class Feed:
    """Batches that are read while others are worked on; to be closed.

    While waiting for one, the user's request is queried ten times a second, however long reading takes.

    Parameters
    ----------
    data : PairData
    draws : iterable of list of Draw
    workers : int
        Processes that read; 0 reads in a thread of this one.
    check : callable
        Called while waiting; whatever it raises ends the wait.
    """

    def __init__(
        self, data: PairData, draws: Iterable[list[Draw]], workers: int, check: Callable[[], None]
    ) -> None:
        self._others = set(active_children())
        self._loader = DataLoader(
            data,
            batch_sampler=draws,
            collate_fn=together,
            num_workers=workers,
            multiprocessing_context="spawn" if workers else None,
            worker_init_fn=_deaf if workers else None,
            timeout=LONGEST_WAIT if workers else 0,
        )
        self._check = check
        self._queue: queue.Queue[Batch | Exception | None] = queue.Queue(maxsize=1)
        self._closed = threading.Event()
        # Not a daemon: Python aborts if it ends while torch still waits for a reader in it.
        self._thread = threading.Thread(target=self._read, name="napari-voxreg-feed")
        self._thread.start()

    def __iter__(self) -> Iterator[Batch]:
        while (batch := self._next()) is not None:
            if isinstance(batch, Exception):
                raise batch
            yield batch

    def close(self) -> None:
        """Stop reading; what takes longer than a moment is finished in the background."""
        self._closed.set()
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            # Readers that are still starting: torch waits for them, and this process at its end for torch.
            for reader in set(active_children()) - self._others:
                reader.terminate()

    def _next(self) -> Batch | Exception | None:
        while True:
            try:
                return self._queue.get(timeout=LONGEST_WAIT)
            except queue.Empty:
                self._check()

    def _read(self) -> None:
        try:
            batches = iter(self._loader)
            while not self._closed.is_set():
                try:
                    batch = next(batches, None)
                except RuntimeError as error:
                    if str(error).startswith(TIMED_OUT):
                        continue
                    raise
                if not self._put(batch) or batch is None:
                    return
        except Exception as error:  # noqa: BLE001 (it is raised where batches are taken)
            self._put(explained(error))

    def _put(self, batch: Batch | Exception | None) -> bool:
        """Hand on; False once nobody waits any more."""
        while not self._closed.is_set():
            try:
                self._queue.put(batch, timeout=LONGEST_WAIT)
                return True
            except queue.Full:
                continue
        return False


def explained(error: Exception) -> Exception:
    """An error of the reading processes as one sentence; any other as it is."""
    if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
        return ValueError(READERS_ENDED)
    if isinstance(error, OSError) and error.errno in FULL:
        return ValueError(SHARED_MEMORY_FULL)
    return error


def _deaf(worker: int) -> None:
    """Ctrl-C in the terminal is the training process's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
