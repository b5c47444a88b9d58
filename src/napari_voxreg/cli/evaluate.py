"""The command line's evaluation: `napari-voxreg evaluate`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.progress import Cancelled, subprogress
from .options import add_run_options, parameters, run_options
from .pairs import add_source_options, pairs_from

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..core.progress import Progress
    from ..evaluation import Evaluation, Row

SUMMARY = "summary.md"


@dataclass(frozen=True)
class Report:
    """What the command has to say.

    Parameters
    ----------
    text : str
        For the terminal.
    stopped : Exception or None
        Why it ended before its time, or that nothing could be evaluated.
    """

    text: str
    stopped: Exception | None = None


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """The options; those of the methods' parameters come after them."""
    from ..registration.register import DEFAULT_METHOD

    add_source_options(parser)
    add = parser.add_argument
    text = f"methods to run, one after the other (default {DEFAULT_METHOD})"
    add("-m", "--method", nargs="+", metavar="METHOD", default=[DEFAULT_METHOD], help=text)
    add("--preset", help="one that all the methods have (default: the first of each)")
    text = "table.csv, summary, figures and transforms; pairs that are in its table are not run again"
    add("-o", "--output", type=Path, required=True, metavar="DIR", help=text)
    add("--only", choices=("training", "validation"), help="only this side of the split (default both)")
    add("--figures", choices=("png", "svg"), default="png", help="their format (default png)")
    add_run_options(parser)


def evaluate_pairs(options: argparse.Namespace, progress: Progress) -> Report:
    """Run the methods on the pairs and write what came out.

    Raises
    ------
    ValueError
        With one plain sentence, before anything runs.
    """
    from ..evaluation import Table, evaluate, markdown, summaries, text
    from ..io.files import replace_file

    pairs = pairs_from(options)
    chosen = getattr(pairs, options.only) if options.only else pairs
    if options.only and not chosen:
        raise ValueError(f"The source holds no pairs for {options.only}; leave --only out.")
    names = {pair.name for pair in pairs.all}
    given = _given(options)
    rows: list[Row] = []
    done: list[Evaluation] = []
    stopped: Exception | None = None
    try:
        for k, (method, params) in enumerate(given.items()):
            found = evaluate(
                chosen,
                method=method,
                preset=options.preset,
                params=params,
                **run_options(options),
                folder=options.output,
                progress=subprogress(progress, 0.95 * k / len(given), 0.95 * (k + 1) / len(given)),
                arrived=rows.append,
            )
            done.append(found)
        pictures = _figures(done, options, subprogress(progress, 0.95, 1.0))
    except Cancelled:
        pictures = []
        count = sum(not row.failed for row in rows)
        stopped = Cancelled(
            f"cancelled after {count} evaluated pairs, which are kept; the same command goes on from there"
        )
    every = summaries([row for row in Table(options.output).rows if row.name in names])
    page = partial(Path.write_text, data=markdown(every), encoding="utf-8")
    replace_file(options.output / SUMMARY, page)
    written = ["table.csv", SUMMARY, *pictures]
    notes = dict.fromkeys((*pairs.notes, *(note for found in done for note in found.notes)))
    blocks = [*map(text, summaries(rows)), *notes]
    blocks.append(f"Wrote {', '.join(written[:-1])} and {written[-1]} to {options.output}.")
    if stopped is None and all(row.failed for row in rows):
        stopped = ValueError(f"No pair could be evaluated; the first: {rows[0].sentence}")
    return Report("\n\n".join(blocks), stopped)


def _given(options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """The methods, each with those of the given parameters that it has."""
    from ..registration.prepare import method_named

    given = parameters(options)
    chosen = {}
    for name in options.method:
        method = method_named(name)
        known = {info.name for info in method.params.infos()}
        chosen[name] = {key: value for key, value in given.items() if key in known}
        method.parameters(options.preset, chosen[name])  # refuses what cannot be, before any method runs
    return chosen


def _figures(done: list[Evaluation], options: argparse.Namespace, progress: Progress) -> list[str]:
    """Draw before and after, and the best and the worst, of each method; returns the files' names."""
    from .. import figures

    kinds: dict[str, Callable[[Sequence[Row]], Figure]]
    kinds = {"before-after": figures.before_after, "gallery": figures.gallery}
    written = []
    for k, found in enumerate(done):
        rows = [row for row in found.rows if not row.failed]
        for what, draw in kinds.items() if rows else ():
            progress(k / len(done), f"drawing {what}")
            ends = f"-{Path(rows[0].weights).stem}" if rows[0].weights else ""
            name = f"{what}-{rows[0].method}{ends}.{options.figures}"
            figures.save(draw(rows), options.output / name)
            written.append(name)
    return written
