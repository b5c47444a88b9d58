"""Options that several commands share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.geometry import Grid, Image
from ..core.params import Param
from ..io.images import read_image
from ..io.points import PairFile, read_landmarks
from ..io.transforms import FORMATS, files_with_prefix, source_files
from ..methods import KNOWN_METHODS
from ..registration.apply import Background
from ..registration.initial import INITIAL_TRANSFORMS
from ..registration.pair_transform import PairTransform, open_transform
from ..registration.register import DEFAULT_METHOD
from .describe import default, kind

MARK = "parameter "  # distinguishes a method's parameters from our own options


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """The log, which every command has."""
    text = "print on stderr what is done; -vv prints all details"
    parser.add_argument("-v", "--verbose", action="count", default=0, help=text)


def add_pair_options(parser: argparse.ArgumentParser) -> None:
    """A pair of images, and what all methods take with it."""
    add = parser.add_argument
    add("fixed", type=Path, metavar="FIXED", help="the fixed image: a file, or a folder of DICOM slices")
    add("moving", type=Path, metavar="MOVING", help="the moving image, which is warped onto the fixed one")
    text = (
        f"initial transform: {', '.join(INITIAL_TRANSFORMS)}, a transform file, or a folder that register "
        "wrote (default: the images as they lie in the world)"
    )
    add("--initial", metavar="TRANSFORM", help=text)
    add_format(parser)
    for which in ("fixed", "moving"):
        text = f"mask of the {which} image: only its non-zero pixels count"
        add(f"--{which}-mask", type=Path, metavar="FILE", help=text)
    text = (
        "corresponding landmarks in world coordinates: tables with columns named x, y (and z) or row, column "
        "(without headings in array-axis order), points of elastix (.txt) or Slicer (.fcsv, .mrk.json), or "
        "twice the same file of pairs, as of BigWarp; points with one label in both files correspond"
    )
    add("--landmarks", type=Path, nargs=2, metavar=("FIXED.csv", "MOVING.csv"), help=text)
    add_run_options(parser)


def add_images_of_transform(parser: argparse.ArgumentParser) -> None:
    """What belongs to a transform file of another program."""
    for which in ("fixed", "moving"):
        text = f"the {which} image of the transforms, where their files do not state its grid"
        parser.add_argument(f"--{which}", type=Path, metavar="FILE", help=text)
    add_format(parser)


def add_background(parser: argparse.ArgumentParser) -> None:
    """The value outside an image that is warped."""
    text = "value outside the image: a number, nan, or own for the ground of the image (default 0)"
    parser.add_argument("--background", default="0", metavar="VALUE", help=text)


def background(given: str) -> Background:
    """The value outside an image."""
    if given == "own":
        return "own"
    try:
        value = float(given)
    except ValueError as error:
        raise ValueError(f"The background cannot be {given!r}; give a number, nan, or own.") from error
    if math.isinf(value):
        raise ValueError("The background cannot be infinite; give a number, nan, or own.")
    return value


def add_format(parser: argparse.ArgumentParser) -> None:
    """The format of a transform file of another program."""
    text = f"format of transform files whose content does not show it, as of a matrix: {', '.join(FORMATS)}"
    parser.add_argument("--format", metavar="FORMAT", help=text)


def pair_inputs(options: argparse.Namespace, fixed: Image, moving: Image) -> dict[str, Any]:
    """The two images and all else that `register` and `compare` take of a pair.

    Parameters
    ----------
    options : Namespace
    fixed, moving : Image
        As read, without time; notes on the landmarks are added to those of the fixed image.

    Raises
    ------
    ValueError
        If a file is missing or holds something else.
    """
    landmarks = _landmarks(options.landmarks, fixed.grid, moving.grid)
    return {
        "fixed": fixed if landmarks is None else replace(fixed, notes=(*fixed.notes, *landmarks.notes)),
        "moving": moving,
        "initial": _initial(options),
        "fixed_mask": None if options.fixed_mask is None else read_image(options.fixed_mask),
        "moving_mask": None if options.moving_mask is None else read_image(options.moving_mask),
        "landmarks": None if landmarks is None else (landmarks.fixed, landmarks.moving),
        **run_options(options),
    }


def pair_files(options: argparse.Namespace) -> list[Path | None]:
    """The files that `add_pair_options` names, None for each that was not given."""
    given = options.initial
    initial = [] if given is None or given in INITIAL_TRANSFORMS else source_files(Path(given))
    masks = [options.fixed_mask, options.moving_mask]
    return [options.fixed, options.moving, *masks, *(options.landmarks or ()), *initial]


def _initial(options: argparse.Namespace) -> str | Path | PairTransform | None:
    """A kind of initial transform, or a transform from disk."""
    given: str | None = options.initial
    if given is None or given in INITIAL_TRANSFORMS:
        return given
    if not (Path(given).exists() or files_with_prefix(Path(given))):
        raise ValueError(
            f"{given!r} is not a valid initial transform; choose from: {', '.join(INITIAL_TRANSFORMS)}, "
            "or give a transform file."
        )
    if options.format is None:
        return Path(given)  # read with the two images at hand
    return open_transform(given, options.fixed, options.moving, options.format)


def _landmarks(files: Sequence[Path] | None, fixed: Grid, moving: Grid) -> PairFile | None:
    """Corresponding landmarks from two files."""
    return None if files is None else read_landmarks(files[0], files[1], (fixed, moving))


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Channel, seed and device."""
    add = parser.add_argument
    text = "the channel that is registered: a number from 0 on, or luminance (default luminance)"
    add("--channel", help=text)
    add("--seed", type=int, default=0, metavar="N", help="same seed, same result (default 0)")
    text = "where tensors are computed: auto, cpu, cuda, cuda:1 or mps (default auto: a GPU if there is one)"
    add("--device", default="auto", help=text)


def run_options(options: argparse.Namespace) -> dict[str, Any]:
    """What was given of them, as `register` takes it."""
    channel: int | str | None = options.channel
    with suppress(TypeError, ValueError):  # else it is a word, or was not given
        channel = int(options.channel)
    return {"channel": channel, "seed": options.seed, "device": options.device}


def add_method(parser: argparse.ArgumentParser, text: str, several: bool = False) -> None:
    """The method to run, or `several`: ``-m A B`` and ``-m A -m B`` mean the same."""
    many: dict[str, Any] = {"nargs": "+", "action": "extend"} if several else {}
    parser.add_argument("-m", "--method", metavar="METHOD", help=text, **many)


def add_parameters(
    parser: argparse.ArgumentParser,
    words: Sequence[str],
    several: bool = False,
    default: str | None = DEFAULT_METHOD,
) -> None:
    """One option for each parameter of the methods that `words` name; those of the same name share one.

    Names that are no methods are left to whoever runs them. `default` is the method where none is named.
    """
    scout = type(parser)(prog=parser.prog, add_help=False, allow_abbrev=False)
    add_method(scout, "", several)
    found = scout.parse_known_args(words)[0].method or default or []
    known: set[str] = set()
    for name in [found] if isinstance(found, str) else found:
        if name in KNOWN_METHODS:
            infos = KNOWN_METHODS[name].params.infos()
            title = f"parameters of {name}"
            add_declared(parser, title, [info for info in infos if info.name not in known])
            known |= {info.name for info in infos}


def add_declared(parser: argparse.ArgumentParser, title: str, infos: Sequence[Param]) -> None:
    """One option for each declared parameter, the advanced ones in a group of their own."""
    for heading, advanced in ((title, False), (f"{title}, advanced", True)):
        group = parser.add_argument_group(heading)
        for info in infos:
            if info.advanced != advanced:
                continue
            text = f"{info.help} ({kind(info)}; default {default(info)})".replace("%", "%%")
            shape: dict[str, Any] = {"metavar": "VALUE"}
            if info.kind is bool:
                shape = {"action": argparse.BooleanOptionalAction}
            elif info.kind is tuple:
                shape = {"metavar": "FILE", "nargs": "+"}
            option = f"--{info.name.replace('_', '-')}"
            group.add_argument(option, dest=MARK + info.name, default=argparse.SUPPRESS, help=text, **shape)


def parameters(options: argparse.Namespace) -> dict[str, Any]:
    """The parameters that were given; the method's own declaration checks them."""
    marked = ((key.removeprefix(MARK), value) for key, value in vars(options).items() if key.startswith(MARK))
    return dict(marked)
