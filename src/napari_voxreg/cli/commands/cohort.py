"""`napari-voxreg cohort`: many images onto one template, which may be made from them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ...core.progress import subprogress
from ...io.files import check_outputs
from ...io.images import read_image
from ..options import add_declared, add_run_options, add_verbose, parameters, run_options
from ..terminal import progress_bar, text_table

REGISTERED = 0.9  # of the time until all transforms are known
SHOWN = (0, 1, 3, 4, 10, 11)  # columns of the table that are printed


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options, those of the cohort from their declaration."""
    from ...cohort.group import CohortOptions

    parser.usage = "%(prog)s IMAGES [IMAGES ...] -o DIR [options]"
    add = parser.add_argument
    text = "the images; or a folder with them, or a list of paths (.txt or .csv, one a line)"
    add("images", type=Path, nargs="+", metavar="IMAGES", help=text)
    text = (
        "folder for the template, cohort.csv, cohort.json and a folder for each image; a run that was broken "
        "off goes on there, and a repeated one does only what has changed"
    )
    add("-o", "--output", type=Path, required=True, metavar="DIR", help=text)
    text = "a template of your own, instead of one of the images or their mean"
    add("--onto", type=Path, metavar="FILE", help=text)
    text = (
        "regular expression for file names, whose named groups id, laterality and date are read into the "
        "table; images in whose names it is not found are left out"
    )
    add("--pattern", metavar="REGEX", help=text)
    text = (
        "where registrations run: serial, processes (of this machine), or the address of a Dask scheduler "
        "such as tcp://host:8786 (default serial)"
    )
    add("--scheduler", default="serial", metavar="WHERE", help=text)
    text = "threads of each registration (default: all cores in serial, else 1)"
    add("--threads", type=int, metavar="N", help=text)
    add("--no-images", action="store_true", help="write transforms only, no aligned images")
    text = "write all channels of all images as one image, too, such as the rounds of cyclic staining"
    add("--merge", action="store_true", help=text)
    add_run_options(parser)
    add_verbose(parser)
    add_declared(parser, "the cohort", CohortOptions.infos())


def run(options: argparse.Namespace) -> None:
    """Register the cohort, write what was found, and print the table.

    Raises
    ------
    ValueError
        With one plain sentence, before any work where that can be known.
    Cancelled
        If the user stopped it; what was found is kept.
    """
    from ...cohort.group import CohortOptions, cohort_frames, register_cohort

    chosen = CohortOptions.from_dict(parameters(options))
    images = options.images[0] if len(options.images) == 1 else options.images
    frames = cohort_frames(images, options.pattern)
    onto = None if options.onto is None else read_image(options.onto)
    folder: Path = options.output
    check_outputs(folder / "cohort.json", folder / "cohort.csv")
    with progress_bar() as progress:
        result = register_cohort(
            frames,
            options=chosen,
            template=onto,
            folder=folder,
            scheduler=options.scheduler,
            threads=options.threads,
            progress=subprogress(progress, 0.0, REGISTERED),
            **run_options(options),
        )
        result.save(folder)
        if not options.no_images:
            result.save_images(frames, folder, subprogress(progress, REGISTERED, 1.0))
        if options.merge:
            result.save_merged(frames, folder)
    rows = [[row[k] for k in SHOWN] for row in result.table()]
    said = [result.sentence, *result.notes, f"Wrote the cohort to {folder}."]
    print("\n".join([text_table(rows, 2), "", *said]))
