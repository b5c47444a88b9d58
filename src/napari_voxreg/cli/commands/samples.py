"""`napari-voxreg samples`: the simulated pairs, as a list or as files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ...io.files import check_outputs
from ...samples import SAMPLES
from ...samples.files import write_sample
from ..options import add_verbose


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options."""
    parser.usage = "%(prog)s [NAME] [-o DIR] [options]"
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"one of {', '.join(SAMPLES)} (default: all)")
    text = "folder for the images, their labels and corresponding landmarks"
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help=text)
    add_verbose(parser)


def run(options: argparse.Namespace) -> None:
    """List the pairs, or write them and print the files' names."""
    if options.name is not None and options.name not in SAMPLES:
        raise ValueError(f"There is no sample {options.name!r}; choose from: {', '.join(SAMPLES)}.")
    if options.output is not None:
        check_outputs(options.output / "sample")
    for name in SAMPLES if options.name is None else [options.name]:
        info = SAMPLES[name]
        if options.output is None:
            print(f"{name:12}{info.title}\n{'':12}{info.description}")
        else:
            for file in write_sample(info.make(), options.output):
                print(file)
