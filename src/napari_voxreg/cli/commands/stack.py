"""`napari-voxreg stack`: the frames of a movie or a stack, aligned to each other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ... import figures
from ...core.geometry import short_unit
from ...core.progress import Progress, subprogress
from ...io.files import check_inputs_kept, check_outputs
from ...io.images import WRITTEN, check_format, ending_of, write_image
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

if TYPE_CHECKING:
    from ...cohort.series import Frames, SeriesResult

CURVES = "motion.png"
ALIGNED = "aligned.tif"
WARPED = 0.85  # of the time until the motion is known


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options, those of the series from their declaration."""
    from ...cohort.series import SeriesOptions

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
    scout = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_method(scout, "")
    if scout.parse_known_args(list(words))[0].method is not None:
        add_parameters(parser, words)


def run(options: argparse.Namespace) -> None:
    """Align the series, write the motion and the images, and print what was found.

    Raises
    ------
    ValueError
        With one plain sentence, before any work where that can be known.
    Cancelled
        If the user stopped it.
    """
    from ...cohort.series import SeriesOptions, frames_of, register_series

    given = parameters(options)
    own = {field.name for field in fields(SeriesOptions)}
    chosen = SeriesOptions.from_dict({name: value for name, value in given.items() if name in own})
    rest = {name: value for name, value in given.items() if name not in own}
    series = options.series[0] if len(options.series) == 1 else options.series
    frames = frames_of(series, options.axis)
    folder: Path = options.output
    outputs = [] if options.no_images else _outputs(frames, folder)
    check_outputs(*(folder / name for name in ("series.json", "series.csv", CURVES)), *outputs)
    check_inputs_kept(
        options.series, [folder / "series.json", folder / "series.csv", folder / CURVES, *outputs]
    )
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
        _write(result, frames, outputs, subprogress(progress, WARPED, 1.0))
    print("\n".join(_summary(result, folder)))


def _outputs(frames: Frames, folder: Path) -> list[Path]:
    """One image for all frames, or one for each where each has a file."""
    if not frames.names:
        return [folder / ALIGNED]
    return [
        folder / "aligned" / (name if ending_of(Path(name)) in WRITTEN else f"{name}.tif")
        for name in map(str, frames.names)
    ]


def _write(result: SeriesResult, frames: Frames, outputs: Sequence[Path], progress: Progress) -> None:
    """Warp and write the images."""
    if len(outputs) == 1:
        progress(0.0, f"writing {outputs[0].name}")
        image = result.lazy(frames)
        write_image(image.with_data(np.asarray(image.data)), outputs[0])
        return
    for k, path in enumerate(outputs):
        progress(k / len(outputs), f"writing {path.name}")
        image = result.warp(frames.read(k), k)
        if k == 0:
            check_format(image, path)
        write_image(image, path)


def _summary(result: SeriesResult, folder: Path) -> list[str]:
    """What was found, in a few lines."""
    moved = np.linalg.norm(result.translations - np.median(result.translations, axis=0), axis=1)
    unit = short_unit(result.grid.units[0])
    turned = np.abs(result.rotations - np.median(result.rotations, axis=0)).max()
    lines = [
        f"{len(result)} frames aligned in {result.seconds:.1f} s: they move by {np.median(moved):.3g} {unit} "
        f"(median), {moved.max():.3g} {unit} at most, and rotate by up to {turned:.2g} degrees.",
        *result.notes,
    ]
    return [*lines, f"Wrote the motion to {folder}."]
