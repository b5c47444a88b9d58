"""Runs of an earlier session: found again by their layers, and their pairs among the open layers."""

from __future__ import annotations

from weakref import ref

from napari.components import ViewerModel
from napari.layers import Image, Layer

from ...core.geometry import Grid
from ..layers.placement import RESULT
from ..layers.result_layers import Show
from ..layers.snapshots import snapshot
from .chosen import Chosen
from .state import Run, SessionState


def find_runs(state: SessionState, viewer: ViewerModel) -> None:
    """Make runs of results that came with a layer from a file, and look for the pairs of runs without one."""
    for layer in viewer.layers:
        result = layer.metadata.get(RESULT)
        known = [run for run in [*state.runs, *state.undone] if run.result is result]
        if result is not None and not known and "number" not in layer.metadata["voxreg"]:
            run = Run(state.next_number(), result)
            layer.metadata["voxreg"] |= {"number": run.number, "way": Show().way("warped")}
            state.keep(run)
    for run in state.runs:
        if run.chosen is None and find_pair(run, viewer):
            state.changed.emit()


def find_pair(run: Run, viewer: ViewerModel) -> bool:
    """Look for the layers of a run's pair by their names and grids; whether they are there."""
    result = run.result
    grids = result.fixed, result.moving
    found = [_layer(name, grid, viewer) for name, grid in zip(result.names, grids, strict=True)]
    fixed, moving = found
    if fixed is None or moving is None:
        return False
    run.fixed, run.moving = ref(fixed), ref(moving)
    taken = snapshot(fixed, viewer), snapshot(moving, viewer)
    run.chosen = Chosen(*taken, None, None, None, None, None, (0, 0))
    return True


def pair_layers(run: Run, viewer: ViewerModel) -> tuple[Layer | None, Layer | None]:
    """The fixed and the moving layer of a run; for one that is gone, an image of its name and grid."""
    result = run.result
    found = []
    for layer, name, grid in zip(
        (run.fixed_layer, run.moving_layer), result.names, (result.fixed, result.moving), strict=True
    ):
        there = layer is not None and layer in viewer.layers
        found.append(layer if there else _layer(name, grid, viewer))
    return found[0], found[1]


def _layer(name: str, grid: Grid | None, viewer: ViewerModel) -> Layer | None:
    """The newest image of this name and, as far as it is known, on this grid."""
    for layer in reversed(viewer.layers):
        if isinstance(layer, Image) and layer.name == name and "voxreg" not in layer.metadata:
            try:
                there = snapshot(layer, viewer).grid()
                there = there.without(there.thin_axes()) if grid and there.ndim > grid.ndim else there
                if grid is None or there.in_world_of(grid).same_as(grid):
                    return layer
            except ValueError:  # units or axes that do not fit
                continue
    return None
