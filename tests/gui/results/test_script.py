"""A run as a script or a command: what it writes beside itself, and that it runs."""

import shlex
from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Layer
from scipy.ndimage import gaussian_filter

from napari_voxreg import Grid, load_result
from napari_voxreg.cli.main import main
from napari_voxreg.gui.layers.snapshots import grid_kwargs, snapshot
from napari_voxreg.gui.session.chosen import Chosen, Fitted
from napari_voxreg.gui.session.script import command_line, files_needed, python_script
from napari_voxreg.io.images import read_image
from napari_voxreg.methods import KNOWN_METHODS
from napari_voxreg.transforms import Affine

RESULT = SimpleNamespace(method="by hand", params=KNOWN_METHODS["by hand"].parameters(None, {}), device="cpu")
POSE = Affine.translation([2.0, 3.0])
PIXELS = Grid.from_spacing((40, 50))
POINTS = np.array([[1.0, 2.0], [30.0, 4.0], [5.0, 40.0]])


def chosen_on(grid, seed=0, landmarks=None):
    layers = []
    for name in ("fixed", "moving"):
        data = gaussian_filter(np.random.default_rng(seed).random(grid.shape), 2).astype(np.float32)
        layers.append(snapshot(Layer.create(data, {"name": name, **grid_kwargs(grid)}, "image")))
    return Chosen(*layers, None, None, landmarks, Fitted("by hand", POSE, grid), None, (0, 0))


@pytest.mark.parametrize(
    "grid",
    [
        PIXELS,
        Grid.from_spacing((40, 50), 0.5, (3.0, 4.0), units="micrometer"),
        Grid.from_spacing((40, 50), 10.0, (-5e6, 4e5), [[0.8, -0.6], [0.6, 0.8]], units="meter"),
        Grid.from_spacing((40, 50), 0.5, (3.0, 4.0), [[0.8, -0.6], [0.6, 0.8]], units="millimeter"),
    ],
    ids=["pixel", "micrometer", "map", "millimeter"],
)
def test_a_copied_command_runs_in_the_unit_of_its_layers(tmp_path, capsys, grid):
    words = shlex.split(command_line(RESULT, chosen_on(grid), tmp_path / "a.sh"))
    assert main(words[1:]) == 0
    again = load_result(tmp_path / "a_result")
    assert again.fixed.same_as(grid)
    np.testing.assert_array_equal(again.transform(POINTS), POSE(POINTS))


def test_what_is_copied_replaces_nothing(tmp_path):
    for name in ("fixed.npy", "register_fixed.npy", "register_initial.json", "register_result"):
        (tmp_path / name).write_text("mine")
    script = tmp_path / "register.py"
    text = [python_script(RESULT, chosen_on(PIXELS, seed), script) for seed in (1, 2)]
    command = command_line(RESULT, chosen_on(PIXELS, 3, (POINTS, POINTS)), tmp_path / "register.sh")
    for name in ("fixed.npy", "register_fixed.npy", "register_initial.json", "register_result"):
        assert (tmp_path / name).read_text() == "mine"
    found = []
    for one in text:
        names = {}
        exec(one, names)
        found.append(names["fixed"].data)
        np.testing.assert_array_equal(names["result"].transform.matrix, POSE.matrix)
    assert not np.array_equal(*found)  # the second has its own files
    np.testing.assert_array_equal(found[0], chosen_on(PIXELS, 1).fixed.image().data)
    assert "register_result_2" in command and "register_fixed_landmarks.csv" in command


def test_a_command_asks_for_a_place_where_a_script_needs_none(tmp_path):
    from napari_voxreg.gui.layers.readers import read_layers
    from napari_voxreg.io.images import write_image

    path = write_image(chosen_on(PIXELS).fixed.image(), tmp_path / "fixed.mha")
    ((data, kwargs, kind),) = read_layers([path])
    layer = Layer.create(data, kwargs, kind)
    layer._source = SimpleNamespace(path=str(path))
    there = snapshot(layer)
    assert there.file == str(path) and read_image(path).grid.units == ("pixel", "pixel")
    pair = Chosen(there, there, None, None, None, None, None, (0, 0))
    assert not files_needed(pair, command=False) and not files_needed(pair, command=True)
    with_points = Chosen(there, there, None, None, (POINTS, POINTS), None, None, (0, 0))
    assert not files_needed(with_points, command=False) and files_needed(with_points, command=True)
    layer.translate = (5, 5)
    moved = Chosen(snapshot(layer), there, None, None, None, None, None, (0, 0))
    assert not files_needed(moved, command=False) and files_needed(moved, command=True)
