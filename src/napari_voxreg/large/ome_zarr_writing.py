"""The arrays and the metadata of OME-Zarr 0.4 and 0.5."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..core.geometry import Array, Grid
from ..io.tiff import TIME
from .blocks import CHUNKS
from .library import the_zarr

Version = Literal["0.4", "0.5"]
VERSIONS: tuple[Version, ...] = get_args(Version)
COLOURS = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))


class ZarrWriter:
    """An image in a group of Zarr, written block by block.

    Parameters
    ----------
    path : Path
        Of the group, which is made if it is not there.
    grids : sequence of Grid
        Of the levels, without time.
    dtype : dtype
        Of the pixels; booleans are stored as bytes.
    channels : int or None
        Along the last axis of the blocks.
    times : tuple of (int, float, float), or None
        Number of time points, their distance and the first one, in seconds.
    version : {"0.4", "0.5"}
        Of OME-Zarr.
    """

    def __init__(
        self,
        path: Path,
        grids: Sequence[Grid],
        dtype: np.dtype[Any],
        channels: int | None,
        times: tuple[int, float, float] | None,
        version: Version,
    ) -> None:
        self.grids, self.channels, self.times, self.version = grids, channels, times, version
        self.dtype = np.dtype(np.uint8) if dtype.kind == "b" else dtype
        zarr = the_zarr()
        self.group = zarr.open_group(path, mode="a", zarr_format=2 if version == "0.4" else 3)
        self.levels = [self._array(k) for k in range(len(grids))]

    @property
    def axes(self) -> str:
        """A letter for each axis that is stored."""
        space = "zyx"[-self.grids[0].ndim :]
        return ("t" if self.times else "") + ("c" if self.channels is not None else "") + space

    def write(self, level: int, time: int, box: Sequence[slice], data: Array) -> None:
        """Store a block, channels last; its sides are whole chunks."""
        if self.channels is not None:
            data = np.moveaxis(data, -1, 0)
        self.levels[level][self._at(time, box)] = data.astype(self.dtype, copy=False)

    def read(self, level: int, time: int, box: Sequence[slice]) -> Array:
        """A block that was stored, channels last."""
        data = np.asarray(self.levels[level][self._at(time, box)])
        return data if self.channels is None else np.moveaxis(data, 0, -1)

    def describe(self, name: str, labels: bool) -> None:
        """Write the metadata, which make the group an image.

        Parameters
        ----------
        name : str
            Of the image.
        labels : bool
            Whether it shows labels.
        """
        multiscale: dict[str, Any] = {
            "name": name,
            "axes": [self._axis(letter) for letter in self.axes],
            "datasets": [
                {"path": str(k), "coordinateTransformations": self._placed(grid)}
                for k, grid in enumerate(self.grids)
            ],
            "type": "mode" if labels else "mean",
        }
        about: dict[str, Any] = {"multiscales": [multiscale]}
        if labels:
            about["image-label"] = {}
        elif self.channels == 3 and self.dtype.kind == "u":
            top = int(np.iinfo(self.dtype).max)
            window = {"min": 0, "max": top, "start": 0, "end": top}
            about["omero"] = {
                "channels": [
                    {"label": label, "color": colour, "active": True, "window": window}
                    for label, colour in COLOURS
                ]
            }
        say(self.group, about, self.version)

    def _at(self, time: int, box: Sequence[slice]) -> tuple[Any, ...]:
        lead = ((time,) if self.times else ()) + ((slice(None),) if self.channels is not None else ())
        return (*lead, *box)

    def _array(self, level: int) -> Any:
        """The array of a level, there already if a broken run goes on."""
        name, shape = str(level), self.grids[level].shape
        if name in self.group:
            return self.group[name]
        chunk = CHUNKS[min(len(shape), 3)]
        sizes = {"t": self.times[0] if self.times else 1, "c": self.channels or 1}
        whole = (*(sizes[a] for a in self.axes if a in "tc"), *shape)
        named = {} if self.version == "0.4" else {"dimension_names": list(self.axes)}
        return self.group.create_array(
            name,
            shape=whole,
            chunks=(*(1 for a in self.axes if a in "tc"), *(min(chunk, n) for n in shape)),
            dtype=self.dtype,
            fill_value=0,
            chunk_key_encoding={"name": "v2" if self.version == "0.4" else "default", "separator": "/"},
            config={"write_empty_chunks": True},
            **named,
        )

    def _axis(self, letter: str) -> dict[str, str]:
        if letter == "t":
            return {"name": "t", "type": "time", "unit": TIME}
        if letter == "c":
            return {"name": "c", "type": "channel"}
        unit = self.grids[0].units["zyx"[-self.grids[0].ndim :].index(letter)]
        return {"name": letter, "type": "space", **({} if unit == "pixel" else {"unit": unit})}

    def _placed(self, grid: Grid) -> list[dict[str, Any]]:
        """Scale and translation of a level."""
        _, step, start = self.times or (1, 1.0, 0.0)
        lead = {"t": (step, start), "c": (1.0, 0.0)}
        pairs = [lead[a] for a in self.axes if a in "tc"]
        pairs += list(zip(grid.spacing.tolist(), grid.origin.tolist(), strict=True))
        scale, translation = zip(*pairs, strict=True)
        return [
            {"type": "scale", "scale": list(scale)},
            {"type": "translation", "translation": list(translation)},
        ]


def say(group: Any, about: dict[str, Any], version: Version) -> None:
    """Write metadata of OME-Zarr into a group, where its version has them."""
    if version == "0.5":
        group.attrs["ome"] = {"version": version, **about}
        return
    for part in about.get("multiscales", ()):
        part["version"] = version
    for key in ("omero", "image-label"):
        if key in about:
            about[key]["version"] = version
    group.attrs.update(about)


def list_labels(path: Path, names: Sequence[str], version: Version) -> None:
    """Name the label images in the group that holds them."""
    group = the_zarr().open_group(path, mode="a", zarr_format=2 if version == "0.4" else 3)
    say(group, {"labels": list(names)}, version)


def refusal(grid: Grid) -> str | None:
    """Why OME-Zarr cannot hold a grid, None where it can."""
    linear = grid.affine[:-1, :-1]
    if not np.array_equal(linear, np.diag(np.diag(linear))) or np.diag(linear).min() <= 0:
        return "OME-Zarr holds no rotated or mirrored axes; give a fixed image without them."
    return None
