"""Points layers are saved where they lie in the world, and lie there again when they are opened."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer, Points

from napari_voxreg.gui.layers.point_files import points_layers, world_of
from napari_voxreg.gui.layers.readers import notes_of, read_layers
from napari_voxreg.io.points import (
    BIGWARP,
    PairFile,
    PointFile,
    read_point_file,
    write_point_pairs,
    write_points,
)

PLACES = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


@pytest.mark.parametrize("ending", [".fcsv", ".mrk.json", ".txt"])
def test_a_layer_is_saved_in_the_world_with_its_labels(viewer, tmp_path, ending):
    affine = np.eye(4)
    affine[:3, 3] = 0.1, 0.2, 0.3
    layer = viewer.add_points(
        PLACES,
        scale=(2, 3, 4),
        translate=(5, 6, 7),
        affine=affine,
        units=("um",) * 3,
        features={"label": ["nasion", "inion"], "area": [1.0, 2.0]},
    )
    assert layer.save(str(tmp_path / f"a{ending}")) == [str(tmp_path / f"a{ending}")]
    found = read_point_file(tmp_path / f"a{ending}")
    world = PLACES * (2, 3, 4) + (5.1, 6.2, 7.3)
    assert np.allclose(found.points, world if ending == ".txt" else world / 1000)
    assert found.labels == (() if ending == ".txt" else ("nasion", "inion"))


def test_points_of_a_plane_and_numbered_ones_are_saved(viewer, tmp_path):
    layer = viewer.add_points(PLACES[:, 1:], features={"number": [2, 1]})
    layer.save(str(tmp_path / "a.fcsv"))
    found = read_point_file(tmp_path / "a.fcsv")
    assert found.points.tolist() == [[0, 2, 3], [0, 5, 6]] and found.labels == ("2", "1")


def test_points_in_time_are_refused_in_a_sentence(viewer, tmp_path):
    layer = viewer.add_points(PLACES, units=("s", "mm", "mm"))
    with pytest.raises(OSError, match="cannot be converted"):
        layer.save(str(tmp_path / "a.fcsv"))


def test_points_get_the_units_of_the_viewer(viewer, tmp_path):
    path = write_points(PointFile(PLACES, unit="millimeter"), tmp_path / "a.fcsv")
    ((data, kwargs, _),) = points_layers(path, world_of(viewer))
    assert np.array_equal(data, PLACES) and kwargs["units"] == ("millimeter",) * 3
    viewer.add_image(np.zeros((3, 4, 5)), units="um")
    (layer,) = viewer.open(path, plugin="napari-voxreg")
    assert np.allclose(layer.data, 1000 * PLACES) and str(layer.units[0]) == "micrometer"
    viewer.layers[0].units = ("pixel",) * 3
    layer.units = ("pixel",) * 3
    ((data, kwargs, _),) = points_layers(path, world_of(viewer))
    assert np.array_equal(data, PLACES) and kwargs["units"] == ("pixel",) * 3


def test_pairs_are_a_layer_for_each_image_and_what_is_left_out_is_said(tmp_path):
    path = write_point_pairs(PairFile(PLACES, PLACES + 1, ("a", "b")), tmp_path / "a.csv", BIGWARP)
    path.write_text(path.read_text().replace('"true"', '"false"', 1))
    found = read_layers([path])
    fixed, moving = (Points(data, **kwargs) for data, kwargs, _ in found)
    assert (fixed.name, moving.name) == ("a fixed landmarks", "a moving landmarks")
    assert np.array_equal(fixed.data, PLACES[1:]) and np.array_equal(moving.data, PLACES[1:] + 1)
    assert fixed.features["label"].tolist() == ["b"]
    assert notes_of(found) == ["1 point of a.csv is left out: inactive in BigWarp."]


def test_files_without_points_are_empty_layers_or_refused_in_a_sentence(viewer, tmp_path):
    for name, text, ndim in (
        ("a.fcsv", "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n", 3),
        ("b.csv", "x,y,label\n", 2),
    ):
        (tmp_path / name).write_text(text)
        (data,) = read_layers([tmp_path / name])
        layer = viewer.add_layer(Layer.create(*data))
        assert layer.ndim == ndim and not len(layer.data)
    for name, text in (("c.fcsv", ""), ("d.txt", "point\n0\n"), ("e.csv", "\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=rf"^{name} holds no points; choose another file\.$"):
            read_layers([tmp_path / name])
