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
from ..layers.result_layers import LayerData
from ..layers.snapshots import grid_kwargs

if TYPE_CHECKING:
    from ...train.events import Example

GAP = 1.06  # sides of an image from one picture of the preview to the next
LINES = 17  # of the grid: a fourth of the pieces that a result's has, for it is drawn again and again
THUMBNAIL = 1  # piece of it that napari draws in the layer's thumbnail, where all of them are black


@dataclass(frozen=True)
class Pictures:
    """An example made ready for the screen; by their names layers are found again.

    `made` are the layers themselves, for a screen that may have none of them yet: making one takes its time.
    """

    step: int
    layers: tuple[LayerData, ...]
    made: tuple[Layer, ...] = ()

    def with_layers(self) -> Pictures:
        """The same, with the layers made."""
        return replace(self, made=tuple(map(_layer, self.layers)))


def example_pictures(example: Example) -> Pictures:
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
    return Pictures(
        example.step,
        (
            _picture(example.fixed, grid, "training: fixed", example.name, "red"),
            _picture(example.moving, grid, "training: moving", example.name, "cyan", visible=False),
            _picture(example.warped, grid, "training: warped", example.name, "cyan"),
            lines,
        ),
    )


def preview_pictures(plain: Example, other: Example) -> Pictures:
    """The pair and the same augmented beside it, fixed images above moving ones."""
    layers = []
    for column, (what, example) in enumerate((("plain", plain), ("augmented", other))):
        for row, side in enumerate(("fixed", "moving")):
            grid = _beside(example.grid, row, column)
            layers.append(
                _picture(getattr(example, side), grid, f"preview {what}: {side}", example.name, "gray")
            )
    return Pictures(0, tuple(layers)).with_layers()


class PictureLayers:
    """The layers of an example: made once, then given new pixels, one layer at a time.

    They are kept from run to run, for napari takes long to remove one. What the user deletes does not come
    back before the next run, and what he renames is his.

    Parameters
    ----------
    viewer : napari.Viewer
        Where they are shown.
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
        """Those that are there and still ours."""
        return [layer for layer, name in self._known.values() if self._ours(layer, name)]

    def begin(self) -> None:
        """Another run: what was hidden is seen again, and what the user deleted may come again."""
        self._pending, self._made = [], {}
        for layer in self._hidden:
            layer.visible = True
        self._hidden = []
        self._known = {k: known for k, known in self._known.items() if self._ours(*known)}

    def hide(self) -> None:
        """Make room for other pictures."""
        self._hidden += [layer for layer in self.layers if layer.visible]
        for layer in self._hidden:
            layer.visible = False

    def show(self, pictures: Pictures) -> None:
        """Show these in place of those that were not shown yet."""
        self._pending = list(pictures.layers)
        self._made |= {layer.name: layer for layer in pictures.made}

    def step(self) -> bool:
        """Bring one layer up to date, since each takes napari its time; whether there was one."""
        if not self._pending:
            return False
        data, keywords, _ = one = self._pending.pop(0)
        made = self._made.pop(keywords["name"], None)
        layer, called = self._known.get(keywords["name"], (None, ""))
        if layer is None:
            self._add(one, made)
        elif self._ours(layer, called):
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
            self._pending.insert(0, one)  # it was made of an earlier example

    def _ours(self, layer: Layer, name: str) -> bool:
        return layer in self._viewer.layers and layer.name == name


def _layer(one: LayerData) -> Layer:
    layer = Layer.create(*one)
    if isinstance(layer, Vectors):
        layer._max_vectors_thumbnail = THUMBNAIL
    return layer


def _picture(data: Array, grid: Grid, name: str, pair: str, colormap: str, **more: Any) -> LayerData:
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
    """Tells what a layer shows and where, and keeps it from being taken for an image to register."""
    return {
        "voxreg": {"layer": what, "pair": pair, "affine": grid.affine.tolist(), "units": list(grid.units)}
    }


def _beside(grid: Grid, row: int, column: int) -> Grid:
    """The same grid, so many of its sides further along its last two axes."""
    index = np.zeros((1, grid.ndim))
    index[0, -2:] = np.array((row, column)) * GAP * np.array(grid.shape[-2:])
    affine = grid.affine.copy()
    affine[:-1, -1] = grid.to_world(index)[0]
    return Grid(grid.shape, affine, grid.units)
