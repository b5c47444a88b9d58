"""A result as napari layers: computed in a worker, added on the main thread."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np

from ...core.geometry import Array, Grid, Image, short_unit
from ...core.progress import Progress, silent, subprogress
from ...images.nodata import background, without_nodata
from ...images.preprocess import driving_channel
from ...metrics.pair import PairMetrics
from ...registration.result import Result
from ...transforms import Transform, warp
from .drawings import Tile, arrows, deformed_grid, tiles
from .maps import MEASURES, MOTION, colormap, consistency_map, motion_maps
from .placement import LayerData, Placement
from .snapshots import LayerSnapshot

# From dissimilar to similar; dark throughout, so that the values written on it are legible.
SIMILARITY = ("#c23a26", "#842c56", "#10203f")
WORSE, SAME, BETTER = "#ffe08a", "#ffffff", "#9dffb0"
# Bright throughout, to stand out against dark and red images.
DISTANCE = ("#31c7ff", "#8dff8a", "#fff04a")

BACKGROUND = "background"
ON_REQUEST = ("strain", "curl", "consistency")  # never made before they are asked for
MOVING = (*MOTION, "arrows")  # with or without the affine part of the motion
OPAQUE = (*MEASURES, "ssim", "extras")  # these hide what lies under them
KINDS = ("warped", "arrows", "grid", "magnitude", "jacobian", *ON_REQUEST, "ssim", "extras")


@dataclass(frozen=True)
class Show:
    """Which layers are made of a result.

    Parameters
    ----------
    warped : bool
        The moving image on the fixed grid.
    arrows : bool
        Where each pixel is taken from, as arrows, without the affine part of the motion.
    grid : bool
        A regular grid, deformed.
    magnitude : bool
        How far each pixel is displaced, without the affine part of the motion.
    jacobian : bool
        How volume changes, without the affine part: the determinant of the Jacobian.
    ssim : bool
        Local structural similarity, with the values before and after written on it.
    extras : bool
        Further results of the method.
    strain : bool
        The largest principal Green-Lagrange strain, without the affine part.
    curl : bool
        The curl of the displacement, in 3D its length, without the affine part.
    consistency : bool
        By how much the transform and its inverse miss the point from which they began.
    affine : bool
        Whether arrows, displacement, Jacobian, strain and curl include the affine part.
    outside : str
        What the warped image shows outside the moving one: "background" (NaN where pixels are floating-point,
        else the image's own), "nan", or a number.
    """

    warped: bool = True
    arrows: bool = True
    grid: bool = False
    magnitude: bool = False
    jacobian: bool = False
    ssim: bool = True
    extras: bool = False
    strain: bool = False
    curl: bool = False
    consistency: bool = False
    affine: bool = False
    outside: str = BACKGROUND

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of the chosen layers."""
        return tuple(kind for kind in KINDS if getattr(self, kind))

    def only(self, kinds: Collection[str]) -> Show:
        """These layers only, made in the same way."""
        chosen = {kind: kind in kinds for kind in KINDS}
        return Show(**chosen, affine=self.affine, outside=self.outside)

    def way(self, kind: str) -> tuple[bool, str]:
        """In which way a kind is made: of what is not asked of it, it has the default."""
        return self.affine and kind in MOVING, self.outside if kind == "warped" else BACKGROUND


def result_layers(
    result: Result,
    fixed: LayerSnapshot,
    moving: LayerSnapshot,
    *,
    show: Show | None = None,
    channel: int | str | None = None,
    number: int | None = None,
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
    number : int, optional
        Of the run; the names of its layers begin with it and the method.
    progress : Progress, optional
        May raise `Cancelled`.

    Returns
    -------
    list of tuple
        ``(data, keyword arguments, type)`` from the bottom to the top, for `napari.layers.Layer.create`. All
        lie on the fixed layer's pixels and carry its transform, units, axis labels and number of axes; at
        most one map and one drawing are visible at first. ``metadata["voxreg"]["kind"]`` is the name of the
        choice in `Show`.
    """
    # napari loads pandas with the first features, which would block the interface.
    import_module("pandas")
    show = Show() if show is None else show
    place = Placement(result, fixed, moving, number)
    grid = place.grid
    layers: list[LayerData] = []
    progress(0.0, "warping the moving image")
    source = _flat(moving.image(), grid.ndim)
    if show.extras:
        layers.extend(_extras(result, source, moving, place))
    if show.warped:
        layers.append(_warped(result.transform, source, moving, place, fill=_fill(source, show.outside)))
    chosen = [kind for kind in show.kinds if kind in MOTION]
    layers.extend(motion_maps(result, place, chosen, show.affine, subprogress(progress, 0.2, 0.3)))
    if show.consistency:
        there = _like(source, grid).grid
        layers.append(consistency_map(result, there, place, subprogress(progress, 0.3, 0.4)))
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
        layers.append(_arrows(result, place, show.affine))
    one_map = sum(kind in (*MEASURES, "ssim") for kind in show.kinds) == 1 and not show.warped
    for _, keywords, _ in layers:
        known = keywords["metadata"]["voxreg"]
        kind = known["kind"]
        known["way"] = show.way(kind)
        if (kind in (*MEASURES, "ssim") and not one_map) or (kind == "grid" and show.arrows):
            keywords["visible"] = False
    progress(1.0, "layers ready")
    return layers


def _warped(
    transform: Transform,
    source: Image,
    moving: LayerSnapshot,
    place: Placement,
    what: str = "",
    fill: float | None = None,
    **more: Any,
) -> LayerData:
    """The moving layer with its appearance, on the fixed grid."""
    order: Literal[0, 1] = 0 if moving.labels else 1
    if fill is None or moving.labels:
        fill = 0.0 if moving.labels else background(source)
    data = place.array(np.ma.filled(warp(source, transform, place.grid, order=order, fill=fill).data))
    keywords = place.keywords("extras" if what else "warped", what, **moving.appearance, **more)
    if moving.labels:
        return data, keywords, "labels"
    return data, {**keywords, "rgb": moving.rgb, "blending": "translucent"}, "image"


def _fill(source: Image, outside: str) -> float | None:
    """The value outside an image; None for its background."""
    value = None if outside == BACKGROUND else float(outside)
    floating = source.data.dtype.kind == "f"
    return None if value is None or (not np.isfinite(value) and not floating) else value


def _extras(result: Result, source: Image, moving: LayerSnapshot, place: Placement) -> Iterator[LayerData]:
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
        data, keywords, kind = place.map(values, "extras", title, limits, "viridis" if vectors else "inferno")
        yield data, {**keywords, "visible": False}, kind


def _similarity(
    result: Result, pair: PairMetrics, place: Placement, progress: Progress
) -> tuple[LayerData, LayerData]:
    """The map of structural similarity, and its values per tile."""
    before = pair.warped(None, subprogress(progress, 0.0, 0.5))
    after = pair.warped(result.transform, subprogress(progress, 0.5, 1.0))
    inside = before.inside, after.inside
    found = tiles(pair.fixed.data, before.ssim, after.ssim, inside, place.grid, place.through)
    image = place.map(after.ssim, "ssim", "SSIM", (0.0, 1.0), colormap("dissimilar - similar", SIMILARITY))
    image[1]["rendering"] = "minip"  # in a volume it shows the least similar places
    return image, _values(result, found, place)


def _values(result: Result, found: Sequence[Tile], place: Placement) -> LayerData:
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
        "ssim",
        "SSIM values",
        features={"ssim": text},
        text={
            "string": "{ssim}",
            "size": 9,
            "color": [SAME, *map(_colour, found)],
            "blending": "translucent_no_depth",
        },
        size=1,
        face_color="transparent",
        border_width=0,
        blending="translucent_no_depth",
    )
    return place.points(points), keywords, "points"


def _grid(result: Result, place: Placement) -> LayerData:
    """The deformed grid as one layer of lines."""
    drawing = deformed_grid(result.transform, place.grid, place.through)
    return _vectors(
        place.points(drawing.vectors),
        place.keywords("grid", "grid"),
        vector_style="line",
        edge_width=0.08 * drawing.step,
        edge_color="#5ce1ff",
        opacity=0.8,
    )


def _arrows(result: Result, place: Placement, affine: bool) -> LayerData:
    """Arrows coloured by the length of the displacement."""
    drawing = arrows(result.transform, place.grid, place.through, affine)
    what = "arrows" if affine else "arrows without affine"
    coloured: dict[str, Any] = {
        "features": {"displacement": drawing.size},
        "edge_color": "displacement",
        "edge_colormap": colormap("distance", DISTANCE),
        "edge_contrast_limits": (0.0, float(drawing.size.max(initial=0)) or 1.0),
    }
    return _vectors(
        place.points(drawing.vectors),
        place.keywords("arrows", f"{what} ({short_unit(place.grid.units[0])})"),
        vector_style="arrow",
        edge_width=0.16 * drawing.step,
        length=drawing.length,
        opacity=1.0,
        ndim=place.ndim,
        **(coloured if len(drawing.size) else {}),
    )


def _vectors(data: Array, keywords: dict[str, Any], **more: Any) -> LayerData:
    """A Vectors layer that is drawn over everything, also in volumes."""
    return data, {**keywords, "blending": "translucent_no_depth", **more}, "vectors"


def _flat(image: Image, ndim: int) -> Image:
    """An image without the axes of one pixel that `register` left out."""
    return image.without(image.grid.thin_axes()) if image.ndim > ndim else image


def _like(image: Image, grid: Grid) -> Image:
    """An image in the units of a grid."""
    return image.with_grid(image.grid.in_world_of(grid))


def _number(value: float) -> str:
    """A similarity with two digits, or a dash where there is none."""
    return "–" if np.isnan(value) else f"{round(value, 2) + 0.0:.2f}"  # never -0.00


def _colour(tile: Tile) -> str:
    """Green for better, orange for worse."""
    change = tile.after - tile.before
    return BETTER if change > 0.01 else WORSE if change < -0.01 else SAME
