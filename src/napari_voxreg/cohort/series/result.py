"""What the registration of a series gave: one transform a frame, and how well each frame fits."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.geometry import Array, Grid, Image, short_unit
from ...core.progress import Progress, silent
from ...io.files import check_replaceable
from ...io.guards import read_json, reading
from ...io.series import with_time
from ...io.transforms import load_transform, save_transform, software
from ...registration.apply import Background, Warper, fill_of
from ...transforms import Affine, Interpolation, Transform
from ...transforms.records import grid_from_record, grid_to_record
from ..earlier import FILES, files_of, listed, remove_outdated
from ..files import write_csv, write_record
from .frames import Frames, Series, check_channels, frames_of
from .quality import Problem

RECORD, TABLE = "series.json", "series.csv"
FORMAT = "napari-voxreg series"
VERSION = 1
BEGINNING = f'{{\n "format": "{FORMAT}"'
HEAD = "frame,name,problem"


@dataclass(frozen=True)
class Frame:
    """How one frame fits.

    Parameters
    ----------
    name : str
    problem : {"", "unreadable", "blank", "blurred", "moved away"}
        What is wrong with it; only blurred frames keep a motion of their own, that of others is interpolated.
    correlation : float
        With the image it was aligned to, NaN where it was not.
    """

    name: str
    problem: Problem = ""
    correlation: float = math.nan

    @property
    def bridged(self) -> bool:
        """Whether its motion is that between its neighbours."""
        return not math.isfinite(self.correlation) or self.problem == "moved away"


@dataclass(frozen=True, eq=False)
class SeriesResult:
    """The motion of a series.

    Parameters
    ----------
    transforms : tuple of Transform
        One a frame, from world points of the reference to world points of the frame.
    grid : Grid
        Of the reference, without time, on which aligned frames lie.
    frames : tuple of Frame
    options : mapping
        The `SeriesOptions`, and the method if one was run.
    step : float
        From one frame to the next, in `unit`.
    unit : str
    mean : Image or None
        The mean of the aligned frames, or the frame they were aligned to; None after loading.
    seconds : float
    notes : tuple of str
        Sentences for the user.
    software : mapping
        Versions of Python and of the packages that made it.
    sources : tuple of Path
        The files of the frames; empty where there are none, and after loading.
    """

    transforms: tuple[Transform, ...]
    grid: Grid
    frames: tuple[Frame, ...]
    options: Mapping[str, Any]
    step: float = 1.0
    unit: str = "frame"
    mean: Image | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    software: Mapping[str, str] = field(default_factory=software)
    sources: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.transforms)

    @property
    def translations(self) -> Array:
        """How far the centre of the reference has moved in each frame, (frames, d), world units."""
        centre = self.grid.centre[None]
        return np.concatenate([transform(centre) - centre for transform in self.transforms])

    @property
    def readable(self) -> list[int]:
        """Numbers of the frames that could be read."""
        return [k for k, frame in enumerate(self.frames) if frame.problem != "unreadable"]

    @property
    def rotations(self) -> Array:
        """Rotation of each frame at its centre, degrees.

        Of shape (frames, 1) in 2D, where positive rotations lead from rows to columns; (frames, 3) in 3D, as
        vectors along the axis of rotation.
        """
        centre = self.grid.centre[None]
        return np.array([_angles(transform.jacobian(centre)[0]) for transform in self.transforms])

    @property
    def sentence(self) -> str:
        """How many frames were aligned, and how far they move."""
        moved = np.linalg.norm(self.translations - np.median(self.translations, axis=0), axis=1)
        turned = np.abs(self.rotations - np.median(self.rotations, axis=0)).max()
        unit = short_unit(self.grid.units[0])
        return (
            f"{len(self)} frames aligned in {self.seconds:.1f} s: they move by {np.median(moved):.3g} {unit} "
            f"(median), {moved.max():.3g} {unit} at most, and rotate by up to {turned:.2g} degrees."
        )

    def warp(
        self,
        image: Image,
        number: int,
        *,
        interpolation: Interpolation = "linear",
        background: Background = 0.0,
        progress: Progress = silent,
    ) -> Image:
        """One frame, or another image at its position, aligned to the reference.

        Parameters
        ----------
        image : Image
            The frame, with any number of channels.
        number : int
            Of the frame.
        interpolation, background, progress
            As in `apply`.
        """
        ready = Warper(self.transforms[number], self.grid, interpolation)
        fill = fill_of(image, interpolation, background)
        image = replace(image, grid=image.grid.in_world_of(self.grid))
        channels = () if image.channels is None else (image.channels,)
        pixels = ready(image, fill, progress).reshape(*self.grid.shape, *channels)
        return Image(pixels, self.grid, image.name)

    def lazy(
        self,
        series: Series | Frames,
        *,
        axis: int | None = None,
        interpolation: Interpolation = "linear",
        background: Background = 0.0,
    ) -> Image:
        """The whole series aligned, each frame computed when it is looked at.

        Parameters
        ----------
        series, axis
            As in `register_series`: the same frames, or others of the same number, such as another channel.
        interpolation, background
            As in `apply`.

        Returns
        -------
        Image
            Its pixels are a dask array, frames first, in blocks of one frame.

        Raises
        ------
        ValueError
            If the number of frames is another. When a frame is computed: if it cannot be read, or is of
            another kind than the first. One that could not be read at all is the background.
        """
        import dask
        import dask.array as da

        frames = series if isinstance(series, Frames) else frames_of(series, axis)
        if frames.count != len(self):
            raise ValueError(
                f"The series has {frames.count} frames and the motion {len(self)}; give the same frames."
            )
        first = frames.read(self.readable[0])
        shape = self.grid.shape if first.channels is None else (*self.grid.shape, first.channels)
        dtype = np.ma.filled(first.data[:0]).dtype

        def pixels(number: int) -> Array:
            try:
                image = frames.read(number)
            except (ValueError, OSError):
                if self.frames[number].problem == "unreadable":
                    return np.full(shape, fill_of(first, interpolation, background), dtype)
                raise
            check_channels(frames.name(number), image.channels, "the first", first.channels)
            found = self.warp(image, number, interpolation=interpolation, background=background)
            return _of_type(np.ma.filled(found.data), dtype, frames.name(number))

        blocks = [da.from_delayed(dask.delayed(pixels)(k), shape, dtype) for k in range(len(self))]
        return Image(da.stack(blocks), self.time_grid(), first.name)

    def time_grid(self) -> Grid:
        """The grid of the aligned series: that of the reference, with the frames' axis before it."""
        unit = "second" if self.unit == "second" else "pixel" if self.unit == "frame" else self.unit
        return replace(with_time(self.grid, len(self), self.step, 0.0), units=(unit, *self.grid.units))

    def table(self) -> list[list[str]]:
        """A row a frame, after one of headings: name, problem, correlation, translation, rotation."""
        units = [short_unit(unit) for unit in self.grid.units]
        axes = [f"axis {k} ({unit})" for k, unit in enumerate(units)]
        angles = (
            ["rotation (degrees)"] if self.grid.ndim == 2 else [f"rotation {k} (degrees)" for k in range(3)]
        )
        rows = [[*HEAD.split(","), "correlation", *(f"translation {axis}" for axis in axes), *angles]]
        for k, (frame, moved, turned) in enumerate(
            zip(self.frames, self.translations, self.rotations, strict=True)
        ):
            numbers = [frame.correlation, *moved, *turned]
            rows.append([str(k), frame.name, frame.problem, *(f"{value:.6g}" for value in numbers)])
        return rows

    def save(self, folder: Path | str) -> Path:
        """Write ``series.json`` and ``series.csv``, and a file for each deformable transform.

        Files of an earlier run in this folder that do not belong to this motion are removed; no others are.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        ValueError
            If another program's file of that name is there.
        OSError
            If it cannot be written.
        """
        folder = Path(folder)
        check_replaceable(folder / RECORD, BEGINNING)
        check_replaceable(folder / TABLE, HEAD)
        members, written = [], []
        for k, transform in enumerate(self.transforms):
            if transform.matrix is not None:
                members.append({"matrix": transform.matrix.tolist()})
                continue
            name = f"frame-{k:04d}.h5"
            save_transform(transform, folder / name, self.grid)
            written += [folder / name, (folder / name).with_suffix(".json")]
            members.append({"file": name})
        record = {
            "format": FORMAT,
            "version": VERSION,
            "maps": "world points of the reference to world points of each frame",
            "axis order": "array axes",
            "grid": grid_to_record(self.grid),
            "options": dict(self.options),
            "step": self.step,
            "unit": self.unit,
            "seconds": self.seconds,
            "notes": list(self.notes),
            "software": dict(self.software),
            "frames": [
                {
                    "name": frame.name,
                    "problem": frame.problem,
                    "correlation": frame.correlation if math.isfinite(frame.correlation) else None,
                    **member,
                }
                for frame, member in zip(self.frames, members, strict=True)
            ],
        }
        if _of_same_motion(folder / RECORD, record):
            written += files_of(folder / RECORD)
        else:
            remove_outdated(folder / RECORD, written, self.sources)
        write_csv(folder / TABLE, self.table())
        write_record(folder / RECORD, {**record, FILES: listed(written, folder)})
        return folder


def load_series(folder: Path | str) -> SeriesResult:
    """What `SeriesResult.save` wrote.

    Raises
    ------
    ValueError
        If it is missing, damaged or of a newer version.
    """
    path = Path(folder)
    path = path / RECORD if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"There is no {RECORD} in {path.parent}; give a folder that `stack` wrote.")
    record = read_json(path)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"{path} holds no motion of a series; give a folder that `stack` wrote.")
    if isinstance(number := record.get("version"), int) and number > VERSION:
        raise ValueError(
            f"{path.name} was written by a newer napari-voxreg, as version {number}; update napari-voxreg."
        )
    with reading(path, "align the series again"):
        transforms: list[Transform] = []
        frames = []
        for entry in record["frames"]:
            if "matrix" in entry:
                transforms.append(Affine(np.array(entry["matrix"], dtype=float)))
            else:
                transforms.append(load_transform(path.parent / Path(entry["file"]).name))
            fit = entry["correlation"]
            frames.append(
                Frame(str(entry["name"]), entry["problem"], math.nan if fit is None else float(fit))
            )
        return SeriesResult(
            tuple(transforms),
            grid_from_record(record["grid"]),
            tuple(frames),
            record["options"],
            float(record["step"]),
            str(record["unit"]),
            seconds=float(record["seconds"]),
            notes=tuple(map(str, record["notes"])),
            software=record["software"],
        )


def _of_same_motion(path: Path, record: Mapping[str, Any]) -> bool:
    """Whether a record is there and has the frames of another one: aligned images beside it still fit."""
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        return all(there[key] == record[key] for key in ("grid", "options", "frames"))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _of_type(pixels: Array, dtype: np.dtype[Any], name: str) -> Array:
    """Pixels in the type of the first frame, as all are in one array."""
    if dtype.kind != "f" and not np.can_cast(pixels.dtype, dtype):
        raise ValueError(
            f"{name} has {pixels.dtype} pixels and the first frame {dtype}; convert the frames to one type."
        )
    return pixels.astype(dtype, copy=False)


def _angles(jacobian: Array) -> Array:
    """The rotation in a matrix: an angle in 2D, a rotation vector in 3D; degrees."""
    u, _, v = np.linalg.svd(jacobian)
    rotation = u @ v
    if len(rotation) == 2:
        return np.degrees([np.arctan2(rotation[1, 0], rotation[0, 0])])
    from scipy.spatial.transform import Rotation

    if np.linalg.det(rotation) < 0:
        rotation = -rotation
    return Rotation.from_matrix(rotation).as_rotvec(degrees=True)
