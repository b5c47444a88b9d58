"""`napari-voxreg pairs`: list, pack or augment; and the options of every command that takes pairs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import get_args

from ...io.files import check_outputs
from ...io.pairs import FRACTION, ROLES, Pair, Pairing, PairSet, name_of_source, open_pairs, pack
from ..options import add_declared, add_verbose, parameters
from ..terminal import progress_bar, text_table

SOURCE = """a folder of images, a folder with path lists (train_fixed.txt, train_moving.txt, ...) or with the
subfolders fixed and moving, a CSV with the columns fixed and moving, or an HDF5 pair file"""


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The subcommands; each leaves its function in ``options.task``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, task, text in (
        ("list", _list, "Show the pairs of a source, what was read from their names, and the split."),
        ("pack", _pack, "Write pairs into one HDF5 file, with their split."),
        ("augment", _augment, "Write pairs as training sees them, changed at random, as image files."),
    ):
        added = commands.add_parser(
            name,
            help=text,
            description=text,
            allow_abbrev=False,
            formatter_class=parser.formatter_class,
        )
        added.set_defaults(task=task)
        output = {"pack": " -o FILE.h5", "augment": " -o FOLDER"}.get(name, "")
        added.usage = f"%(prog)s SOURCE [MOVING]{output} [options]"
        add_source_options(added)
        if name == "pack":
            text = "the pair file"
            added.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.h5", help=text)
        if name == "augment":
            _add_augmentation(added)
        add_verbose(added)


def _add_augmentation(parser: argparse.ArgumentParser) -> None:
    """The options of `augment`, those of a training that change pairs among them."""
    from ...train.options import AUGMENTATIONS, TrainOptions

    add = parser.add_argument
    text = "new folder for the images and pairs.csv, a source of pairs"
    add("-o", "--output", type=Path, required=True, metavar="FOLDER", help=text)
    text = "changed copies of each training pair (default 1); validation pairs are never changed"
    add("--copies", type=int, default=1, metavar="N", help=text)
    shown = ("size", "seed", *AUGMENTATIONS)
    infos = [replace(info, advanced=False) for info in TrainOptions.infos() if info.name in shown]
    add_declared(parser, "augmentation", infos)


def run(options: argparse.Namespace) -> None:
    """Carry out the subcommand."""
    options.task(options)


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """A set of pairs and its split, for every command that takes one."""
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE", help=SOURCE)
    text = "folder of the moving images, if SOURCE is that of the fixed ones"
    add("moving", type=Path, nargs="?", metavar="MOVING", help=text)
    text = (
        "regular expression for file names: between two folders its groups pair the images; elsewhere its "
        "named groups id, laterality and date are read"
    )
    add("--pattern", metavar="REGEX", help=text)
    text = "how the images of one folder are paired (default consecutive, or template if one is given)"
    add("--pairing", choices=get_args(Pairing), help=text)
    add("--template", metavar="FILE", help="fixed image of all pairs")
    text = (
        "validation pairs: a fraction, or a text file that names pairs, images or patients "
        f"(default: the source's own split, or {FRACTION:g})"
    )
    add("--validation", metavar="WHAT", help=text)
    add("--split-seed", type=int, default=0, metavar="N", help="same seed, same split (default 0)")


def pairs_from(options: argparse.Namespace) -> PairSet:
    """The pairs given by the options of `add_source_options`."""
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


def _list(options: argparse.Namespace) -> None:
    """Print the names, the pairs, how many there are, and the notes."""
    pairs = pairs_from(options)
    blocks = []
    if any(parts.read for parts in pairs.names):
        rows = [("image", "patient", "side", "date")]
        for parts in pairs.names:
            read = (parts.patient, parts.laterality, parts.date) if parts.read else ("not read", "", "")
            rows.append((name_of_source(parts.source), *read))
        blocks.append(text_table(rows))
    sets = [("train", pair) for pair in pairs.training] + [("val", pair) for pair in pairs.validation]
    blocks.append(
        text_table([("set", "pair", "also"), *((name, pair.name, _extras(pair)) for name, pair in sets)])
    )
    print("\n\n".join([*blocks, _summary(pairs)]))


def _pack(options: argparse.Namespace) -> None:
    """Write the pair file."""
    check_outputs(options.output)
    pairs = pairs_from(options)
    with progress_bar() as progress:
        path = pack(pairs, options.output, progress)
    print(f"{_summary(pairs)}\nWrote {path} ({path.stat().st_size / 1e6:.1f} MB).")


def _augment(options: argparse.Namespace) -> None:
    """Write the changed pairs."""
    from ...train.options import TrainOptions

    check_outputs(options.output / "pairs.csv")
    chosen = TrainOptions.from_dict(parameters(options))
    pairs = pairs_from(options)
    with progress_bar() as progress:
        progress(None, "loading torch")
        from ...train.run import save_augmented

        path = save_augmented(pairs, chosen, options.output, options.copies, progress)
    print(f"{_summary(pairs)}\nWrote {path} and the images that it names.")


def _summary(pairs: PairSet) -> str:
    counts = f"{len(pairs.training)} for training, {len(pairs.validation)} for validation."
    return "\n".join([counts, *pairs.notes])


def _extras(pair: Pair) -> str:
    """What a pair has besides its images."""
    return ", ".join(role.replace("_", " ") for role in ROLES[2:] if getattr(pair, role) is not None)
