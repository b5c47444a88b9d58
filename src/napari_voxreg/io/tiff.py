"""TIFF: GeoTIFF with its map coordinates, OME and ImageJ with their pixel sizes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5
from xml.etree import ElementTree

import numpy as np
from tifffile import PHOTOMETRIC, TiffFile, TiffFileError, TiffPage, imwrite
from tifffile.tifffile import svs_description_metadata

from ..core.geometry import Array, Grid, Image, unit_factor
from ..core.pixels import with_nan, with_opacity
from .guards import quiet_tifffile
from .units import length_named, ome_word

# Tags of the GeoTIFF standard (OGC 19-008r4), and some of its keys.
PIXEL_SCALE, TIEPOINT, TRANSFORMATION, KEYS = 33550, 33922, 34264, 34735
NODATA = 42113  # GDAL's tag: the value of pixels without data
MODEL_TYPE, RASTER_TYPE, GEOGRAPHIC_TYPE, ANGULAR_UNITS, PROJECTED_TYPE, LINEAR_UNITS = (
    *(1024, 1025, 2048),
    *(2054, 3072, 3076),
)
PROJECTED, GEOGRAPHIC, POINT, USER_DEFINED, DEGREE = 1, 2, 2, 32767, 9102
LINEAR = {9001: "meter", 9002: "foot", 9003: "survey_foot"}
MAP_UNITS = (*LINEAR.values(), "degree")
NOMINAL = 1200  # pixels per inch up to which programs write what is for printing, and was never measured
TIME = "second"  # the unit that marks a time axis


def read_tiff(path: Path) -> Image:
    """Read the first series of a TIFF file.

    GeoTIFF tags give a world in metres (degrees for geographic coordinates), in array-axis order with rows
    downward: minus northing, easting; north is up and images of one map zone fall into place. The EPSG code
    is the grid's `crs`. OME and ImageJ tags give pixel sizes in their unit, a resolution per centimetre (or
    per inch, above 1,200) gives micrometres, else it is pixels. Complex pixels stay complex. Pixels with the
    value that GDAL marks as nodata, and fully transparent ones, are masked; grey with opacity has one
    channel, and inks (CMYK) become red, green and blue. A time axis comes first, with the unit second.
    """
    with quiet_tifffile(), TiffFile(path) as tiff:
        series = tiff.series[0]
        data, axes = _ordered(series.asarray(), series.axes, path.name)
        shape = data.shape[: len(axes)]
        page = tiff.pages.first
        data = _with_data(data, page, data.ndim > len(axes))
        grid, note = grid_of_series(tiff, axes, shape, path.name)
    return Image(data, grid, notes=(note,) if note else ())


def grid_of_series(tiff: TiffFile, axes: str, shape: tuple[int, ...], name: str) -> tuple[Grid, str]:
    """Where the first series of an open file lies, and a note where its tags need one; see `read_tiff`.

    Parameters
    ----------
    tiff : TiffFile
    axes : str
        Of T, Z, Y and X, in this order; any other letter counts as Z.
    shape : tuple of int
        Pixels along each of them.
    name : str
        Of the file.
    """
    page = tiff.pages.first
    affine, crs = np.eye(len(axes) + 1), None
    if PIXEL_SCALE in page.tags or TRANSFORMATION in page.tags:
        affine[np.ix_([-3, -2, -1], [-3, -2, -1])], unit = _geographic(page)
        crs, note = _reference_system(page, name)
    else:
        spacing, origin, unit, note = _microscopic(tiff, page, name)
        own = ["TZYX".index(axis) if axis in "TYX" else 1 for axis in axes]
        affine[range(len(axes)), range(len(axes))] = spacing[own]
        affine[: len(axes), -1] = origin[own]
    return Grid(shape, affine, tuple(TIME if axis == "T" else unit for axis in axes), crs), note


def is_map_or_complex(path: Path) -> bool:
    """Whether a TIFF file has map coordinates or complex pixels, by its header; no for a damaged one."""
    try:
        with quiet_tifffile(), TiffFile(path) as tiff:
            page = tiff.pages.first
            return PIXEL_SCALE in page.tags or TRANSFORMATION in page.tags or page.dtype.kind == "c"
    except (TiffFileError, OSError, ValueError, LookupError):
        return False


def write_tiff(image: Image, path: Path) -> None:
    """Write a TIFF file that `read_tiff` gives back: GeoTIFF of maps, OME with other units, else plain."""
    data, grid = image.data, image.grid
    tags: list[tuple[int, int | str, int, Any, bool]] = []
    opacity: dict[str, Any] = {}
    if isinstance(data, np.ma.MaskedArray):
        plain = _is_map(grid) or grid.same_as(Grid.from_spacing(grid.shape))
        data, tags, opacity = _without_mask(data, plain and image.data.ndim == 2)
    colour = image.channels in (3, 4) and data.dtype in (np.uint8, np.uint16)
    options: dict[str, Any] = {"photometric": "rgb" if colour else "minisblack", "metadata": None}
    if image.channels is not None and not colour:
        options["planarconfig"] = "contig"
    options |= opacity
    if data.dtype == bool:
        data = data.astype(np.uint8)
    if not np.iscomplexobj(data):
        options |= {"compression": "zlib", "predictor": data.dtype.itemsize < 8}
    if _is_map(grid):
        tags += _geographic_tags(grid)
    elif not grid.same_as(Grid.from_spacing(grid.shape)):
        options |= {"ome": True, "metadata": {"UUID": _identity(data), **ome_metadata(grid, image.channels)}}
    imwrite(path, data, extratags=tags, **options)


def tiff_refusal(image: Image) -> str | None:
    """Why TIFF cannot hold an image, None where it can."""
    grid = image.grid
    linear = grid.affine[:-1, :-1]
    if _is_map(grid):
        return None
    if not np.array_equal(linear, np.diag(np.diag(linear))) or np.diag(linear).min() <= 0:
        return "TIFF holds no rotated or mirrored axes except on maps; write .mha instead."
    space = grid.units[1:] if grid.units[0] == TIME else grid.units
    if len(set(space)) > 1 or not 2 <= len(space) <= 3 or not _is_length(space[0]):
        return f"TIFF cannot hold axes in {', '.join(grid.units)}; write .mha instead."
    return None


def _is_map(grid: Grid) -> bool:
    """Whether a grid is written with GeoTIFF's tags."""
    return grid.ndim == 2 and grid.units[0] == grid.units[1] and grid.units[0] in MAP_UNITS


def _is_length(unit: str) -> bool:
    """Whether OME can hold pixel sizes in a unit, as it is or in micrometres."""
    if ome_word(unit) is not None:
        return True
    try:
        return unit_factor(unit, "micrometer") > 0
    except ValueError:
        return False


class UnclearAxes(ValueError):
    """A file has more axes than it names; the message asks for their names."""


def _ordered(data: Array, axes: str, name: str) -> tuple[Array, str]:
    """Pixels with axes (time, plane, row, column, channel) as far as there are any, and those but channel."""
    stored = data.shape
    for axis in [a for a, n in zip(axes, data.shape, strict=True) if n == 1 and a not in "YXS"]:
        data, axes = data.take(0, axis=axes.index(axis)), axes.replace(axis, "")
    spatial = [a for a in axes if a not in "TYXSC"]
    channel = [a for a in axes if a in "SC"]
    if len(spatial) > 1 or len(channel) > 1 or axes.count("T") > 1 or not {"Y", "X"} <= set(axes):
        raise UnclearAxes(
            f"Which axis of {name}, of shape {stored}, is time or channels; name the axes (OME-TIFF), or "
            "save one volume alone?"
        )
    order = [*("T" if "T" in axes else ""), *spatial, "Y", "X", *channel]
    return np.transpose(data, [axes.index(a) for a in order]), "".join(order[: len(order) - len(channel)])


def _with_data(data: Array, page: TiffPage, channels: bool) -> Array:
    """The pixels, masked where the file marks them as nodata or as transparent, in red, green and blue."""
    if channels and page.photometric == PHOTOMETRIC.SEPARATED and data.shape[-1] == 4:
        most = np.iinfo(data.dtype).max
        left = (most - data).astype(np.float64)  # what each ink lets through
        return np.rint(left[..., :3] * left[..., 3:] / most).astype(data.dtype)
    extra = page.extrasamples
    if channels and data.shape[-1] in (2, 4) and len(extra) == 1 and extra[0] in (1, 2):
        return with_opacity(data)
    value = _nodata(page, data.dtype)
    if value is None:
        return data
    empty = data == value
    if channels:  # black is nodata, and red alone has no green
        empty = np.repeat(empty.all(axis=-1, keepdims=True), data.shape[-1], axis=-1)
    return np.ma.array(data, mask=empty, fill_value=value) if empty.any() else data


def _nodata(page: TiffPage, dtype: np.dtype[Any]) -> Any:
    """The value that marks pixels without data, of the pixels' type; None if there is none."""
    text = str(page.tags.valueof(NODATA, "")).strip(" \0").replace(",", ".")
    try:
        number = float(text)
        if dtype.kind in "fc":
            with np.errstate(over="ignore"):
                return None if np.isnan(number) else dtype.type(number)
        value = int(number) if abs(number) < 2**53 else int(text)
    except (ValueError, OverflowError):
        return None
    fits = dtype.kind in "iu" and value == number and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
    return dtype.type(value) if fits else None


def _without_mask(
    data: np.ma.MaskedArray[Any, Any], samples: bool
) -> tuple[Array, list[Any], dict[str, Any]]:
    """Pixels as they are stored, and what marks those without data: NaN, GDAL's tag or extra `samples`."""
    if data.dtype.kind in "fc":
        return with_nan(data), [], {}
    plain: Array = data.filled()
    value = data.fill_value
    if not np.ma.is_masked(data):
        return plain, [], {}
    if not (data == value).any():
        return plain, [(NODATA, "s", 0, str(value), True)], {}
    if samples and data.dtype in (np.uint8, np.uint16):
        opacity = np.where(np.ma.getmaskarray(data), 0, np.iinfo(data.dtype).max).astype(data.dtype)
        options = {"planarconfig": "contig", "extrasamples": ["unassalpha"]}
        return np.stack([plain, opacity], axis=-1), [], options
    return plain, [], {}


def _geographic(page: TiffPage) -> tuple[Array, str]:
    """Index to world, (3, 3), rows downward, and the unit."""
    tags = page.tags
    keys = page.geotiff_tags or {}
    if TRANSFORMATION in tags:
        matrix = np.reshape(tags.valueof(TRANSFORMATION), (4, 4)).astype(float)[np.ix_([0, 1, 3], [0, 1, 3])]
    else:
        across, down = tags.valueof(PIXEL_SCALE)[:2]
        column, row, _, east, north, _ = tags.valueof(TIEPOINT, (0.0,) * 6)[:6]
        matrix = np.array([[across, 0, east - across * column], [0, -down, north + down * row], [0, 0, 1.0]])
    if keys.get("GTRasterTypeGeoKey") != POINT:  # the tags speak of the pixel's corner, a grid of its centre
        matrix[:2, 2] += matrix[:2, :2] @ [0.5, 0.5]
    # From (column, row) to (easting, northing), to (row, column) to (minus northing, easting).
    swap = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    affine = swap @ matrix @ np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]])
    if keys.get("GTModelTypeGeoKey") == GEOGRAPHIC:
        return affine, "degree"
    return affine, LINEAR.get(keys.get("ProjLinearUnitsGeoKey", 9001), "meter")


def _reference_system(page: TiffPage, name: str) -> tuple[str | None, str]:
    """The EPSG code of a map, and a note where its reference system has none."""
    keys = page.geotiff_tags or {}
    geographic = keys.get("GTModelTypeGeoKey") == GEOGRAPHIC
    code = int(keys.get("GeographicTypeGeoKey" if geographic else "ProjectedCSTypeGeoKey", 0))
    if 1024 <= code < USER_DEFINED:
        return f"EPSG:{code}", ""
    if code == USER_DEFINED:
        return None, (
            f"The coordinate reference system of {name} has no EPSG code and is neither compared nor kept; "
            "reproject it first, for example with gdalwarp -t_srs EPSG:n."
        )
    return None, ""


def _geographic_tags(grid: Grid) -> list[tuple[int, int, int, Any, bool]]:
    """The tags that place a 2D grid on a map, in its coordinate reference system if that has an EPSG code."""
    swap = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]])
    matrix = swap @ grid.affine @ np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]])
    full = np.eye(4)
    full[np.ix_([0, 1, 3], [0, 1, 3])] = matrix
    full[2, 2] = 0.0
    degrees = grid.units[0] == "degree"
    values = {MODEL_TYPE: GEOGRAPHIC if degrees else PROJECTED, RASTER_TYPE: POINT}
    if code := re.fullmatch(r"EPSG:(\d{4,5})", grid.crs or ""):
        values[GEOGRAPHIC_TYPE if degrees else PROJECTED_TYPE] = int(code[1])
    if degrees:
        values[ANGULAR_UNITS] = DEGREE
    else:
        values[LINEAR_UNITS] = next(number for number, unit in LINEAR.items() if unit == grid.units[0])
    keys = [1, 1, 0, len(values)]
    for key, value in values.items():
        keys += [key, 0, 1, value]
    tags = [(KEYS, 3, len(keys), tuple(keys), True)]
    if np.array_equal(np.diag(np.diag(matrix[:2, :2])), matrix[:2, :2]) and matrix[0, 0] > 0 > matrix[1, 1]:
        scale = (matrix[0, 0], -matrix[1, 1], 0.0)
        tie = (0.0, 0.0, 0.0, matrix[0, 2], matrix[1, 2], 0.0)
        return [(PIXEL_SCALE, 12, 3, scale, True), (TIEPOINT, 12, 6, tie, True), *tags]
    return [(TRANSFORMATION, 12, 16, tuple(full.ravel()), True), *tags]


def _microscopic(tiff: TiffFile, page: TiffPage, name: str) -> tuple[Array, Array, str, str]:
    """Spacing and origin of (time, plane, row, column), the unit of the last three, and a note if needed."""
    if tiff.is_ome:
        return _from_ome(tiff.ome_metadata or "", name)
    if tiff.is_svs and (size := svs_description_metadata(page.description).get("MPP")):
        return np.array([1.0, 1.0, size, size]), np.zeros(4), "micrometer", ""
    resolution = [_pixel_size(page, tag) for tag in (283, 282)]  # YResolution, XResolution
    told = tiff.imagej_metadata or {}
    interval = float(told.get("finterval", 1.0)) or 1.0
    if tiff.is_imagej and told.get("unit"):
        unit, note = _unit(str(told["unit"]), name)
        spacing = [interval, float(told.get("spacing", 1.0)), *resolution]
        return np.array(spacing), np.zeros(4), unit, note
    per = {2: 25_400.0, 3: 10_000.0}.get(int(page.tags.valueof(296) or 0), 0.0)  # micrometres
    if per == 10_000 or (per and max(resolution) < 1 / NOMINAL):
        spacing = [interval, 1.0, *(per * size for size in resolution)]
        return np.array(spacing), np.zeros(4), "micrometer", ""
    return np.array([interval, 1.0, 1.0, 1.0]), np.zeros(4), "pixel", ""


def _unit(word: str, name: str) -> tuple[str, str]:
    """The unit that a file's word means; pixel, and a note, where it is not known."""
    unit = length_named(word)
    if unit is None:
        note = f"{name} gives its pixel size in {word[:40]!r}, which is no known length; it counts in pixels."
        return "pixel", note
    return unit, ""


def _pixel_size(page: TiffPage, tag: int) -> float:
    """One over a resolution tag; 1 where it is not set."""
    numerator, denominator = page.tags.valueof(tag, (1, 1))
    return denominator / numerator if numerator and denominator else 1.0


def _from_ome(text: str, name: str) -> tuple[Array, Array, str, str]:
    """Pixel sizes and the first plane's position in an OME description; see `_microscopic`."""
    pixels = ElementTree.fromstring(text).find(".//{*}Pixels")
    if pixels is None:
        return np.ones(4), np.zeros(4), "pixel", ""
    plane = pixels.find("{*}Plane")
    place: Mapping[str, str] = {} if plane is None else plane.attrib
    unit, note = "pixel", ""
    if "PhysicalSizeX" in pixels.attrib:
        unit, note = _unit(pixels.get("PhysicalSizeXUnit", "µm"), name)

    def length(source: Mapping[str, str], key: str, default: float) -> float:
        # A length without a unit is in OME's own: micrometres for sizes; positions are then arbitrary.
        if key not in source or (source is place and f"{key}Unit" not in source):
            return default
        own = length_named(source.get(f"{key}Unit", "µm")) or "pixel"
        if (own == "pixel") != (unit == "pixel"):
            return default
        return float(source[key]) * unit_factor(own, unit)

    def seconds(source: Mapping[str, str], key: str, default: float) -> float:
        known = {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
        return float(source.get(key, default)) * known.get(source.get(f"{key}Unit", "s"), 1.0)

    step, start = seconds(pixels.attrib, "TimeIncrement", 1.0) or 1.0, seconds(place, "DeltaT", 0.0)
    spacing = [length(pixels.attrib, f"PhysicalSize{axis}", 1.0) for axis in "ZYX"]
    origin = [length(place, f"Position{axis}", 0.0) for axis in "ZYX"]
    return np.array([step, *spacing]), np.array([start, *origin]), unit, note


def ome_metadata(grid: Grid, channels: int | None) -> dict[str, Any]:
    """OME metadata for a grid without rotation."""
    if ome_word(grid.units[-1]) is None:
        grid = grid.in_units([TIME if unit == TIME else "micrometer" for unit in grid.units])
    unit = ome_word(grid.units[-1])
    series = grid.units[0] == TIME
    names = ("T" if series else "") + "ZYX"[-grid.ndim + series :]
    planes = math.prod(grid.shape[:-2])
    described: dict[str, Any] = {"axes": names + ("S" if channels in (3, 4) else "C" if channels else "")}
    plane: dict[str, Any] = {}
    for axis, spacing, origin in zip(names, grid.spacing, grid.origin, strict=True):
        if axis == "T":
            described |= {"TimeIncrement": float(spacing), "TimeIncrementUnit": "s"}
            times = origin + spacing * np.repeat(np.arange(grid.shape[0]), planes // grid.shape[0])
            plane |= {"DeltaT": times.tolist(), "DeltaTUnit": ["s"] * planes}
            continue
        described |= {f"PhysicalSize{axis}": float(spacing), f"PhysicalSize{axis}Unit": unit}
        plane |= {f"Position{axis}": [float(origin)] * planes, f"Position{axis}Unit": [unit] * planes}
    return {**described, "Plane": plane}


def _identity(data: Array) -> str:
    """A UUID made from the pixels, so that the same image gives the same file."""
    return f"urn:uuid:{uuid5(NAMESPACE_OID, sha256(data.tobytes()).hexdigest())}"
