"""`napari-voxreg convert`: transform files of one program for another."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ...io.files import check_inputs_kept, check_outputs
from ...io.transforms import (
    OURS,
    WRITTEN,
    Grids,
    source_files,
    write_transform,
    written_files,
    written_format,
)
from ...registration.pair_transform import open_transform
from ..options import add_images_of_transform, add_verbose

EXAMPLES = """\
examples:
  napari-voxreg convert result out.txt --to elastix
  napari-voxreg convert ants_ transform.h5 --fixed fixed.nii.gz --moving moving.nii.gz
  napari-voxreg convert flirt.mat transform.tfm --fixed reference.nii.gz --moving input.nii.gz
  napari-voxreg convert TransformParameters.1.txt field.nii.gz --fixed fixed.nii.gz"""


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options."""
    parser.usage = "%(prog)s IN [IN ...] OUT [--fixed FILE] [--moving FILE] [options]"
    parser.epilog = EXAMPLES
    text = (
        "a transform file of any program, a folder that register wrote, or the beginning of the names of "
        "ANTs' files; several are composed, the one that is applied to points of the fixed image first"
    )
    parser.add_argument("transform", type=Path, nargs="+", metavar="IN", help=text)
    text = "the file to write; for ants the beginning of the names of its files"
    parser.add_argument("output", type=Path, metavar="OUT", help=text)
    text = f"format to write (default: by the ending of OUT): {', '.join((OURS, *WRITTEN))}"
    parser.add_argument("--to", metavar="FORMAT", help=text)
    add_images_of_transform(parser)
    add_verbose(parser)


def run(options: argparse.Namespace) -> None:
    """Read, compose, write, and say what is approximate."""
    output = options.output
    name = written_format(output, options.to)
    pair = open_transform(options.transform, options.fixed, options.moving, options.format)
    outputs = written_files(pair.transform, output, name)
    check_outputs(*outputs)
    saved = [file for path in options.transform for file in source_files(path)]
    check_inputs_kept([*saved, options.fixed, options.moving], outputs)
    _, notes = write_transform(pair.transform, output, Grids(pair.fixed, pair.moving), None, options.to)
    for note in (*pair.notes, *notes):
        print(note)
    print(f"Wrote {', '.join(str(path) for path in outputs)}.")
