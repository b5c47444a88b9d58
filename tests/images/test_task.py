"""A pair where a transform puts it: what is found there, followed by that transform, is the result."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Displacement, Grid, Image, StationaryVelocity, Task, Transform, warp
from napari_voxreg.transforms import chain

FIXED = {2: Grid.from_spacing((40, 48), (2.0, 1.0), (5.0, -3.0)), 3: Grid.from_spacing((14, 16, 18), 2.0)}


def scene(grid: Grid, seed: int = 0) -> Image:
    data = gaussian_filter(np.random.default_rng(seed).normal(size=grid.shape), 2)
    return Image(data.astype(np.float32), grid)


def task(ndim: int, **more: object) -> Task:
    """A pair on different grids, the moving one reaching further on all sides."""
    fixed = FIXED[ndim]
    wide = Grid.from_spacing(tuple(n + 20 for n in fixed.shape), fixed.spacing * 0.9, fixed.origin - 8.0)
    return Task(scene(fixed), scene(wide, 1), seed=7, device="cpu", **more)


def affine(grid: Grid) -> Affine:
    """A shear, a scale and a translation about a grid's centre."""
    d = grid.ndim
    matrix = np.eye(d + 1)
    matrix[:d, :d] = 1.04 * (np.eye(d) + 0.05 * np.eye(d, k=1))
    matrix[:d, d] = grid.centre - matrix[:d, :d] @ grid.centre + np.array([1.3, -2.1, 0.7][:d])
    return Affine(matrix)


def bend(grid: Grid) -> StationaryVelocity:
    """A smooth deformation of some pixels, none at the rim."""
    waves = [np.sin(np.pi * np.arange(n) / (n - 1)) ** 2 for n in grid.shape]
    bump = np.multiply.reduce(np.meshgrid(*waves, indexing="ij"))
    return StationaryVelocity(np.stack([2.0 * bump, -3.0 * bump, bump][: grid.ndim], -1), grid)


@pytest.mark.parametrize("ndim", [2, 3])
def test_an_affine_moves_the_grid_and_touches_no_pixel(ndim: int) -> None:
    plain = task(ndim)
    placed = plain.placed(affine(plain.fixed.grid))
    assert placed.moving.data is plain.moving.data
    assert placed.moving_mask is None
    assert (placed.seed, placed.device, placed.fixed) == (7, "cpu", plain.fixed)
    found = Affine.translation([0.7, -1.2, 0.4][:ndim])
    whole = chain(found, affine(plain.fixed.grid))
    one, other = (
        warp(image, transform, plain.fixed.grid).data
        for image, transform in ((placed.moving, found), (plain.moving, whole))
    )
    assert np.abs(one - other).max() < 1e-4 * np.ptp(plain.moving.data)


@pytest.mark.parametrize("ndim", [2, 3])
def test_anything_else_resamples_once_on_the_pixels_of_the_fixed_grid(ndim: int) -> None:
    plain = task(ndim)
    grid = plain.fixed.grid
    transform = chain(bend(grid), affine(grid))
    placed = plain.placed(transform)
    assert placed.moving.grid.spacing == pytest.approx(grid.spacing)
    first = placed.moving.grid.to_index(grid.corners())  # the fixed pixels, and some around them
    assert np.allclose(first, np.rint(first), atol=1e-9) and first.min() >= 1
    assert placed.moving_mask is None or warp(placed.moving_mask, None, grid, order=0).data.all()
    # By whole pixels: nothing is interpolated a second time, so the two are the same image.
    found = Affine.translation(grid.spacing * np.array([3, -2, 1])[:ndim])
    one = warp(placed.moving, found, grid)
    other = warp(plain.moving, chain(found, transform), grid)
    inner = tuple(slice(4, -4) for _ in grid.shape)
    assert np.abs(one.data - other.data)[inner].max() < 1e-4 * np.ptp(plain.moving.data)
    assert np.ptp(one.data[inner]) > 0.3 * np.ptp(plain.moving.data)  # there is something to see


@pytest.mark.parametrize("deforms", [False, True])
def test_what_does_not_come_from_the_moving_image_does_not_count(deforms: bool) -> None:
    grid = FIXED[2]
    moving = scene(grid, 1)
    away = Affine.translation([10.0, 0.0])  # five of the forty rows leave the moving image
    transform: Transform = away
    if deforms:
        transform = Displacement(np.broadcast_to([10.0, 0.0], (*grid.shape, 2)).copy(), grid)
    own = np.ones(grid.shape, bool)
    own[:, 30:] = False
    for mask, columns in ((None, 48), (Image(own, grid), 30)):
        placed = Task(scene(grid), moving, moving_mask=mask).placed(transform)
        seen = placed.moving.with_data(np.ones(placed.moving.grid.shape, bool))
        counted = warp(placed.moving_mask or seen, None, grid, order=0).data
        assert counted[:35, :columns].all()
        assert not counted[35:].any()
        assert not counted[:, columns:].any()


@pytest.mark.parametrize("kind", ["affine", "deformable"])
def test_landmarks_go_where_the_transform_brings_them_back_from(kind: str) -> None:
    grid = FIXED[2]
    transform: Transform = affine(grid)
    if kind == "deformable":
        field = bend(grid).displacement
        transform = Displacement(field.field, field.grid)  # has no closed inverse
    fixed = grid.coarsened(11).nodes()
    moving = transform(fixed) + 0.3
    plain = task(2, landmarks=(fixed, moving))
    placed = plain.placed(transform)
    assert placed.landmarks is not None
    assert placed.landmarks[0] is fixed
    inner = np.all((grid.to_index(fixed) > 4) & (grid.to_index(fixed) < np.array(grid.shape) - 5), axis=1)
    assert inner.sum() > 4
    assert np.abs(transform(placed.landmarks[1]) - moving)[inner].max() < 0.03
    assert plain.landmarks is not None and plain.landmarks[1] is moving


def test_a_placed_image_ends_where_the_moving_image_does() -> None:
    grid = FIXED[2]
    data = np.repeat(np.arange(40, dtype=np.float32)[:, None] + 100, 48, axis=1)
    plain = Task(scene(grid, 1), scene(grid).with_data(data))
    still = plain.placed(Displacement(np.zeros((*grid.shape, 2)), grid))
    assert still.moving.grid.same_as(grid) and still.moving_mask is None
    assert still.moving.data == pytest.approx(data)
    # Five rows on the left come from outside: there the border goes on and does not count.
    field = np.zeros((*grid.shape, 2))
    field[:, :24, 0] = 10.0
    half = plain.placed(Displacement(field, grid))
    rows = warp(half.moving, None, grid).data
    assert rows[:, 10] == pytest.approx(np.minimum(np.arange(40) + 105, 139))
    assert rows[:, 40] == pytest.approx(data[:, 40])
    assert half.moving_mask is not None
    counts = warp(half.moving_mask, None, grid, order=0).data
    assert counts[:35, 10].all() and not counts[35:, 10].any() and counts[:, 40].all()
