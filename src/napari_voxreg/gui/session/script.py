"""A run as a Python script and as a command, with files for what has none."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from ...core.geometry import Array, Grid, Image
from ...core.progress import silent
from ...io.files import replace_file
from ...io.images import can_write, read_image, write_image
from ...io.transforms import save_transform
from ...registration.result import Result
from ..layers.snapshots import LayerSnapshot
from .chosen import Chosen, Fitted

SIDES = ("fixed", "moving", "fixed_mask", "moving_mask")


@dataclass(frozen=True)
class Input:
    """An image of a run.

    Parameters
    ----------
    image : Image
    file : Path or None
        That holds the same pixels.
    same_grid : bool
        Whether it has the same grid, too.
    """

    image: Image
    file: Path | None
    same_grid: bool


def files_needed(chosen: Chosen, command: bool) -> bool:
    """Whether some inputs of a run are in no file, so that a place is needed for them; reads pixels.

    Parameters
    ----------
    chosen : Chosen
        What it was made from.
    command : bool
        Whether a command is to be written, which takes places and landmarks from files, too.
    """
    inputs = _inputs(chosen).values()
    return (
        not isinstance(chosen.initial, str | Path | None)
        or (command and chosen.landmarks is not None)
        or any(one.file is None or (command and not one.same_grid) for one in inputs)
    )


def python_script(result: Result, chosen: Chosen, script: Path | None) -> str:
    """A script that registers the same pair in the same way.

    Parameters
    ----------
    result : Result
    chosen : Chosen
        What it was made from.
    script : Path or None
        Where it is to be written. The inputs that are in no file are written beside it, bit for bit, under
        its name and names that are still free; None if there are none.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    inputs = _inputs(chosen)
    lines = [f"{name} = {_expression(name, one, script)}" for name, one in inputs.items()]
    arguments = [f"method={result.method!r}", f"params={result.params.as_dict()!r}"]
    if chosen.initial is not None:
        arguments.append(f"initial={_initial(chosen, script)}")
    arguments += [f"{name}={name}" for name in inputs if name.endswith("mask")]
    if chosen.landmarks is not None:
        arguments.append(f"landmarks=({', '.join(_array(points) for points in chosen.landmarks)})")
    if chosen.channel is not None:
        arguments.append(f"channel={chosen.channel!r}")
    arguments.append(f"device={result.device or 'auto'!r}")
    listed = "".join(f"    {argument},\n" for argument in arguments)
    return (
        "import numpy as np\n\n"
        "from napari_voxreg import Grid, Image, load_transform, register\n"
        "from napari_voxreg.io.images import read_image\n\n"
        + "\n".join(lines)
        + f"\nresult = register(\n    fixed,\n    moving,\n{listed})\nprint(result.verdict.sentence)\n"
    )


def command_line(result: Result, chosen: Chosen, script: Path | None) -> str:
    """A command that registers the same pair in the same way, and writes into a folder; see `python_script`.

    Raises
    ------
    ValueError
        If an input cannot be given on the command line.
    """
    words = ["napari-voxreg", "register"]
    for name, one in _inputs(chosen).items():
        words += [f"--{name.replace('_', '-')}"] if name.endswith("mask") else []
        words.append(str(_file(name, one, script)))
    words += ["-o", str(Path("result") if script is None else _beside(script, "result")), "-m", result.method]
    for name, value in result.params.as_dict().items():
        words += _option(name, value)
    if isinstance(chosen.initial, str):
        words += ["--initial", chosen.initial]
    elif chosen.initial is not None:
        words += ["--initial", str(_initial_file(chosen, script))]
    if chosen.landmarks is not None:
        words.append("--landmarks")
        for side, points in zip(SIDES, chosen.landmarks, strict=False):
            words.append(str(_points_file(side, points, script)))
    if chosen.channel is not None:
        words += ["--channel", str(chosen.channel)]
    words += ["--device", result.device or "auto"]
    return shell_line(words)


def _inputs(chosen: Chosen) -> dict[str, Input]:
    """The images and masks of a run, by name."""
    given = chosen.inputs(silent)
    sources = (chosen.fixed, chosen.moving, chosen.fixed_mask, chosen.moving_mask)
    return {
        name: _input(given[name], source)
        for name, source in zip(SIDES, sources, strict=True)
        if given[name] is not None
    }


def _input(image: Image, source: Any) -> Input:
    """An image with the file that its layer was read from, if that still holds the same pixels."""
    path = Path(source.file) if isinstance(source, LayerSnapshot) and source.file else None
    if path is None or not path.is_file():
        return Input(image, None, False)
    try:
        there = read_image(path)
    except ValueError:
        return Input(image, None, False)
    if isinstance(there.data, np.ma.MaskedArray) or not _same(there.data, image.data):
        return Input(image, None, False)
    grids = there.grid, image.grid
    same = np.array_equal(grids[0].affine, grids[1].affine) and grids[0].units == grids[1].units
    return Input(image, path.resolve(), same and grids[0].crs == grids[1].crs)


def _same(first: Array, second: Array) -> bool:
    return (
        first.shape == second.shape
        and first.dtype == second.dtype
        and np.array_equal(first, second, equal_nan=first.dtype.kind in "fc")
    )


def _expression(name: str, one: Input, script: Path | None) -> str:
    """An image in Python."""
    if one.file is not None:
        read = f"read_image({str(one.file)!r})"
        return read if one.same_grid else f"{read}.with_grid({_grid(one.image.grid)})"
    path = _beside(script, name, ".npy")
    replace_file(path, lambda target: np.save(target, np.asarray(one.image.data)))
    return f"Image(np.load({str(path)!r}), {_grid(one.image.grid)}, {one.image.name!r})"


def _grid(grid: Grid) -> str:
    crs = "" if grid.crs is None else f", {grid.crs!r}"
    return f"Grid({grid.shape!r}, {grid.affine.tolist()!r}, {grid.units!r}{crs})"


def _array(points: Array) -> str:
    return f"np.array({np.asarray(points).tolist()!r})"


def _initial(chosen: Chosen, script: Path | None) -> str:
    """The initial transform in Python."""
    if isinstance(chosen.initial, str):
        return repr(chosen.initial)
    images = ", fixed, moving" if isinstance(chosen.initial, Path) else ""  # some programs' files need them
    return f"load_transform({str(_initial_file(chosen, script))!r}{images})"


def _initial_file(chosen: Chosen, script: Path | None) -> Path:
    """A file of the initial transform."""
    if isinstance(chosen.initial, Path):
        return chosen.initial.resolve()
    assert isinstance(chosen.initial, Result | Fitted)  # the others are words
    path = _beside(script, "initial", ".h5", ".json")
    return save_transform(chosen.initial.transform, path, chosen.initial.fixed)


def _file(name: str, one: Input, script: Path | None) -> Path:
    """A file of an image with its grid, in a format that keeps its unit: those of ITK know millimetres."""
    if one.file is not None and one.same_grid:
        return one.file
    data = one.image.data
    image = one.image.with_data(data.astype(np.uint8)) if data.dtype == bool else one.image
    path = _beside(script, name, ".mha" if set(image.grid.units) <= {"pixel", "millimeter"} else ".tif")
    if not can_write(image, path):
        raise ValueError(f"{one.image.name!r} has no file that the command could read; copy as Python.")
    return write_image(image, path)


def _points_file(side: str, points: Array, script: Path | None) -> Path:
    """A table of landmarks."""
    path = _beside(script, f"{side}_landmarks", ".csv")
    replace_file(path, lambda target: np.savetxt(target, points, delimiter=",", fmt="%.17g"))
    return path


def _beside(script: Path | None, name: str, *endings: str) -> Path:
    """A path beside the script for what is in no file, of which nothing is there yet with these endings."""
    if script is None:
        raise ValueError("Some layers are in no file; choose where the script is to lie.")
    folder, stem = script.resolve().parent, f"{script.stem}_{name}"
    names = (stem if k == 1 else f"{stem}_{k}" for k in count(1))
    free = next(n for n in names if not any((folder / f"{n}{end}").exists() for end in endings or ("",)))
    return folder / f"{free}{endings[0] if endings else ''}"


def shell_line(words: list[str], platform: str = sys.platform) -> str:
    """Words as a line for a platform's shell; that of Windows knows double quotes alone."""
    return subprocess.list2cmdline(words) if platform == "win32" else shlex.join(words)


def _option(name: str, value: Any) -> list[str]:
    """A parameter on the command line."""
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [option if value else f"--no-{name.replace('_', '-')}"]
    if value is None or value == []:
        return []
    return [option, *(map(str, value) if isinstance(value, list) else [str(value)])]
