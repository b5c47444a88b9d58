"""Units, time axes and coordinate reference systems in TIFF."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile

from napari_voxreg import Grid, Image
from napari_voxreg.io.images import read_image, write_image, write_like

PIXELS = np.arange(120, dtype=np.uint8).reshape(10, 12)
WORDS = {
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "inch": "in",
    "kilometer": "km",
    "picometer": "pm",
    "angstrom": "Å",
}


@pytest.mark.parametrize("unit", WORDS)
def test_units_survive_and_are_written_in_the_words_of_ome(tmp_path, unit):
    grid = Grid.from_spacing(PIXELS.shape, (0.25, 0.5), (3.0, -4.0), units=unit)
    path = write_image(Image(PIXELS, grid), tmp_path / "a.tif")
    with tifffile.TiffFile(path) as tiff:
        pixels = ElementTree.fromstring(tiff.ome_metadata).find(".//{*}Pixels")
    assert pixels.get("PhysicalSizeXUnit") == WORDS[unit]
    assert pixels.get("PhysicalSizeX") == "0.5"
    assert read_image(path).grid.same_as(grid)


def test_volumes_in_any_length_survive(tmp_path):
    for unit in ("millimeter", "meter", "foot"):
        grid = Grid.from_spacing((3, 10, 12), (2.0, 0.25, 0.5), units=unit)
        found = read_image(write_image(Image(np.stack([PIXELS] * 3), grid), tmp_path / "a.tif"))
        assert found.grid.same_as(grid)


def test_short_and_unusual_names_of_units_keep_the_size(tmp_path):
    for unit, same in (
        ("mm", "millimeter"),
        ("um", "micrometer"),
        ("microns", "micrometer"),
        ("hm", "meter"),
    ):
        grid = Grid.from_spacing(PIXELS.shape, 0.5, units=unit)
        found = read_image(write_image(Image(PIXELS, grid), tmp_path / "a.tif")).grid
        assert np.allclose(found.in_units((same, same)).spacing, grid.in_units((same, same)).spacing)
    with pytest.raises(ValueError, match=r"TIFF cannot hold axes in hertz, hertz; write \.mha"):
        write_image(Image(PIXELS, Grid.from_spacing(PIXELS.shape, 0.5, units="hertz")), tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("word", "unit"),
    [
        ("um", "micrometer"),
        ("\\u00B5m", "micrometer"),
        ("micron", "micrometer"),
        ("microns", "micrometer"),
        ("micrometer", "micrometer"),
        ("Micrometres", "micrometer"),
        ("nm", "nanometer"),
        ("nanometers", "nanometer"),
        ("mm", "millimeter"),
        ("millimetre", "millimeter"),
        ("cm", "centimeter"),
        ("inch", "inch"),
        ("inches", "inch"),
        ("pixel", "pixel"),
        ("pixels", "pixel"),
    ],
)
def test_the_words_of_imagej_are_known(tmp_path, word, unit):
    path = tmp_path / "ij.tif"
    tifffile.imwrite(path, PIXELS, imagej=True, resolution=(2.0, 4.0), metadata={"unit": word})
    image = read_image(path)
    assert image.grid.units == (unit, unit)
    assert np.allclose(image.grid.spacing, (0.25, 0.5))
    assert image.notes == ()


def test_an_unknown_unit_is_said(tmp_path):
    path = tmp_path / "ij.tif"
    tifffile.imwrite(path, PIXELS, imagej=True, resolution=(2.0, 4.0), metadata={"unit": "furlong"})
    image = read_image(path)
    assert image.grid.units == ("pixel", "pixel")
    assert image.notes == (
        "ij.tif gives its pixel size in 'furlong', which is no known length; it counts in pixels.",
    )


@pytest.mark.parametrize(
    ("unit", "resolution", "spacing"),
    [
        ("CENTIMETER", 20_000, 0.5),
        ("INCH", 50_800, 0.5),
        ("INCH", 25_400, 1.0),
        ("INCH", 300, None),  # for printing
        ("INCH", 1200, None),
        ("NONE", 20_000, None),
    ],
)
def test_a_resolution_counts_where_it_was_measured(tmp_path, unit, resolution, spacing):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, resolution=(resolution,) * 2, resolutionunit=unit)
    grid = read_image(tmp_path / "a.tif").grid
    assert grid.units[0] == ("micrometer" if spacing else "pixel")
    assert np.allclose(grid.spacing, spacing or 1.0)


@pytest.mark.parametrize("shape", [(5, 10, 12), (5, 3, 10, 12), (5, 10, 12, 3)])
@pytest.mark.parametrize("unit", ["pixel", "micrometer", "millimeter"])
def test_series_in_time_survive(tmp_path, shape, unit):
    d = 4 if shape[1] == 3 else 3
    spacing, units = (2.5, *(2.0, 0.25, 0.5)[-d + 1 :]), ("second", *(unit,) * (d - 1))
    grid = Grid.from_spacing(shape[:d], spacing, (7.5, *(0.0,) * (d - 1)), units=units)
    data = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    found = read_image(write_image(Image(data, grid), tmp_path / "a.tif"))
    assert np.array_equal(found.data, data)
    assert found.grid.same_as(grid)


def geotiff(path: Path, code: int | None, geographic: bool = False) -> Path:
    """A GeoTIFF as GDAL writes it."""
    keys = [1024, 0, 1, 2 if geographic else 1, 1025, 0, 1, 2]
    if code is not None:
        keys += [2048 if geographic else 3072, 0, 1, code]
    keys += [2054, 0, 1, 9102] if geographic else [3076, 0, 1, 9001]
    keys = [1, 1, 0, len(keys) // 4, *keys]
    scale, tie = (
        ((1e-4, 1e-4, 0), (0, 0, 0, 12.5, 48, 0))
        if geographic
        else (
            (10.0, 10.0, 0),
            (0, 0, 0, 5e5, 5e6, 0),
        )
    )
    tags = [(33550, 12, 3, scale, True), (33922, 12, 6, tie, True), (34735, 3, len(keys), tuple(keys), True)]
    tifffile.imwrite(path, PIXELS.astype(np.float32), extratags=tags, metadata=None)
    return path


@pytest.mark.parametrize(("code", "geographic"), [(32633, False), (2056, False), (4326, True), (None, False)])
def test_the_reference_system_of_a_map_survives(tmp_path, code, geographic):
    image = read_image(geotiff(tmp_path / "a.tif", code, geographic))
    assert image.grid.crs == (None if code is None else f"EPSG:{code}")
    assert image.grid.units[0] == ("degree" if geographic else "meter")
    again = read_image(write_image(image, tmp_path / "b.gtif"))
    assert again.grid.crs == image.grid.crs
    assert again.grid.same_as(image.grid)
    with tifffile.TiffFile(tmp_path / "b.gtif") as tiff:
        keys = tiff.pages.first.geotiff_tags
    assert keys.get("GeographicTypeGeoKey" if geographic else "ProjectedCSTypeGeoKey") == code


def test_a_reference_system_without_a_code_is_said(tmp_path):
    image = read_image(geotiff(tmp_path / "a.tif", 32767))
    assert image.grid.crs is None
    assert "a.tif has no EPSG code" in image.notes[0]


def test_a_map_keeps_its_place_where_the_other_format_has_none(tmp_path):
    image = read_image(geotiff(tmp_path / "a.tif", 32633))
    assert write_like(image, tmp_path / "warped", "scan.png").name == "warped.tif"
    assert write_like(image, tmp_path / "warped", "scan.tiff").name == "warped.tiff"
    assert read_image(tmp_path / "warped.tif").grid.crs == "EPSG:32633"


def test_tags_that_tifffile_does_not_understand_print_nothing(tmp_path, caplog):
    path = tmp_path / "nodata.tif"
    tifffile.imwrite(path, np.ones((8, 9), np.uint8), extratags=[(42113, "s", 0, "-9999", True)])
    assert read_image(path).data.shape == (8, 9)
    assert not caplog.records
