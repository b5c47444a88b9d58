"""The method of docs/how-to/add-a-method.md, taken from the page, does what the page says."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import napari_voxreg
from napari_voxreg import METHODS, Affine, Cancelled, Grid, Image, load_transform, register, warp

if not hasattr(napari_voxreg, "Task"):
    pytest.skip("needs the interface of methods that takes a Task", allow_module_level=True)

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "add-a-method.md"
FILE, LIST, BOUND = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
BOUNDS = ast.literal_eval(BOUND.partition("=")[2].strip())


@pytest.fixture(scope="module", autouse=True)
def name(tmp_path_factory):
    """Put the page's file among the methods, and its method into the list; the method's name."""
    path = tmp_path_factory.mktemp("methods") / "gauss_newton.py"
    path.write_text(FILE, encoding="utf-8")
    module_name = "napari_voxreg.methods.gauss_newton"
    spec = importlib.util.spec_from_file_location(module_name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    METHODS[module.METHOD.name] = module.METHOD
    yield module.METHOD.name
    del METHODS[module.METHOD.name], sys.modules[module_name]


def pair(d: int, awkward: bool) -> tuple[Image, Image, Affine]:
    """A texture, the same displaced by about two pixels along each axis, and the true transform."""
    shape, margin = ((96, 110), (36, 40, 44))[d - 2], 12
    rng = np.random.default_rng(d)
    noise = rng.normal(size=[n + 2 * margin for n in shape])
    scene = sum(gaussian_filter(noise, sigma) * sigma ** (d / 2) for sigma in (1.5, 3, 6))
    direction = np.linalg.qr(rng.normal(size=(d, d)))[0] if awkward else np.eye(d)
    spacing = (0.9, 0.6, 0.7)[:d] if awkward else 1.0
    grid = Grid.from_spacing(shape, spacing, 30.0 if awkward else 0.0, direction, "millimeter")
    index = np.eye(d + 1)
    index[:d, d] = -margin
    moving = Image(scene.astype(np.float32), Grid(scene.shape, grid.affine @ index, grid.units))
    truth = Affine.translation(grid.affine[:d, :d] @ np.array([2.3, -1.6, 1.2][:d]))
    return warp(moving, truth, grid), moving, truth


def error(transform, truth, grid) -> float:
    """Mean distance in pixels."""
    nodes = grid.coarsened(4).nodes()
    return float(np.linalg.norm(transform(nodes) - truth(nodes), axis=1).mean() / grid.spacing.min())


@pytest.mark.parametrize("awkward", [False, True], ids=["plain", "awkward"])
@pytest.mark.parametrize("d", [2, 3])
def test_it_keeps_its_bound(name, d, awkward):
    fixed, moving, truth = pair(d, awkward)
    copies = fixed.data.copy(), moving.data.copy()
    fractions = []
    result = register(fixed, moving, method=name, progress=lambda f, *_: fractions.append(f or 0.0))
    assert error(Affine.identity(d), truth, fixed.grid) > 2
    assert error(result.transform, truth, fixed.grid) < BOUNDS[name][d - 2]
    assert result.verdict.outcome == "better"
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert np.array_equal(copies[0], fixed.data) and np.array_equal(copies[1], moving.data)
    assert result.trace[-1] < result.trace[0]


def test_identity_stays_identity(name):
    fixed, _, _ = pair(2, True)
    result = register(fixed, fixed, method=name)
    assert error(result.transform, Affine.identity(2), fixed.grid) < 0.01
    assert result.verdict.outcome == "unchanged"


def test_masks_hide_what_would_mislead(name):
    fixed, moving, truth = pair(2, False)
    spoilt = fixed.data.copy()
    spoilt[:, :50] = np.random.default_rng(0).normal(size=(96, 50)) * 5
    mask = np.ones(fixed.grid.shape, bool)
    mask[:, :58] = False
    found = register(fixed.with_data(spoilt), moving, method=name, fixed_mask=mask).transform
    assert error(found, truth, fixed.grid) < 0.1


def test_an_initial_transform_is_included(name):
    fixed, moving, truth = pair(2, True)
    away = Affine.translation([500.0, 500.0])
    far = moving.with_grid(moving.grid.moved(away.matrix))
    result = register(fixed, far, method=name, initial=away)
    np.testing.assert_allclose(
        result.transform([fixed.grid.centre]), truth([fixed.grid.centre]) + 500, atol=0.05
    )


def test_it_survives_the_disk_and_can_be_cancelled(name, tmp_path):
    fixed, moving, _ = pair(2, True)
    result = register(fixed, moving, method=name, preset="noisy images")
    again = load_transform(result.save(tmp_path))
    shown = warp(moving, result.transform, fixed.grid).data
    np.testing.assert_array_equal(warp(moving, again, fixed.grid).data, shown)

    def stop(fraction, message, metric=None):
        if message == "Gauss-Newton":
            raise Cancelled

    with pytest.raises(Cancelled):
        register(fixed, moving, method=name, progress=stop)


def test_the_page_names_the_module_in_the_list(name):
    (imported,) = ast.parse(LIST).body
    assert name in [alias.name for alias in imported.names]
    modules = {alias.name for alias in imported.names} - {name}
    package = (Path(napari_voxreg.__file__).parent / "methods" / "__init__.py").read_text(encoding="utf-8")
    line = next(line for line in package.splitlines() if line.startswith("from . import"))
    assert modules == set(line.removeprefix("from . import ").split(", ")), "the page shows another list"


def test_its_options_are_on_the_command_line(name, capsys):
    from napari_voxreg.cli import main

    assert main.main(["register", "--method", name, "--help"]) == 0
    assert "--smoothing" in capsys.readouterr().out
