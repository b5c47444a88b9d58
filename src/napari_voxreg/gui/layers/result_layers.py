"""A result as napari layers: computed in a worker, added on the main thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np
from napari.utils import Colormap

from ...core.geometry import Array, Grid, Image, short_unit
from ...core.progress import Progress, silent, subprogress
from ...images.nodata import without_nodata
from ...images.preprocess import driving_channel
from ...metrics.pair import PairMetrics
from ...registration.result import Result
from ...transforms import Transform, displacement_on, jacobian_determinant, warp
from .drawings import Tile, arrow_length, arrows, deformed_grid, tiles
from .snapshots import CRS, LayerSnapshot

LayerData = tuple[Any, dict[str, Any], str]
NAME = 24  # characters of a layer's name kept in the names of its results
# Blue shrinks, white is unchanged, red grows; folding lies below the limits and is yellow.
DIVERGING = ("#0b2c6b", "#3f7fd0", "#f7f7f7", "#d9593d", "#6e0d1c")
FOLDED = "#ffe600"
# From dissimilar to similar; dark throughout, so that the values written on it are legible.
SIMILARITY = ("#c23a26", "#842c56", "#10203f")
WORSE, SAME, BETTER = "#ffe08a", "#ffffff", "#9dffb0"
# Bright throughout, to stand out against dark and red images.
DISTANCE = ("#31c7ff", "#8dff8a", "#fff04a")


@dataclass(frozen=True)
class Show:
    """Which layers are made of a result.

    Parameters
    ----------
    warped : bool
        The moving image on the fixed grid.
    arrows : bool
        Where each pixel is taken from, as arrows.
    grid : bool
        A regular grid, deformed.
    magnitude : bool
        How far each pixel is displaced.
    jacobian : bool
        How volume changes: the determinant of the Jacobian.
    ssim : bool
        Local structural similarity, with the values before and after written on it.
    extras : bool
        Further results of the method.
    """

    warped: bool = True
    arrows: bool = True
    grid: bool = False
    magnitude: bool = False
    jacobian: bool = False
    ssim: bool = True
    extras: bool = False


def result_layers(
    result: Result,
    fixed: LayerSnapshot,
    moving: LayerSnapshot,
    *,
    show: Show | None = None,
    channel: int | str | None = None,
    progress: Progress = silent,
) -> list[LayerData]:
    """Make the layers of a result, at the full resolution of the fixed layer.

    The warped image is made from the transform in memory, which `Result.save` and `load_transform` reproduce
    bit for bit.

    Parameters
    ----------
    result : Result
        Of these two layers.
    fixed, moving : LayerSnapshot
        Taken before the run.
    show : Show, optional
        Which layers.
    channel : int or "luminance", optional
        The channel that was registered; its similarity is shown.
    progress : Progress, optional
        May raise `Cancelled`.

    Returns
    -------
    list of tuple
        ``(data, keyword arguments, type)`` from the bottom to the top, for `napari.layers.Layer.create`. All
        lie on the fixed layer's pixels and carry its transform, units, axis labels and number of axes; at
        most one map and one drawing are visible at first.
    """
    # napari loads pandas with the first features, which would block the interface.
    import_module("pandas")
    show = Show() if show is None else show
    place = _Placement(result, fixed, moving, show)
    grid = place.grid
    layers: list[LayerData] = []
    progress(0.0, "warping the moving image")
    source = _flat(moving.image(), grid.ndim)
    if show.extras:
        layers.extend(_extras(result, source, moving, place))
    if show.warped:
        layers.append(_warped(result.transform, source, moving, place))
    if show.magnitude or show.jacobian:
        progress(0.2, "measuring the displacement")
        displacement = displacement_on(result.transform, grid)
        if show.magnitude:
            layers.append(_magnitude(displacement, place))
        if show.jacobian:
            layers.append(_jacobian(displacement, place))
    if show.ssim:
        target = _flat(fixed.image(), grid.ndim)
        (below, known), (above, known_too) = (
            without_nodata(driving_channel(image, channel)) for image in (target, _like(source, grid))
        )
        pair = PairMetrics(below, above, known, known_too)
        layers.extend(_similarity(result, pair, place, subprogress(progress, 0.4, 0.8)))
    progress(0.8, "drawing the deformation")
    if show.grid:
        layers.append(_grid(result, place))
    if show.arrows:
        layers.append(_arrows(result, place))
    progress(1.0, "layers ready")
    return layers


class _Placement:
    """Placement of a result's layers: the registered grid, and the axes of the fixed layer that it has."""

    def __init__(self, result: Result, fixed: LayerSnapshot, moving: LayerSnapshot, show: Show) -> None:
        whole = fixed.grid()
        thin = whole.thin_axes() if whole.ndim > result.transform.ndim else ()
        self.grid: Grid = whole.without(thin)
        self.ndim = fixed.ndim
        self.axes = [axis for k, axis in enumerate(fixed.spatial) if k not in thin]
        self.through = tuple(fixed.current[axis] for axis in self.axes)
        self.name = pair_name(moving.name, fixed.name)
        self.placement = fixed.placement
        self.crs = {} if whole.crs is None else {CRS: whole.crs}
        self.metadata = {**result.to_dict(), "units": list(self.grid.units)}
        self.one_map = show.magnitude + show.jacobian + show.ssim == 1 and not show.warped
        self.one_drawing = not show.arrows

    def array(self, data: Array) -> Array:
        """Pixels on the flat grid with the fixed layer's other axes, one pixel long."""
        return np.expand_dims(data, [k for k in range(self.ndim) if k not in self.axes])

    def points(self, points: Array) -> Array:
        """Pixel coordinates (..., d) with zeros along the other axes, (..., n)."""
        whole = np.zeros((*points.shape[:-1], self.ndim))
        whole[..., self.axes] = points
        return whole

    def keywords(self, what: str = "", **more: Any) -> dict[str, Any]:
        """Keyword arguments that all result layers have, with more."""
        return {
            "name": f"{self.name} {what}".rstrip(),
            "metadata": {"voxreg": {**self.metadata, "layer": what or "warped"}, **self.crs},
            **self.placement,
            **more,
        }

    def map(self, data: Array, what: str, limits: tuple[float, float], colormap: Any) -> LayerData:
        """A map over the fixed image."""
        return (
            self.array(data),
            self.keywords(what, rgb=False, colormap=colormap, contrast_limits=limits, visible=self.one_map),
            "image",
        )


def _warped(
    transform: Transform, source: Image, moving: LayerSnapshot, place: _Placement, what: str = "", **more: Any
) -> LayerData:
    """The moving layer with its appearance, on the fixed grid."""
    order: Literal[0, 1] = 0 if moving.labels else 1
    data = place.array(np.ma.filled(warp(source, transform, place.grid, order=order).data))
    keywords = place.keywords(what, **moving.appearance, **more)
    if moving.labels:
        return data, keywords, "labels"
    return data, {**keywords, "rgb": moving.rgb, "blending": "translucent"}, "image"


def _extras(result: Result, source: Image, moving: LayerSnapshot, place: _Placement) -> Iterator[LayerData]:
    """Further results of the method, hidden at first; transforms are shown as the moving layer under them."""
    for name, extra in result.extras.items():
        if isinstance(extra, Transform):
            yield _warped(extra, source, moving, place, name, visible=False)
            continue
        vectors = extra.channels is not None
        values = np.linalg.norm(extra.data, axis=-1) if vectors else extra.data
        values = warp(extra.with_data(values.astype(np.float32)), None, place.grid).data
        low, high = (0.0 if vectors else float(values.min())), float(values.max())
        title = f"{name} ({short_unit(place.grid.units[0])})" if vectors else name
        limits = (low, high if high > low else low + 1)
        data, keywords, kind = place.map(values, title, limits, "viridis" if vectors else "inferno")
        yield data, {**keywords, "visible": False}, kind


def _magnitude(displacement: Array, place: _Placement) -> LayerData:
    """Length of the displacement, world units."""
    length = np.linalg.norm(displacement, axis=-1).astype(np.float32)
    return place.map(
        length, f"flow ({short_unit(place.grid.units[0])})", (0.0, float(length.max()) or 1.0), "viridis"
    )


def _jacobian(displacement: Array, place: _Placement) -> LayerData:
    """Determinant of the Jacobian, limits the same on both sides of 1."""
    determinant = jacobian_determinant(displacement, place.grid)
    # With folding the limits are 0 and 2, so that exactly the folded pixels lie below them. Without it the
    # minimum is above the lower limit.
    folding = float(determinant.min()) <= 0
    reach = 1.0 if folding else min(1.0, max(0.02, 1.05 * float(np.abs(determinant - 1).max())))
    colormap = _colormap("shrinks - grows", DIVERGING, low_color=FOLDED)
    return place.map(determinant, "Jacobian", (1 - reach, 1 + reach), colormap)


def _similarity(
    result: Result, pair: PairMetrics, place: _Placement, progress: Progress
) -> tuple[LayerData, LayerData]:
    """The map of structural similarity, and its values per tile."""
    before = pair.warped(None, subprogress(progress, 0.0, 0.5))
    after = pair.warped(result.transform, subprogress(progress, 0.5, 1.0))
    inside = before.inside, after.inside
    found = tiles(pair.fixed.data, before.ssim, after.ssim, inside, place.grid, place.through)
    image = place.map(after.ssim, "SSIM", (0.0, 1.0), _colormap("dissimilar - similar", SIMILARITY))
    image[1]["rendering"] = "minip"  # in a volume it shows the least similar places
    return image, _values(result, found, place, visible=image[1]["visible"])


def _values(result: Result, found: Sequence[Tile], place: _Placement, visible: bool) -> LayerData:
    """Structural similarity before and after, written on each tile, with the whole image's on top."""
    head = [float(at) for at in place.through]
    head[-2], head[-1] = 0.025 * place.grid.shape[-2], (place.grid.shape[-1] - 1) / 2
    points = np.array([head, *(tile.centre for tile in found)])
    a, b = result.before, result.after
    title = (
        f"SSIM {a.whole['ssim']:.2f} -> {b.whole['ssim']:.2f}, "
        f"where both overlap {a.overlap['ssim']:.2f} -> {b.overlap['ssim']:.2f}"
    )
    text = [title, *(f"{_number(tile.before)} -> {_number(tile.after)}" for tile in found)]
    keywords = place.keywords(
        "SSIM values",
        features={"ssim": text},
        text={
            "string": "{ssim}",
            "size": 9,
            "color": [SAME, *map(_colour, found)],
            "blending": "translucent_no_depth",
        },
        visible=visible,
        size=1,
        face_color="transparent",
        border_width=0,
        blending="translucent_no_depth",
    )
    return place.points(points), keywords, "points"


def _grid(result: Result, place: _Placement) -> LayerData:
    """The deformed grid as one layer of lines."""
    drawing = deformed_grid(result.transform, place.grid, place.through)
    return _vectors(
        place.points(drawing.vectors),
        place.keywords("grid"),
        vector_style="line",
        edge_width=0.08 * drawing.step,
        edge_color="#5ce1ff",
        opacity=0.8,
        visible=place.one_drawing,
    )


def _arrows(result: Result, place: _Placement) -> LayerData:
    """Arrows coloured by the length of the displacement."""
    drawing = arrows(result.transform, place.grid, place.through)
    return _vectors(
        place.points(drawing.vectors),
        place.keywords("arrows"),
        vector_style="arrow",
        features={"displacement": drawing.size},
        edge_color="displacement",
        edge_colormap=_colormap("distance", DISTANCE),
        edge_contrast_limits=(0.0, float(drawing.size.max()) or 1.0),
        edge_width=0.16 * drawing.step,
        length=arrow_length(drawing),
        opacity=1.0,
    )


def _vectors(data: Array, keywords: dict[str, Any], **more: Any) -> LayerData:
    """A Vectors layer that is drawn over everything, also in volumes."""
    return data, {**keywords, "blending": "translucent_no_depth", **more}, "vectors"


def _colormap(name: str, colours: Sequence[str], **more: Any) -> Any:
    """A napari colormap."""
    return Colormap(list(colours), name=name, **more)


def _flat(image: Image, ndim: int) -> Image:
    """An image without the axes of one pixel that `register` left out."""
    return image.without(image.grid.thin_axes()) if image.ndim > ndim else image


def _like(image: Image, grid: Grid) -> Image:
    """An image in the units of a grid."""
    return image.with_grid(image.grid.in_world_of(grid))


def pair_name(moving: str, fixed: str) -> str:
    """The name "moving > fixed" of results; long names are reduced to the words in which they differ."""
    words = moving.split(), fixed.split()
    if len(moving) + len(fixed) > NAME:
        for end in (0, -1):
            while min(map(len, words)) > 1 and words[0][end] == words[1][end]:
                for half in words:
                    half.pop(end)
    return " > ".join(
        name if len(name) <= NAME else name[: NAME - 1] + "…" for name in (" ".join(half) for half in words)
    )


def _number(value: float) -> str:
    """A similarity with two digits, or a dash where there is none."""
    return "–" if np.isnan(value) else f"{round(value, 2) + 0.0:.2f}"  # never -0.00


def _colour(tile: Tile) -> str:
    """Green for better, orange for worse."""
    change = tile.after - tile.before
    return BETTER if change > 0.01 else WORSE if change < -0.01 else SAME
