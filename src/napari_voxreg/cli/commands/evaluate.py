"""`napari-voxreg evaluate`: methods on many pairs; a table, a summary and figures."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ... import figures
from ...core.progress import Cancelled, Progress, subprogress
from ...evaluation import (
    FIELDS,
    TITLE,
    Evaluation,
    Row,
    Table,
    evaluate,
    folder_name,
    markdown,
    summaries,
    text,
    write_fields,
)
from ...io.files import check_outputs, check_replaceable
from ...registration.prepare import method_named
from ...registration.register import DEFAULT_METHOD
from ..options import add_method, add_parameters, add_run_options, add_verbose, parameters, run_options
from ..terminal import progress_bar, write_text
from .pairs import add_source_options, pairs_from

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUMMARY = "summary.md"
RUNNING = 0.95  # of the time; the rest draws figures


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options, with the parameters of the methods that `words` name."""
    parser.usage = "%(prog)s SOURCE [MOVING] -o DIR [-m METHOD ...] [options]"
    add_source_options(parser)
    add = parser.add_argument
    add_method(parser, f"methods to run, one after the other (default {DEFAULT_METHOD})", several=True)
    add("--preset", help="one that all the methods have (default: the first of each)")
    text = "folder for table.csv, summary.md, figures and transforms; pairs in its table are not run again"
    add("-o", "--output", type=Path, required=True, metavar="DIR", help=text)
    add("--only", choices=("training", "validation"), help="only this side of the split (default: both)")
    add("--figures", choices=("png", "svg"), default="png", help="format of the figures (default png)")
    text = "also write each pair's displacement (.npy, .flo), a flow picture and a list of matches"
    add("--fields", action="store_true", help=text)
    add_run_options(parser)
    add_verbose(parser)
    add_parameters(parser, words, several=True)


def run(options: argparse.Namespace) -> None:
    """Run the methods on the pairs and write what came out; what is done when the user cancels is kept.

    Raises
    ------
    ValueError
        With one plain sentence: before anything runs, or if no pair could be evaluated.
    Cancelled
        If the user stopped it.
    """
    pairs = pairs_from(options)
    chosen = getattr(pairs, options.only) if options.only else pairs
    if options.only and not chosen:
        raise ValueError(f"The source holds no pairs for {options.only}; leave --only out.")
    given = _given(options)
    check_outputs(options.output / SUMMARY)
    check_replaceable(options.output / SUMMARY, TITLE)
    rows: list[Row] = []
    done: list[Evaluation] = []
    drawn: list[str] = []
    cancelled = False
    try:
        with progress_bar() as progress:
            for k, (method, params) in enumerate(given.items()):
                start, stop = RUNNING * k / len(given), RUNNING * (k + 1) / len(given)
                found = evaluate(
                    chosen,
                    method=method,
                    preset=options.preset,
                    params=params,
                    **run_options(options),
                    folder=options.output,
                    progress=subprogress(progress, start, stop),
                    arrived=rows.append,
                )
                done.append(found)
            drawn = _figures(done, options, subprogress(progress, RUNNING, 1.0))
    except Cancelled:
        cancelled = True
    names = {pair.name for pair in pairs.all}
    every = summaries([row for row in Table(options.output).rows if row.name in names])
    write_text(options.output / SUMMARY, markdown(every))
    written = ["table.csv", SUMMARY, *drawn]
    notes = dict.fromkeys((*pairs.notes, *(note for found in done for note in found.notes)))
    wrote = f"Wrote {', '.join(written[:-1])} and {written[-1]} to {options.output}."
    said = "\n\n".join(map(text, summaries(rows)))
    # What a summary says already is not repeated.
    print("\n\n".join([said, *(note for note in notes if note not in said), wrote]))
    if cancelled:
        count = sum(not row.failed for row in rows)
        raise Cancelled(
            f"cancelled after {count} evaluated pairs, which are kept; the same command goes on from there"
        )
    if all(row.failed for row in rows):
        raise ValueError(f"No pair could be evaluated; the first: {rows[0].sentence}")


def _given(options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """The methods, each with those of the given parameters that it has."""
    given = parameters(options)
    chosen = {}
    for name in options.method or [DEFAULT_METHOD]:
        method = method_named(name)
        known = {info.name for info in method.params.infos()}
        chosen[name] = {key: value for key, value in given.items() if key in known}
        method.parameters(options.preset, chosen[name])  # refuses what cannot be, before any method runs
    return chosen


def _figures(done: list[Evaluation], options: argparse.Namespace, progress: Progress) -> list[str]:
    """Draw before and after, the best and the worst, and fields if asked; returns the files' names."""
    kinds: dict[str, Callable[[Sequence[Row]], Figure]]
    kinds = {"before-after": figures.before_after, "gallery": figures.gallery}
    written = []
    for k, found in enumerate(done):
        rows = [row for row in found.rows if not row.failed]
        for row in rows if options.fields else ():
            progress(k / len(done), f"writing the field of {row.name}")
            write_fields(row, options.output / FIELDS / folder_name(row))
        for what, draw in kinds.items() if rows else ():
            progress(k / len(done), f"drawing {what}")
            ends = f"-{Path(rows[0].weights).stem}" if rows[0].weights else ""
            name = f"{what}-{rows[0].method}{ends}.{options.figures}"
            figures.save(draw(rows), options.output / name)
            written.append(name)
    return [*written, *([FIELDS] if options.fields else [])]
