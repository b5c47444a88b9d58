"""Transforms against SimpleITK on the same points, their derivatives, inverses and chains."""

import re

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.ndimage import gaussian_filter

from napari_voxreg import (
    Affine,
    BSpline,
    Composite,
    Displacement,
    Grid,
    Homography,
    Quadratic,
    StationaryVelocity,
    ThinPlate,
)
from napari_voxreg.transforms import READERS, chain, displacement_on, jacobian_determinant
from napari_voxreg.transforms.fit import fit


def _grid(d: int, n: int = 14) -> Grid:
    rng = np.random.default_rng(d)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return Grid.from_spacing(
        (n, n + 2, n - 1)[:d], rng.uniform(0.5, 2, d), rng.normal(size=d), turn, "millimeter"
    )


def _field(grid: Grid, size: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = np.stack([gaussian_filter(rng.normal(size=grid.shape), 3) for _ in range(grid.ndim)], axis=-1)
    return size * field / np.abs(field).max()


def _make(kind: str, d: int):
    grid = _grid(d)
    rng = np.random.default_rng(7)
    if kind == "affine":
        return Affine(np.eye(d + 1) + np.vstack([0.1 * rng.normal(size=(d, d + 1)), np.zeros(d + 1)]))
    if kind == "bspline":
        return BSpline(0.4 * rng.normal(size=(d, *grid.shape)), grid)
    if kind == "displacement":
        return Displacement(_field(grid, 1.0), grid)
    if kind == "velocity":
        return StationaryVelocity(_field(grid, 1.5), grid)
    if kind == "thin plate":
        points = grid.corners() + 0.1 * rng.normal(size=(2**d, d))
        points = np.concatenate([points, grid.centre[None] + 0.3])
        return ThinPlate(points, points + 0.5 * rng.normal(size=points.shape))
    if kind == "homography":
        matrix = _make("affine", 2).matrix.copy()
        matrix[2, :2] = 0.012, -0.008
        return Homography(matrix)
    if kind == "quadratic":
        return Quadratic(
            [[1, 9, 2, 0.6, -0.4, 0.3], [-2, -1, 8, 0.2, 0.5, -0.7]], grid.centre, grid.diagonal / 2
        )
    return Composite((_make("affine", d), _make("bspline", d), _make("displacement", d)))


def _points_in_itk(transform, grid: Grid, points: np.ndarray) -> np.ndarray:
    itk = transform.to_itk(grid)
    return np.array([itk.TransformPoint(p[::-1].tolist())[::-1] for p in points])


KINDS = ("affine", "bspline", "displacement", "velocity", "thin plate", "sequence")
PLANE = ("homography", "quadratic")
EACH = [(kind, d) for kind in KINDS for d in (2, 3)] + [(kind, 2) for kind in PLANE]
NATIVE = ("affine", "bspline", "displacement", "velocity", "sequence")


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("kind", NATIVE)
def test_points_agree_with_itk_inside_on_the_rim_and_outside(kind, d):
    transform, grid = _make(kind, d), _grid(d)
    index = np.random.default_rng(1).uniform(-3, 18, (400, d))
    rim = np.stack([np.full(d, v) for v in (-0.499, 0.0, 1.001, 11.999, 13.0)])
    points = grid.to_world(np.concatenate([index, rim]))
    assert np.allclose(transform(points), _points_in_itk(transform, grid, points), rtol=0, atol=1e-9)
    assert transform.ndim == d


@pytest.mark.parametrize(("kind", "d"), EACH)
def test_flags_are_true(kind, d):
    transform, grid = _make(kind, d), _grid(d)
    points = grid.to_world(np.random.default_rng(1).uniform(1, 9, (50, d)))
    exact = np.allclose(transform(points), _points_in_itk(transform, grid, points), rtol=0, atol=1e-6)
    assert transform.exact_in_itk == exact
    assert transform.exact_in_itk or not transform.native
    slopes = transform.jacobian(points)
    assert transform.linear == np.allclose(slopes, slopes[0])
    closed = np.array_equal(transform.inverse(grid).inverse(grid)(points), transform(points))
    assert transform.closed_inverse or not closed
    if transform.matrix is not None:
        mapped = np.column_stack([points, np.ones(50)]) @ transform.matrix.T
        assert np.allclose(transform(points), mapped[:, :d] / mapped[:, d:])


@pytest.mark.parametrize(("kind", "d"), EACH)
def test_the_same_map_in_another_world(kind, d):
    transform, grid = _make(kind, d), _grid(d)
    matrix = np.eye(d + 1)
    matrix[:d] = np.random.default_rng(11).normal(size=(d, d + 1))  # sheared, too
    points = grid.to_world(np.random.default_rng(1).uniform(-3, 18, (100, d)))
    there = Affine(matrix)
    moved = transform.moved(matrix)
    scale = np.abs(there(transform(points))).max()
    assert np.allclose(moved(there(points)), there(transform(points)), rtol=0, atol=1e-9 * scale)
    assert moved.native == transform.native


def test_the_error_of_an_inverse_is_measured_in_its_world():
    grid = _grid(2)
    field = Displacement(_field(grid, 1.0), grid, inverse_error=0.25)
    assert field.moved(np.diag([-4.0, 4.0, 1.0])).inverse_error == pytest.approx(1.0)


def test_every_kind_can_be_read():
    kinds = {record["kind"] for kind, d in EACH for record in _make(kind, d).to_records(inline=True)}
    assert kinds == set(READERS)


@pytest.mark.parametrize(
    ("kind", "d"),
    [(kind, d) for kind in ("affine", "bspline", "thin plate") for d in (2, 3)]
    + [(kind, 2) for kind in PLANE],
)
def test_jacobian_is_the_derivative(kind, d):
    transform, grid = _make(kind, d), _grid(d)
    points = grid.to_world(np.random.default_rng(2).uniform(2.1, 9.9, (50, d)))
    step = 1e-5
    numeric = np.stack(
        [(transform(points + step * e) - transform(points - step * e)) / (2 * step) for e in np.eye(d)],
        axis=-1,
    )
    assert np.allclose(transform.jacobian(points), numeric, rtol=0, atol=1e-5)


@pytest.mark.parametrize("d", [2, 3])
def test_field_jacobian_is_central_differences_at_nodes(d):
    transform, grid = _make("displacement", d), _grid(d)
    node = np.full((1, d), 5.0)
    steps = [grid.to_world(node + e) for e in np.eye(d)], [grid.to_world(node - e) for e in np.eye(d)]
    along = np.stack([(transform(a) - transform(b))[0] / 2 for a, b in zip(*steps, strict=True)], axis=-1)
    expected = along @ np.linalg.inv(grid.affine[:d, :d])
    assert np.allclose(transform.jacobian(grid.to_world(node))[0], expected)


def test_chained_jacobian_multiplies():
    grid = _grid(2)
    first, second = _make("affine", 2), _make("bspline", 2)
    points = grid.to_world(np.random.default_rng(3).uniform(3, 9, (20, 2)))
    expected = second.jacobian(first(points)) @ first.jacobian(points)
    assert np.allclose(Composite((first, second)).jacobian(points), expected)


def test_sequence_applies_its_first_member_first_and_merges_affines():
    shift, double = Affine.translation([1.0, 0.0]), Affine(np.diag([2.0, 2.0, 1.0]))
    assert chain(shift, double)([[0.0, 0.0]]).tolist() == [[2.0, 0.0]]
    assert chain(double, shift)([[0.0, 0.0]]).tolist() == [[1.0, 0.0]]
    assert isinstance(chain(shift, double), Affine)
    nested = Composite((Composite((shift, _make("bspline", 2))), double))
    assert len(nested.members) == 3


@pytest.mark.parametrize(("kind", "d"), EACH)
def test_inverse_comes_back(kind, d):
    grid = _grid(d)
    transform = _make(kind, d)
    if kind in ("bspline", "sequence"):  # rough random coefficients fold; a gentle one has an inverse
        gentle = BSpline(np.moveaxis(_field(grid, 0.4), -1, 0), grid)
        transform = gentle if kind == "bspline" else Composite((_make("affine", d), gentle))
    inner = grid.to_world(np.random.default_rng(4).uniform(3.5, 8.5, (60, d)))
    moving_grid = Grid.from_spacing(
        [40] * d, grid.diagonal / 30, grid.centre - grid.diagonal * 0.65, units="millimeter"
    )
    back = transform.inverse(moving_grid, 1e-6)
    assert np.abs(back(transform(inner)) - inner).max() < 0.08 * grid.spacing.min()


def test_numerical_inverse_reports_its_error_and_keeps_the_affine_outside():
    grid = Grid.from_spacing((30, 30))
    spline = BSpline(
        np.moveaxis(_field(Grid.from_spacing((10, 10)), 1.0), -1, 0), Grid.from_spacing((10, 10), 4.0)
    )
    matrix = np.diag([1.1, 0.9, 1.0])
    back = Composite((Affine(matrix), spline)).inverse(grid)
    field = next(m for m in back.members if isinstance(m, Displacement))
    assert field.inverse_error is not None and field.inverse_error < 1.5
    far = np.array([[1e4, -1e4]])
    assert np.abs(back(far) / (np.linalg.inv(matrix[:2, :2]) @ far[0]) - 1).max() < 0.05


@pytest.mark.parametrize("d", [2, 3])
def test_constant_velocity_is_a_translation_and_a_linear_one_the_matrix_exponential(d):
    grid = Grid.from_spacing((41,) * d, 0.5, -10.0)
    shift = np.full((*grid.shape, d), 0.7)
    inner = np.random.default_rng(5).uniform(-4, 4, (50, d))
    assert np.allclose(StationaryVelocity(shift, grid)(inner), inner + 0.7)
    linear = 0.15 * np.random.default_rng(6).normal(size=(d, d))
    velocity = (grid.nodes() @ linear.T).reshape(*grid.shape, d)
    moved = StationaryVelocity(velocity, grid)(inner)
    assert np.allclose(moved, inner @ expm(linear).T, rtol=0, atol=0.02)


def test_determinant_of_an_affine_field_is_its_own_and_a_fold_is_negative():
    grid = _grid(3)
    affine = _make("affine", 3)
    determinant = jacobian_determinant(displacement_on(affine, grid), grid)
    assert np.allclose(determinant, np.linalg.det(affine.matrix), rtol=1e-4)
    flat = Grid.from_spacing((20, 20))
    field = np.zeros((20, 20, 2))
    field[10:, :, 0] = -3.0
    assert (jacobian_determinant(field, flat) < 0).any()


def test_thin_plate_passes_through_its_points_and_is_affine_for_affine_points():
    transform = _make("thin plate", 3)
    assert np.allclose(transform(transform.fixed_points), transform.moving_points, atol=1e-8)
    points = np.random.default_rng(8).uniform(0, 9, (12, 2))
    affine = _make("affine", 2)
    spline = ThinPlate(points, affine(points))
    elsewhere = np.random.default_rng(9).uniform(-5, 15, (30, 2))
    assert np.allclose(spline(elsewhere), affine(elsewhere), atol=1e-8)


@pytest.mark.parametrize(("kind", "d"), [("thin plate", 2), ("thin plate", 3), *((k, 2) for k in PLANE)])
def test_dense_field_is_exact_at_the_nodes(kind, d):
    transform, grid = _make(kind, d), _grid(d)
    expected = transform(grid.nodes()) - grid.nodes()
    assert np.allclose(displacement_on(transform, grid).reshape(-1, d), expected)


def test_a_chain_is_sampled_as_its_points_say_whatever_its_members():
    grid = _grid(2)
    affine, velocity, homography = (_make(kind, 2) for kind in ("affine", "velocity", "homography"))
    spline, quadratic = _make("bspline", 2), _make("quadratic", 2)
    for members in (
        (affine, velocity),  # ITK holds all of it
        (velocity, affine, homography, spline),  # the first two
        (quadratic, velocity),  # nothing
    ):
        transform = Composite(members)
        expected = transform(grid.nodes()) - grid.nodes()
        assert np.allclose(displacement_on(transform, grid).reshape(-1, 2), expected, rtol=0, atol=1e-9)
    itk = Composite((affine, velocity)).to_itk(grid)
    assert itk.GetName() == "CompositeTransform"  # exact between the nodes, too


def test_homography_takes_four_points_to_four_points():
    square = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    homography = Homography([[10 / 3, 0, 0], [0, 8 / 3, 0], [2 / 3, 1 / 3, 1]])
    expected = [[0.0, 0.0], [0.0, 2.0], [5 / 3, 4 / 3], [2.0, 0.0]]
    assert np.allclose(homography(square), expected)
    assert np.allclose(Homography(5 * homography.matrix)(square), expected)
    assert isinstance(homography.inverse(), Homography)


def test_points_behind_the_horizon_are_far_away_and_folded():
    homography = Homography([[1, 0, 0], [0, 1, 0], [0.1, 0, 1]])  # the horizon is at row -10
    rows = np.array([[-9.0, 4.0], [-9.99, 4.0], [-10.0, 4.0], [-25.0, 4.0]])
    mapped = homography(rows)
    assert np.isfinite(mapped).all() and (np.diff(mapped[:, 0]) <= 0).all()
    assert mapped[0, 0] == pytest.approx(-90) and np.allclose(mapped[2:], [[-9990, 4000]] * 2)
    assert np.allclose(np.linalg.det(homography.jacobian(rows[2:])), 0, atol=1e-6)


def test_homographies_merge_with_affines_and_keep_closed_inverses():
    affine, homography, velocity = _make("affine", 2), _make("homography", 2), _make("velocity", 2)
    points = _grid(2).to_world(np.random.default_rng(3).uniform(3, 9, (20, 2)))
    for members in ((affine, homography), (homography, affine), (homography, homography)):
        merged = chain(*members)
        assert isinstance(merged, Homography)
        assert np.allclose(merged(points), members[1](members[0](points)))
    mixed = chain(affine, homography, velocity)
    back = mixed.inverse(_grid(2))
    assert [type(m) for m in back.members] == [StationaryVelocity, Homography]


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1e6])
@pytest.mark.parametrize("d", [2, 3])
def test_affine_maps_between_units_of_any_size_have_inverses(d, scale):
    """From nanometres to millimetres, say, and from pixels to metres."""
    turned = np.eye(d) + 0.2 * np.random.default_rng(d).normal(size=(d, d))
    matrix = np.eye(d + 1)
    matrix[:d] = scale * np.column_stack([turned, np.full(d, 3e4)])
    points = np.random.default_rng(0).uniform(-1e5, 1e5, (20, d))
    affine = Affine(matrix)
    assert np.allclose(affine.inverse()(affine(points)), points)
    assert np.allclose(fit("affine", points, affine(points)).matrix, matrix, rtol=1e-6, atol=1e-9 * scale)


def test_quadratic_without_squares_is_affine():
    quadratic = Quadratic([[1, 8, 2, 0, 0, 0], [3, -1, 6, 0, 0, 0]], [10.0, 20.0], 4.0)
    affine = Affine([[2, 0.5, 1 - 20 - 10], [-0.25, 1.5, 3 + 2.5 - 30], [0, 0, 1]])
    points = np.random.default_rng(9).uniform(-50, 50, (30, 2))
    assert np.allclose(quadratic(points), affine(points))
    assert np.allclose(quadratic.jacobian(points), affine.jacobian(points))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Affine(np.zeros((3, 3))), "invertible"),
        (lambda: Affine([[1e6, 2e6, 0], [2e6, 4e6, 0], [0, 0, 1]]), "invertible"),
        (lambda: Affine([[1e-9, 2e-9, 0], [2e-9, 4e-9, 0], [0, 0, 1]]), "invertible"),
        (lambda: Affine(np.diag([1, 1, 0.0])), "invertible"),
        (lambda: Affine(np.eye(5)), "3 x 3 or 4 x 4"),
        (lambda: Displacement(np.zeros((4, 4)), Grid.from_spacing((4, 4))), "must be"),
        (lambda: Displacement(np.full((4, 4, 2), np.nan), Grid.from_spacing((4, 4))), "finite"),
        (lambda: BSpline(np.zeros((2, 3, 3)), Grid.from_spacing((3, 3))), "four control points"),
        (lambda: ThinPlate(np.zeros((3, 2)), np.zeros((2, 2))), "equally many"),
        (lambda: ThinPlate(np.arange(6.0).reshape(3, 2), np.zeros((3, 2))), "line or plane"),
        (lambda: ThinPlate([[0, 0], [1, 0], [0, 1], [1, 0]], np.zeros((4, 2))), r"coincide at \(1, 0\)"),
        (lambda: Homography(np.eye(4)), "3 x 3"),
        (lambda: Homography([[1, 2, 3], [2, 4, 6], [0, 0, 1]]), "invertible"),
        (lambda: Homography(np.full((3, 3), np.nan)), "finite"),
        (lambda: Homography(-np.eye(3)), "change all signs"),
        (lambda: Quadratic(np.ones((2, 5)), (0, 0), 1.0), r"shape \(2, 6\)"),
        (lambda: Quadratic(np.ones((2, 6)), (0, np.inf), 1.0), "finite"),
        (lambda: Quadratic(np.ones((2, 6)), (0, 0), 0.0), "positive"),
        (lambda: Quadratic(np.ones((2, 6)), (0, 0), 1.0), "singular"),
        (lambda: Composite(()), "at least one"),
        (lambda: Composite((Affine.identity(2), Affine.identity(3))), "same number of axes"),
    ],
)
def test_bad_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("points", ["one point", "too many axes", "axes first", "a stack", "words", "ragged"])
@pytest.mark.parametrize(("kind", "d"), EACH)
def test_points_of_a_wrong_shape_are_refused_in_one_sentence(kind, d, points):
    wrong = {
        "one point": np.zeros(d),
        "too many axes": np.zeros((4, d + 1)),
        "axes first": np.zeros((d, 7)),
        "a stack": np.zeros((2, 3, d)),
        "words": [["a"] * d],
        "ragged": [[0.0] * d, [0.0]],
    }[points]
    transform = _make(kind, d)
    fault = "are no array of numbers" if isinstance(wrong, list) else f"have the shape {wrong.shape}"
    expected = re.escape(f"The points {fault}; give an array of shape (N, {d}), ")
    for call in (transform, transform.jacobian):
        with pytest.raises(ValueError, match=rf"^{expected}.*\.$"):
            call(wrong)


@pytest.mark.parametrize(("kind", "d"), EACH)
def test_no_points_and_whole_numbers_are_points(kind, d):
    transform = _make(kind, d)
    assert transform(np.zeros((0, d))).shape == (0, d)
    assert np.array_equal(transform([[3] * d]), transform(np.full((1, d), 3.0)))
