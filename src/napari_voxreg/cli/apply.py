"""`napari-voxreg apply`: warp one more image with a saved transform."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..io.files import check_inputs_kept, check_outputs
from ..io.images import WRITTEN, check_format, ending_of, read_image, write_image
from ..io.series import planned_series, warp_series
from ..io.transforms import fixed_grid, load_record, load_transform
from .options import add_verbose


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options."""
    parser.usage = "%(prog)s TRANSFORM IMAGE -o FILE [options]"
    add = parser.add_argument
    text = "a folder that register wrote, or its transform.h5"
    add("transform", type=Path, metavar="TRANSFORM", help=text)
    add("image", type=Path, metavar="IMAGE", help="an image in the world of the moving image")
    text = "the warped image, on the grid of the fixed image"
    add("-o", "--output", type=Path, required=True, metavar="FILE", help=text)
    add("--labels", action="store_true", help="nearest-neighbour interpolation, for label images")
    add_verbose(parser)


def run(options: argparse.Namespace) -> None:
    """Warp the image onto the grid of the fixed image and write it."""
    if ending_of(options.output) not in WRITTEN:
        raise ValueError(
            f"{options.output.name} cannot be written; give a name that ends in {', '.join(WRITTEN)}."
        )
    check_outputs(options.output)
    transform, record = load_transform(options.transform), load_record(options.transform)
    if record is None:
        raise ValueError(
            f"{options.transform.name} has no record of the fixed image's grid beside it; "
            "give a transform that napari-voxreg has written, with its .json."
        )
    saved = options.transform / "transform.h5" if options.transform.is_dir() else options.transform
    check_inputs_kept([options.image, saved, saved.with_suffix(".json")], [options.output])
    image = read_image(options.image)
    grid = fixed_grid(record)
    check_format(planned_series(image, grid), options.output)
    warped = warp_series(image, transform, grid, order=0 if options.labels else 1)
    for note in image.notes:
        print(note)
    print(f"Wrote {write_image(warped, options.output)}.")
