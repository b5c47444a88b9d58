"""Evaluating a method on many pairs: the scores, the smoothing that is told from registration, the table."""

from __future__ import annotations

import csv
import math
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Affine, Displacement, Grid, Image, warp
from napari_voxreg.core.params import Params
from napari_voxreg.core.progress import Cancelled
from napari_voxreg.evaluation import (
    COLUMNS,
    TABLE,
    Row,
    Table,
    columns,
    evaluate,
    interpolation,
    markdown,
    open_row,
    ranked,
    summaries,
    text,
)
from napari_voxreg.evaluation.fields import flow_picture, write_fields
from napari_voxreg.evaluation.measure import BLACK, equally_interpolated, places
from napari_voxreg.io.flo import read_flo
from napari_voxreg.io.images import read_image, write_image
from napari_voxreg.io.pairs import Pair, PairSet, open_pairs
from napari_voxreg.methods.base import Method, Outcome, WeightsParams

SHAPE = (72, 80)
GRID = Grid.from_spacing(SHAPE, 0.5, units="millimeter")
SHIFT = (1.7, -1.2)  # millimetres


@dataclass(frozen=True, kw_only=True)
class Weighted(WeightsParams):
    """Parameters with weights of the user's own."""


@pytest.fixture
def known(monkeypatch):
    """A method that answers with a known transform; its calls are counted."""
    calls = []

    def make(transform, name="known"):
        def run(task, params, progress):
            progress(0.5, "half")
            calls.append(task.fixed.name)
            return Outcome(transform)

        monkeypatch.setitem(METHODS, name, Method(name, "Known", Params, run, {"default": {}}, "rigid"))
        return calls

    return make


def texture(rng, border=0):
    scene = sum(gaussian_filter(rng.normal(size=SHAPE), s) * s for s in (1.5, 3)) * 30 + 120
    if border:
        scene[:border] = scene[-border:] = scene[:, :border] = scene[:, -border:] = 0
    return Image(scene.astype(np.float32), GRID, "fixed")


def shifted(rng, name="a", **more):
    """A pair of which `Affine.translation(SHIFT)` is the answer."""
    fixed = texture(rng)
    moving = warp(fixed, Affine.translation(np.negative(SHIFT)), GRID, fill=float(fixed.data.min()))
    return Pair(name, fixed, replace(moving, name="moving"), **more)


def speckled(rng, scene, looks=1):
    return Image((scene * np.sqrt(rng.gamma(looks, 1 / looks, SHAPE))).astype(np.float32), GRID, "speckle")


# Scores ------------------------------------------------------------------------------------------------


def test_the_right_transform_scores_well_on_all_there_is_to_know(known):
    known(Affine.translation(SHIFT))
    rng = np.random.default_rng(0)
    points = rng.uniform(5, 30, (6, 2))
    labels = np.zeros(SHAPE, np.uint8)
    labels[20:40, 20:40], labels[20:40, 50:60] = 1, 2
    moved = warp(Image(labels, GRID), Affine.translation(np.negative(SHIFT)), GRID, order=0)
    truth = np.broadcast_to(np.reshape(SHIFT, (2, 1, 1)) / 0.5, (2, *SHAPE)).copy()
    truth[:, :10] = np.nan  # unknown there
    pair = shifted(
        rng,
        fixed_labels=Image(labels, GRID),
        moving_labels=moved,
        fixed_landmarks=points,
        moving_landmarks=points + SHIFT,
        displacement=truth,
    )
    (row,) = evaluate([pair], method="known").rows
    assert row.outcome == "better" and row.folding == 0 and row.seconds > 0
    length = math.hypot(*SHIFT)
    assert row.before["landmark_error"] == pytest.approx(length)
    assert row.after["landmark_error"] == pytest.approx(0, abs=1e-9)
    assert row.before["end_point_error"] == pytest.approx(length / 0.5)  # in pixels
    assert row.after["end_point_error"] == pytest.approx(0, abs=1e-6)
    assert row.before["dice"] < 0.85 < 0.97 < row.after["dice"]
    for key, better in (("ssim", 1), ("ncc", 1), ("rmse", -1), ("l1", -1)):
        for which in (key, f"{key}_lit"):
            assert better * (row.after[which] - row.before[which]) > 0
    assert row.overlap < 100
    shown = {column.key for column in columns([row])}
    assert {"dice_after", "end_point_error_before", "ssim_beyond"} <= shown


def test_black_pixels_of_either_image_are_left_out(known):
    known(Affine.identity(2))
    rng = np.random.default_rng(1)
    fixed, moving = texture(rng, border=12), texture(rng)
    (row,) = evaluate([Pair("a", fixed, moving)], method="known").rows
    inner = (slice(12, -12), slice(12, -12))
    a, b = (
        np.clip((i.data - lo) / (hi - lo), 0, 1)
        for i in (fixed, moving)
        for lo, hi in [np.percentile(i.data, (0.1, 99.9))]
    )
    lit = (a[inner] > BLACK) & (b[inner] > BLACK)
    assert row.after["l1_lit"] == pytest.approx(np.abs(a - b)[inner][lit].mean(), rel=1e-4)
    assert row.after["l1"] == pytest.approx(np.abs(a - b).mean(), rel=1e-4)
    assert row.after["ncc_lit"] == pytest.approx(np.corrcoef(a[inner][lit], b[inner][lit])[0, 1], rel=1e-3)
    assert "dice" not in row.after and "dice_after" not in {column.key for column in columns([row])}


def test_a_mask_bounds_the_end_point_error(known):
    known(Affine.identity(2))
    truth = np.zeros((2, *SHAPE))
    truth[0, :36] = 3.0
    mask = np.zeros(SHAPE, bool)
    mask[:36] = True
    rng = np.random.default_rng(0)
    pair = shifted(rng, displacement=truth, fixed_mask=Image(mask, GRID))
    assert evaluate([pair], method="known").rows[0].after["end_point_error"] == pytest.approx(3)


# Smoothing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [(0.5, 0.5), (3.3, -7.5), (0.0, 4.0), (-0.2, 0.81)])
def test_the_control_mixes_neighbours_in_the_same_proportions_near_where_they_lie(shift):
    grid = Grid.from_spacing((9, 11), (2.0, 0.5))
    lies = places(None, grid, grid)
    goes = places(Affine.translation(np.multiply(shift, (2.0, 0.5))), grid, grid)
    control = places(equally_interpolated(lies, goes, grid, grid), grid, grid)
    assert np.abs(control - lies).max() <= 0.5 + 1e-6
    for axis, by in enumerate(shift):
        mixed = abs(by - round(by))
        assert np.abs(control[axis] - np.rint(control[axis] - 1e-6)) == pytest.approx(mixed, abs=1e-5)
        assert np.ptp(control[axis] - lies[axis]) < 1e-6  # the image is not cut to pieces


def test_the_control_follows_a_field_without_jumps_on_any_grids():
    fixed = Grid.from_spacing((24, 30), 1.0)
    moving = Grid.from_spacing((20, 20), 1.6, 0.3)
    field = np.stack(np.meshgrid(np.linspace(-3, 4, 24), np.linspace(2, -5, 30), indexing="ij"), -1)
    lies, goes = places(None, fixed, moving), places(Displacement(field, fixed), fixed, moving)
    control = places(equally_interpolated(lies, goes, fixed, moving), fixed, moving)

    def strength(x):
        return np.abs(x - np.rint(x))

    assert strength(control) == pytest.approx(strength(goes), abs=1e-5)
    assert np.abs(control - lies).max() <= 0.5 + 1e-6


def test_a_gain_of_smoothing_is_called_so_and_one_of_registration_too(known):
    rng = np.random.default_rng(2)
    scene = np.exp(gaussian_filter(rng.normal(size=SHAPE), 6) * 6)
    known(Affine.translation((0.25, 0.25)))  # half a pixel: as smooth as linear interpolation gets
    speckles = [Pair(f"p{k}", speckled(rng, scene), speckled(rng, scene)) for k in range(4)]
    rows = evaluate(speckles, method="known").rows
    gains = [row.after["ssim_common"] - row.before["ssim_common"] for row in rows]
    assert min(gains) > 0.01
    assert interpolation(rows).endswith("the gain comes from smoothing, not from registration.")
    known(Affine.translation(SHIFT))
    rows = evaluate([shifted(rng)], method="known").rows
    assert interpolation(rows).endswith("the gain comes from registration.")
    known(Affine.translation((9.0, 9.0)))
    assert interpolation(evaluate([shifted(rng)], method="known").rows).endswith("no gain.")


def row_of(before, alone, after, name="a", **more):
    given = {"ssim_common": before}, {"ssim_common": after}
    return Row(
        name, "m", "", "c", "s", "better", "", *given, interpolated=alone, folding=0, seconds=1, **more
    )


def test_a_gain_that_is_partly_of_smoothing_or_within_chance():
    assert "50 % of the gain comes from registration" in interpolation([row_of(0.2, 0.3, 0.4)])
    spread = [row_of(0.2, 0.3, 0.3 + by) for by in (0.2, -0.15, 0.1, -0.1)]
    assert interpolation(spread).endswith("not from registration.")
    assert interpolation([Row("a", "m", "", "", "s", "failed", "no")]) == ""


# Sets --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Three pairs as files, of which the second cannot be read."""
    rng = np.random.default_rng(3)
    for k in range(3):
        pair = shifted(rng)
        for side in ("fixed", "moving"):
            write_image(getattr(pair, side), tmp_path / "set" / side / f"s{k}.mha")
    (tmp_path / "set" / "moving" / "s1.mha").write_bytes(b"rubbish")
    return tmp_path / "set"


def test_what_cannot_be_read_is_named_counted_and_left_out(known, folder):
    known(Affine.translation(SHIFT))
    arrived, seen = [], []
    found = evaluate(
        open_pairs(folder),
        method="known",
        arrived=arrived.append,
        progress=lambda fraction, message, metric=None: seen.append((fraction, message)),
    )
    assert tuple(arrived) == found.rows and len(found.rows) == 3
    bad = [row for row in found.rows if row.failed]
    assert [row.name for row in bad] == ["s1"] and "s1.mha" in bad[0].sentence
    assert any(note.startswith("1 of 3 pairs could not be evaluated; s1: ") for note in found.notes)
    fractions = [fraction for fraction, _ in seen if fraction is not None]
    assert fractions == sorted(fractions)
    assert any(message.endswith(": half") for _, message in seen)
    with pytest.raises(ValueError, match="no result of s1"):
        open_row(bad[0])


def test_a_defect_and_a_refusal_are_rows_too(known, monkeypatch):
    known(Affine.identity(2))

    def fail(*args, **more):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setitem(METHODS, "broken", Method("broken", "Broken", Params, fail, {"default": {}}, "rigid"))
    rng = np.random.default_rng(0)
    flat = Image(np.ones(SHAPE, np.float32), GRID)
    rows = evaluate([shifted(rng), Pair("flat", flat, texture(rng))], method="broken").rows
    assert rows[0].sentence == "ZeroDivisionError: by nothing"
    assert "constant" in rows[1].sentence
    with pytest.raises(ValueError, match="no method 'nothing'"):
        evaluate([shifted(rng)], method="nothing")


def test_a_set_is_evaluated_with_its_notes_each_pair_once(known):
    known(Affine.identity(2))
    pair = shifted(np.random.default_rng(0))
    found = evaluate(PairSet((pair,), (pair,), ("One pair only.",)), method="known")
    assert len(found.rows) == 1 and found.notes == ("One pair only.",)


# The table on disk -------------------------------------------------------------------------------------


def test_rejected_predictions_are_counted_here_and_in_the_table(tmp_path, monkeypatch):
    answers = iter((True, False, True))

    def run(task, params, progress):
        return Outcome(Affine.identity(2), rejected=next(answers))

    monkeypatch.setitem(METHODS, "known", Method("known", "Known", Params, run, {"default": {}}, "rigid"))
    rng = np.random.default_rng(3)
    pairs = [shifted(rng, name=str(k)) for k in range(3)]
    out = tmp_path / "out"
    sentence = "The network's prediction was rejected in 2 of 3 pairs, whose scores are not the network's"
    for _ in range(2):  # the second time from the table
        found = evaluate(pairs, method="known", folder=out)
        assert [row.rejected for row in found.rows] == [True, False, True]
        assert found.notes[-1].startswith(sentence)
        assert sentence in markdown(summaries(found.rows))
    # A table of an earlier version, which did not know of it.
    with (out / TABLE).open(newline="") as file:
        lines = [
            {k: v for k, v in line.items() if k != "prediction_rejected"} for line in csv.DictReader(file)
        ]
    with (out / TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    assert not any(row.rejected for row in Table(out).rows)


def test_a_second_run_takes_what_is_there_and_tries_again_what_failed(known, folder, tmp_path):
    calls = known(Affine.translation(SHIFT))
    out = tmp_path / "out"
    first = evaluate(open_pairs(folder), method="known", folder=out)
    assert len(calls) == 2
    again = evaluate(open_pairs(folder), method="known", folder=out)
    assert len(calls) == 2
    assert any(note.startswith("2 of 3 pairs were already in the table") for note in again.notes)
    for a, b in zip(first.rows, again.rows, strict=True):
        for column in COLUMNS:
            assert column.value(a) == pytest.approx(column.value(b), nan_ok=True, rel=1e-12)
        assert (a.name, a.outcome, a.sentence) == (b.name, b.outcome, b.sentence)

    pair = shifted(np.random.default_rng(9))
    for side in ("fixed", "moving"):
        write_image(getattr(pair, side), folder / side / "s1.mha")
    evaluate(open_pairs(folder), method="known", folder=out)
    assert len(calls) == 3
    with (out / TABLE).open(newline="") as file:
        assert sorted((line["pair"], line["outcome"]) for line in csv.DictReader(file)) == [
            ("s0", "better"),
            ("s1", "better"),
            ("s2", "better"),
        ]


def test_evaluations_at_the_same_time_in_one_folder_keep_the_rows_of_all(known, folder, tmp_path):
    """Three that read the empty table at their start, and each of which writes row by row."""
    out, pairs, going = tmp_path / "out", open_pairs(folder), threading.Barrier(3)
    names, waited = ("one", "two", "three"), set()
    for name in names:
        known(Affine.translation(SHIFT), name)

    def run(name):
        def progress(fraction, words, metric=None):
            if name not in waited:
                waited.add(name)
                going.wait(60)

        evaluate(pairs, method=name, folder=out, progress=progress)

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted((row.method, row.name) for row in Table(out).rows) == sorted(
        (name, pair.name) for name in names for pair in pairs.all
    )


def test_a_row_written_by_another_evaluation_meanwhile_is_kept(known, folder, tmp_path):
    known(Affine.translation(SHIFT))
    out, every = tmp_path / "out", open_pairs(folder).all
    first, second, third = sorted(
        every, key=lambda pair: pair.name == "s1"
    )  # the one that cannot be read last

    def arrived(row):
        if row.name == first.name:  # another one comes, writes and goes
            evaluate([third], method="known", seed=5, folder=out)

    evaluate([first, second], method="known", folder=out, arrived=arrived)
    assert [row.name for row in Table(out).rows] == [first.name, third.name, second.name]


def test_a_place_that_cannot_be_written_is_refused_before_a_method_runs(known, folder, tmp_path):
    calls = known(Affine.translation(SHIFT))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file is not a folder; choose another one for the output"):
        evaluate(open_pairs(folder), method="known", folder=tmp_path / "file" / "out")
    (tmp_path / "out" / "table.csv").mkdir(parents=True)
    with pytest.raises(OSError, match=r"table\.csv is a folder; choose another name"):
        evaluate(open_pairs(folder), method="known", folder=tmp_path / "out")
    assert calls == []


def test_other_settings_or_a_lost_transform_are_run(known, folder, tmp_path, monkeypatch):
    calls = known(Affine.translation(SHIFT))
    pairs, out = [open_pairs(folder).all[0]], tmp_path / "out"
    (row,) = evaluate(pairs, method="known", folder=out).rows
    evaluate(pairs, method="known", folder=out, seed=1)
    assert len(calls) == 2
    (row.result / "transform.h5").unlink()
    evaluate(pairs, method="known", folder=out)
    assert len(calls) == 3
    renamed = replace(pairs[0], name="another")
    (found,) = evaluate([renamed], method="known", folder=out).rows
    assert len(calls) == 3 and found.name == "another"


def test_weights_count_by_what_is_in_them(monkeypatch, tmp_path, known):
    calls = known(Affine.identity(2))

    weighted = replace(METHODS["known"], params=Weighted, own_ndims=(2,))
    monkeypatch.setitem(METHODS, "known", weighted)
    pairs = [shifted(np.random.default_rng(0))]
    first, copy = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    first.write_bytes(b"one")
    copy.write_bytes(b"one")
    for path, count in ((first, 1), (copy, 1)):
        (row,) = evaluate(pairs, method="known", params={"weights": path}, folder=tmp_path / "out").rows
        assert len(calls) == count
    assert row.title == "known with a.safetensors"
    first.write_bytes(b"two")
    evaluate(pairs, method="known", params={"weights": first}, folder=tmp_path / "out")
    assert len(calls) == 2
    with pytest.raises(ValueError, match="cannot be read"):
        evaluate(pairs, method="known", params={"weights": tmp_path / "none"}, folder=tmp_path / "out")


def test_cancel_keeps_what_is_done(known, folder, tmp_path):
    calls = known(Affine.translation(SHIFT))

    def cancel(fraction, message, metric=None):
        if message.startswith("3 of 3"):
            raise Cancelled

    arrived = []
    with pytest.raises(Cancelled):
        evaluate(open_pairs(folder), method="known", folder=tmp_path, progress=cancel, arrived=arrived.append)
    assert len(arrived) == 2
    assert len(calls) == 1  # the second cannot be read
    found = evaluate(open_pairs(folder), method="known", folder=tmp_path)
    assert len(calls) == 2 and [row.failed for row in found.rows].count(True) == 1


def test_a_row_opens_its_pair_and_result_again(known, folder, tmp_path):
    field = np.random.default_rng(1).normal(size=(*SHAPE, 2))
    known(Displacement(field, GRID))
    found = evaluate(open_pairs(folder), method="known", folder=tmp_path / "out")
    row = next(row for row in found.rows if not row.failed)
    assert isinstance(row.result, Path)
    pair, result = open_row(row)
    assert pair.fixed.grid.same_as(GRID)
    assert np.array_equal(result.transform.field, field)
    assert result.after.whole["ssim"] == row.after["ssim"]
    assert result.verdict.sentence == row.sentence and result.method == "known"
    assert result.verdict.measure in row.sentence and result.verdict.after < result.verdict.before
    assert result.warped.grid.same_as(GRID)  # its images were read again, too
    in_memory = evaluate(open_pairs(folder), method="known").rows
    assert open_row(next(r for r in in_memory if not r.failed))[1].after.folded == result.after.folded > 10


@pytest.mark.parametrize("ndim", [2, 3])
def test_fields_are_written_in_pixels_and_matches_in_the_world(known, tmp_path, ndim):
    shape = (20, 36, 28)[:ndim]
    fixed = Grid.from_spacing(shape, (0.5, 2.0, 1.0)[:ndim])
    moving = Grid.from_spacing(shape, 0.5 * fixed.spacing, 3.0)
    shift = np.array([1.0, -4.0, 2.0])[:ndim]
    known(Affine.translation(shift))
    rng = np.random.default_rng(0)
    images = [Image(gaussian_filter(rng.normal(size=shape), 2).astype("f4"), g) for g in (fixed, moving)]
    (row,) = evaluate([Pair("a", *images)], method="known").rows
    files = write_fields(row, tmp_path)
    field = np.load(tmp_path / "displacement.npy")
    point = np.array((5, 7, 9)[:ndim])
    there = (fixed.to_world([point])[0] + shift - 3.0) / moving.spacing
    assert field.shape == (ndim, *shape)
    assert field[(slice(None), *point)] + point == pytest.approx(there, abs=1e-4)
    with (tmp_path / "matches.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    axes = ("plane", "row", "column")[-ndim:]
    a, b = (np.array([[float(m[f"{s}_{x}"]) for x in axes] for m in table]) for s in ("fixed", "moving"))
    assert b - a == pytest.approx(np.broadcast_to(shift, a.shape), abs=1e-4)
    assert 0 < len(table) < np.prod(shape) and moving.contains(b).all()
    assert read_image(tmp_path / "flow.png").data.shape == (*shape[-2:], 3)
    if ndim == 2:
        assert np.array_equal(np.moveaxis(read_flo(files[-1]), -1, 0), field)


def test_a_flow_picture_tells_direction_and_length():
    field = np.zeros((2, 8, 40))
    field[1, :, 10:20], field[0, :, 20:30], field[1, :, 30:] = 4.0, 4.0, -2.0
    still, right, down, left = flow_picture(field)[4, [5, 15, 25, 35]].astype(int)
    assert (still == 255).all()
    assert right.tolist() == [255, 0, 0]
    assert down.argmin() == 2 and left.argmin() == 0  # yellowish green, and pale cyan
    assert left.min() == pytest.approx(128, abs=2)


def test_the_rows_are_a_dataframe_with_the_columns_of_the_table(known, folder):
    known(Affine.translation(SHIFT))
    found = evaluate(open_pairs(folder), method="known")
    frame = found.to_dataframe()
    assert list(frame.columns) == [
        "pair",
        "method",
        "weights",
        "outcome",
        "sentence",
        "rejected",
        *(c.key for c in COLUMNS),
    ]
    assert list(frame["pair"]) == [row.name for row in found.rows] and "failed" in set(frame["outcome"])
    for column in COLUMNS:
        np.testing.assert_equal(frame[column.key].to_list(), [column.value(row) for row in found.rows])
    assert all(row.failed or row.result.fixed_image is None for row in found.rows)  # nothing large is kept


def test_another_kind_of_table_is_not_overwritten(known, tmp_path):
    known(Affine.identity(2))
    (tmp_path / TABLE).write_text("method,verdict\n")
    with pytest.raises(ValueError, match="no table of evaluations"):
        evaluate([shifted(np.random.default_rng(0))], method="known", folder=tmp_path)


# Summary -----------------------------------------------------------------------------------------------


def test_a_summary_counts_means_and_improvement():
    rows = [row_of(b, 0.1, a, n) for b, a, n in ((0.1, 0.5, "x"), (0.2, 0.1, "y"), (0.3, 0.6, "z"))]
    rows.append(Row("bad", "m", "", "", "s", "failed", "Not read."))
    other = Row("x", "other", "w.pt", "", "t", "failed", "Not read.")
    first, second = summaries([*rows, other])
    (line,) = first.lines
    assert (first.pairs, first.failed, line.count) == (4, 1, 3)
    assert (line.before.mean, line.before.median) == (pytest.approx(0.2), 0.2)
    assert line.after.sd == pytest.approx(np.std([0.5, 0.1, 0.6], ddof=1))
    assert line.improved == pytest.approx(2 / 3)
    assert second.title == "other with w.pt" and second.lines == () and second.folding is None
    assert "m: 4 pairs, 1 without a result" in text(first) and "67 %" in text(first)
    assert "| SSIM common | 3 | 0.200 -> 0.400 |" in markdown([first, second])
    assert text(second).startswith("other with w.pt: 1 pair, 1 without")


def test_the_ranking_prefers_known_correspondence():
    rows = [row_of(0.1, 0.1, after, name) for after, name in ((0.3, "x"), (0.9, "y"), (0.5, "z"))]
    by, order = ranked([*rows, Row("bad", "m", "", "", "s", "failed", "no")])
    assert "beyond smoothing" in by and [row.name for row in order] == ["y", "z", "x"]
    errors = [
        replace(row, before={**row.before, "landmark_error": 5.0}, after={**row.after, "landmark_error": e})
        for row, e in zip(rows, (1.0, 6.0, 3.0), strict=True)
    ]
    by, order = ranked(errors)
    assert by == "change of Landmark error" and [row.name for row in order] == ["x", "z", "y"]
