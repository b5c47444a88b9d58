"""`napari-voxreg apply`: saved transforms on one more image, points, or a folder of files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ...core.geometry import Grid
from ...io.files import check_inputs_kept
from ...io.guards import check_regular
from ...io.images import WRITTEN, ending_of, read_image
from ...io.points import ENDINGS, holds_points, points_ending
from ...io.transforms import source_files
from ...registration.apply_files import ApplyOptions, apply_to_file, apply_to_folder
from ...registration.pair_transform import PairTransform, open_transform
from ...transforms import INTERPOLATIONS
from ..options import add_background, add_images_of_transform, add_verbose, background
from ..terminal import progress_bar


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options."""
    parser.usage = "%(prog)s TRANSFORM [TRANSFORM ...] INPUT -o OUTPUT [options]"
    add = parser.add_argument
    text = (
        "a folder that register wrote, its transform.h5, a transform file of another program (see "
        "docs/exchange.md), or the beginning of the names of ANTs' files; several are composed, the one on "
        "whose fixed image the result lies first, as for antsApplyTransforms"
    )
    add("transform", type=Path, nargs="+", metavar="TRANSFORM", help=text)
    text = (
        "in the world of the moving image: an image, points (.csv, .tsv, elastix .txt, Slicer .fcsv or "
        ".mrk.json) in the units of the fixed image unless they have their own, or a folder with such files"
    )
    add("input", type=Path, metavar="INPUT", help=text)
    text = "the warped image or the points; for a folder, another folder, with files of the same names"
    add("-o", "--output", type=Path, required=True, metavar="OUTPUT", help=text)
    text = "apply the inverse: from the world of the fixed image to that of the moving one"
    add("--inverse", action="store_true", help=text)
    text = (
        "where a warped image lies: fixed, moving, or a file whose grid is taken (default fixed, with "
        "--inverse moving)"
    )
    add("--grid", "--like", metavar="GRID", help=text)
    text = "size of the pixels of a warped image, in the units of its grid: one number, or one for each axis"
    add("--pixel-size", type=float, nargs="+", metavar="SIZE", help=text)
    text = (
        f"{', '.join(INTERPOLATIONS)} (default linear); vote keeps labels, with smoother borders than nearest"
    )
    add("--interpolation", choices=INTERPOLATIONS, metavar="KIND", help=text)
    add("--labels", action="store_true", help="nearest-neighbour interpolation, for label images")
    add_background(parser)
    add_images_of_transform(parser)
    add_verbose(parser)


def run(options: argparse.Namespace) -> None:
    """Apply the transforms and write what they give."""
    source, output = options.input, options.output
    if not source.is_dir():
        check_regular(source)
    folder = source.is_dir() and ending_of(output) not in WRITTEN
    points = holds_points(source)
    if points_ending(source) and not points and not folder:
        raise ValueError(f"{source.name} holds no points; give a table of points, or an image.")
    if not (folder or points) and ending_of(output) not in WRITTEN:
        raise ValueError(f"{output.name} cannot be written; give a name that ends in {', '.join(WRITTEN)}.")
    if points and not points_ending(output):
        raise ValueError(f"{output.name} cannot hold points; give a name that ends in {', '.join(ENDINGS)}.")
    if options.labels and options.interpolation is not None:
        raise ValueError(
            "--labels is nearest-neighbour interpolation; leave out --interpolation, or --labels."
        )
    saved = [file for path in options.transform for file in source_files(path)]
    like = [] if options.grid in (None, "fixed", "moving") else [Path(options.grid)]
    check_inputs_kept([*saved, *like], [output])
    pair = open_transform(options.transform, options.fixed, options.moving, options.format)
    chosen = ApplyOptions(
        direction="fixed -> moving" if options.inverse else "moving -> fixed",
        grid=None if points else _grid(options, pair),
        pixel_size=_pixel_size(options.pixel_size),
        interpolation="nearest" if options.labels else options.interpolation or "linear",
        background=background(options.background),
    )
    with progress_bar() as progress:
        work = apply_to_folder if folder else apply_to_file
        notes = work(pair, source, output, chosen, progress)
    for note in notes:
        print(note)
    if not folder:
        print(f"Wrote {output}.")


def _grid(options: argparse.Namespace, pair: PairTransform) -> Grid | Literal["fixed", "moving"]:
    """Where a warped image lies."""
    if options.grid not in (None, "fixed", "moving"):
        return read_image(Path(options.grid)).grid
    inverse = options.inverse if options.grid is None else options.grid == "moving"
    given: Literal["fixed", "moving"] = "moving" if inverse else "fixed"
    if (pair.fixed if given == "fixed" else pair.moving) is None:
        name = options.transform[0 if given == "fixed" else -1].name
        raise ValueError(
            f"{name} has no record of the {given} image's grid beside it; give --{given} with that image, or "
            "--grid with a file whose grid is taken."
        )
    return given


def _pixel_size(given: list[float] | None) -> float | tuple[float, ...] | None:
    if given is None:
        return None
    return given[0] if len(given) == 1 else tuple(given)
