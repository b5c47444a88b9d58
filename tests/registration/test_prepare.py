"""A prepared pair: checked and measured once, and the same to `register`, `compare` and `evaluate`."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Affine, Cancelled, Grid, Image, compare, evaluate, register, warp
from napari_voxreg.io.pairs import Pair
from napari_voxreg.metrics.pair import PairMetrics
from napari_voxreg.registration.prepare import PreparedPair, prepare

GRID = Grid.from_spacing((64, 72), units="millimeter")
TRANSLATION = np.array([3.0, -2.0])
CLICKED = np.array([[10.0, 10.0], [40.0, 50.0]])


def pair() -> tuple[Image, Image, tuple[np.ndarray, np.ndarray]]:
    """Two images and their landmarks, each in the units of its image: millimetres and micrometres."""
    fixed = Image(gaussian_filter(np.random.default_rng(0).normal(size=GRID.shape), 2).astype("f4"), GRID)
    moving = warp(fixed, Affine.translation(-TRANSLATION), GRID)
    moving = moving.with_grid(GRID.in_units(("micrometer",) * 2))
    return fixed, moving, (CLICKED, 1000 * (CLICKED + TRANSLATION))


def test_three_callers_give_one_result(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed, moving, landmarks = pair()
    real, calls = PreparedPair.run, []

    def run(self, method, params, progress):
        result = real(self, method, params, progress)
        calls.append((self.task, method))
        return result

    monkeypatch.setattr(PreparedPair, "run", run)
    one = register(fixed, moving, method="translation", landmarks=landmarks, seed=3, device="cpu")
    other = compare(fixed, moving, methods=["translation"], landmarks=landmarks, seed=3, device="cpu")[
        1
    ].result
    given = Pair("a", fixed, moving, fixed_landmarks=landmarks[0], moving_landmarks=landmarks[1])
    last = evaluate([given], method="translation", seed=3, device="cpu").rows[0].result
    assert [(task.seed, task.device, method) for task, method in calls] == [(3, "cpu", "translation")] * 3
    for task, _ in calls:
        assert task.landmarks is not None
        assert np.allclose(task.landmarks[1], CLICKED + TRANSLATION)
        assert task.moving.grid.units == GRID.units
    assert np.allclose(one.transform([[0.0, 0.0]])[0], TRANSLATION, atol=0.05)
    for result in (other, last):
        assert np.array_equal(result.transform.matrix, one.transform.matrix)
        assert (result.before, result.after) == (one.before, one.after)
        assert (result.verdict, result.hashes, result.names) == (one.verdict, one.hashes, one.names)
    assert one.before.landmark_error == pytest.approx(np.hypot(*TRANSLATION))


def test_what_does_not_depend_on_the_method_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured, real = [], PairMetrics.scores

    def scores(self, transform, progress):
        measured.append(transform)
        return real(self, transform, progress)

    monkeypatch.setattr(PairMetrics, "scores", scores)
    fixed, moving, _ = pair()
    prepared = prepare(fixed, moving)
    methods = ("translation", "rigid")
    results = [prepared.run(name, METHODS[name].parameters()) for name in methods]
    assert [transform is None for transform in measured] == [True, False, False]
    assert results[0].before is results[1].before is prepared.before()


def test_a_method_that_cannot_work_on_the_pair_is_refused_before_anything_is_measured() -> None:
    fixed, moving, _ = pair()

    def never(fraction, message, metric=None):
        raise Cancelled

    volume = prepare(np.random.default_rng(0).random((8, 9, 10)), np.random.default_rng(1).random((8, 9, 10)))
    with pytest.raises(ValueError, match="does not work on 3D"):
        volume.run("flow", METHODS["flow"].parameters(), never)
    apart = prepare(fixed, moving.with_grid(moving.grid.moved(Affine.translation([1e6, 0.0]).matrix)))
    with pytest.raises(ValueError, match="do not overlap"):
        apart.run("rigid", METHODS["rigid"].parameters(), never)
    with pytest.raises(Cancelled):
        apart.run("pose", METHODS["pose"].parameters(), never)


def test_landmarks_of_a_thin_stack_keep_their_units() -> None:
    fixed, moving, landmarks = pair()
    stacks = [
        Image(image.data[:, None], Grid.from_spacing((64, 1, 72), (step, 5 * step, step), units=unit))
        for image, step, unit in ((fixed, 1.0, "millimeter"), (moving, 1000.0, "micrometer"))
    ]
    task = prepare(*stacks, landmarks=landmarks).task
    assert np.allclose(task.landmarks[1], CLICKED + TRANSLATION)
