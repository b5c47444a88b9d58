"""What every method promises, over METHODS x (2D, 3D) x (plain, awkward geometry)."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from napari_voxreg import (
    METHODS,
    Affine,
    Cancelled,
    Grid,
    Image,
    Result,
    StationaryVelocity,
    Transform,
    load_transform,
    register,
    warp,
)
from napari_voxreg.images.preprocess import range_of
from napari_voxreg.io.transforms import save_transform
from napari_voxreg.methods.base import Motion
from napari_voxreg.transforms import chain
from napari_voxreg.transforms.itk import image_to_itk

SHAPES = {2: (120, 136), 3: (40, 48, 44)}
# Mean error in fixed pixels inside the image, in 2D and 3D, at a motion of some pixels (see `_truth`). A new
# method has one line here.
BOUNDS = {
    "auto": (0.2, 0.4),
    "pose": (0.1, 0.1),
    "translation": (0.15, 0.3),
    "rigid": (0.05, 0.05),
    "similarity": (0.05, 0.05),
    "affine": (0.05, 0.05),
    "bspline": (0.3, 0.5),
    "demons": (0.3, 0.3),
    "diffeo": (0.2, 0.4),
    "elastix": (0.25, 0.5),
    "flow": (0.15,),
    "tvl1": (0.2, 0.4),
    "ilk": (0.25, 0.45),
    # Networks are methods where their weights are there; their first preset refines.
    "affinenet": (0.1, 0.1),
    "pyramid": (0.2, 0.4),
    "voxelmorph": (0.2, 0.4),
    "avsm": (0.2, 0.4),
    "jsm": (0.2,),
}
# Small images need neither all steps nor all samples.
QUICK = {
    "elastix": {"iterations": 150, "samples": 1500, "resolutions": 3},
    "bspline": {"samples": 15_000, "levels": 2},
    "affinenet": {"steps": 4},
}
CELLS = [(name, d) for name in METHODS for d in METHODS[name].ndims]
# Over 20 seconds each; their 2D siblings are quick, or they have tests of their own.
LONG = {(name, 3) for name in ("affinenet", "auto", "avsm", "bspline", "demons", "pyramid", "voxelmorph")}
LONG |= {(name, d) for name in ("elastix", "pose") for d in (2, 3)}
LONG |= {(name, 2) for name in ("auto", "avsm", "jsm")}


def _marks(cell: tuple[str, int]) -> tuple[pytest.MarkDecorator, ...]:
    return (pytest.mark.slow,) if cell in LONG else ()


METHOD_CELLS = [pytest.param(*cell, marks=_marks(cell)) for cell in CELLS]
GRID_CELLS = [
    pytest.param(*cell, geometry, marks=_marks(cell)) for geometry in ("plain", "awkward") for cell in CELLS
]


@dataclass(frozen=True)
class Case:
    fixed: Image
    moving: Image
    truth: Transform


def _scene(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Texture at several scales, which every similarity can follow."""
    rng = np.random.default_rng(seed)
    layers = [gaussian_filter(rng.normal(size=shape), s) * s ** (len(shape) / 2) for s in (1.5, 3, 6)]
    return (100 * sum(layers)).astype(np.float32)


def _truth(motion: Motion, grid: Grid) -> Transform:
    """A motion of a kind, two to four pixels, about the grid's centre."""
    d, pixel = grid.ndim, float(grid.spacing.min())
    if motion == "deformable":
        rng = np.random.default_rng(5)
        velocity = np.stack(
            [gaussian_filter(rng.normal(size=grid.shape), min(grid.shape) / 6) for _ in range(d)], axis=-1
        )
        length = np.linalg.norm(velocity, axis=-1).mean()
        return StationaryVelocity(velocity * 1.8 * pixel / length, grid)
    linear = np.eye(d)
    if motion != "translation":
        turn = np.deg2rad(5)
        linear = Rotation.from_rotvec(turn * np.array([0.6, 0.0, 0.8])).as_matrix() if d == 3 else linear
        if d == 2:
            linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if motion in ("similarity", "affine"):
        linear = linear * 1.05
    if motion == "affine":
        linear = linear @ (np.eye(d) + 0.03 * np.eye(d, k=1))
    matrix = np.eye(d + 1)
    matrix[:d, :d] = linear
    matrix[:d, d] = grid.centre - linear @ grid.centre + pixel * np.array([2.3, -1.6, 1.2][:d])
    return Affine(matrix)


def _grids(d: int, geometry: str) -> tuple[Grid, Grid]:
    """Fixed and moving grid: equal, or anisotropic, translated, rotated, flipped and sheared differently."""
    shape = SHAPES[d]
    if geometry == "plain":
        return Grid.from_spacing(shape, units="millimeter"), Grid.from_spacing(shape, units="millimeter")
    spacing = (0.9, 0.6, 0.75)[:d]
    turn = np.eye(d)
    turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    fixed = Grid.from_spacing(shape, spacing, 40.0, turn, "millimeter")
    tilt = np.eye(d + 1)
    tilt[0, 1] = 0.06  # a layer's `affine` may shear
    other = Grid.from_spacing(
        tuple(n + 10 for n in shape), np.array(spacing)[::-1] * 0.95, 0.0, units="millimeter"
    )
    other = other.moved(tilt)
    flip = np.diag([-1.0] + [1.0] * d)
    other = other.moved(flip)
    # Centre the moving grid on the fixed one.
    shift = np.eye(d + 1)
    shift[:d, d] = fixed.centre - other.centre
    return fixed, other.moved(shift)


def _case(name: str, d: int, geometry: str) -> Case:
    fixed_grid, moving_grid = _grids(d, geometry)
    truth = _truth(METHODS[name].motion, fixed_grid)
    # The scene is larger than both images, so that neither meets its rim.
    margin = 16
    affine = fixed_grid.affine.copy()
    affine[:d, d] = fixed_grid.to_world([[-margin] * d])[0]
    big = Grid(tuple(n + 2 * margin for n in fixed_grid.shape), affine, fixed_grid.units)
    scene = Image(_scene(big.shape, 3), big)
    fixed = warp(scene, None, fixed_grid)
    moving = warp(scene, truth.inverse(fixed_grid), moving_grid)
    return Case(fixed, moving, truth)


def _inner(grid: Grid) -> np.ndarray:
    """World points well inside the image."""
    nodes = grid.coarsened(3).nodes()
    index = grid.to_index(nodes)
    return nodes[np.all((index > 9) & (index < np.array(grid.shape) - 10), axis=1)]


class Recorder:
    def __init__(self) -> None:
        self.fractions: list[float] = []
        self.stopped = threading.Event()

    def __call__(self, fraction, message, metric=None):
        if fraction is not None:
            self.fractions.append(fraction)
        if self.stopped.is_set():
            raise Cancelled


@dataclass(frozen=True)
class Run:
    case: Case
    result: Result
    fractions: list[float]
    touched: bool


@cache
def known(name: str, d: int, geometry: str) -> Run:
    """One run per cell; the tests inspect it."""
    case = _case(name, d, geometry)
    copies = case.fixed.data.copy(), case.moving.data.copy()
    recorder = Recorder()
    result = register(case.fixed, case.moving, method=name, params=QUICK.get(name), seed=4, progress=recorder)
    touched = not (np.array_equal(copies[0], case.fixed.data) and np.array_equal(copies[1], case.moving.data))
    return Run(case, result, recorder.fractions, touched)


def _error(transform: Transform, case: Case) -> float:
    """Mean distance from the truth, world units, where the moving image has something to show."""
    points = _inner(case.fixed.grid)
    truth = case.truth
    points = points[case.moving.grid.contains(truth(points))]
    return float(np.linalg.norm(transform(points) - truth(points), axis=1).mean())


def test_every_method_has_one_bound():
    assert {name: len(bounds) for name, bounds in BOUNDS.items()} == {
        name: len(method.ndims) for name, method in METHODS.items()
    }


@pytest.mark.parametrize(("name", "d", "geometry"), GRID_CELLS)
class TestEveryCell:
    def test_known_motion_is_recovered(self, name, d, geometry):
        run = known(name, d, geometry)
        pixel = float(run.case.fixed.grid.spacing.min())
        before, after = _error(Affine.identity(d), run.case), _error(run.result.transform, run.case)
        assert before > 2 * BOUNDS[name][d - 2] * pixel
        assert after < BOUNDS[name][d - 2] * pixel
        assert run.result.verdict.outcome == "better"

    def test_inputs_are_unmodified(self, name, d, geometry):
        assert not known(name, d, geometry).touched

    def test_progress_never_falls_and_ends_at_one(self, name, d, geometry):
        fractions = known(name, d, geometry).fractions
        assert all(b >= a for a, b in itertools.pairwise(fractions))
        assert fractions[-1] == 1.0

    def test_round_trip_through_disk_is_exact(self, name, d, geometry, tmp_path):
        run = known(name, d, geometry)
        path = run.result.save(tmp_path)
        shown = warp(run.case.moving, run.result.transform, run.case.fixed.grid).data
        again = warp(run.case.moving, load_transform(path), run.case.fixed.grid).data
        assert np.array_equal(shown, again)

    def test_simpleitk_reproduces_the_warp_from_the_file(self, name, d, geometry, tmp_path):
        run = known(name, d, geometry)
        path = save_transform(run.result.transform, tmp_path / "t.h5", run.case.fixed.grid)
        resampled = sitk.GetArrayFromImage(
            sitk.Resample(
                image_to_itk(run.case.moving), image_to_itk(run.case.fixed), sitk.ReadTransform(str(path))
            )
        )
        shown = warp(run.case.moving, run.result.transform, run.case.fixed.grid).data
        assert np.abs(resampled - shown).max() <= 1e-3 * np.ptp(run.case.moving.data)


@pytest.mark.parametrize(("name", "d"), METHOD_CELLS)
class TestEveryMethod:
    def test_identity_stays_near_identity(self, name, d):
        case = _case(name, d, "awkward")
        result = register(case.fixed, case.fixed, method=name, params=QUICK.get(name))
        pixel = float(case.fixed.grid.spacing.min())
        same = Case(case.fixed, case.fixed, Affine.identity(d))
        assert _error(result.transform, same) < 0.1 * pixel
        assert result.verdict.outcome == "unchanged"

    def test_units_and_spacing_together_change_nothing(self, name, d):
        run = known(name, d, "awkward")
        micro = ("micrometer",) * d
        fixed = run.case.fixed.with_grid(run.case.fixed.grid.in_units(micro))
        result = register(fixed, run.case.moving, method=name, params=QUICK.get(name), seed=4)
        points = _inner(run.case.fixed.grid)
        difference = result.transform(points * 1000) / 1000 - run.result.transform(points)
        # The mean, as everywhere here: the last digits of a float send elastix's random walk other ways.
        pixel = float(run.case.fixed.grid.spacing.min())
        assert np.linalg.norm(difference, axis=1).mean() < 0.1 * pixel

    def test_same_seed_same_result(self, name, d):
        run = known(name, d, "plain")
        again = register(run.case.fixed, run.case.moving, method=name, params=QUICK.get(name), seed=4)
        points = _inner(run.case.fixed.grid)
        assert np.allclose(again.transform(points), run.result.transform(points), rtol=0, atol=1e-6)

    def test_affine_initial_transform_is_included(self, name, d):
        # The moving image is carried 500 away; the initial transform alone makes them meet.
        run = known(name, d, "plain")
        away = Affine.translation([500.0] * d)
        moving = run.case.moving.with_grid(run.case.moving.grid.moved(away.matrix))
        if not METHODS[name].anywhere:
            with pytest.raises(ValueError, match="do not overlap"):
                register(run.case.fixed, moving, method=name)
        result = register(run.case.fixed, moving, method=name, params=QUICK.get(name), initial=away, seed=4)
        points = _inner(run.case.fixed.grid)
        moved = run.result.transform(points) + 500
        assert np.abs(result.transform(points) - moved).max() < 0.1

    def test_cancel_is_prompt(self, name, d):
        case = _case(name, d, "plain")
        recorder = Recorder()
        requested: list[float] = []

        def cancel_soon(fraction, message, metric=None):
            if fraction is not None and fraction > 0.08 and not requested:  # inside the method
                requested.append(time.perf_counter())
                recorder.stopped.set()
            recorder(fraction, message, metric)

        with pytest.raises(Cancelled):
            register(case.fixed, case.moving, method=name, progress=cancel_soon)
        assert time.perf_counter() - requested[0] < 1.0


# Quick ones of every family; the others get the same images and are measured in the same way.
PERMUTED = ("translation", "rigid", "pose", "diffeo", "flow")


def _permuted(image: Image, order: list[int], world: list[int]) -> Image:
    """The image with its array axes and the world's axes in another order."""
    d = image.ndim
    grid = image.grid
    affine = grid.affine[np.ix_([*world, d], [*order, d])]
    return Image(image.data.transpose(order), Grid(tuple(grid.shape[k] for k in order), affine, grid.units))


@pytest.mark.parametrize("world_too", [True, False], ids=["array and world", "array alone"])
@pytest.mark.parametrize(
    ("name", "d"), [pytest.param(*cell, marks=_marks(cell)) for cell in CELLS if cell[0] in PERMUTED]
)
def test_permuting_the_axes_changes_nothing(name, d, world_too):
    run = known(name, d, "awkward")
    order = [d - 1, *range(d - 1)]
    world = order if world_too else list(range(d))
    fixed, moving = (_permuted(image, order, world) for image in (run.case.fixed, run.case.moving))
    assert range_of(fixed.data) == range_of(run.case.fixed.data)
    result = register(fixed, moving, method=name, params=QUICK.get(name), seed=4)
    points = _inner(run.case.fixed.grid)
    difference = result.transform(points[:, world]) - run.result.transform(points)[:, world]
    pixel = float(run.case.fixed.grid.spacing.min())
    assert np.linalg.norm(difference, axis=1).mean() < 0.1 * pixel
    assert result.verdict.outcome == run.result.verdict.outcome
    # A plane of pixels lies exactly half a pixel beyond the border, where the last digit decides.
    for side, nearly in (("before", 2e-3 if world_too else 1e-5), ("after", 0.02)):
        scores, known_scores = getattr(result, side), getattr(run.result, side)
        assert scores.whole == pytest.approx(known_scores.whole, abs=nearly)
        assert scores.overlap == pytest.approx(known_scores.overlap, abs=nearly)


def _deformation(grid: Grid) -> StationaryVelocity:
    """A smooth deformation of up to two pixels, none at the rim."""
    waves = [np.sin(np.pi * np.arange(n) / (n - 1)) ** 2 for n in grid.shape]
    bump = np.multiply.outer(*waves)
    return StationaryVelocity(np.stack([1.5 * bump, -2.0 * bump], axis=-1), grid)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=_marks((name, d))) for name, d in CELLS if d == 2],
)
def test_an_initial_transform_that_deforms_is_chained_once(name, tmp_path):
    # The moving image is deformed and carried 500 away; the method has to find what it found without that.
    case = known(name, 2, "plain").case
    grid = case.moving.grid
    deformation, away = _deformation(grid), Affine.translation([500.0, -500.0])
    moving = warp(case.moving, deformation.inverse(grid), grid)
    moving = moving.with_grid(grid.moved(away.matrix))
    initial = chain(deformation, away)
    result = register(case.fixed, moving, method=name, params=QUICK.get(name), initial=initial, seed=4)
    whole = Case(case.fixed, moving, chain(case.truth, initial))
    assert _error(initial, whole) > 1.5
    assert _error(result.transform, whole) < BOUNDS[name][0] + 0.1
    again = load_transform(result.save(tmp_path))
    shown, reloaded = (warp(moving, t, case.fixed.grid).data for t in (result.transform, again))
    assert np.array_equal(shown, reloaded)
