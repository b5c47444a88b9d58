"""TIFF: GeoTIFF with its map coordinates, OME and ImageJ with their pixel sizes."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5
from xml.etree import ElementTree

import numpy as np
from tifffile import PHOTOMETRIC, TiffFile, TiffFileError, TiffPage, imwrite

from ..core.geometry import Array, Grid, Image, unit_factor
from ..core.pixels import with_nan, with_opacity

# Tags of the GeoTIFF standard (OGC 19-008r4), and some of its keys.
PIXEL_SCALE, TIEPOINT, TRANSFORMATION, KEYS = 33550, 33922, 34264, 34735
NODATA = 42113  # GDAL's tag: the value of pixels without data
MODEL_TYPE, RASTER_TYPE, LINEAR_UNITS = 1024, 1025, 3076
GEOGRAPHIC, POINT = 2, 2
LINEAR = {9001: "meter", 9002: "foot", 9003: "survey_foot"}
TIME = "second"  # the unit that marks a time axis


def read_tiff(path: Path) -> Image:
    """Read the first series of a TIFF file.

    GeoTIFF tags give a world in metres (degrees for geographic coordinates), in array-axis order with rows
    downward: minus northing, easting; north is up and images of one map zone fall into place. OME and ImageJ
    tags give pixel sizes in their unit, a resolution per centimetre gives micrometres, else it is pixels.
    Complex pixels stay complex. Pixels with the value that GDAL marks as nodata, and fully transparent ones,
    are masked; grey with opacity has one channel, and inks (CMYK) become red, green and blue. A time axis
    comes first, with the unit second.
    """
    with TiffFile(path) as tiff:
        series = tiff.series[0]
        data, axes = _ordered(series.asarray(), series.axes)
        shape = data.shape[: len(axes)]
        page = tiff.pages.first
        data = _with_data(data, page, data.ndim > len(axes))
        affine, unit = np.eye(len(axes) + 1), "pixel"
        if PIXEL_SCALE in page.tags or TRANSFORMATION in page.tags:
            affine[np.ix_([-3, -2, -1], [-3, -2, -1])], unit = _geographic(page)
        else:
            spacing, origin, unit = _microscopic(tiff, page)
            space = [k for k, axis in enumerate(axes) if axis != "T"]
            affine[space, space] = spacing[-len(space) :]
            affine[space, -1] = origin[-len(space) :]
    return Image(data, Grid(shape, affine, tuple(TIME if axis == "T" else unit for axis in axes)))


def is_map_or_complex(path: Path) -> bool:
    """Whether a TIFF file has map coordinates or complex pixels, by its header; no for a damaged one."""
    try:
        with TiffFile(path) as tiff:
            page = tiff.pages.first
            return PIXEL_SCALE in page.tags or TRANSFORMATION in page.tags or page.dtype.kind == "c"
    except (TiffFileError, OSError, ValueError, LookupError):
        return False


def write_tiff(image: Image, path: Path) -> None:
    """Write a TIFF file that `read_tiff` gives back: GeoTIFF in metres, OME with other units, else plain."""
    data, grid = image.data, image.grid
    tags: list[tuple[int, int | str, int, Any, bool]] = []
    opacity: dict[str, Any] = {}
    if isinstance(data, np.ma.MaskedArray):
        plain = grid.units[-1] == "meter" or grid.same_as(Grid.from_spacing(grid.shape))
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
    if grid.units[-1] == "meter":
        tags += _geographic_tags(grid)
    elif not grid.same_as(Grid.from_spacing(grid.shape)):
        options |= {"ome": True, "metadata": {"UUID": _identity(data), **_ome(grid, image.channels)}}
    imwrite(path, data, extratags=tags, **options)


def tiff_refusal(image: Image) -> str | None:
    """Why TIFF cannot hold an image, None where it can."""
    linear = image.grid.affine[:-1, :-1]
    if image.ndim > 3:
        return "time series are written as .mha or .nii.gz."
    if image.grid.units == ("meter",) * 2:
        return None
    if not np.array_equal(linear, np.diag(np.diag(linear))) or np.diag(linear).min() <= 0:
        return "TIFF holds no rotated or mirrored axes except on maps in metres; write .mha instead."
    if len(set(image.grid.units)) > 1 or image.grid.units[0] in ("degree", TIME):
        return f"TIFF cannot hold axes in {', '.join(image.grid.units)}; write .mha instead."
    return None


def _ordered(data: Array, axes: str) -> tuple[Array, str]:
    """Pixels with axes (time, plane, row, column, channel) as far as there are any, and those but channel."""
    for axis in [a for a, n in zip(axes, data.shape, strict=True) if n == 1 and a not in "YXS"]:
        data, axes = data.take(0, axis=axes.index(axis)), axes.replace(axis, "")
    spatial = [a for a in axes if a not in "TYXSC"]
    channel = [a for a in axes if a in "SC"]
    if len(spatial) > 1 or len(channel) > 1 or axes.count("T") > 1 or not {"Y", "X"} <= set(axes):
        raise ValueError(f"axes {axes}")
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


def _geographic_tags(grid: Grid) -> list[tuple[int, int, int, Any, bool]]:
    """The tags that place a 2D grid in metres on a map of no particular zone."""
    swap = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]])
    matrix = swap @ grid.affine @ np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1.0]])
    full = np.eye(4)
    full[np.ix_([0, 1, 3], [0, 1, 3])] = matrix
    full[2, 2] = 0.0
    keys = (1, 1, 0, 3, MODEL_TYPE, 0, 1, 1, RASTER_TYPE, 0, 1, POINT, LINEAR_UNITS, 0, 1, 9001)
    tags = [(KEYS, 3, len(keys), keys, True)]
    if np.array_equal(np.diag(np.diag(matrix[:2, :2])), matrix[:2, :2]) and matrix[0, 0] > 0 > matrix[1, 1]:
        scale = (matrix[0, 0], -matrix[1, 1], 0.0)
        tie = (0.0, 0.0, 0.0, matrix[0, 2], matrix[1, 2], 0.0)
        return [(PIXEL_SCALE, 12, 3, scale, True), (TIEPOINT, 12, 6, tie, True), *tags]
    return [(TRANSFORMATION, 12, 16, tuple(full.ravel()), True), *tags]


def _microscopic(tiff: TiffFile, page: TiffPage) -> tuple[Array, Array, str]:
    """Spacing and origin of (plane, row, column), and their unit, from OME, ImageJ or resolution tags."""
    if tiff.is_ome:
        return _from_ome(tiff.ome_metadata or "")
    resolution = [_pixel_size(page, tag) for tag in (283, 282)]  # YResolution, XResolution
    if tiff.is_imagej and (named := (tiff.imagej_metadata or {}).get("unit")):
        unit = _known_unit(str(named).replace("\\u00B5", "µ"))
        spacing = [float((tiff.imagej_metadata or {}).get("spacing", 1.0)), *resolution]
        return np.array(spacing), np.zeros(3), unit
    if page.tags.valueof(296) == 3:  # resolution per centimetre; per inch is what programs write at a loss
        return np.array([1.0, *(10_000 * size for size in resolution)]), np.zeros(3), "micrometer"
    return np.ones(3), np.zeros(3), "pixel"


def _pixel_size(page: TiffPage, tag: int) -> float:
    """One over a resolution tag; 1 where it is not set."""
    numerator, denominator = page.tags.valueof(tag, (1, 1))
    return denominator / numerator if numerator and denominator else 1.0


def _from_ome(text: str) -> tuple[Array, Array, str]:
    """Pixel sizes and the first plane's position in an OME description."""
    pixels = ElementTree.fromstring(text).find(".//{*}Pixels")
    if pixels is None or "PhysicalSizeX" not in pixels.attrib:
        return np.ones(3), np.zeros(3), "pixel"
    unit = _known_unit(pixels.get("PhysicalSizeXUnit", "µm"))
    plane = pixels.find("{*}Plane")
    place: Mapping[str, str] = {} if plane is None else plane.attrib

    def length(source: Mapping[str, str], name: str, default: float) -> float:
        # A length without a unit is in OME's own: micrometres for sizes; positions are then arbitrary.
        if name not in source or (source is place and f"{name}Unit" not in source):
            return default
        return float(source[name]) * unit_factor(_known_unit(source.get(f"{name}Unit", "µm")), unit)

    spacing = [length(pixels.attrib, f"PhysicalSize{axis}", 1.0) for axis in "ZYX"]
    origin = [length(place, f"Position{axis}", 0.0) for axis in "ZYX"]
    return np.array(spacing), np.array(origin), unit


def _ome(grid: Grid, channels: int | None) -> dict[str, Any]:
    """OME metadata for a grid without rotation."""
    unit = "µm" if grid.units[0] == "micrometer" else grid.units[0]
    names = "ZYX"[-grid.ndim :]
    planes = grid.shape[0] if grid.ndim == 3 else 1
    described: dict[str, Any] = {"axes": names + ("S" if channels in (3, 4) else "C" if channels else "")}
    plane: dict[str, Any] = {}
    for axis, spacing, origin in zip(names, grid.spacing, grid.origin, strict=True):
        described |= {f"PhysicalSize{axis}": float(spacing), f"PhysicalSize{axis}Unit": unit}
        plane |= {f"Position{axis}": [float(origin)] * planes, f"Position{axis}Unit": [unit] * planes}
    return {**described, "Plane": plane}


def _identity(data: Array) -> str:
    """A UUID made from the pixels, so that the same image gives the same file."""
    return f"urn:uuid:{uuid5(NAMESPACE_OID, sha256(data.tobytes()).hexdigest())}"


def _known_unit(unit: str) -> str:
    """A unit in words that pint reads; pixel where it is none."""
    short = {"µm": "micrometer", "μm": "micrometer", "um": "micrometer", "micron": "micrometer"}
    short |= {"nm": "nanometer", "mm": "millimeter", "cm": "centimeter", "m": "meter", "pixel": "pixel"}
    return short.get(unit.strip(), short.get(unit.strip().lower(), "pixel"))
