"""Jobs of the worker; they hold everything they need, and no layer or widget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from ...core.geometry import Array, Grid, unit_factor
from ...core.params import Params
from ...core.progress import Progress, subprogress
from ...io.transforms import fixed_grid, load_record, load_transform
from ...registration.compare import Row, compare
from ...registration.register import register
from ...registration.result import Result
from ..layers.result_layers import LayerData, Show, result_layers
from ..layers.snapshots import LayerSnapshot, ShapesSnapshot


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
    initial : str, Result, Path or None
        The initial transform as `register` takes it, or the file of one.
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
    initial: str | Result | Path | None
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
            "initial": self._initial(fixed.grid),
            "fixed_mask": masks[0],
            "moving_mask": masks[1],
            "landmarks": self.landmarks,
            "channel": self.channel,
        }

    def layers(self, result: Result, show: Show, progress: Progress) -> list[LayerData]:
        """The layers of a result of this pair."""
        return result_layers(
            result, self.fixed, self.moving, show=show, channel=self.channel, progress=progress
        )

    def _initial(self, fixed: Grid) -> Any:
        """The initial transform, read if it is a file; its units must be those of the fixed image."""
        if self.initial is None or isinstance(self.initial, str):
            return self.initial
        if isinstance(self.initial, Result):
            _check_units(self.initial.fixed.units, fixed)
            return self.initial
        record = load_record(self.initial)
        if record is not None:
            _check_units(fixed_grid(record).units, fixed)
        return load_transform(self.initial)


@dataclass(frozen=True)
class Job:
    """Registers the chosen pair with a method and makes the layers of the result."""

    chosen: Chosen
    method: str
    params: Params
    device: str
    show: Show

    def __call__(self, progress: Progress) -> tuple[Result, list[LayerData]]:
        """Run the job; see `register` for the errors."""
        result = register(
            **self.chosen.inputs(progress),
            method=self.method,
            params=self.params,
            device=self.device,
            progress=subprogress(progress, 0.0, 0.9),
        )
        return _light(result), self.chosen.layers(result, self.show, subprogress(progress, 0.9, 1.0))


@dataclass(frozen=True)
class CompareJob:
    """Runs several methods on the chosen pair and passes each row on as it finishes."""

    chosen: Chosen
    methods: tuple[str, ...]
    device: str
    arrived: Callable[[Row], None]

    def __call__(self, progress: Progress) -> None:
        """Run the job; see `compare` for the errors."""
        inputs = self.chosen.inputs(progress)
        compare(**inputs, methods=self.methods, device=self.device, progress=progress, arrived=self._arrived)

    def _arrived(self, row: Row) -> None:
        self.arrived(row if row.result is None else replace(row, result=_light(row.result)))


@dataclass(frozen=True)
class ShowJob:
    """Makes the layers of an earlier result of the chosen pair."""

    chosen: Chosen
    result: Result
    show: Show

    def __call__(self, progress: Progress) -> tuple[Result, list[LayerData]]:
        """Run the job."""
        return self.result, self.chosen.layers(self.result, self.show, progress)


def _light(result: Result) -> Result:
    """A result without its images: the session keeps many results, and layers have the pixels."""
    return replace(result, fixed_image=None, moving_image=None)


def _check_units(units: Sequence[str], fixed: Grid) -> None:
    """Refuse an initial transform in other units than the fixed image's."""
    if any(unit_factor(a, b) != 1 for a, b in zip(units, fixed.units, strict=False)):
        raise ValueError(
            f"The initial transform is in {units[-1]} and the fixed image in {fixed.units[-1]}; "
            "give the layers the same units."
        )


def warm_up() -> None:
    """Load what the first run needs in this process; called in a thread."""
    # Not pint: its registry breaks if two threads make its first use at once, and napari loads it anyway.
    for module in ("SimpleITK", "scipy.ndimage", "skimage.draw", "napari_voxreg.transforms.itk"):
        import_module(module)
