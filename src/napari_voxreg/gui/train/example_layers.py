"""The example pair of a training, and the preview of augmentation, as layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import napari.viewer
import numpy as np
from napari.layers import Layer, Vectors

from ...core.geometry import Array, Grid
from ...transforms import Displacement
from ..layers.drawings import deformed_grid
from ..layers.placement import LayerData
from ..layers.snapshots import grid_kwargs

if TYPE_CHECKING:
    from ...train.events import Example

GAP = 1.06  # distance of images in the preview, in sides of an image
LINES = 17  # of the grid: a fourth of the segments of a result's, since it is redrawn often
THUMBNAIL = 1  # segment that napari draws in the layer's thumbnail, where all are black


@dataclass(frozen=True)
class ExampleLayers:
    """The layer data of an example; existing layers are found by their names.

    `made` are the layers themselves, made ahead because making one takes time.
    """

    step: int
    layers: tuple[LayerData, ...]
    made: tuple[Layer, ...] = ()

    def with_layers(self) -> ExampleLayers:
        """The same, with the layers made."""
        return replace(self, made=tuple(map(_layer, self.layers)))


def example_layers(example: Example) -> ExampleLayers:
    """Fixed in red, warped in cyan: grey where they agree; the moving image hidden; the deformed grid."""
    grid = example.grid
    d = grid.ndim
    world = np.moveaxis(example.displacement, 0, -1) @ grid.affine[:d, :d].T
    through = tuple(n // 2 for n in grid.shape)
    drawing = deformed_grid(Displacement(world, grid), grid, through, LINES)
    lines: LayerData = (
        drawing.vectors.astype(np.float32),
        {
            "name": "training: grid",
            "metadata": _metadata("grid", example.name, grid),
            "vector_style": "line",
            "edge_width": 0.05 * drawing.step,
            "edge_color": "#ffd34d",
            "opacity": 0.6,
            "blending": "translucent_no_depth",
            **grid_kwargs(grid),
        },
        "vectors",
    )
    return ExampleLayers(
        example.step,
        (
            _image_data(example.fixed, grid, "training: fixed", example.name, "red"),
            _image_data(example.moving, grid, "training: moving", example.name, "cyan", visible=False),
            _image_data(example.warped, grid, "training: warped", example.name, "cyan"),
            lines,
        ),
    )


def preview_layers(plain: Example, other: Example) -> ExampleLayers:
    """The pair and the same augmented beside it, fixed images above moving ones."""
    layers = []
    for column, (what, example) in enumerate((("plain", plain), ("augmented", other))):
        for row, side in enumerate(("fixed", "moving")):
            grid = _beside(example.grid, row, column)
            layers.append(
                _image_data(getattr(example, side), grid, f"preview {what}: {side}", example.name, "gray")
            )
    return ExampleLayers(0, tuple(layers)).with_layers()


class ExampleView:
    """Shows an example in the viewer: layers are made once, then get new pixels, one layer at a time.

    They are kept from run to run, since napari is slow to remove one. A layer that the user deletes returns
    only with the next run; a renamed one is the user's.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layers.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._known: dict[str, tuple[Layer, str]] = {}  # with the name that napari gave it
        self._hidden: list[Layer] = []
        self._pending: list[LayerData] = []
        self._made: dict[str, Layer] = {}
        self._fresh = False

    @property
    def layers(self) -> list[Layer]:
        """The layers of this view that the user has not removed or renamed."""
        return [layer for layer, name in self._known.values() if self._owned(layer, name)]

    def begin(self) -> None:
        """Start another run: hidden layers are shown again, and deleted ones may return."""
        self._pending, self._made = [], {}
        for layer in self._hidden:
            layer.visible = True
        self._hidden = []
        self._known = {k: known for k, known in self._known.items() if self._owned(*known)}

    def hide(self) -> None:
        """Hide all layers."""
        self._hidden += [layer for layer in self.layers if layer.visible]
        for layer in self._hidden:
            layer.visible = False

    def show(self, example: ExampleLayers) -> None:
        """Show this example in place of one still waiting."""
        self._pending = list(example.layers)
        self._made |= {layer.name: layer for layer in example.made}

    def step(self) -> bool:
        """Update one layer, since each blocks napari for a moment; False if none is waiting."""
        if not self._pending:
            return False
        data, keywords, _ = one = self._pending.pop(0)
        made = self._made.pop(keywords["name"], None)
        layer, called = self._known.get(keywords["name"], (None, ""))
        if layer is None:
            self._add(one, made)
        elif self._owned(layer, called):
            if np.shape(layer.data) != data.shape or layer.metadata != keywords["metadata"]:
                self._viewer.layers.remove(layer)
                self._add(one, made)
            elif not np.array_equal(layer.data, data):
                layer.data = data
        if self._fresh and not self._pending:
            self._fresh = False
            self._viewer.reset_view()
        return True

    def _add(self, one: LayerData, made: Layer | None) -> None:
        data, keywords, _ = one
        layer = self._viewer.add_layer(_layer(one) if made is None else made)
        self._known[keywords["name"]] = layer, layer.name
        self._fresh = True
        if layer.data is not data:
            self._pending.insert(0, one)  # it was made from an earlier example

    def _owned(self, layer: Layer, name: str) -> bool:
        return layer in self._viewer.layers and layer.name == name


def _layer(one: LayerData) -> Layer:
    layer = Layer.create(*one)
    if isinstance(layer, Vectors):
        layer._max_vectors_thumbnail = THUMBNAIL
    return layer


def _image_data(data: Array, grid: Grid, name: str, pair: str, colormap: str, **more: Any) -> LayerData:
    keywords = {
        "name": name,
        "metadata": _metadata(name, pair, grid),
        "colormap": colormap,
        "blending": "additive",
        "contrast_limits": (0.0, 1.0),
        **grid_kwargs(grid),
        **more,
    }
    return data, keywords, "image"


def _metadata(what: str, pair: str, grid: Grid) -> dict[str, Any]:
    """Record what a layer shows and where; it also marks the layer as no image to register."""
    return {
        "voxreg": {"layer": what, "pair": pair, "affine": grid.affine.tolist(), "units": list(grid.units)}
    }


def _beside(grid: Grid, row: int, column: int) -> Grid:
    """The same grid, moved by that many of its sides along its last two axes."""
    index = np.zeros((1, grid.ndim))
    index[0, -2:] = np.array((row, column)) * GAP * np.array(grid.shape[-2:])
    affine = grid.affine.copy()
    affine[:-1, -1] = grid.to_world(index)[0]
    return Grid(grid.shape, affine, grid.units)
