"""Fits to points: against SimpleITK and scikit-image, exact motions, and what determines none."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.interpolate import RBFInterpolator
from skimage.transform import ProjectiveTransform, SimilarityTransform

from napari_voxreg.transforms import Affine, Homography
from napari_voxreg.transforms.fit import FITS, fit, fits_in, least_pairs


def points(count, d, seed=0):
    return np.random.default_rng(seed).uniform(20, 90, (count, d))


def rotation(d, seed=0):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]
    q[:, 0] *= np.sign(np.linalg.det(q))
    return q


def noise(shape, seed=5):
    return np.random.default_rng(seed).normal(size=shape)


def by_others(kind, fixed, moving):
    """The points moved as by ITK; by scikit-image where ITK's solution is no least squares."""
    d = fixed.shape[1]
    if kind == "similarity":
        return SimilarityTransform.from_estimate(fixed, moving)(fixed)
    start = sitk.AffineTransform(d)
    if kind == "rigid":
        start = sitk.Euler2DTransform() if d == 2 else sitk.VersorRigid3DTransform()
    flat = [side[:, ::-1].ravel().tolist() for side in (fixed, moving)]  # in ITK's axis order
    found = sitk.LandmarkBasedTransformInitializer(start, *flat)
    return np.array([found.TransformPoint(p[::-1].tolist())[::-1] for p in fixed])


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("kind", ["rigid", "similarity", "affine"])
def test_noisy_points_are_fitted_as_by_other_programs(kind, d):
    fixed = points(9, d)
    moving = 1.1 * fixed @ rotation(d).T + 7 + noise(fixed.shape)
    np.testing.assert_allclose(fit(kind, fixed, moving)(fixed), by_others(kind, fixed, moving), atol=1e-6)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("kind", FITS)
def test_a_motion_of_the_kind_is_found_from_the_fewest_pairs(kind, d):
    if kind not in fits_in(d):
        pytest.skip("there is none in space")
    fixed = points(least_pairs(kind, d), d, seed=3)
    matrix = np.eye(d + 1)
    matrix[:d, d] = (3.0, -8.0, 5.0)[:d]
    if kind not in ("translation",):
        matrix[:d, :d] = rotation(d, 1) * (1.0 if kind == "rigid" else 0.7)
    if kind in ("affine", "homography", "thin plate"):
        matrix[0, 1] += 0.3
    matrix[d, :d] = 1e-3 if kind == "homography" else 0.0
    truth = (Homography if kind == "homography" else Affine)(matrix)
    found = fit(kind, fixed, truth(fixed))
    elsewhere = points(20, d, seed=4)
    np.testing.assert_allclose(found(elsewhere), truth(elsewhere), atol=1e-6)


def test_homographies_as_by_scikit_image_and_with_the_least_distances():
    fixed = points(12, 2)
    truth = Homography([[1.1, 0.1, 3], [-0.2, 0.9, 8], [2e-3, -1e-3, 1]])
    moving = truth(fixed) + noise(fixed.shape)
    found = fit("homography", fixed, moving)
    theirs = ProjectiveTransform.from_estimate(fixed, moving)
    errors = [np.linalg.norm(one(fixed) - moving) for one in (found, theirs)]
    assert errors[0] <= errors[1] < 1.02 * errors[0]
    rng = np.random.default_rng(1)
    for _ in range(20):  # no other homography nearby is better
        other = Homography(found.matrix * (1 + 1e-4 * rng.normal(size=(3, 3))))
        assert np.linalg.norm(other(fixed) - moving) > errors[0]


@pytest.mark.parametrize("d", [2, 3])
def test_a_thin_plate_passes_through_the_points_or_is_smoothed_alike_at_any_scale(d):
    fixed = points(12, d)
    moving = fixed + noise(fixed.shape)
    np.testing.assert_allclose(fit("thin plate", fixed, moving)(fixed), moving, atol=1e-8)
    elsewhere = points(20, d, seed=2)
    some = fit("thin plate", fixed, moving, smoothing=0.05)
    kernel = "thin_plate_spline" if d == 2 else "linear"
    scipy = RBFInterpolator(fixed, moving, kernel=kernel, degree=1, smoothing=some.smoothing)
    np.testing.assert_allclose(some(elsewhere), scipy(elsewhere))
    micro = fit("thin plate", 1000 * fixed, 1000 * moving, smoothing=0.05)
    np.testing.assert_allclose(micro(1000 * elsewhere) / 1000, some(elsewhere), atol=1e-6)
    affine = fit("affine", fixed, moving)(elsewhere)
    gaps = [
        np.abs(fit("thin plate", fixed, moving, smoothing=s)(elsewhere) - affine).max() for s in (0, 0.1, 1e4)
    ]
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 1e-2


LINE = np.array([[0.0, 0], [1, 1], [2, 2], [3, 3]])
PLANE = np.c_[points(6, 2), np.full(6, 4.0)]


@pytest.mark.parametrize(
    ("kind", "fixed", "moving", "said"),
    [
        ("bent", LINE, LINE, "not a kind of fit; choose from: translation"),
        ("affine", LINE, LINE[:3], r"\(4, 2\) and the moving ones \(3, 2\)"),
        ("translation", LINE[:0], LINE[:0], "needs 1 pair of points, and there are none"),
        ("rigid", LINE[:1], LINE[:1], "A rigid transform in 2D needs 2 pairs of points, and there is 1"),
        ("homography", points(3, 2), points(3, 2), "A homography in 2D needs 4 pairs"),
        ("homography", PLANE, PLANE, "maps the plane"),
        ("affine", LINE, points(4, 2), "All fixed points lie on one line, which does not determine an"),
        ("affine", points(4, 2), LINE, "All moving points lie on one line"),
        ("affine", LINE + 1e-6 * points(4, 2), points(4, 2), "All fixed points lie on one line"),
        ("affine", 1e7 + LINE, points(4, 2), "All fixed points lie on one line"),
        ("thin plate", PLANE, PLANE, "All fixed points lie in one plane"),
        ("rigid", np.ones((3, 2)), points(3, 2), "All fixed points lie at one place"),
        ("rigid", np.c_[LINE, LINE[:, 0]], points(4, 3), "on one line, which does not determine a rigid"),
        ("rigid", points(5, 2), points(5, 2) * (1, -1), "mirror images"),
        ("similarity", points(5, 3), points(5, 3) * (1, -2, 2), "mirror images"),
        ("homography", np.r_[LINE[:3], [[0, 5]]], points(4, 2), "Three of the four"),
        ("homography", np.array([[0, 0], [0, 1], [1, 1], [1, 0]]), np.array([[0, 0], [1, 1], [0, 1], [1, 0]]),
         "without tearing"),
        ("thin plate", points(5, 2)[[0, 1, 2, 3, 1]], points(5, 2), "Two fixed points coincide at"),
        ("affine", np.full((4, 2), np.nan), points(4, 2), "not finite"),
    ],
)  # fmt: skip
def test_points_that_determine_nothing_are_refused_in_one_sentence(kind, fixed, moving, said):
    with pytest.raises(ValueError, match=said) as error:
        fit(kind, fixed, moving)
    assert str(error.value).count(". ") == 0 and str(error.value).endswith(".")


@pytest.mark.parametrize("d", [2, 3])
def test_as_many_points_as_axes_are_no_mirror_images(d):
    """They lie on a line or plane, so that a rotation maps them as well."""
    fixed = points(d, d)
    mirrored = fixed * np.r_[np.ones(d - 1), -1]
    for kind in ("rigid", "similarity"):
        found = fit(kind, fixed, mirrored)
        np.testing.assert_allclose(found(fixed), mirrored, atol=1e-9)
        assert np.linalg.det(found.matrix) > 0
