"""Layers are saved with every frame, each axis as what it is."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer

from napari_voxreg import register
from napari_voxreg.gui.layers.result_layers import Show, result_layers
from napari_voxreg.gui.layers.snapshots import CRS, image_from_layer, snapshot
from napari_voxreg.gui.layers.writers import write_layer
from napari_voxreg.io.images import read_image

RNG = np.random.default_rng(0)
FORMATS = (".mha", ".nii.gz", ".nii", ".nrrd")


def save(layer, path):
    data, meta, _ = layer.as_layer_data_tuple()
    return read_image(write_layer(str(path), data, dict(meta))[0])


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("shape", [(3, 20, 30), (12, 12, 12)])
def test_a_movie_is_written_frame_by_frame(tmp_path, ending, shape):
    data = RNG.random(shape).astype(np.float32)
    layer = ImageLayer(
        data,
        axis_labels=("t", "y", "x"),
        scale=(2, 0.5, 0.25),
        translate=(4, 1, 2),
        units=("minute", "mm", "mm"),
    )
    found = save(layer, tmp_path / f"a{ending}")
    assert np.array_equal(found.data[:, 0], data)
    assert found.grid.units == ("second", *("millimeter",) * 3)
    assert np.allclose(found.grid.spacing, (120, 1, 0.5, 0.25))
    assert np.allclose(found.grid.origin[[0, 2, 3]], (240, 1, 2))


@pytest.mark.parametrize("ending", FORMATS)
def test_volumes_in_time_are_written_with_time_first(tmp_path, ending):
    data = RNG.random((4, 5, 6, 7)).astype(np.float32)
    unlabelled = save(ImageLayer(data, scale=(3, 2, 1, 1)), tmp_path / f"a{ending}")
    later = ImageLayer(data.swapaxes(0, 1), axis_labels=("z", "t", "y", "x"), scale=(2, 3, 1, 1))
    for found in (unlabelled, save(later, tmp_path / f"b{ending}")):
        assert np.array_equal(found.data, data)
        assert found.grid.units[0] == "second"
        assert np.allclose(found.grid.spacing, (3, 2, 1, 1))


def test_one_frame_is_an_image_without_time(tmp_path):
    data = RNG.random((1, 20, 30)).astype(np.float32)
    layer = ImageLayer(data, axis_labels=("t", "y", "x"), translate=(5, 1, 2))
    found = save(layer, tmp_path / "a.mha")
    assert np.array_equal(found.data, data[0])
    assert np.allclose(found.grid.origin, (1, 2))
    labels = Labels(np.arange(60).reshape(1, 1, 6, 10), axis_labels=("t", "z", "y", "x"))
    assert save(labels, tmp_path / "b.nii.gz").data.tolist() == [np.arange(60).reshape(6, 10).tolist()]


def test_labels_and_colours_keep_their_frames(tmp_path):
    numbers = RNG.integers(0, 9, (3, 6, 10))
    found = save(Labels(numbers, axis_labels=("time", "y", "x")), tmp_path / "a.nrrd")
    assert np.array_equal(found.data[:, 0], numbers)
    colours = RNG.integers(0, 255, (3, 20, 30, 3), dtype=np.uint8)
    found = save(ImageLayer(colours, rgb=True, axis_labels=("t", "y", "x")), tmp_path / "b.mha")
    assert np.array_equal(found.data[:, 0], colours)
    assert found.channels == 3


def test_a_channel_axis_becomes_channels(tmp_path):
    data = RNG.random((2, 5, 20, 30)).astype(np.float32)
    found = save(ImageLayer(data, axis_labels=("c", "z", "y", "x")), tmp_path / "a.mha")
    assert np.array_equal(found.data, np.moveaxis(data, 0, -1))
    assert found.channels == 2
    found = save(ImageLayer(data, axis_labels=("c", "t", "y", "x")), tmp_path / "b.mha")
    assert np.array_equal(found.data[:, 0], np.moveaxis(data, 0, -1))


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")  # napari says so of such layers
def test_what_no_format_holds_is_refused_in_a_sentence(tmp_path):
    layer = ImageLayer(
        RNG.random((2, 3, 4, 5, 6)), name="cells", axis_labels=("t", "position", "z", "y", "x")
    )
    with pytest.raises(OSError, match=r"^'cells' has the axes t, position besides space; save it in parts"):
        save(layer, tmp_path / "a.mha")
    for mixed, words in (((1, 0), "'drift' lies elsewhere in each frame"), ((0, 1), "'drift' mixes time")):
        affine = np.eye(4)
        affine[mixed] = 0.5
        layer = ImageLayer(RNG.random((3, 4, 5)), name="drift", affine=affine, axis_labels=("t", "y", "x"))
        with pytest.raises(OSError, match=words):
            save(layer, tmp_path / "a.mha")
    assert list(tmp_path.iterdir()) == []


def test_results_of_a_movie_on_a_map_are_saved_as_maps(tmp_path):
    scene = np.kron(RNG.random((3, 20, 20)), np.ones((1, 4, 4))).astype(np.float32)
    placed = {"axis_labels": ("t", "y", "x"), "scale": (1, 10, 10), "units": ("s", "m", "m")}
    fixed, moving = (
        ImageLayer(data, metadata={CRS: "EPSG:32633"}, **placed) for data in (scene, np.roll(scene, 2, 1))
    )
    result = register(image_from_layer(fixed), image_from_layer(moving), method="translation")
    layers = result_layers(result, snapshot(fixed), snapshot(moving), show=Show(magnitude=True))
    images = [Layer.create(*layer) for layer in layers if layer[2] == "image"]
    assert len(images) == 3
    for k, layer in enumerate(images):
        assert layer.ndim == 3
        found = save(layer, tmp_path / f"{k}.gtif")
        np.testing.assert_array_equal(np.ma.filled(found.data, np.nan), layer.data[0])  # outside is NaN
        assert found.grid.same_as(image_from_layer(fixed).grid)
        assert found.grid.crs == "EPSG:32633"


def test_a_map_is_saved_with_its_reference_system(tmp_path):
    layer = ImageLayer(
        RNG.random((20, 30)).astype(np.float32),
        scale=(10, 10),
        translate=(-5e6, 5e5),
        units=("m", "m"),
        metadata={CRS: "EPSG:32633"},
    )
    found = save(layer, tmp_path / "a.gtif")
    assert found.grid.crs == "EPSG:32633"
    assert found.grid.units == ("meter", "meter")
    assert np.allclose(found.grid.origin, (-5e6, 5e5))
