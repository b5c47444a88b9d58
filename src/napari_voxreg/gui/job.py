"""A registration as the worker gets it: everything it needs, and no layer or widget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..geometry import Array, Grid, unit_factor
from ..method import Progress, part
from ..params import Params
from ..registration import Result, register
from .layers import LayerSnapshot, ShapesSnapshot
from .results import LayerData, Show, result_layers


@dataclass(frozen=True)
class Job:
    """What was chosen when Register was pressed.

    Parameters
    ----------
    fixed, moving : LayerSnapshot
        The two layers.
    fixed_mask, moving_mask : LayerSnapshot, ShapesSnapshot or None
        The layers of their masks.
    points : tuple of ndarray or None
        Corresponding world points, in the units of their image.
    method : str
        The method's name.
    params : Params
        All its parameters.
    start : str, Result, Path or None
        As `register` takes it, or the file of a transform.
    channel : int, "luminance" or None
        Which channel drives.
    levels : tuple of int
        The levels of the fixed and the moving layer to register, 0 the finest.
    show : Show
        Which layers to make.
    """

    fixed: LayerSnapshot
    moving: LayerSnapshot
    fixed_mask: LayerSnapshot | ShapesSnapshot | None
    moving_mask: LayerSnapshot | ShapesSnapshot | None
    points: tuple[Array, Array] | None
    method: str
    params: Params
    start: str | Result | Path | None
    channel: int | str | None
    levels: tuple[int, int]
    show: Show

    def __call__(self, progress: Progress) -> tuple[Result, list[LayerData]]:
        """Register and make the layers; see `register` for the errors."""
        progress(0.0, "reading the images")
        fixed, moving = self.fixed.image(self.levels[0]), self.moving.image(self.levels[1])
        masks = [
            None if mask is None else mask.mask(image.grid)
            for mask, image in ((self.fixed_mask, fixed), (self.moving_mask, moving))
        ]
        result = register(
            fixed,
            moving,
            method=self.method,
            params=self.params,
            initial=self._initial(fixed.grid),
            fixed_mask=masks[0],
            moving_mask=masks[1],
            points=self.points,
            channel=self.channel,
            progress=part(progress, 0.0, 0.9),
        )
        layers = result_layers(
            result,
            self.fixed,
            self.moving,
            show=self.show,
            channel=self.channel,
            progress=part(progress, 0.9, 1.0),
        )
        return result, layers

    def _initial(self, fixed: Grid) -> Any:
        """The start, read from its file if it is one; in other units it would mean another motion."""
        if self.start is None or isinstance(self.start, str):
            return self.start
        if isinstance(self.start, Result):
            _check_units(self.start.fixed.units, fixed)
            return self.start
        from ..io.transforms import load_record, load_transform

        record = load_record(self.start)
        if record is not None:
            _check_units(record["units"], fixed)
        return load_transform(self.start)


def _check_units(units: Sequence[str], fixed: Grid) -> None:
    """Refuse a start in other units than the fixed image's."""
    if any(unit_factor(a, b) != 1 for a, b in zip(units, fixed.units, strict=False)):
        raise ValueError(
            f"The start is in {units[-1]} and the fixed image in {fixed.units[-1]}; "
            "give the layers the same units."
        )


def warm_up() -> None:
    """Load in a thread what the first run needs, in this process and in the child."""
    import importlib

    from .. import isolate

    isolate.warm("napari_voxreg.methods.elastix_load")
    # Not pint: its registry breaks if two threads first use it at once, and napari loads it for its layers.
    for module in ("SimpleITK", "scipy.ndimage", "skimage.draw", "napari_voxreg.itk"):
        importlib.import_module(module)
