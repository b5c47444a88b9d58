from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from napari_voxreg import Grid, Image, register
from napari_voxreg.registration.initial import initial_transform
from napari_voxreg.registration.prepare import prepare
from napari_voxreg.transforms.affine import fit_points


def _pair():
    data = np.zeros((20, 30), np.float32)
    data[12:15, 20:25] = 5.0
    fixed = Image(data, Grid.from_spacing((20, 30), (2.0, 1.0), (100.0, 0.0)))
    rotation = np.array([[0.8, -0.6], [0.6, 0.8]])
    moving = Image(data, Grid.from_spacing((20, 30), (2.0, 1.0), (-7.0, 3.0), rotation))
    return fixed, moving


def test_corners_lay_first_pixels_and_axes_on_each_other():
    fixed, moving = _pair()
    transform = initial_transform("corners", fixed, moving)
    index = np.array([[0.0, 0.0], [5.0, 9.0]])
    assert np.allclose(transform(fixed.grid.to_world(index)), moving.grid.to_world(index))


def test_centres_and_moments_meet():
    fixed, moving = _pair()
    assert np.allclose(
        initial_transform("centres", fixed, moving)(fixed.grid.centre[None])[0], moving.grid.centre
    )
    blob = np.array([[13.0, 22.0]])
    moved = initial_transform("moments", fixed, moving)(fixed.grid.to_world(blob))
    assert np.allclose(moved, moving.grid.to_world(blob))


@pytest.mark.parametrize("d", [2, 3])
def test_points_give_translation_rigid_or_affine(d):
    rng = np.random.default_rng(d)
    matrix = np.eye(d) + 0.2 * rng.normal(size=(d, d))
    fixed = rng.uniform(0, 50, (d + 4, d))
    assert np.allclose(fit_points(fixed, fixed @ matrix.T + 3)(fixed), fixed @ matrix.T + 3)
    assert np.allclose(fit_points(fixed[:1], fixed[:1] + 2).matrix[:d, :d], np.eye(d))
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    rotation[:, 0] *= np.sign(np.linalg.det(rotation))
    rigid = fit_points(fixed[:d], fixed[:d] @ rotation.T + 1)
    assert np.allclose(rigid(fixed[:d]), fixed[:d] @ rotation.T + 1)
    assert np.allclose(rigid.matrix[:d, :d] @ rigid.matrix[:d, :d].T, np.eye(d))
    assert np.linalg.det(rigid.matrix[:d, :d]) > 0


def test_unknown_starts_and_missing_points_are_refused():
    fixed, moving = _pair()
    with pytest.raises(ValueError, match="'top' is not a valid initial transform; choose from: corners"):
        initial_transform("top", fixed, moving)
    with pytest.raises(ValueError, match="needs some"):
        initial_transform("landmarks", fixed, moving)


def test_an_earlier_result_counts_in_its_own_units():
    shape = (40, 48)
    pixels = gaussian_filter(np.random.default_rng(3).normal(size=shape), 3)
    moved = shift(pixels, (4, -3), order=1, mode="nearest")
    images = [Image(p, Grid.from_spacing(shape, 0.5, units="mm")) for p in (pixels, moved)]
    before = register(*images, method="translation")
    small = [Image(p, Grid.from_spacing(shape, 500.0, units="um")) for p in (pixels, moved)]
    found = prepare(*small, initial=before).initial
    np.testing.assert_allclose(found([[0.0, 0.0]]), 1000 * before.transform([[0.0, 0.0]]))
    plain = [Image(p, Grid.from_spacing(shape)) for p in (pixels, moved)]
    with pytest.raises(ValueError, match="cannot be converted"):
        prepare(*plain, initial=before)


def test_an_earlier_result_of_another_reference_system_is_refused():
    pixels = gaussian_filter(np.random.default_rng(3).normal(size=(40, 48)), 3)
    grid = Grid.from_spacing((40, 48), units="m")
    first, second = (Image(pixels, replace(grid, crs=crs)) for crs in ("EPSG:32633", "EPSG:32634"))
    before = register(first, first, method="translation")
    with pytest.raises(ValueError, match="EPSG:32633 and the fixed image in EPSG:32634"):
        prepare(second, second, initial=before)


def test_slices_that_cross_are_told():
    pixels = gaussian_filter(np.random.default_rng(3).normal(size=(40, 40)), 3)
    coronal, axial = pixels[:, None], pixels[None]
    images = [Image(p, Grid.from_spacing(p.shape, units="mm")) for p in (coronal, axial)]
    assert any("cross at 90 degrees" in note for note in prepare(*images).notes)
    assert not any("cross" in note for note in prepare(images[0], images[0]).notes)
