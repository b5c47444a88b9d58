"""The pose search in 3D, on the simulated head seen by different scanners from different sides."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from napari_voxreg.core.geometry import Array, Grid, Image
from napari_voxreg.core.progress import Cancelled, silent
from napari_voxreg.images.task import Task
from napari_voxreg.pose import volume
from napari_voxreg.pose.pose import Pose
from napari_voxreg.pose.volume import find_pose_3d
from napari_voxreg.pose.volume_around import uniform
from napari_voxreg.samples.mri import T1, T2, scan
from napari_voxreg.samples.phantom import Head
from napari_voxreg.transforms import Affine, warp

SPACING = 4.0


def find(fixed: Image, moving: Image, **changes) -> Pose:
    model, progress = changes.pop("model", "auto"), changes.pop("progress", silent)
    return find_pose_3d(Task(fixed, moving, device="cpu", **changes), model, progress)


def box(size=(192, 220, 180), spacing=SPACING, middle=(0, 0, 0), direction=None) -> Grid:
    """A grid about a point of the world."""
    steps = np.broadcast_to(spacing, 3)
    shape = tuple(round(n / s) for n, s in zip(size, steps, strict=True))
    grid = Grid.from_spacing(shape, steps, 0.0, direction, "millimeter")
    translation = np.eye(4)
    translation[:3, 3] = np.array(middle) - grid.centre
    return grid.moved(translation)


def head(grid: Grid, truth: Affine | None = None, brightness=T1, seed: int = 0) -> Image:
    """The head in a scanner, after it was moved by `truth`."""
    points = grid.nodes() if truth is None else truth.inverse()(grid.nodes())
    fractions = Head(3).fractions(points, SPACING).reshape(*grid.shape, -1)
    image = scan(fractions, grid, brightness, np.random.default_rng(seed), bias=0.1, noise=0.02, name="head")
    return image.with_data(image.data.astype(np.float32))


def motion(rotation=(0, 0, 0), scale=1.0, translation=(0, 0, 0)) -> Affine:
    matrix = np.eye(4)
    matrix[:3, :3] = scale * Rotation.from_euler("xyz", rotation, degrees=True).as_matrix()
    matrix[:3, 3] = translation
    return Affine(matrix)


@cache
def plain() -> Image:
    return head(box())


def brain() -> Array:
    """World points all over the head, (N, 3)."""
    points = np.random.default_rng(0).uniform(-1, 1, (2000, 3))
    return points[(points**2).sum(axis=1) < 1] * (70, 85, 68)


def error(pose: Pose, truth: Affine, fixed: Image) -> float:
    """Mean distance from the truth where the fixed image shows the head, world units of the fixed image."""
    points = brain()
    points = points[fixed.grid.contains(points)]
    return float(np.linalg.norm(truth.inverse()(pose.transform(points)) - points, axis=1).mean())


def cut(image: Image, axis: int, start: float, stop: float) -> Image:
    """A slab of an image along an axis."""
    n = image.grid.shape[axis]
    first, last = round(start * n), round(stop * n)
    translation = np.eye(4)
    translation[axis, 3] = first
    part = tuple(slice(first, last) if k == axis else slice(None) for k in range(3))
    data = image.data[part]
    return Image(data, Grid(data.shape, image.grid.affine @ translation, image.grid.units))


FAR = motion((-28, 40, 20), 0.8, (150, -60, 90))
NEAR = motion((35, -15, -40), 1.25, (-40, 25, 60))


class TestWhatItFinds:
    @pytest.mark.slow
    @pytest.mark.parametrize(("truth", "brightness"), [(FAR, T1), (NEAR, T2)])
    def test_a_head_from_any_side(self, truth, brightness):
        moving = head(box((200, 230, 200), middle=truth.matrix[:3, 3] + (15, -10, 12)), truth, brightness, 1)
        pose = find(plain(), moving)
        assert pose.reliable
        assert error(pose, truth, plain()) < 0.3 * SPACING

    @pytest.mark.slow
    def test_a_slab_in_a_whole_head(self):
        whole = head(box((230, 240, 220), middle=FAR.matrix[:3, 3]), FAR, T2, 1)
        slab = cut(plain(), 0, 0.45, 0.65)
        pose = find(whole, slab)
        assert pose.reliable
        points = brain()[slab.grid.contains(brain())]
        back = pose.transform(FAR(points))
        assert np.linalg.norm(back - points, axis=1).mean() < 0.5 * SPACING

    @pytest.mark.slow
    def test_halves_that_overlap_in_a_third(self):
        moving = head(box((200, 230, 200), middle=NEAR.matrix[:3, 3]), NEAR, T1, 1)
        fixed = cut(plain(), 1, 0.0, 0.66)
        pose = find(fixed, cut(moving, 1, 0.34, 1.0))
        assert pose.reliable
        assert error(pose, NEAR, fixed) < 0.5 * SPACING

    @pytest.mark.slow
    def test_awkward_grids(self):
        rotation = Rotation.from_euler("xyz", (70, 10, -35), degrees=True).as_matrix()
        fixed = head(box((200, 230, 200), (8.0, 1.6, 1.6), direction=rotation))
        sheared = np.eye(4)
        sheared[0, 1] = 0.15
        grid = box((230, 240, 220), (2.5, 2.5, 6.0)).moved(np.diag([-1.0, 1.0, 1.0, 1.0]) @ sheared)
        truth = motion((20, 30, -10), 0.9, (30, 40, 0))
        translation = np.eye(4)
        translation[:3, 3] = truth.matrix[:3, 3]
        pose = find(fixed, head(grid.moved(translation), truth, T2, 1))
        assert pose.reliable
        assert error(pose, truth, fixed) < 0.5 * SPACING

    @pytest.mark.slow
    def test_three_planes_in_a_whole_head(self):
        truth = motion((8, -12, 25), 1.1, (20, 30, -40))
        thin = head(box((15, 200, 180), (5.0, 2.0, 2.0), (10, 0, 0)))
        assert thin.grid.shape[0] == 3
        pose = find(thin, head(box((230, 240, 220), middle=truth.matrix[:3, 3]), truth, T1, 1))
        assert pose.reliable
        assert error(pose, truth, thin) < 0.7 * SPACING

    def test_a_similarity_stays_one(self):
        pose = find(plain(), head(box(), motion((3, 2, -4), 1.03, (4, 6, 2)), T2, 1), model="similarity")
        linear = pose.transform.matrix[:3, :3]
        gram = linear.T @ linear
        assert np.allclose(gram, np.eye(3) * gram[0, 0], atol=1e-4)
        assert abs(gram[0, 0] ** 0.5 - 1.03) < 0.01

    @pytest.mark.slow
    def test_landmarks_lead_where_the_search_does_not_reach(self):
        upside_down = motion((180, 0, 0), 1.0, (20, 0, 0))
        moving = head(box(), upside_down, T1, 1)
        fixed_points = np.array([[0, 60, 10], [0, -60, 0], [40, 0, 30], [-40, 0, -30.0]])
        pose = find(plain(), moving, landmarks=(fixed_points, upside_down(fixed_points) + 6.0))
        assert pose.reliable
        assert error(pose, upside_down, plain()) < 0.3 * SPACING

    @pytest.mark.slow
    def test_a_head_turned_by_any_angle(self, monkeypatch):
        monkeypatch.setattr(volume, "search", None)  # it covers 45 degrees; whoever calls it fails
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(155) * np.array([0.6, -0.48, 0.64])).as_matrix()
        matrix[:3, 3] = (40, -25, 10)
        truth = Affine(matrix)
        moving = head(box((240, 240, 240), middle=matrix[:3, 3]), truth, T1, 1)
        pose = find(plain(), moving)
        assert pose.reliable
        assert error(pose, truth, plain()) < 0.3 * SPACING


def test_even_rotations_are_near_every_rotation():
    grid, random = uniform(480), Rotation.random(200, rng=np.random.default_rng(0)).as_matrix()
    assert np.allclose(grid @ grid.transpose(0, 2, 1), np.eye(3))
    cosine = (np.einsum("aij,bij->ab", random, grid).max(axis=1) - 1) / 2
    assert np.degrees(np.arccos(cosine)).max() < 30


class TestWhatItKeeps:
    @pytest.mark.parametrize("brightness", [T1, T2])
    def test_an_aligned_pair_stays(self, brightness):
        pose = find(plain(), head(box(), None, brightness, 1))
        assert pose.reliable
        assert error(pose, motion(), plain()) < 0.1 * SPACING

    @pytest.mark.slow
    def test_inputs_and_repetition(self):
        fixed, moving = plain(), head(box(), motion((4, 0, 3)), T2, 1)
        before = fixed.data.copy(), moving.data.copy()
        first, second = find(fixed, moving), find(fixed, moving)
        assert np.array_equal(first.transform.matrix, second.transform.matrix)
        assert np.array_equal(before[0], fixed.data)
        assert np.array_equal(before[1], moving.data)

    def test_what_is_masked_out_does_not_vote(self):
        truth = motion((5, -4, 3), 1.0, (6, -8, 4))
        moving = head(box(), truth, T1, 1)
        spoilt, allowed = moving.data.copy(), np.ones(moving.data.shape, bool)
        # A bright lattice in half of both images does not move.
        lattice = 3000.0 * (np.indices(spoilt.shape).sum(axis=0) % 6 < 3)
        spoilt[:, 27:], allowed[:, 27:] = lattice[:, 27:], False
        fixed = plain().data.copy()
        fixed[:, 27:] = lattice[:, 27:]
        masks = {
            "fixed_mask": plain().with_data(allowed),
            "moving_mask": moving.with_data(allowed),
        }
        pose = find(plain().with_data(fixed), moving.with_data(spoilt), **masks)
        assert pose.reliable
        assert error(pose, truth, cut(plain(), 1, 0.0, 0.4)) < 0.5 * SPACING


class TestWhatItRefuses:
    @pytest.mark.slow
    def test_unrelated_volumes(self):
        noise = gaussian_filter(np.random.default_rng(1).normal(size=(40, 44, 42)), 2).astype(np.float32)
        pose = find(plain(), Image(noise, box((160, 176, 168))))
        assert not pose.reliable
        assert pose.confidence < 0.5
        assert np.array_equal(pose.transform.matrix, np.eye(4))
        assert "No reliable pose" in pose.notes[0]

    def test_no_structure(self):
        flat = Image(np.full((30, 30, 30), 7, np.float32), box((120, 120, 120)))
        pose = find(plain(), flat)
        assert not pose.reliable
        assert np.array_equal(pose.transform.matrix, np.eye(4))

    @pytest.mark.slow
    def test_a_mirror_image_is_reported_and_not_applied(self):
        upside = plain().with_data(np.ascontiguousarray(plain().data[:, ::-1]))
        pose = find(plain(), upside)
        assert any("mirror" in note for note in pose.notes)
        assert np.linalg.det(pose.transform.matrix[:3, :3]) > 0

    def test_unknown_model(self):
        with pytest.raises(ValueError, match="homography"):
            find(plain(), plain(), model="homography")


@pytest.mark.slow
def test_progress_never_falls_and_cancels():
    moving = warp(plain(), motion((25, 25, 0)), plain().grid)
    fractions: list[float] = []
    find(plain(), moving, progress=lambda fraction, message, metric=None: fractions.append(fraction))
    assert all(a <= b for a, b in pairwise(fractions))
    assert fractions[-1] >= 0.9

    def cancel(fraction, message, metric=None):
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        find(plain(), head(box(), FAR.inverse(), T1, 1), progress=cancel)
