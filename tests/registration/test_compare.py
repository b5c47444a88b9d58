"""Several methods on one pair: the rows, the best one, and failures."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Affine, Displacement, Grid, Image, compare, warp
from napari_voxreg.core.params import Params
from napari_voxreg.core.process import MethodUnavailable
from napari_voxreg.core.progress import Cancelled
from napari_voxreg.methods.base import Method, Outcome
from napari_voxreg.metrics.pair import PairMetrics
from napari_voxreg.registration.compare import BEFORE, best, columns, remarks, usual_methods

GRID = Grid.from_spacing((64, 72), units="millimeter")
TRANSLATION = (3.0, -2.0)


def _pair():
    rng = np.random.default_rng(0)
    scene = 100 + 50 * sum(gaussian_filter(rng.normal(size=(64, 72)), s) * s for s in (1.5, 3))
    fixed = Image(scene.astype(np.float32), GRID, "visit one")
    return fixed, warp(fixed, Affine.translation([-s for s in TRANSLATION]), GRID, fill=100)


def _folding():
    """The true translation, and one row of folding in a corner."""
    field = np.full((64, 72, 2), TRANSLATION)
    field[60:, :40, 0] = -6.0
    return Displacement(field, GRID)


@pytest.fixture
def known(monkeypatch):
    """Give methods with known outcomes: a transform, or an error to raise."""

    def make(**outcomes):
        for name, outcome in outcomes.items():

            def run(task, params, progress, outcome=outcome):
                progress(0.5, "half")
                if isinstance(outcome, Exception):
                    raise outcome
                return Outcome(outcome)

            method = Method(name, f"The {name}", Params, run, {"default": {}}, "deformable")
            monkeypatch.setitem(METHODS, name, method)
        return tuple(outcomes)

    return make


def test_rows_the_best_and_failures(known):
    names = known(
        near=Affine.translation([2.0, -2.0]),
        right=Affine.translation(TRANSLATION),
        folded=_folding(),
        away=Affine.translation([-7.0, 9.0]),
        missing=MethodUnavailable("There is no such library; install it.\nDetails."),
        broken=ZeroDivisionError("by nothing"),
    )
    seen, arrived = [], []
    rows = compare(
        *_pair(),
        methods=names,
        progress=lambda f, m, metric=None: seen.append((f, m)),
        arrived=arrived.append,
    )
    assert [row.method for row in rows] == [BEFORE, *names] and tuple(arrived) == rows
    by = {row.method: row for row in rows}
    assert by["right"].outcome == "better" and by["right"].lncc > by["near"].lncc
    assert best(rows) is by["right"]
    assert by["folded"].scores.folded > 0.5
    assert by["missing"].failure == "There is no such library; install it."
    assert by["broken"].failure == "ZeroDivisionError: by nothing" and by["broken"].outcome == "failed"
    fractions = [fraction for fraction, _ in seen if fraction is not None]
    assert fractions == sorted(fractions) and fractions[-1] <= 1
    assert any(message == "The near: half" for _, message in seen)


def test_a_folded_result_is_never_best(known):
    rows = compare(*_pair(), methods=known(folded=_folding(), near=Affine.translation([2.0, -2.0])))
    assert best(rows).method == "near"
    assert best(rows[:2]) is None and best(rows[:1]) is None
    assert remarks(rows[:2]) == ["No method made it better."]


def test_landmarks_decide_where_there_are_some(known):
    names = known(right=Affine.translation(TRANSLATION), other=Affine.translation([1.0, 4.0]))
    points = np.random.default_rng(1).uniform(10, 50, (5, 2))
    rows = compare(*_pair(), methods=names, landmarks=(points, points + np.array([1.0, 4.0])))
    assert best(rows).method == "other"
    errors = [row.scores.landmark_error for row in rows]
    assert errors == pytest.approx([np.hypot(1, 4), np.hypot(2, -6), 0])
    assert rows[1].lncc > rows[2].lncc  # measured though the landmarks judged
    assert columns(rows)[0].title == "error"


def test_cancel_stops_all_and_keeps_what_is_there(known):
    names = known(first=Affine.translation(TRANSLATION), second=Affine.translation([1.0, 0.0]))
    arrived = []

    def cancel(fraction, message, metric=None):
        if message == "The second: half":
            raise Cancelled

    with pytest.raises(Cancelled):
        compare(*_pair(), methods=names, progress=cancel, arrived=arrived.append)
    assert [row.method for row in arrived] == [BEFORE, "first"]


def test_what_no_method_can_do_is_refused_and_what_one_cannot_is_its_row(known, monkeypatch):
    fixed, moving = _pair()
    with pytest.raises(ValueError, match="no method 'magic'"):
        compare(fixed, moving, methods=["magic"])
    with pytest.raises(ValueError, match="no method to compare"):
        compare(fixed, moving, methods=[])
    with pytest.raises(ValueError, match="constant"):
        compare(fixed, moving.with_data(np.ones((64, 72))), methods=["translation"])
    far = moving.with_grid(moving.grid.moved(Affine.translation([0.0, 500.0]).matrix))
    names = known(
        here=Affine.identity(2), finder=Affine.translation([3.0, 498.0]), volumes=Affine.identity(2)
    )
    monkeypatch.setitem(METHODS, "finder", replace(METHODS["finder"], anywhere=True))
    monkeypatch.setitem(METHODS, "volumes", replace(METHODS["volumes"], ndims=(3,), anywhere=True))
    rows = compare(fixed, far, methods=names)
    assert "do not overlap" in rows[1].failure and "does not work on 2D" in rows[3].failure
    assert best(rows) is rows[2] and rows[2].lncc > 0.5
    assert "nan" not in [column.text(row) for row in rows for column in columns(rows)]


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_usual_methods_work_on_as_many_axes(ndim):
    usual = usual_methods(ndim)
    assert len(usual) >= 3
    assert all(ndim in METHODS[name].ndims for name in usual)


def test_real_methods_on_a_real_translation():
    rows = compare(*_pair(), methods=("translation", "rigid"))
    assert [row.outcome for row in rows] == ["", "better", "better"]
    for row in rows[1:]:
        assert np.abs(row.result.transform([[30.0, 30.0]]) - 30 - TRANSLATION).max() < 0.3


def test_the_table_and_the_verdicts_print_the_same_figures(known):
    # The second loses a fifth of the overlap: the figures before must not depend on that.
    names = known(right=Affine.translation(TRANSLATION), away=Affine.translation([14.0, -2.0]))
    rows = compare(*_pair(), methods=names)
    (shown,) = (column for column in columns(rows) if column.title == "LNCC")
    before = f"{rows[0].lncc:.3f}"
    assert shown.text(rows[0]) == before
    for row in rows[1:]:
        verdict = row.result.verdict
        assert (verdict.before, verdict.after) == (rows[0].lncc, row.lncc)
        assert f"LNCC {before} -> {row.lncc:.3f} where both overlap" in verdict.sentence
        assert shown.text(row) == f"{row.lncc:.3f}"


def test_rows_are_ranked_on_the_same_pixels(known):
    # The right half of the moving image shows another scene: the fewer of its pixels count, the better.
    fixed, moving = _pair()
    other = gaussian_filter(np.random.default_rng(9).normal(size=(64, 72)), 1.5) * 75 + 100
    half = np.arange(72) < 36
    moving = moving.with_data(np.where(half, moving.data, other).astype(np.float32))
    # Right on the left half; the second sends most of the other half out of the image, the third keeps it.
    field = np.full((64, 72, 2), TRANSLATION)
    cut, kept = field.copy(), field.copy()
    cut[:, 56:, 1] = 900.0
    kept[:, :4, 1] = 0.5
    names = known(cut=Displacement(cut, GRID), right=Displacement(field, GRID), less=Displacement(kept, GRID))
    rows = {row.method: row for row in compare(fixed, moving, methods=names)}
    assert rows["cut"].scores.overlap_fraction < 0.8 < rows["less"].scores.overlap_fraction
    alone = {
        name: PairMetrics(fixed, moving).lncc(row.result.transform, row.result.transform)
        for name, row in rows.items()
        if row.result
    }
    assert alone["cut"] > alone["right"] + 0.05  # on pixels of its own the second would win
    assert rows["right"].lncc == pytest.approx(rows["cut"].lncc, abs=0.02)
    assert rows["right"].lncc > rows["less"].lncc + 0.01
