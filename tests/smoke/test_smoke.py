"""The shortest way through everything; scripts/lowest.py runs it with the lowest versions."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import (
    METHODS,
    Affine,
    Grid,
    Image,
    MethodUnavailable,
    evaluate,
    load_transform,
    open_pairs,
    register,
    warp,
)
from napari_voxreg.figures import before_after, save
from napari_voxreg.io.images import read_image, write_image
from napari_voxreg.methods.availability import installed

# One of each family: phase correlation, SimpleITK, pose, deformable, flow of either library, network.
FAMILIES = ("auto", "translation", "affine", "pose", "bspline", "diffeo", "flow", "tvl1", "voxelmorph")
TRUTH = Affine.translation([1.0, -1.5])


def pair() -> tuple[Image, Image]:
    """A texture and the same texture displaced by two and three pixels."""
    noise = np.random.default_rng(0).normal(size=(128, 136))
    scene = sum(gaussian_filter(noise, sigma) * sigma for sigma in (1.5, 3, 6)).astype(np.float32)
    grid = Grid.from_spacing((96, 104), 0.5, units="millimeter")
    around = Grid.from_spacing(scene.shape, 0.5, (-8, -8), units="millimeter")
    return warp(Image(scene, around), TRUTH, grid), Image(scene, around)


@pytest.fixture(scope="module")
def images() -> tuple[Image, Image]:
    return pair()


def error(transform, grid: Grid) -> float:
    """Mean distance from the truth, in pixels, well inside the image."""
    nodes = grid.coarsened(4).nodes()
    inner = nodes[np.all((nodes > 6) & (nodes < 40), axis=1)]
    return float(np.linalg.norm(transform(inner) - TRUTH(inner), axis=1).mean() / 0.5)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_method_of_each_family(images, name):
    fixed, moving = images
    assert error(register(fixed, moving, method=name).transform, fixed.grid) < 0.3


def test_elastix_registers_or_says_how_to_install_it(images):
    fixed, moving = images
    if installed(METHODS["elastix"]):
        result = register(fixed, moving, method="elastix", preset="affine")
        assert error(result.transform, fixed.grid) < 0.3
    else:
        with pytest.raises(MethodUnavailable, match=r"napari-voxreg\[elastix\]"):
            register(fixed, moving, method="elastix")


def test_a_volume(images):
    grid = Grid.from_spacing((24, 28, 26), 2.0, units="millimeter")
    noise = np.random.default_rng(1).normal(size=grid.shape)
    moving = Image(gaussian_filter(noise, 2).astype(np.float32), grid)
    truth = Affine.translation([2.0, -2.0, 1.0])
    result = register(warp(moving, truth, grid), moving, method="rigid")
    assert np.abs(result.transform([grid.centre]) - truth([grid.centre])).max() < 0.3


def test_save_and_load(images, tmp_path):
    fixed, moving = images
    result = register(fixed, moving, method="translation")
    again = load_transform(result.save(tmp_path))
    shown, loaded = (warp(moving, transform, fixed.grid).data for transform in (result.transform, again))
    np.testing.assert_array_equal(shown, loaded)


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nrrd", ".tif"])
def test_images_survive_their_files(images, tmp_path, suffix):
    file = write_image(images[0], tmp_path / f"image{suffix}")
    np.testing.assert_allclose(read_image(file).data, images[0].data, rtol=1e-6)


def test_the_command_line(images, tmp_path):
    for name, image in zip(("fixed", "moving"), images, strict=True):
        write_image(image, tmp_path / f"{name}.mha")
    words = ["register", "fixed.mha", "moving.mha", "-o", "out", "--method", "translation"]
    done = subprocess.run(
        [sys.executable, "-m", "napari_voxreg", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Better")
    assert error(load_transform(tmp_path / "out"), images[0].grid) < 0.1


def test_pairs_are_evaluated_and_drawn(images, tmp_path):
    for side, image in zip(("fixed", "moving"), images, strict=True):
        write_image(image, tmp_path / "visits" / side / "a.mha")
    evaluation = evaluate(open_pairs(tmp_path / "visits"), method="translation", folder=tmp_path / "table")
    assert [row.method for row in evaluation.rows] == ["translation"]
    assert save(before_after(evaluation.rows), tmp_path / "figure.png").stat().st_size > 1000


def test_the_panel_opens_and_registers(images, make_napari_viewer, qtbot):
    from napari_voxreg.gui.register.panel import RegisterWidget

    viewer = make_napari_viewer(show=True)
    widget = RegisterWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Register")
    layers = [
        viewer.add_image(image.data, name=name, affine=image.grid.affine, units=image.grid.units)
        for name, image in zip(("fixed", "moving"), images, strict=True)
    ]
    widget.pair.fixed.choose(layers[0])
    widget.pair.moving.choose(layers[1])
    widget.method.choose("affine")
    with qtbot.waitSignal(widget.finished, timeout=120_000):
        widget.run()
    assert error(widget.result.transform, images[0].grid) < 0.1
    assert len(viewer.layers) > len(layers)
