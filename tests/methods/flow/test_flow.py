"""Optical flow: known motions on awkward grids, the initial transform, masks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import color, data, transform

from napari_voxreg.core.geometry import Grid, Image
from napari_voxreg.core.progress import silent
from napari_voxreg.images.task import Task
from napari_voxreg.methods.flow import ilk, tvl1
from napari_voxreg.methods.flow import inverse_search as flow
from napari_voxreg.transforms import Affine, Composite, Displacement, warp

METHODS = {"flow": flow.METHOD, "tvl1": tvl1.METHOD, "ilk": ilk.METHOD}
OBLIQUE = np.array([[0.8, -0.6], [0.6, 0.8]])


def texture(shape, seed=0):
    """A smooth random image from 0 to 1."""
    image = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 2.5)
    return ((image - image.min()) / np.ptp(image)).astype(np.float32)


def swirl(grid, pixels):
    """A smooth displacement of at most about `pixels`, as world vectors."""
    index = np.indices(grid.shape, dtype=float)
    waves = [pixels * np.sin(2 * np.pi * index[(k + 1) % grid.ndim] / 90 + k) for k in range(grid.ndim)]
    return Displacement(np.stack(waves, axis=-1) @ grid.affine[:-1, :-1].T, grid)


def run(method, fixed, moving, **masks):
    return method.run(Task(fixed, moving, **masks), method.params(), silent)


def error(transform, truth, grid, border=6):
    """Mean distance between two maps over the inner nodes, in coarsest pixels."""
    inner = np.zeros(grid.shape, dtype=bool)
    inner[(slice(border, -border),) * grid.ndim] = True
    nodes = grid.nodes()[inner.ravel()]
    return np.linalg.norm(transform(nodes) - truth(nodes), axis=1).mean() / grid.spacing.max()


@pytest.fixture(params=list(METHODS))
def method(request):
    return METHODS[request.param]


def moved_pair(grid, pixels=2.0):
    """A fixed image, a moving image of which it is a warp, and that warp."""
    moving = Image(texture(grid.shape), grid)
    truth = swirl(grid, pixels)
    return warp(moving, truth, grid), moving, truth


@pytest.mark.parametrize(
    "grid",
    [
        Grid.from_spacing((96, 110)),
        Grid.from_spacing((96, 110), (0.002, 0.001), (5, -3), OBLIQUE, "mm"),
        Grid.from_spacing((40, 44, 48), (30, 10, 10), (500, -3, 8), np.diag([1, -1, 1]), "um"),
    ],
    ids=["plain 2D", "oblique 2D", "flipped 3D"],
)
def test_a_known_motion_is_recovered_in_world_units(method, grid):
    if grid.ndim not in method.ndims:
        pytest.skip(f"{method.name} works in {method.ndims} dimensions")
    fixed, moving, truth = moved_pair(grid)
    before = error(Affine.identity(grid.ndim), truth, grid)
    after = error(run(method, fixed, moving).transform, truth, grid)
    assert before > 1 and after < 0.5 * min(1, before), (before, after)


def test_a_finer_translated_moving_grid_is_honoured(method):
    grid = Grid.from_spacing((96, 110), 0.5)
    fixed, moving, truth = moved_pair(grid)
    finer = Grid.from_spacing((250, 260), 0.25, (-3, -4))
    elsewhere = warp(moving, None, finer)
    inside = error(run(method, fixed, elsewhere).transform, truth, grid, border=12)
    assert inside < 0.5


def test_what_an_initial_transform_leaves_is_found(method):
    grid = Grid.from_spacing((96, 110), 0.5)
    fixed, moving, truth = moved_pair(grid)
    shift = Affine.translation([3.0, -2.0])
    far = moving.with_grid(moving.grid.moved(shift.matrix))
    initial = Composite((swirl(grid, 0.5), shift))
    placed = Task(fixed, far).placed(initial)
    outcome = run(method, fixed, placed.moving, moving_mask=placed.moving_mask).followed_by(initial)
    whole = Composite((truth, shift))
    assert error(outcome.transform, whole, grid, 12) < 0.5
    assert error(shift, whole, grid, 12) > 1


def test_outside_the_masks_nothing_pulls(method):
    grid = Grid.from_spacing((96, 110))
    fixed, moving, truth = moved_pair(grid)
    spoilt = moving.data.copy()
    spoilt[:, 80:] = np.random.default_rng(5).random((96, 30))
    mask = np.ones(grid.shape, dtype=bool)
    mask[:, 76:] = False
    masked = Image(mask, grid)
    outcome = run(method, fixed, moving.with_data(spoilt), fixed_mask=masked, moving_mask=masked)
    left = Grid.from_spacing((96, 70))
    assert error(outcome.transform, truth, left) < 0.5
    far = np.array([[40.0, 104.0], [60.0, 104.0]])
    assert np.abs(outcome.transform(far) - far).max() < 4
    assert any("masks" in note for note in outcome.notes)


def test_no_overlap_is_refused_with_its_remedy(method):
    grid = Grid.from_spacing((32, 32))
    image = Image(texture(grid.shape), grid)
    with pytest.raises(ValueError, match="initial transform 'centres'"):
        run(method, image, image.with_grid(Grid.from_spacing((32, 32), origin=500)))


def test_presets_are_parameters(method):
    for preset in method.presets:
        method.parameters(preset)


class TestInverseSearch:
    """What `flow` promises beyond the other optical flows; it has two dimensions only."""

    @staticmethod
    def endpoint_error(name, fixed, moving, truth, known):
        grid = Grid.from_spacing(fixed.shape)
        found = run(METHODS[name], Image(fixed, grid), Image(moving, grid)).transform
        moved = (found(grid.nodes()) - grid.nodes()).reshape(*grid.shape, 2)
        return np.linalg.norm(moved - truth, axis=-1)[known].mean()

    def test_a_stereo_pair_with_edges_in_depth(self):
        left, right, disparity = data.stereo_motorcycle()
        small = [transform.downscale_local_mean(color.rgb2gray(x[:498, :741]), 3) for x in (left, right)]
        fixed, moving = (x.astype(np.float32) for x in small)
        disparity = disparity[1:498:3, 1:741:3] / 3
        known = np.isfinite(disparity)
        known &= np.arange(fixed.shape[1]) > np.where(known, disparity, 0)  # seen by both cameras
        truth = np.stack([np.zeros_like(disparity), -disparity], axis=-1)
        errors = {name: self.endpoint_error(name, fixed, moving, truth, known) for name in ("flow", "tvl1")}
        assert errors["flow"] < 1.1 and errors["flow"] < 0.75 * errors["tvl1"], errors

    def test_two_motions_meet_at_an_edge(self):
        # The lower half slides left, the upper half right; both are cut from wider images.
        halves = [texture((60, 160), seed) for seed in (1, 2)]
        fixed = np.concatenate([half[:, 20:-20] for half in halves])
        moving = np.concatenate([halves[0][:, 15:-25], halves[1][:, 24:-16]])
        truth = np.zeros((*fixed.shape, 2))
        truth[:60, :, 1], truth[60:, :, 1] = 5, -4
        inner = np.zeros(fixed.shape, bool)
        inner[8:-8, 12:-12] = True
        assert self.endpoint_error("flow", fixed, moving, truth, inner) < 0.25

    def test_light_may_change(self):
        grid = Grid.from_spacing((96, 110))
        fixed, moving, truth = moved_pair(grid)
        shade = 0.5 + 0.2 * np.linspace(0, 1, 110, dtype=np.float32)
        darker = moving.with_data(shade * moving.data + 0.1)
        assert error(run(METHODS["flow"], fixed, darker).transform, truth, grid) < 0.3

    def test_small_and_thin_images(self):
        for shape in ((5, 70), (12, 12)):
            grid = Grid.from_spacing(shape)
            image = Image(texture(shape), grid)
            nodes = grid.nodes()
            assert np.abs(run(METHODS["flow"], image, image).transform(nodes) - nodes).max() < 0.01

    def test_tiles_leave_no_seams(self, monkeypatch):
        fixed, moving, _ = moved_pair(Grid.from_spacing((150, 170)))
        whole = run(METHODS["flow"], fixed, moving).transform
        monkeypatch.setattr(flow, "_TILE", 80)
        tiled = run(METHODS["flow"], fixed, moving).transform
        assert np.abs(whole.field - tiled.field).max() < 0.02

    def test_progress_never_falls(self):
        fixed, moving, _ = moved_pair(Grid.from_spacing((96, 110)))
        seen = []
        flow.optical_flow(fixed.data, moving.data, flow.FlowParams(), lambda f, *_: seen.append(f))
        assert seen == sorted(seen) and seen[-1] == pytest.approx(1) and len(seen) > 10
