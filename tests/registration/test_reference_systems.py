"""Maps register only within one coordinate reference system, which their results keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_voxreg import Grid, Image, load_result, register, warp
from napari_voxreg.cli.main import main
from napari_voxreg.io.images import read_image, write_image
from napari_voxreg.io.pairs import open_pairs, pack
from napari_voxreg.io.pairs.reading import read_pair
from napari_voxreg.registration.compare import compare

SCENE = np.kron(np.random.default_rng(0).random((24, 24)), np.ones((4, 4))).astype(np.float32)
UTM, OTHER, DEGREES = "EPSG:32633", "EPSG:32634", "EPSG:4326"


def map_of(crs: str | None, unit: str = "meter", step: int = 0, name: str = "map") -> Image:
    """A map of 10 m pixels, or of an arc second's third."""
    spacing, origin = (1e-4, (-48.0, 12.5)) if unit == "degree" else (10.0, (-5e6, 5e5))
    grid = Grid.from_spacing((80, 80), spacing, origin, units=unit)
    return Image(SCENE[8 + step : 88 + step, 8:88], replace(grid, crs=crs), name)


@pytest.mark.parametrize(
    ("fixed", "moving", "words"),
    [
        (map_of(UTM), map_of(OTHER), "in EPSG:32633 and the other in EPSG:32634; .* -t_srs EPSG:32633"),
        (map_of(OTHER), map_of(UTM), "in EPSG:32634 and the other in EPSG:32633; .* -t_srs EPSG:32634"),
        (map_of(UTM), map_of(DEGREES, "degree"), "in EPSG:32633 and .* EPSG:4326; .* -t_srs EPSG:32633"),
        (map_of(DEGREES, "degree"), map_of(UTM), "in EPSG:4326 and .* EPSG:32633; .* -t_srs EPSG:32633"),
        (map_of(None), map_of(DEGREES, "degree"), "in meter and the other in EPSG:4326; .* -t_srs EPSG:n"),
        (map_of(None, "degree"), map_of(UTM), "in degree and the other in EPSG:32633; .* EPSG:32633"),
        (map_of(None, "degree"), map_of(None), "in degree and the other in meter; .* -t_srs EPSG:n"),
    ],
)
def test_maps_of_two_systems_are_refused_before_the_run(fixed, moving, words):
    for run in (register, compare):
        with pytest.raises(ValueError, match=rf"One image lies {words}"):
            run(fixed, moving, **({"method": "translation"} if run is register else {}))
    with pytest.raises(ValueError, match="One image lies"):
        warp(moving, None, fixed.grid)


def test_a_mask_of_another_system_is_refused():
    mask = map_of(OTHER)
    with pytest.raises(ValueError, match="One image lies in EPSG:32633"):
        register(map_of(UTM), map_of(UTM, step=2), method="translation", fixed_mask=mask)


@pytest.mark.parametrize(("crs", "unit"), [(UTM, "meter"), (DEGREES, "degree")])
def test_a_result_keeps_the_system_of_the_fixed_image(tmp_path, crs, unit):
    fixed, moving = map_of(crs, unit), map_of(crs, unit, 3)
    result = register(fixed, moving, method="translation")
    assert result.notes == ()
    assert result.fixed.crs == result.moving.crs == result.warped.grid.crs == crs
    result.save(tmp_path)
    loaded = load_result(tmp_path)
    assert loaded.fixed.crs == loaded.moving.crs == crs
    assert loaded.with_images(fixed, moving).warped.grid.crs == crs


def test_a_map_without_a_system_is_taken_to_be_in_the_other_ones_and_that_is_said():
    result = register(map_of(UTM, name="a"), map_of(None, name="b", step=3), method="translation")
    assert result.moving.crs == UTM
    assert result.notes[0] == (
        "b names no coordinate reference system; it is taken to be that of a, EPSG:32633."
    )
    rows = compare(map_of(None), map_of(UTM, step=3), methods=["translation"])
    assert rows[0].notes == rows[1].result.notes[:1] != ()


def test_a_record_of_an_earlier_version_has_no_system_and_still_loads(tmp_path):
    fixed, moving = map_of(UTM), map_of(UTM, step=3)
    register(map_of(None), map_of(None, step=3), method="translation").save(tmp_path)
    assert "crs" not in (tmp_path / "transform.json").read_text()
    loaded = load_result(tmp_path)
    assert loaded.fixed.crs is None
    assert loaded.with_images(fixed, moving).fixed_image is not None


def test_grids_keep_the_system_as_long_as_they_keep_the_world():
    grid = map_of(UTM).grid
    kept = [grid.coarsened(2), grid.blocks([2, 4]), grid.moved(np.eye(3)), grid.in_units(["m", "m"])]
    assert {one.crs for one in kept} == {UTM}
    assert grid.in_units(["km", "km"]).crs is None
    volume = Grid((1, 8, 9), np.eye(4), ("meter",) * 3, UTM)
    assert volume.without([0]).crs == UTM
    assert not grid.same_as(replace(grid, crs=OTHER))


@pytest.fixture
def maps(tmp_path) -> list[Path]:
    """Two maps of one zone, one of the next and one in degrees."""
    images = [map_of(UTM), map_of(UTM, step=3), map_of(OTHER), map_of(DEGREES, "degree")]
    return [write_image(image, tmp_path / f"{k}.tif") for k, image in enumerate(images)]


def test_the_command_line_writes_the_warped_map_in_its_system(tmp_path, maps, capsys):
    words = [str(maps[0]), str(maps[1]), "-o", str(tmp_path / "out"), "-m", "translation"]
    assert main(["register", *words]) == 0
    warped = read_image(tmp_path / "out" / "warped.tif")
    assert warped.grid.crs == UTM
    assert warped.grid.same_as(map_of(UTM).grid)
    for wrong in maps[2:]:
        assert main(["register", str(maps[0]), str(wrong), "-o", str(tmp_path / "no")]) == 2
        assert "gdalwarp -t_srs EPSG:32633" in capsys.readouterr().err
        assert main(["apply", str(tmp_path / "out"), str(wrong), "-o", str(tmp_path / "no.tif")]) == 2
    assert not (tmp_path / "no").exists()
    assert main(["apply", str(tmp_path / "out"), str(maps[1]), "-o", str(tmp_path / "again.gtif")]) == 0
    assert read_image(tmp_path / "again.gtif").grid.crs == UTM


def test_pair_files_keep_the_system(tmp_path, maps):
    (tmp_path / "pairs.csv").write_text("fixed,moving\n0.tif,1.tif\n")
    pack(open_pairs(tmp_path / "pairs.csv"), tmp_path / "pairs.h5")
    (pair,) = open_pairs(tmp_path / "pairs.h5").all
    assert read_pair(pair).fixed.grid.crs == UTM
