"""register(): what is refused, what is handled, and what the verdict says. Quick methods only."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Affine, Displacement, Grid, Image, load_result, register, warp
from napari_voxreg.core.params import Params
from napari_voxreg.methods.base import Method, Outcome

GRID = Grid.from_spacing((64, 72), units="millimeter")


def _scene(seed=0, shape=(64, 72)):
    rng = np.random.default_rng(seed)
    return (100 + 50 * sum(gaussian_filter(rng.normal(size=shape), s) * s for s in (1.5, 3))).astype(
        np.float32
    )


def _pair(translation=(3.0, -2.0)):
    fixed = Image(_scene(), GRID, "visit one")
    moving = warp(fixed, Affine.translation(-np.array(translation)), GRID, fill=100)
    return fixed, replace(moving, name="visit two")


def _with(data_or_image, **grid):
    return Image(data_or_image, Grid.from_spacing(data_or_image.shape, **grid))


REFUSED = {
    "2D with 3D": (
        lambda: (Image(_scene(), GRID), np.random.rand(8, 9, 10)),
        {},
        "2D and the moving image 3D",
    ),
    "NaN": (lambda: (Image(np.full((64, 72), np.nan), GRID), _pair()[1]), {}, "has no pixel with data"),
    "constant": (lambda: (Image(np.ones((64, 72)), GRID), _pair()[1]), {}, "fixed image is constant"),
    "no overlap": (
        lambda: (_pair()[0], Image(_scene(), Grid.from_spacing((64, 72), 1, 900, units="mm"))),
        {},
        "do not overlap in the world; use the initial transform 'centres'",
    ),
    "units": (
        lambda: (_pair()[0], Image(_scene(), Grid.from_spacing((64, 72)))),
        {},
        "Units cannot be converted",
    ),
    "unequal landmarks": (
        _pair,
        {"landmarks": (np.zeros((2, 2)), np.zeros((3, 2)))},
        "2 fixed and 3 moving landmarks",
    ),
    "no landmarks": (_pair, {"landmarks": (np.zeros((0, 2)), np.zeros((0, 2)))}, "are no landmarks"),
    "landmarks of another space": (
        _pair,
        {"landmarks": (np.zeros((2, 3)), np.zeros((2, 3)))},
        r"shape \(N, 2\)",
    ),
    "unknown method": (_pair, {"method": "magic"}, "no method 'magic'; choose from: "),
    "unknown preset": (_pair, {"preset": "best"}, "no preset 'best'; choose from: 'default'"),
    "unknown parameter": (_pair, {"params": {"speed": 1}}, "no parameter 'speed'; choose from: precision"),
    "bad parameter": (_pair, {"params": {"precision": 0}}, "precision cannot be 0; choose between 1"),
    "unknown initial transform": (
        _pair,
        {"initial": "somewhere"},
        "'somewhere' is not a valid initial transform; choose from: corners",
    ),
    "initial transform of another space": (_pair, {"initial": Affine.identity(3)}, "initial transform is 3D"),
    "no transform": (_pair, {"initial": 7}, "7 is not a valid initial transform; pass a Transform"),
    "empty mask": (_pair, {"fixed_mask": np.zeros((64, 72))}, "fixed mask covers no pixel"),
    "mask of another shape": (_pair, {"moving_mask": np.ones((4, 4))}, r"moving mask has the shape \(4, 4\)"),
    "missing channel": (
        lambda: (np.random.rand(20, 30, 3), np.random.rand(20, 30, 3)),
        {"channel": 5},
        "channel 5",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_sentence_before_anything_runs(case, monkeypatch):
    make, options, message = REFUSED[case]

    def never(*args, **kwargs):
        raise AssertionError("the method ran")

    monkeypatch.setitem(METHODS, "translation", replace(METHODS["translation"], run=never))
    fixed, moving = make()
    with pytest.raises(ValueError, match=message) as caught:
        register(fixed, moving, **{"method": "translation", **options})
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and len(text) < 300


def _shift_of(result):
    return result.transform(np.zeros((1, 2)))[0]


def test_a_result_tells_everything():
    fixed, moving = _pair()
    result = register(fixed, moving, method="translation", landmarks=([[10.0, 10.0]], [[13.0, 8.0]]))
    assert np.allclose(_shift_of(result), (3, -2), atol=0.1)
    assert result.before.landmark_error == 0 + np.hypot(3, 2) and result.after.landmark_error < 0.2
    assert result.verdict.outcome == "better" and "landmark error 3.61 ->" in result.verdict.sentence
    assert "not guided by landmarks" in result.notes[-1]
    assert result.names == ("visit one", "visit two") and len(result.hashes[0]) == 64
    assert result.hashes[0] != result.hashes[1] and result.seconds > 0


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint16, np.float16, np.float64])
def test_every_pixel_type_registers(dtype):
    fixed, moving = _pair()
    if dtype is bool:
        pair = [image.with_data(image.data > 100) for image in (fixed, moving)]
    else:
        pair = [image.with_data(image.data.astype(dtype)) for image in (fixed, moving)]
    assert np.allclose(_shift_of(register(*pair, method="translation")), (3, -2), atol=0.3)


def test_colour_multichannel_and_complex_register_on_what_drives():
    fixed, moving = _pair()
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(64, 72)).astype(np.float32)
    colour = [i.with_data(np.stack([i.data, i.data, i.data, 0 * i.data + 255], -1)) for i in (fixed, moving)]
    assert np.allclose(_shift_of(register(*colour, method="translation")), (3, -2), atol=0.1)
    channels = [i.with_data(np.stack([1000 * noise, i.data], -1)) for i in (fixed, moving)]
    assert np.allclose(_shift_of(register(*channels, method="translation", channel=1)), (3, -2), atol=0.1)
    assert np.allclose(_shift_of(register(*channels, method="translation", channel=0)), 0, atol=0.1)
    waves = [i.with_data(i.data * np.exp(1j * noise)) for i in (fixed, moving)]
    assert np.allclose(_shift_of(register(*waves, method="translation")), (3, -2), atol=0.1)


def test_units_are_converted_to_those_of_the_fixed_image():
    fixed, moving = _pair()
    micro = moving.with_grid(moving.grid.in_units(("micrometer", "micrometer")))
    result = register(fixed, micro, method="translation", landmarks=([[10.0, 10.0]], [[13000.0, 8000.0]]))
    assert np.allclose(_shift_of(result), (3, -2), atol=0.1) and result.moving.units == fixed.grid.units
    assert result.after.landmark_error < 0.2


def test_thin_stacks_register_as_2d_images():
    fixed, moving = _pair()
    stacks = [
        Image(i.data[:, None], Grid.from_spacing((64, 1, 72), (1, 5, 1), units="millimeter"))
        for i in (fixed, moving)
    ]
    result = register(*stacks, method="translation")
    assert result.transform.ndim == 2 and np.allclose(_shift_of(result), (3, -2), atol=0.1)
    assert warp(stacks[1], result.transform, stacks[0].grid).data.shape == (64, 1, 72)


def test_masks_may_have_grids_of_their_own():
    fixed, moving = _pair()
    mask = Image(np.ones((10, 10), np.uint8), Grid.from_spacing((10, 10), 3.0, 20.0, units="millimeter"))
    result = register(fixed, moving, method="rigid", fixed_mask=mask)
    assert np.allclose(_shift_of(result), (3, -2), atol=0.5)
    assert result.before.overlap_fraction > 0.99  # of the mask


def test_starts_are_included_and_carry_on_from_a_result():
    fixed, moving = _pair()
    away = moving.with_grid(Grid.from_spacing((64, 72), 1.0, 5000.0, units="millimeter"))
    first = register(fixed, away, method="translation", initial="centres")
    assert np.allclose(_shift_of(first) - 5000, (3, -2), atol=0.1)
    second = register(fixed, away, method="rigid", initial=first)
    assert np.allclose(second.transform([[30.0, 30.0]]) - 5000, (33, 28), atol=0.2)
    field = Displacement(np.full((64, 72, 2), (2.0, -2.0)), GRID)
    dense = register(fixed, moving, method="rigid", initial=field)
    assert np.allclose(dense.transform([[30.0, 30.0]]), (33, 28), atol=0.2)


def _rigged(transform, **more):
    """A method that returns a given transform, to test what is reported of it."""

    def run(task, params, progress):
        return Outcome(transform, **more)

    return Method("rigged", "Rigged", Params, run, {"default": {}}, "deformable")


@pytest.mark.parametrize(
    "initial",
    [Affine.translation([2.0, 1.0]), Displacement(np.full((64, 72, 2), (2.0, 1.0)), GRID)],
    ids=["affine", "deformable"],
)
def test_an_initial_transform_follows_once_whatever_was_found(initial, monkeypatch):
    fixed, moving = _pair()
    found, extra = Affine.translation([1.0, -3.0]), Affine.translation([0.5, 0.5])
    method = _rigged(found, extras={"first step": extra, "features": moving})
    monkeypatch.setitem(METHODS, "rigged", method)
    result = register(fixed, moving, method="rigged", initial=initial)
    at = np.array([[30.0, 30.0]])
    assert np.allclose(result.transform(at) - at, [3.0, -2.0])
    assert np.allclose(result.extras["first step"](at) - at, [2.5, 1.5])
    assert result.extras["features"] is moving
    assert result.moving.same_as(moving.grid)  # the image is where it was


def _folding():
    """The true translation, and one row of folding in a corner."""
    field = np.full((64, 72, 2), (3.0, -2.0))
    field[60:, :40, 0] = -6.0
    return Displacement(field, GRID)


@pytest.mark.parametrize(
    ("transform", "outcome", "words"),
    [
        (Affine.identity(2), "unchanged", "Unchanged"),
        (Affine.translation([3.0, -2.0]), "better", "Better: LNCC"),
        (Affine.translation([6.0, 9.0]), "worse", "Worse than before"),
        (Affine.translation([50.0, 0.0]), "unclear", "overlap was lost"),
        (_folding(), "unclear", "the deformation folds"),
        (Affine.translation([400.0, 0.0]), "unclear", "no pixel overlaps"),
    ],
)
def test_the_verdict_is_plain(transform, outcome, words, monkeypatch):
    monkeypatch.setitem(METHODS, "rigged", _rigged(transform))
    fixed, moving = _pair()
    if outcome == "worse":
        moving = warp(fixed, Affine.translation([0.3, 0.0]), GRID, fill=100)
    result = register(fixed, moving, method="rigged")
    assert result.verdict.outcome == outcome and words in result.verdict.sentence


def test_a_pair_that_does_not_overlap_is_left_to_methods_that_search_everywhere(monkeypatch):
    fixed, moving = _pair()
    far = moving.with_grid(moving.grid.moved(Affine.translation([0.0, 500.0]).matrix))
    right, wrong = Affine.translation([3.0, 498.0]), Affine.translation([20.0, 480.0])
    monkeypatch.setitem(METHODS, "rigged", _rigged(right))
    with pytest.raises(ValueError, match="do not overlap"):
        register(fixed, far, method="rigged")
    for transform, outcome in ((right, "better"), (wrong, "unclear"), (Affine.identity(2), "unclear")):
        monkeypatch.setitem(METHODS, "rigged", replace(_rigged(transform), anywhere=True))
        result = register(fixed, far, method="rigged")
        assert result.before.overlap_fraction == 0 and np.isnan(result.before.overlap["ssim"])
        assert result.verdict.outcome == outcome and "overlap 0 %" in result.verdict.sentence
        assert "nan" not in result.verdict.sentence
    assert np.isnan(result.verdict.after)


def test_landmarks_overrule_similarity(monkeypatch):
    monkeypatch.setitem(METHODS, "rigged", _rigged(Affine.translation([3.0, -2.0])))
    fixed, moving = _pair()
    same = [[10.0, 10.0], [40.0, 50.0]]
    result = register(fixed, moving, method="rigged", landmarks=(same, same))
    assert result.verdict.outcome == "worse" and result.verdict.measure == "landmark error"


def test_plain_arrays_are_accepted_and_nothing_is_modified():
    fixed, moving = (image.data for image in _pair())
    copies = fixed.copy(), moving.copy()
    fixed.setflags(write=False)
    result = register(fixed, moving, method="translation")
    assert np.allclose(_shift_of(result), (3, -2), atol=0.1)
    assert np.array_equal(fixed, copies[0]) and np.array_equal(moving, copies[1])


def test_a_pose_by_hand_is_the_initial_transform_as_it_is(tmp_path):
    fixed, moving = _pair()
    given = Affine([[1.0, 0.02, 3.0], [0.0, 1.01, -2.0], [0.0, 0.0, 1.0]])
    result = register(fixed, moving, method="by hand", initial=given)
    np.testing.assert_array_equal(result.transform.matrix, given.matrix)
    assert result.verdict.outcome == "better" and "by hand" not in METHODS
    loaded = load_result(result.save(tmp_path))
    assert loaded.method == "by hand"
    np.testing.assert_array_equal(loaded.transform.matrix, given.matrix)
