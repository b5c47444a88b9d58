"""Transforms applied to files: an image, points, or a folder of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..core.geometry import Grid, Image
from ..core.progress import Cancelled, Progress, silent, subprogress
from ..io.dicom import is_dicom
from ..io.files import check_inputs_kept, check_outputs
from ..io.images import (
    MEDICAL,
    PLAIN,
    TIFF,
    check_format,
    ending_of,
    format_like,
    name_of,
    read_image,
    write_image,
)
from ..io.points import ENDINGS, holds_points, outside_note, points_ending, read_point_file, write_points
from ..io.series import planned_series
from ..transforms import Interpolation
from .apply import Background, Direction, apply, target_grid
from .pair_transform import Applicable, PairTransform, open_transform

SLICES = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True)
class ApplyOptions:
    """How transforms are applied; see `apply`.

    Parameters
    ----------
    direction, grid, pixel_size, interpolation, background
        As in `apply`.
    """

    direction: Direction = "moving -> fixed"
    grid: Grid | Literal["fixed", "moving"] | None = None
    pixel_size: float | tuple[float, ...] | None = None
    interpolation: Interpolation = "linear"
    background: Background = 0.0


def apply_to_file(
    transform: Applicable,
    source: Path,
    output: Path,
    options: ApplyOptions | None = None,
    progress: Progress = silent,
) -> tuple[str, ...]:
    """Apply a transform to an image or a file of points on disk.

    Parameters
    ----------
    transform : Transform, Result, path, or a sequence of these
        As in `apply`.
    source : path
        An image that `read_image` reads, or a file of points that `read_points` reads, in world units of the
        fixed image unless it has its own.
    output : path
        To be written, whole or not at all. In the format of the source, points keep all else that it holds.
    options : ApplyOptions, optional
    progress : Progress
        Called on the way; may raise `Cancelled`, and then nothing is written.

    Returns
    -------
    tuple of str
        Notes for the user.

    Raises
    ------
    ValueError
        In one sentence, for what cannot be read, applied or written; before the work wherever possible.
    OSError
        If the output cannot be written, or the disk is full.
    """
    options = options or ApplyOptions()
    check_outputs(output)
    check_inputs_kept([source], [output])
    pair = open_transform(transform)
    if holds_points(source):
        return _apply_to_points(pair, source, output, options)
    return _apply_to_image(pair, source, lambda planned: output, options, progress)


def apply_to_folder(
    transform: Applicable,
    folder: Path,
    output: Path,
    options: ApplyOptions | None = None,
    progress: Progress = silent,
) -> tuple[str, ...]:
    """Apply a transform to all images and files of points in a folder, not in its subfolders.

    A file that cannot be read or warped is left out, and named in a note; the others go on.

    Parameters
    ----------
    transform, options, progress
        As in `apply_to_file`.
    folder : path
        With the inputs.
    output : path
        Another folder, made if need be. Results are named like their inputs; where the format of an input
        cannot hold its result, that is written as .mha or .tif.

    Returns
    -------
    tuple of str
        Notes for the user, the first one says how many files were written.

    Raises
    ------
    ValueError
        If there is nothing to do, a file would be replaced, or no file could be warped; in one sentence.
    Cancelled
        If `progress` raised it; the files that are complete stay.
    """
    options = options or ApplyOptions()
    sources = files_in(folder)
    output = Path(output)
    if output.exists() and output.samefile(folder):
        raise ValueError(f"{output} is the folder of the inputs; choose another one for the results.")
    pair = open_transform(transform)
    said_of_transform, pair = pair.notes, replace(pair, notes=())  # once, not with each file
    for source in sources:
        for target in _targets(source, output):
            _check_new(target)
    check_outputs(output / sources[0].name)
    notes: list[str] = []
    failures: list[str] = []
    for k, source in enumerate(sources):
        part = subprogress(progress, k / len(sources), (k + 1) / len(sources))
        try:
            part(0.0, f"{k + 1} of {len(sources)}, {source.name}")
            if holds_points(source):
                _check_new(output / source.name)
                said = _apply_to_points(pair, source, output / source.name, options)
            else:
                said = _apply_to_image(pair, source, _named_like(source, output), options, part)
            notes += [f"{source.name}: {note}" for note in said]
        except Cancelled as stopped:
            done = k - len(failures)
            raise Cancelled(f"cancelled; {done} of {len(sources)} files were written") from stopped
        except ValueError as error:
            failures.append(f"{source.name}: {error}")
    if len(failures) == len(sources):
        raise ValueError(f"None of the {len(sources)} files could be used; {failures[0]}")
    written = f"Wrote {len(sources) - len(failures)} of {len(sources)} files into {output}."
    return (written, *said_of_transform, *(f"Left out {failure}" for failure in failures), *notes)


def files_in(folder: Path) -> list[Path]:
    """The images and files of points in a folder, sorted by name.

    Raises
    ------
    ValueError
        If there are none, two would give results of one name, or they are the slices of a DICOM series.
    """
    known = (*MEDICAL, *TIFF, *PLAIN)
    inside = sorted(path for path in Path(folder).iterdir() if path.is_file() and path.name[0] != ".")
    files = [path for path in inside if ending_of(path) in known or holds_points(path)]
    slices = [path for path in inside if ending_of(path) in SLICES or (path not in files and is_dicom(path))]
    if slices:
        raise ValueError(
            f"{folder} holds slices of DICOM, {slices[0].name} for one; they are one image, so give the name "
            "of a file for the output."
        )
    if not files:
        raise ValueError(f"{folder} holds no images and no points ({', '.join(ENDINGS)}).")
    names = [name_of(path) for path in files if not holds_points(path)]
    folded = [name.casefold() for name in names]  # on some systems A.tif and a.tif are one file
    if twice := next((name for name in names if folded.count(name.casefold()) > 1), None):
        raise ValueError(f"Several images in {folder} are called {twice}; rename or move one of them.")
    return files


def _apply_to_points(
    pair: PairTransform, source: Path, output: Path, options: ApplyOptions
) -> tuple[str, ...]:
    """Map the points of a file."""
    if not points_ending(output):
        raise ValueError(f"{output.name} cannot hold points; give a name that ends in {', '.join(ENDINGS)}.")
    back = options.direction == "moving -> fixed"
    grid = pair.moving if back else pair.fixed
    if grid is not None and pair.fixed is not None:
        grid = grid.in_world_of(pair.fixed)
    held = read_point_file(source).on(grid, source.name)
    if not len(held.points):
        raise ValueError(f"{source.name} holds no points; give another file.")
    if held.points.shape[1] != pair.transform.ndim:
        raise ValueError(
            f"The points of {source.name} are {held.points.shape[1]}D and the transform is "
            f"{pair.transform.ndim}D; give points with as many coordinates."
        )
    done = apply(pair, held.points, direction=options.direction)
    assert done.points is not None  # of points
    write_points(replace(held, points=done.points), output, source)
    outside: tuple[str, ...] = ()
    if grid is not None and grid.ndim == held.points.shape[1]:
        outside = outside_note(held.points, grid, "moving" if back else "fixed")
    return (*held.notes, *outside, *done.notes)


def _apply_to_image(
    pair: PairTransform,
    source: Path,
    named: Callable[[Image], Path],
    options: ApplyOptions,
    progress: Progress,
) -> tuple[str, ...]:
    """Warp an image into a file whose name depends on what it has to hold."""
    progress(None, f"reading {source.name}")
    image = read_image(source)
    grid = target_grid(pair, options.direction, options.grid, options.pixel_size)
    planned = planned_series(image, grid)
    output = named(planned)
    check_format(planned, output)
    done = apply(
        pair,
        image,
        direction=options.direction,
        grid=grid,
        interpolation=options.interpolation,
        background=options.background,
        progress=progress,
    )
    assert done.image is not None  # of an image
    progress(None, f"writing {output.name}")
    write_image(done.image, named(planned))
    return (*image.notes, *done.notes)


def _named_like(source: Path, folder: Path) -> Callable[[Image], Path]:
    """What names a result like its input, in the input's format if that can hold it."""

    def named(planned: Image) -> Path:
        path = folder / (name_of(source) + format_like(planned, source))
        _check_new(path)
        return path

    return named


def _check_new(path: Path) -> None:
    """Refuse to replace a file, also one that came while the others were written."""
    if path.exists():
        raise ValueError(f"{path} is there already; choose another folder, or move it away.")


def _targets(source: Path, folder: Path) -> list[Path]:
    """The files that may be written for an input; see `format_like`."""
    if holds_points(source):
        return [folder / source.name]
    return [folder / (name_of(source) + ending) for ending in (ending_of(source), ".mha", ".tif")]
