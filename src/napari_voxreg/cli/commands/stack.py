"""`napari-voxreg stack`: the frames of a movie or a stack, aligned to each other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from ... import figures
from ...core.progress import subprogress
from ..options import (
    add_declared,
    add_method,
    add_parameters,
    add_run_options,
    add_verbose,
    parameters,
    run_options,
)
from ..terminal import progress_bar

WARPED = 0.85  # of the time until the motion is known


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options, those of the series from their declaration."""
    from ...cohort.series import CURVES, SeriesOptions

    parser.usage = "%(prog)s SERIES [SERIES ...] -o DIR [options]"
    add = parser.add_argument
    text = (
        "a movie or a stack in one file, the files of its frames in their order, or a folder with them; "
        "numbers in names count by their value"
    )
    add("series", type=Path, nargs="+", metavar="SERIES", help=text)
    text = f"folder for series.json, series.csv, {CURVES} and the aligned images"
    add("-o", "--output", type=Path, required=True, metavar="DIR", help=text)
    text = "array axis along which the frames of one file follow each other, from 0 (default 0)"
    add("--axis", type=int, metavar="N", help=text)
    add("--no-images", action="store_true", help="write the motion only, no aligned images")
    text = "threads (default: one for each core); the result does not depend on it"
    add("--workers", type=int, metavar="N", help=text)
    add_method(parser, "a method to run on each frame after the linear motion, such as diffeo (default none)")
    add_run_options(parser)
    add_verbose(parser)
    add_declared(parser, "the series", SeriesOptions.infos())
    add_parameters(parser, words, default=None)


def run(options: argparse.Namespace) -> None:
    """Align the series, write the motion and the images, and print what was found.

    Raises
    ------
    ValueError
        With one plain sentence, before any work where that can be known.
    Cancelled
        If the user stopped it.
    """
    from ...cohort.series import (
        CURVES,
        SeriesOptions,
        aligned_files,
        check_places,
        frames_of,
        register_series,
        write_aligned,
    )

    given = parameters(options)
    own = {field.name for field in fields(SeriesOptions)}
    chosen = SeriesOptions.from_dict({name: value for name, value in given.items() if name in own})
    rest = {name: value for name, value in given.items() if name not in own}
    series = options.series[0] if len(options.series) == 1 else options.series
    frames = frames_of(series, options.axis)
    folder: Path = options.output
    outputs = [] if options.no_images else aligned_files(frames, folder)
    check_places(frames, folder, outputs)
    with progress_bar() as progress:
        result = register_series(
            frames,
            options=chosen,
            method=options.method,
            params=rest,
            workers=options.workers,
            progress=subprogress(progress, 0.0, WARPED),
            **run_options(options),
        )
        result.save(folder)
        figures.save(figures.motion(result), folder / CURVES)
        if outputs:
            write_aligned(result, frames, folder, subprogress(progress, WARPED, 1.0))
    print("\n".join([result.sentence, *result.notes, f"Wrote the motion to {folder}."]))
