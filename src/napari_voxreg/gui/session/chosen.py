"""What a run is made from, as it was when the run began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.geometry import Array, Grid, unit_factor
from ...core.progress import Progress
from ...registration.pair_transform import open_transform
from ...registration.result import Result
from ...transforms import Transform
from ..layers.placement import LayerData
from ..layers.result_layers import Show, result_layers
from ..layers.snapshots import LayerSnapshot, ShapesSnapshot


@dataclass(frozen=True, eq=False)
class Fitted:
    """A transform that was fitted to landmarks, or set by hand.

    Parameters
    ----------
    title : str
        The name by which it is listed.
    transform : Transform
    fixed : Grid
        Of the fixed image, in whose units the transform is.
    """

    title: str
    transform: Transform
    fixed: Grid


@dataclass(frozen=True)
class Chosen:
    """All choices except the method.

    Parameters
    ----------
    fixed, moving : LayerSnapshot
        The two layers.
    fixed_mask, moving_mask : LayerSnapshot, ShapesSnapshot or None
        The layers of their masks.
    landmarks : tuple of ndarray or None
        Corresponding world points, in the units of their image.
    initial : str, Result, Fitted, Path or None
        The initial transform as `register` takes it, one fitted to landmarks, or the file of one.
    channel : int, "luminance" or None
        The channel that is registered.
    levels : tuple of int
        The levels of the fixed and the moving layer to register, 0 the finest.
    """

    fixed: LayerSnapshot
    moving: LayerSnapshot
    fixed_mask: LayerSnapshot | ShapesSnapshot | None
    moving_mask: LayerSnapshot | ShapesSnapshot | None
    landmarks: tuple[Array, Array] | None
    initial: str | Result | Fitted | Path | None
    channel: int | str | None
    levels: tuple[int, int]

    def inputs(self, progress: Progress) -> dict[str, Any]:
        """Arguments of `register` and `compare`; reads the pixels."""
        progress(0.0, "reading the images")
        fixed, moving = self.fixed.image(self.levels[0]), self.moving.image(self.levels[1])
        masks = [
            None if mask is None else mask.mask(image.grid)
            for mask, image in ((self.fixed_mask, fixed), (self.moving_mask, moving))
        ]
        return {
            "fixed": fixed,
            "moving": moving,
            "initial": self._initial(fixed.grid, moving.grid),
            "fixed_mask": masks[0],
            "moving_mask": masks[1],
            "landmarks": self.landmarks,
            "channel": self.channel,
        }

    def layers(self, result: Result, show: Show, number: int, progress: Progress) -> list[LayerData]:
        """The layers of a result of this pair; the run's number is in their names."""
        return result_layers(
            result,
            self.fixed,
            self.moving,
            show=show,
            channel=self.channel,
            number=number,
            progress=progress,
        )

    def _initial(self, fixed: Grid, moving: Grid) -> Any:
        """The initial transform, read if it is a file; its units must be those of the fixed image."""
        if self.initial is None or isinstance(self.initial, str):
            return self.initial
        if isinstance(self.initial, Result | Fitted):
            name = self.initial.title if isinstance(self.initial, Fitted) else self.initial.method
            _check_units(name, self.initial.fixed.units, fixed)
            return self.initial.transform if isinstance(self.initial, Fitted) else self.initial
        # Some programs count from the corners of the files, whose axes a layer may have in another order.
        places = (_file_or(self.fixed, fixed), _file_or(self.moving, moving))
        opened = open_transform(self.initial, *places)
        if opened.fixed is not None:
            _check_units(self.initial.name, opened.fixed.units, fixed)
        return opened


def _file_or(layer: LayerSnapshot, grid: Grid) -> Path | Grid:
    """The file of a layer if that is there, else its grid."""
    file = None if layer.file is None else Path(layer.file)
    return grid if file is None or not file.is_file() else file


def _check_units(name: str, units: Sequence[str], fixed: Grid) -> None:
    """Refuse an initial transform in other units than the fixed image's."""
    try:
        same = all(unit_factor(a, b) == 1 for a, b in zip(units, fixed.units, strict=False))
    except ValueError:  # lengths and pixels
        same = False
    if not same:
        raise ValueError(
            f"The initial transform ({name}) is in {units[-1]} and the fixed image in {fixed.units[-1]}; "
            "choose another one under Initial transform, or give the layers the same units."
        )
