"""The table on disk: written whole after each pair, read again to go on where it stopped."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from filelock import FileLock

from ..core.params import Params
from ..io.files import check_outputs, replace_file
from ..io.guards import check_regular, reading
from ..io.pairs import Pair
from ..registration.result import Result
from .rows import COLUMNS, MEASURES, Row

TABLE, TRANSFORMS, LOCK = "table.csv", "transforms", ".lock"
_TEXTS = ("name", "method", "weights", "outcome", "sentence")
_PRINTS = ("transform", "content", "settings")
_REJECTED = "prediction_rejected"  # "yes", or empty; tables of earlier versions lack the column
_HEAD = ("pair", *_TEXTS[1:], *(column.key for column in COLUMNS), *_PRINTS, _REJECTED)


class Table:
    """The rows of all evaluations that were written into a folder.

    Parameters
    ----------
    folder : Path
        For ``table.csv`` and the folder ``transforms``; made if it is not there.

    Raises
    ------
    ValueError
        If the folder cannot be written, or holds another kind of ``table.csv``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[Row] = []
        self._state: tuple[int, ...] = ()
        check_outputs(folder / TABLE, folder / TRANSFORMS / "x")
        folder.mkdir(parents=True, exist_ok=True)
        self._refresh()

    def find(self, pair: Pair, content: str, settings: str) -> Row | None:
        """The row of a pair with the same content and settings, if its transform is still there."""
        for row in self.rows:
            same = (row.content, row.settings) == (content, settings)
            if same and isinstance(row.result, Path) and (row.result / "transform.h5").is_file():
                return replace(row, pair=pair)
        return None

    def save(self, row: Row) -> Row:
        """Save a row's transform and write the table with it; what it holds instead of the result is a path.

        A row of the same pair and settings is replaced. What other evaluations wrote into the folder since
        it was read, perhaps at the same time, is kept.
        """
        # The system frees the lock of a process that ends, however it ends.
        with FileLock(self.folder / LOCK):
            self._refresh()
            if isinstance(row.result, Result):
                folder = self.folder / TRANSFORMS / folder_name(row)
                row.result.save(folder)
                row = replace(row, result=folder)
            same = (row.name, row.settings)
            self.rows = [*(other for other in self.rows if (other.name, other.settings) != same), row]
            path = self.folder / TABLE
            replace_file(path, partial(Path.write_text, data=self.text(), encoding="utf-8", newline=""))
            self._state = _state_of(path)
        return row

    def _refresh(self) -> None:
        """Read the table if it is another than the one read or written last."""
        path = self.folder / TABLE
        if not path.exists() or (state := _state_of(path)) == self._state:
            return
        check_regular(path)
        with (
            reading(path, "it is no table of evaluations; choose another folder"),
            path.open(newline="", encoding="utf-8") as file,
        ):
            reader = csv.DictReader(file)
            if reader.fieldnames is None or set(_HEAD) - {_REJECTED} - set(reader.fieldnames):
                raise ValueError(f"{path} is no table of evaluations; choose another folder.")
            self.rows = [self._row(cells) for cells in reader]
        self._state = state

    def text(self) -> str:
        """The table as CSV: all digits, empty where there is no number."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEAD)
        writer.writerows(self._cells(row) for row in self.rows)
        return file.getvalue()

    def _cells(self, row: Row) -> list[str]:
        numbers = (column.value(row) for column in COLUMNS)
        place = row.result.relative_to(self.folder).as_posix() if isinstance(row.result, Path) else ""
        return [
            *(str(getattr(row, key)) for key in _TEXTS),
            *("" if math.isnan(number) else repr(float(number)) for number in numbers),
            place,
            row.content,
            row.settings,
            "yes" if row.rejected else "",
        ]

    def _row(self, cells: dict[str, str]) -> Row:
        def number(key: str) -> float:
            return float(cells[key]) if cells[key] else math.nan

        def side(which: str) -> dict[str, float]:
            return {m.key: number(f"{m.key}_{which}") for m in MEASURES if cells[f"{m.key}_{which}"]}

        return Row(
            name=cells["pair"],
            method=cells["method"],
            weights=cells["weights"],
            content=cells["content"],
            settings=cells["settings"],
            outcome=cells["outcome"],
            sentence=cells["sentence"],
            before=side("before"),
            after=side("after"),
            interpolated=number("ssim_interpolated"),
            overlap=number("overlap_percent"),
            folding=number("folds_percent"),
            seconds=number("seconds"),
            result=self.folder / cells["transform"] if cells["transform"] else None,
            rejected=cells.get(_REJECTED) == "yes",
        )


def settings_digest(method: str, params: Params, channel: int | str | None, seed: int, device: str) -> str:
    """The fingerprint of all that decides what a method finds; files count by what is in them.

    Raises
    ------
    ValueError
        If a file of the parameters is missing.
    """
    values = {
        **params.as_dict(),
        **{
            info.name: [_file_digest(path) for path in _paths(params, info.name)]
            for info in params.infos()
            if info.kind in (Path, tuple)
        },
    }
    settings = {"method": method, "params": values, "channel": channel, "seed": seed, "device": device}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _state_of(path: Path) -> tuple[int, ...]:
    """What changes whenever a file is written anew."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _paths(params: Params, name: str) -> Sequence[Path]:
    value = getattr(params, name)
    return () if value is None else value if isinstance(value, tuple) else (value,)


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{path} cannot be read; check the path.") from error


def folder_name(row: Row) -> str:
    """A readable name that no other pair or setting has."""
    plain = re.sub(r"[^\w.-]+", "_", row.name)[:60]
    return f"{plain}-{hashlib.sha256(f'{row.name} {row.content} {row.settings}'.encode()).hexdigest()[:10]}"
