"""The command line's pairs: `napari-voxreg pairs list` and `pack`, and options that other commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, get_args

if TYPE_CHECKING:
    from ..core.progress import Progress
    from ..io.pairs import Pair, PairSet

SOURCE = """a folder of images, a folder with path lists (train_fixed.txt, train_moving.txt, ...) or with the
subfolders fixed and moving, a CSV with the columns fixed and moving, or an HDF5 pair file"""


def add_pairs(parser: argparse.ArgumentParser) -> None:
    """The subcommands; each leaves its function, ``(options, progress) -> text``, in ``options.pairs``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, text in (
        ("list", _list, "Show which pairs a source holds, what was read out of its names, and the split."),
        ("pack", _pack, "Write pairs into one HDF5 file, with their split."),
    ):
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(pairs=function)
        add_source_options(added)
        if name == "pack":
            added.add_argument(
                "-o", "--output", type=Path, required=True, metavar="FILE.h5", help="the pair file"
            )


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """What tells the pairs and their split, for every command that takes a set of pairs."""
    from ..io.pairs import FRACTION, Pairing

    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help=SOURCE)
    add("moving", type=Path, nargs="?", metavar="MOVING", help="folder of moving images; SOURCE is the fixed")
    text = (
        "regular expression for file names: between two folders its groups tell which images belong "
        "together; elsewhere its named groups id, laterality and date are read"
    )
    add("--pattern", metavar="REGEX", help=text)
    text = "how images of one folder are paired (default consecutive visits, or template if there is one)"
    add("--pairing", choices=get_args(Pairing), help=text)
    add("--template", metavar="FILE", help="the fixed image of all pairs")
    text = (
        "fraction, or a text file that names pairs, images or patients "
        f"(default the source's own split, or {FRACTION:g})"
    )
    add("--validation", metavar="WHAT", help=text)
    add("--split-seed", type=int, default=0, metavar="N", help="same seed, same split (default 0)")


def pairs_from(options: argparse.Namespace) -> PairSet:
    """The pairs that the options of `add_source_options` tell."""
    from ..io.pairs import open_pairs

    validation: str | float | None = options.validation
    with suppress(ValueError):  # else it is a file's name
        validation = None if validation is None else float(validation)
    return open_pairs(
        options.source,
        options.moving,
        pattern=options.pattern,
        pairing=options.pairing,
        template=options.template,
        validation=validation,
        seed=options.split_seed,
    )


def _list(options: argparse.Namespace, progress: Progress) -> str:
    """The names, the pairs, how many there are, and the notes."""
    from ..io.pairs import name_of_source

    pairs = pairs_from(options)
    blocks = []
    if any(parts.read for parts in pairs.names):
        rows = [("image", "patient", "side", "date")]
        for parts in pairs.names:
            read = (parts.patient, parts.laterality, parts.date) if parts.read else ("not read", "", "")
            rows.append((name_of_source(parts.source), *read))
        blocks.append(_table(rows))
    sets = [("train", pair) for pair in pairs.training] + [("val", pair) for pair in pairs.validation]
    blocks.append(
        _table([("set", "pair", "also"), *((name, pair.name, _extras(pair)) for name, pair in sets)])
    )
    return "\n\n".join([*blocks, _summary(pairs)])


def _pack(options: argparse.Namespace, progress: Progress) -> str:
    """Write the pair file."""
    from ..io.pairs import pack

    pairs = pairs_from(options)
    path = pack(pairs, options.output, progress)
    return f"{_summary(pairs)}\nWrote {path} ({path.stat().st_size / 1e6:.1f} MB)."


def _summary(pairs: PairSet) -> str:
    counts = f"{len(pairs.training)} for training, {len(pairs.validation)} for validation."
    return "\n".join([counts, *pairs.notes])


def _extras(pair: Pair) -> str:
    """What a pair has besides its images."""
    from ..io.pairs import ROLES

    return ", ".join(role.replace("_", " ") for role in ROLES[2:] if getattr(pair, role) is not None)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as columns of text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(line).rstrip() for line in lines)
