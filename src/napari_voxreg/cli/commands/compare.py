"""`napari-voxreg compare`: several methods on one pair, as a table."""

from __future__ import annotations

import argparse
import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from ...core.progress import Cancelled
from ...io.files import check_inputs_kept, check_outputs, check_replaceable
from ...io.images import read_image
from ...io.series import time_point
from ...methods import METHODS
from ...registration.compare import BEFORE, Row, best, columns, compare, remarks
from ...registration.result import check_folder
from ..options import add_method, add_pair_options, add_verbose, pair_files, pair_inputs
from ..terminal import markdown_table, progress_bar, text_table, write_text

WORDS = 2  # columns before the numbers begin
HEAD = ("method", "verdict")  # of these columns
TABLE, PAGE = "table.csv", "table.md"


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options."""
    parser.usage = "%(prog)s FIXED MOVING [-m METHOD ...] [-o DIR] [options]"
    add_pair_options(parser)
    text = "methods to run, each with its first preset (default: one of each kind that suits the images)"
    add_method(parser, text, several=True)
    text = "folder for the table (table.csv, table.md) and a folder for each transform"
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help=text)
    add_verbose(parser)


def run(options: argparse.Namespace) -> None:
    """Run the methods and print the table; what is done when the user cancels is kept."""
    if options.output is not None:
        files = [options.output / name for name in (TABLE, PAGE)]
        check_outputs(*files, options.output / "method" / "transform.h5")
        check_inputs_kept(pair_files(options), files)
        for name in METHODS:
            check_folder(options.output / name)
        check_replaceable(files[0], ",".join(HEAD))
        check_replaceable(files[1], f"| {HEAD[0]} | {HEAD[1]} |")
    images = (time_point(read_image(path)) for path in (options.fixed, options.moving))
    inputs = pair_inputs(options, *images)
    rows: list[Row] = []
    cancelled = False
    try:
        with progress_bar() as progress:
            compare(methods=options.method, progress=progress, arrived=rows.append, **inputs)
    except Cancelled:
        cancelled = True
    done = [row for row in rows if row.method != BEFORE]
    if done:
        print(table(rows))
    if done and options.output is not None:
        _write(rows, options.output)
        print(f"\nWrote {TABLE}, {PAGE} and a folder for each transform to {options.output}.")
    if cancelled:
        raise Cancelled(f"cancelled; {len(done)} of the methods were finished" if done else "")


def _write(rows: Sequence[Row], folder: Path) -> None:
    """The transforms and the table."""
    for row in rows:
        if row.result is not None:
            row.result.save(folder / row.method)
    write_text(folder / TABLE, comma_separated(rows))
    write_text(folder / PAGE, markdown(rows))


def cells(rows: Sequence[Row]) -> list[list[str]]:
    """The table as text, headings first: method, verdict and the columns; the best method has a star."""
    chosen, top = columns(rows), best(rows)
    head = [*HEAD, *(column.title for column in chosen)]
    lines = [
        [
            f"{row.method} *" if row is top else row.method,
            row.outcome,
            *(column.text(row) for column in chosen),
        ]
        for row in rows
    ]
    return [head, *lines]


def table(rows: Sequence[Row]) -> str:
    """The table in aligned columns, and what it does not say."""
    return "\n".join([text_table(cells(rows), WORDS), "", *remarks(rows)])


def markdown(rows: Sequence[Row]) -> str:
    """The table in Markdown, and what it does not say."""
    return "\n".join([markdown_table(cells(rows), WORDS), *(f"{remark}\n" for remark in remarks(rows))])


def comma_separated(rows: Sequence[Row]) -> str:
    """The table with all digits, as CSV; empty where there is no number."""
    chosen, top = columns(rows), best(rows)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*HEAD, "best", *(column.title for column in chosen), "failure"])
    for row in rows:
        numbers = [
            "" if (value := column.value(row)) is None or math.isnan(value) else value for column in chosen
        ]
        writer.writerow([row.method, row.outcome, int(row is top), *numbers, row.failure])
    return file.getvalue()
