"""The files that a series and a cohort write beside their transforms."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from ..io.files import replace_file


def write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a table, the file whole or not at all."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    replace_file(path, partial(Path.write_text, data=text.getvalue(), encoding="utf-8", newline=""))


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, the file whole or not at all."""
    replace_file(
        path, partial(Path.write_text, data=json.dumps(record, indent=1), encoding="utf-8", newline="")
    )
