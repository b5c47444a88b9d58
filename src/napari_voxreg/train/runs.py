"""The folder of a training run: what is in it, written and read; loads no torch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..core.geometry import Image
from ..io.files import replace_file
from ..io.guards import check_regular, exists, read_json
from ..io.pairs import ROLES, Pair, PairSet, Stored, open_pairs, pack
from .events import Losses, Row
from .options import TrainOptions

OPTIONS, PAIRS, HISTORY = "options.json", "pairs.csv", "history.csv"
BEST, LAST, STATE = "best.safetensors", "last.safetensors", "state.pt"
PACKED = "pairs.h5"
CURVES = "curves.png"
LONGEST = 100_000  # pixels a side of training images
_COLUMNS = ("set", "name", "sha256", *ROLES, "fixed_patient", "moving_patient")


@dataclass(frozen=True)
class RunInfo:
    """A training run on disk.

    Parameters
    ----------
    folder : Path
    options : TrainOptions
    ndim : int
    shape : tuple of int
        Of the training images.
    history : tuple of Row
    best, last : Path or None
        Weights, where there are any yet.
    resumable : bool
        Whether there is a state to resume from.
    """

    folder: Path
    options: TrainOptions
    ndim: int
    shape: tuple[int, ...]
    history: tuple[Row, ...]
    best: Path | None
    last: Path | None
    resumable: bool


@contextmanager
def damaged(file: Path, remedy: str = "start another run") -> Iterator[None]:
    """Whatever a damaged file of a run raises becomes one sentence with its path."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{file} is missing or damaged; {remedy}.") from error


def default_root() -> Path:
    """Where runs are kept unless another folder is chosen."""
    return Path.home() / "napari-voxreg" / "runs"


def list_runs(root: Path | str) -> tuple[RunInfo, ...]:
    """The runs in the folders of a folder, the newest first; what is no run is passed over."""
    root = Path(root)
    found = []
    for file in root.glob(f"*/{OPTIONS}"):
        try:
            found.append((file.stat().st_mtime, read_run(file.parent)))
        except (OSError, ValueError):
            continue
    return tuple(run for _, run in sorted(found, key=lambda item: item[0], reverse=True))


def weights_of_runs(root: Path | str, architectures: Iterable[str] = ()) -> tuple[Path, ...]:
    """The best weights of every run, of some architectures (as cards name them) or of all, newest first."""
    chosen = set(architectures)
    return tuple(
        run.best
        for run in list_runs(root)
        if run.best is not None and (not chosen or _architecture(run.best) in chosen)
    )


def read_run(folder: Path | str) -> RunInfo:
    """What is known of a run.

    Raises
    ------
    ValueError
        If the folder holds none, or its options are damaged.
    """
    folder = Path(folder)
    if not holds_run(folder):
        raise ValueError(f"{folder} holds no training run; choose a folder that train wrote.")
    record = read_json(folder / OPTIONS)
    with damaged(folder / OPTIONS):
        options = TrainOptions.from_dict(record["options"])
        shape = tuple(int(n) for n in record["shape"])
        if not (len(shape) in (2, 3) and all(1 <= n <= LONGEST for n in shape)):
            raise ValueError("no shape of images")
    paths = [file if (file := folder / name).is_file() else None for name in (BEST, LAST)]
    history, resumable = read_history(folder), (folder / STATE).is_file()
    return RunInfo(folder, options, len(shape), shape, history, paths[0], paths[1], resumable)


def in_the_way(folder: Path) -> str:
    """What speaks against a new run in a folder, in a sentence; empty if nothing does."""
    if holds_run(folder):
        return f"{folder} holds a run already; resume it, or choose another folder."
    cards = (str(Path(weights).with_suffix(".json")) for weights in (BEST, LAST))
    for name in (PAIRS, HISTORY, PACKED, CURVES, STATE, BEST, LAST, *cards):
        if (folder / name).exists():
            return f"{folder / name} is of no run and would be replaced; choose another folder."
    return ""


def holds_run(folder: Path) -> bool:
    """Whether a run was begun in a folder."""
    return exists(folder / OPTIONS)


def write_options(folder: Path, options: TrainOptions, shape: tuple[int, ...]) -> None:
    """Write options.json."""
    record = {"options": options.as_dict(), "shape": list(shape)}
    _write(folder / OPTIONS, json.dumps(record, indent=2) + "\n")


def write_history(folder: Path, rows: Sequence[Row]) -> None:
    """Write history.csv; cells are empty where there is no number."""
    table = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(table, list(rows[0].as_dict()), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: "" if v is None else repr(v) for k, v in row.as_dict().items()})
    _write(folder / HISTORY, table.getvalue())


def read_history(folder: Path | str) -> tuple[Row, ...]:
    """The rows of history.csv; none if there is none yet.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    file = Path(folder) / HISTORY
    if not file.is_file():
        return ()
    with damaged(file, "delete it"):
        lines = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
        return tuple(row_from(line) for line in lines)


def row_from(values: Mapping[str, Any]) -> Row:
    """Undo `Row.as_dict`; both text and numbers are accepted."""

    def losses(prefix: str) -> Losses | None:
        total, similarity, smoothness, error = (
            values[f"{prefix}_{name}"] for name in ("total", "similarity", "smoothness", "error")
        )
        if total in ("", None):
            return None
        return Losses(
            float(total), float(similarity), float(smoothness), None if error in ("", None) else float(error)
        )

    return Row(
        int(values["epoch"]), int(values["step"]), losses("train"), losses("val"), float(values["seconds"])
    )


def kept_on_disk(pairs: PairSet, folder: Path) -> PairSet:
    """The pairs with all members in files, so that a run can be resumed: those in memory are packed."""
    members = [getattr(pair, role) for pair in pairs.all for role in ROLES]
    if all(member is None or isinstance(member, Path | Stored) for member in members):
        return pairs
    file = pack(pairs, folder / PACKED)
    found = open_pairs(file)
    if _same(pairs.training, pairs.validation):
        # Nothing could be divided; what the file does not record stays as it was.
        return replace(pairs, training=found.all, validation=found.all)
    return replace(found, notes=(*pairs.notes, *found.notes), names=())


def write_pairs(folder: Path, pairs: PairSet, hashes: Mapping[str, str]) -> None:
    """Write pairs.csv, with the fingerprints of the pairs that were read by now, by name."""
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for where, some in (("train", pairs.training), ("val", pairs.validation)):
        for pair in some:
            members = [_text(getattr(pair, role)) for role in ROLES]
            patients = (pair.fixed_patient or "", pair.moving_patient or "")
            writer.writerow([where, pair.name, hashes.get(pair.name, ""), *members, *patients])
    _write(folder / PAIRS, table.getvalue())


def read_pairs(folder: Path) -> PairSet:
    """Undo `write_pairs`.

    Raises
    ------
    ValueError
        If pairs.csv is missing or damaged.
    """
    file = folder / PAIRS
    with damaged(file):
        check_regular(file)
        with file.open(encoding="utf-8", newline="") as stream:
            lines = list(csv.DictReader(stream))
        sets: dict[str, list[Pair]] = {"train": [], "val": []}
        for line in lines:
            values: dict[str, Any] = {role: _source(line[role]) for role in ROLES}
            values |= {side: line[side] or None for side in ("fixed_patient", "moving_patient")}
            sets[line["set"]].append(Pair(line["name"], **values))
    return PairSet(tuple(sets["train"]), tuple(sets["val"]))


def _same(first: Sequence[Pair], second: Sequence[Pair]) -> bool:
    return [pair.name for pair in first] == [pair.name for pair in second]


def _text(source: Any) -> str:
    """A member that is no image in memory, as text."""
    if source is None:
        return ""
    if isinstance(source, Stored):
        index = "" if source.index is None else f"[{source.index}]"
        return f"{source.file.absolute()}::{source.dataset}{index}"
    assert not isinstance(source, Image)  # kept_on_disk
    return str(Path(source).absolute())


def _source(text: str) -> Path | Stored | None:
    """Undo `_text`."""
    if not text:
        return None
    file, colons, dataset = text.rpartition("::")
    if not (file and colons and dataset):
        return Path(text)
    place, _, index = dataset.removesuffix("]").partition("[")
    return Stored(Path(file), place, int(index) if index else None)


def _architecture(weights: Path) -> str | None:
    """What a card names."""
    try:
        card = read_json(weights.with_suffix(".json"))
    except ValueError:
        return None
    return card.get("architecture") if isinstance(card, dict) else None


def _write(path: Path, text: str) -> None:
    replace_file(path, partial(Path.write_text, data=text, encoding="utf-8", newline=""))
