"""Jobs of the worker; they hold everything they need, and no layer or widget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module

from ...core.params import Params
from ...core.progress import Progress, subprogress
from ...registration.compare import Row, compare
from ...registration.register import register
from ...registration.result import Result
from ..layers.placement import LayerData
from ..layers.result_layers import Show
from ..session.chosen import Chosen

What = Callable[[], tuple[str, Params, str]]  # gives a method, its parameters and a device


@dataclass(frozen=True)
class Job:
    """Registers the chosen pair with a method and makes the layers of the result."""

    chosen: Chosen
    method: str
    params: Params
    device: str
    show: Show
    number: int

    def __call__(self, progress: Progress) -> tuple[Result, list[LayerData]]:
        """Run the job; see `register` for the errors."""
        result = register(
            **self.chosen.inputs(progress),
            method=self.method,
            params=self.params,
            device=self.device,
            progress=subprogress(progress, 0.0, 0.9),
        )
        layers = self.chosen.layers(result, self.show, self.number, subprogress(progress, 0.9, 1.0))
        return _light(result), layers


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


def _light(result: Result) -> Result:
    """A result without its images: the session keeps many results, and layers have the pixels."""
    return replace(result, fixed_image=None, moving_image=None)


def warm_up() -> None:
    """Load what the first run needs in this process; called in a thread."""
    # Not pint: its registry breaks if two threads make its first use at once, and napari loads it anyway.
    for module in ("SimpleITK", "scipy.ndimage", "skimage.draw", "napari_voxreg.transforms.itk"):
        import_module(module)
