"""A run as a Python script and as a command, with files for what has none."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.geometry import Array, Grid, Image
from ...core.progress import silent
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


def files_needed(chosen: Chosen) -> bool:
    """Whether some of a run's inputs are in no file, so that a folder is needed for them; reads pixels."""
    return not isinstance(chosen.initial, str | Path | None) or any(
        one.file is None for one in _inputs(chosen).values()
    )


def python_script(result: Result, chosen: Chosen, folder: Path | None) -> str:
    """A script that registers the same pair in the same way.

    Parameters
    ----------
    result : Result
    chosen : Chosen
        What it was made from.
    folder : Path or None
        Gets the inputs that are in no file, bit for bit; None if there are none.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    inputs = _inputs(chosen)
    lines = [f"{name} = {_expression(name, one, folder)}" for name, one in inputs.items()]
    arguments = [f"method={result.method!r}", f"params={result.params.as_dict()!r}"]
    if chosen.initial is not None:
        arguments.append(f"initial={_initial(chosen, folder)}")
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


def command_line(result: Result, chosen: Chosen, folder: Path | None) -> str:
    """A command that registers the same pair in the same way, and writes into a folder ``result``.

    Raises
    ------
    ValueError
        If an input cannot be given on the command line.
    """
    words = ["napari-voxreg", "register"]
    for name, one in _inputs(chosen).items():
        words += [f"--{name.replace('_', '-')}"] if name.endswith("mask") else []
        words.append(str(_file(name, one, folder)))
    words += ["-o", str((folder or Path()) / "result"), "-m", result.method]
    for name, value in result.params.as_dict().items():
        words += _option(name, value)
    if isinstance(chosen.initial, str):
        words += ["--initial", chosen.initial]
    elif chosen.initial is not None:
        words += ["--initial", str(_initial_file(chosen, folder))]
    if chosen.landmarks is not None:
        words.append("--landmarks")
        for side, points in zip(SIDES, chosen.landmarks, strict=False):
            words.append(str(_points_file(side, points, folder)))
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


def _expression(name: str, one: Input, folder: Path | None) -> str:
    """An image in Python."""
    if one.file is not None:
        read = f"read_image({str(one.file)!r})"
        return read if one.same_grid else f"{read}.with_grid({_grid(one.image.grid)})"
    path = _beside(folder) / f"{name}.npy"
    np.save(path, np.asarray(one.image.data))
    return f"Image(np.load({str(path)!r}), {_grid(one.image.grid)}, {one.image.name!r})"


def _grid(grid: Grid) -> str:
    crs = "" if grid.crs is None else f", {grid.crs!r}"
    return f"Grid({grid.shape!r}, {grid.affine.tolist()!r}, {grid.units!r}{crs})"


def _array(points: Array) -> str:
    return f"np.array({np.asarray(points).tolist()!r})"


def _initial(chosen: Chosen, folder: Path | None) -> str:
    """The initial transform in Python."""
    if isinstance(chosen.initial, str):
        return repr(chosen.initial)
    images = ", fixed, moving" if isinstance(chosen.initial, Path) else ""  # some programs' files need them
    return f"load_transform({str(_initial_file(chosen, folder))!r}{images})"


def _initial_file(chosen: Chosen, folder: Path | None) -> Path:
    """A file of the initial transform."""
    if isinstance(chosen.initial, Path):
        return chosen.initial.resolve()
    assert isinstance(chosen.initial, Result | Fitted)  # the others are words
    return save_transform(chosen.initial.transform, _beside(folder) / "initial.h5", chosen.initial.fixed)


def _file(name: str, one: Input, folder: Path | None) -> Path:
    """A file of an image with its grid."""
    if one.file is not None and one.same_grid:
        return one.file
    data = one.image.data
    image = one.image.with_data(data.astype(np.uint8)) if data.dtype == bool else one.image
    path = _beside(folder) / f"{name}.mha"
    if not can_write(image, path):
        raise ValueError(f"{one.image.name!r} has no file that the command could read; copy as Python.")
    return write_image(image, path)


def _points_file(side: str, points: Array, folder: Path | None) -> Path:
    """A table of landmarks."""
    path = _beside(folder) / f"{side}_landmarks.csv"
    np.savetxt(path, points, delimiter=",", fmt="%.17g")
    return path


def _beside(folder: Path | None) -> Path:
    """The folder for what is in no file."""
    if folder is None:
        raise ValueError("Some layers are in no file; choose where the script is to lie.")
    return folder.resolve()


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
