"""`napari-voxreg methods`: the methods, and the presets and parameters of each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ...methods import METHODS
from .. import describe
from ..options import add_verbose


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options."""
    parser.usage = "%(prog)s [METHOD] [options]"
    text = "show the presets and parameters of this method"
    parser.add_argument("name", nargs="?", metavar="METHOD", help=text)
    parser.add_argument("--markdown", action="store_true", help="all methods as the page docs/methods.md")
    add_verbose(parser)


def run(options: argparse.Namespace) -> None:
    """List the methods or describe one."""
    if options.markdown:
        print(describe.markdown(), end="")
    elif options.name is None:
        print(describe.method_list())
    elif options.name in METHODS:
        print(describe.method_details(METHODS[options.name]))
    else:
        raise ValueError(f"There is no method {options.name!r}; choose from: {', '.join(METHODS)}.")
