"""Files as layers, and layers as files."""

from __future__ import annotations

import numpy as np
import pytest

from napari_voxreg import Grid, Image
from napari_voxreg.gui.layers.readers import get_reader, image_layers, read_layers
from napari_voxreg.gui.layers.snapshots import image_from_layer
from napari_voxreg.io.images import read_image, write_image
from napari_voxreg.samples import make_sample

RNG = np.random.default_rng(0)
VOLUME = RNG.normal(size=(6, 20, 16)).astype(np.float32)


def grid(turn: bool = False) -> Grid:
    """Millimetres, unequal spacing, shifted, perhaps turned in the plane."""
    axes = np.eye(3)
    if turn:
        axes[1:, 1:] = [[0.8, -0.6], [0.6, 0.8]]
    return Grid.from_spacing((6, 20, 16), (3.0, 1.0, 2.0), (5.0, -7.0, 1.0), axes, "millimeter")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.txt", "a.zarr"])
def test_what_others_read_well_is_left_to_them(name):
    assert get_reader(name) is None


def test_a_reader_is_a_function_of_paths(tmp_path):
    path = write_image(Image(VOLUME, grid()), tmp_path / "a.nii.gz")
    ((data, kwargs, kind),) = get_reader(str(path))(str(path))
    assert kind == "image"
    assert np.array_equal(data, VOLUME)
    assert kwargs["name"] == "a"
    two = get_reader([str(path), str(path)])([str(path), str(path)])
    assert len(two) == 2


@pytest.mark.parametrize("turn", [False, True])
def test_a_layer_stands_where_the_file_says(viewer, tmp_path, turn):
    path = write_image(Image(VOLUME, grid(turn)), tmp_path / "a.mha")
    (layer,) = viewer.open(path, plugin="napari-voxreg")
    found = image_from_layer(layer, viewer)
    assert found.grid.same_as(grid(turn))
    assert np.array_equal(found.data, VOLUME)


def test_a_volume_stored_from_side_to_side_is_shown_upright(viewer, tmp_path):
    # Stored (column, plane, row), rows backwards: the world of every pixel stays what it was.
    affine = grid().affine[:, [2, 0, 1, 3]] @ np.diag([1.0, 1, -1, 1])
    stored = Image(VOLUME.transpose(2, 0, 1), Grid((16, 6, 20), affine, ("millimeter",) * 3))
    (layer,) = viewer.open(write_image(stored, tmp_path / "a.mha"), plugin="napari-voxreg")
    found = image_from_layer(layer, viewer)
    assert np.array_equal(found.grid.direction, np.eye(3))
    index = np.array([[3, 2, 5], [10, 4, 17]])
    there = np.rint(found.grid.to_index(stored.grid.to_world(index))).astype(int)
    assert np.array_equal(found.data[tuple(there.T)], stored.data[tuple(index.T)])


def test_time_series_are_labelled_so(viewer, tmp_path):
    units = ("second", *("millimeter",) * 3)
    series = Image(
        RNG.normal(size=(4, 6, 20, 16)).astype(np.float32),
        Grid.from_spacing((4, 6, 20, 16), (2.0, 3, 1, 2), units=units),
    )
    (layer,) = viewer.open(write_image(series, tmp_path / "a.nii.gz"), plugin="napari-voxreg")
    assert layer.axis_labels == ("t", "z", "y", "x")
    assert image_from_layer(layer, viewer).grid.shape == (6, 20, 16)


def test_radar_is_recognised_by_its_speckle(tmp_path):
    radar = make_sample("sar").fixed
    path = write_image(radar, tmp_path / "scene.tif")
    ((data, kwargs, _),) = read_layers([path])
    assert kwargs["name"] == "scene (dB)"
    assert np.allclose(data, 20 * np.log10(radar.data), atol=1e-4)
    assert np.array_equal(kwargs["metadata"]["linear"], radar.data)
    # Terrain on the same map is no radar image.
    rows, columns = np.indices(radar.grid.shape)
    terrain = radar.with_data((400 + rows + 30 * np.sin(columns / 9)).astype(np.float32))
    ((data, kwargs, _),) = image_layers(terrain)
    assert data is terrain.data
    # Neither is a small ramp, which varies as much among neighbours.
    ramp = Image(np.arange(150, dtype=np.uint8).reshape(15, 10), Grid.from_spacing((15, 10), units="meter"))
    ((data, kwargs, _),) = image_layers(ramp)
    assert data is ramp.data


def test_single_look_complex_is_shown_by_its_amplitude():
    pixels = (RNG.normal(size=(30, 40)) + 1j * RNG.normal(size=(30, 40))).astype(np.complex64)
    pixels[0, 0] = 0
    image = Image(pixels, Grid.from_spacing((30, 40), 5.0, units="meter"), "slc")
    ((data, kwargs, _),) = image_layers(image)
    assert np.isfinite(data).all()
    assert np.allclose(data[1:], 20 * np.log10(np.abs(pixels[1:])), atol=1e-4)
    assert kwargs["metadata"]["linear"] is pixels


def test_channels_that_are_no_colours_are_layers_each():
    stack = Image(RNG.normal(size=(20, 16, 2)).astype(np.float32), Grid.from_spacing((20, 16)), "cells")
    layers = image_layers(stack)
    assert [kwargs["name"] for _, kwargs, _ in layers] == ["cells 1", "cells 2"]
    colours = Image(RNG.integers(0, 255, (20, 16, 3), dtype=np.uint8), Grid.from_spacing((20, 16)), "slide")
    ((_, kwargs, _),) = image_layers(colours)
    assert kwargs["rgb"] is True


@pytest.mark.parametrize("ending", [".mha", ".nii.gz", ".nrrd"])
@pytest.mark.parametrize("kind", ["image", "labels"])
def test_a_layer_saved_with_us_comes_back_in_its_place(viewer, tmp_path, ending, kind):
    placed = {"scale": (3, 1, 2), "translate": (5, -7, 1), "rotate": 30, "units": "mm"}
    if kind == "image":
        layer = viewer.add_image(VOLUME, **placed)
    else:
        layer = viewer.add_labels((VOLUME > 0).astype(np.uint8), **placed)
    path = tmp_path / f"saved{ending}"
    assert layer.save(str(path), plugin="napari-voxreg")
    found, shown = read_image(path), image_from_layer(layer, viewer)
    assert np.array_equal(found.data, shown.data)
    assert found.grid.same_as(shown.grid.in_units(("millimeter",) * 3))


def test_colours_and_shear_are_saved(viewer, tmp_path):
    pixels = RNG.integers(0, 255, (20, 16, 3), dtype=np.uint8)
    layer = viewer.add_image(pixels, rgb=True, shear=[0.3], units="um")
    layer.save(str(tmp_path / "a.mha"), plugin="napari-voxreg")
    found = read_image(tmp_path / "a.mha")
    assert np.array_equal(found.data, pixels)
    assert found.grid.same_as(image_from_layer(layer, viewer).grid.in_units(("millimeter",) * 2))
    with pytest.raises(OSError, match=r"write \.mha instead"):
        layer.save(str(tmp_path / "a.nrrd"), plugin="napari-voxreg")


def test_png_files_are_still_saved_by_napari(viewer, tmp_path):
    layer = viewer.add_image(RNG.integers(0, 255, (20, 16), dtype=np.uint8))
    for ending in (".tif", ".png"):
        assert layer.save(str(tmp_path / f"a{ending}"))
