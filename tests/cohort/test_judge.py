"""One model per cluster against one for all: who wins, and that nobody wins by chance."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Affine, Grid, Image, warp
from napari_voxreg.cohort import Cluster, compared, judge, markdown, table_text
from napari_voxreg.core.params import param
from napari_voxreg.core.progress import Cancelled
from napari_voxreg.evaluation import Row
from napari_voxreg.io.pairs import Pair, PairSet
from napari_voxreg.methods.base import Method, Outcome, WeightsParams

SHIFT = (2.0, -3.0)


@dataclass(frozen=True, kw_only=True)
class ToyParams(WeightsParams):
    """Weights that hold a shift."""

    slow: bool = param(True, "")
    architectures: ClassVar[tuple[str, ...]] = ("toy",)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A method that shifts as its weights say; the folders of the weights that it was asked with."""
    folders = []

    def run(task, params, progress):  # type: ignore[no-untyped-def]
        assert not params.slow
        folders.append(params.weights.parent.name)
        return Outcome(Affine.translation(json.loads(params.weights.read_text())))

    presets = {"slow": {}, "fast": {"slow": False}}
    toy = Method("toy", "Toy", ToyParams, run, presets, "translation", own_ndims=(2,))
    monkeypatch.setitem(METHODS, "toy", toy)
    return folders


def weights(folder: Path, shift: tuple[float, float], architecture: str = "toy") -> Path:
    folder.mkdir()
    (folder / "last.json").write_text(json.dumps({"architecture": architecture}))
    (folder / "last.safetensors").write_text(json.dumps(shift))
    return folder / "last.safetensors"


def pairs(count: int, first: int, true: bool = True) -> tuple[Pair, ...]:
    """Pairs that a shift brings together, with the true displacement or without."""
    grid, found = Grid.from_spacing((32, 40)), []
    for k in range(first, first + count):
        data = gaussian_filter(np.random.default_rng(k).normal(size=grid.shape), 2).astype(np.float32)
        fixed = Image(data, grid, f"p{k}")
        moving = warp(fixed, Affine.translation(np.negative(SHIFT)), grid)
        field = np.broadcast_to(np.reshape(SHIFT, (2, 1, 1)), (2, *grid.shape)).astype(np.float32)
        found.append(Pair(f"p{k}", fixed, moving, displacement=field if true else None))
    return tuple(found)


def cluster(number: int, validation: tuple[Pair, ...]) -> Cluster:
    return Cluster(number, (), PairSet(pairs(number, 90 + number), validation))


def rows(errors: list[float], ssim: float = 0.5) -> list[Row]:
    return [
        Row(f"p{k}", "m", "w", "c", "s", "better", "", {"end_point_error": 3.0, "ssim": 0.1},
            {"end_point_error": e, "ssim": ssim, "ssim_common": ssim}, interpolated=0.2)
        for k, e in enumerate(errors)
    ]  # fmt: skip


def test_a_difference_beyond_its_standard_error_is_called_one() -> None:
    everyone, own = [2.0, 2.1, 1.9, 2.2, 2.0, 1.8], [1.5, 1.7, 1.3, 1.8, 1.4, 1.3]
    found = compared(rows(everyone), rows(own, 0.6))
    gains = np.subtract(everyone, own)
    assert found.score == "End-point error" and not found.higher and found.pairs == 6
    assert found.gain == pytest.approx(gains.mean())
    assert found.error == pytest.approx(gains.std(ddof=1) / math.sqrt(6))
    assert (found.before, found.everyone, found.own) == (3.0, pytest.approx(2.0), pytest.approx(1.5))
    assert (found.ssim_before, found.ssim_everyone, found.ssim_own) == pytest.approx((0.1, 0.5, 0.6))
    assert found.better == "own"
    assert found.sentence.startswith(
        "One model per cluster did better in this training: End-point error 2.000"
    )
    assert "0.500 ± 0.037 (standard error) better over 6 validation pairs." in found.sentence
    other = compared(rows(own), rows(everyone))
    assert other.better == "all" and "One model for all did better in this training" in other.sentence
    assert "(standard error) worse over" in other.sentence


def test_within_chance_nobody_wins() -> None:
    found = compared(rows([2.0, 2.1, 1.9, 2.2]), rows([1.5, 2.5, 1.9, 2.0]))
    assert found.better == "" and found.gain > 0
    assert found.sentence.startswith("No difference that could not be chance:")
    # Twice the standard error is not enough for two pairs: Student's t asks for 12.7 times.
    two = compared(rows([2.0, 2.0]), rows([1.5, 1.0]))
    assert two.gain > 2 * two.error and two.better == ""
    same = compared(rows([2.0, 2.0, 2.0]), rows([2.0, 2.0, 2.0]))
    assert same.better == "" and same.gain == 0
    one = compared(rows([2.0]), rows([1.0]))
    assert one.better == "" and math.isnan(one.error) and "One validation pair" in one.sentence
    none = compared([], [])
    assert none.better == "" and math.isnan(none.gain) and "cannot be compared" in none.sentence


def test_without_known_correspondence_the_gain_beyond_smoothing_counts_and_failed_pairs_do_not() -> None:
    everyone, own = rows([1.0] * 4, 0.5), rows([1.0] * 4, 0.7)
    for row in (*everyone, *own):
        del row.before["end_point_error"], row.after["end_point_error"]  # type: ignore[attr-defined]
    own[3] = Row("p3", "m", "w", "c", "s", "failed", "Not read.")
    found = compared(everyone, own)
    assert found.score == "SSIM beyond smoothing" and found.higher and found.pairs == 3
    assert (found.everyone, found.own, found.gain) == pytest.approx((0.3, 0.5, 0.2))


def test_each_pair_is_judged_with_the_model_of_its_cluster(asked: list[str], tmp_path: Path) -> None:
    everyone = weights(tmp_path / "all", (1.0, -1.0))
    own = [weights(tmp_path / "cluster-1", SHIFT), weights(tmp_path / "cluster-2", (0.5, -1.0))]
    clusters = [cluster(1, pairs(4, 0)), cluster(2, pairs(3, 4)), cluster(3, ())]
    own.append(weights(tmp_path / "cluster-3", (0.0, 0.0)))
    found = judge(clusters, everyone, own, tmp_path / "judged")
    assert asked == ["all"] * 7 + ["cluster-1"] * 4 + ["cluster-2"] * 3
    first, second, third = found.clusters
    assert (first.pairs, second.pairs, third.pairs, found.whole.pairs) == (4, 3, 0, 7)
    assert first.own == pytest.approx(0, abs=1e-5) and first.everyone == pytest.approx(math.sqrt(5), abs=1e-4)
    assert first.better == "own" and second.better == "all" and found.training == (1, 2, 3)
    table = list(csv.reader(table_text(found).splitlines()))
    assert [line[0] for line in table] == ["cluster", "1", "2", "3", "all"]
    assert table[1][-1] == "own" and table[2][-1] == "all" and table[3][3:] == [""] * 9
    # Its shift is none at all: every pair stays as it lies.
    own[1] = weights(tmp_path / "still", (0.0, 0.0))
    still = judge(clusters, everyone, own, tmp_path / "judged")
    assert [note[:85] for note in still.notes] == [
        "0 of 7 pairs stayed at their current positions with one model for all, 3 with one per"
    ] and not found.notes
    asked.clear()
    page = markdown(found)
    assert (
        page.startswith(found.whole.sentence)
        and "another seed" in page
        and "nan" not in page
        and page.count("\n|") == 6
    )
    again = judge(clusters, everyone, own, tmp_path / "judged")
    assert not asked and table_text(again) == table_text(still)  # what is there is not run again


def test_a_pair_without_a_result_is_named_and_cancel_goes_through(asked: list[str], tmp_path: Path) -> None:
    everyone, own = weights(tmp_path / "all", (1.0, -1.0)), [weights(tmp_path / "cluster-1", SHIFT)]
    bad = Pair("bad", tmp_path / "none.tif", tmp_path / "none.tif")
    found = judge([cluster(1, (*pairs(2, 0), bad))], everyone, own, tmp_path / "judged")
    assert found.whole.pairs == 2 and [note.split(":")[0] for note in found.notes] == [
        "bad under all",
        "bad under cluster-1",
    ]
    assert found.notes[0] in markdown(found)

    def stop(fraction: float | None, message: str, metric: float | None = None) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        judge([cluster(1, pairs(2, 0))], everyone, own, tmp_path / "other", progress=stop)


def test_what_cannot_be_judged_is_refused(asked: list[str], tmp_path: Path) -> None:
    everyone = weights(tmp_path / "all", SHIFT)
    with pytest.raises(ValueError, match="no validation pairs to judge"):
        judge([cluster(1, ())], everyone, [everyone], tmp_path)
    other = weights(tmp_path / "other", SHIFT, "nobody's")
    with pytest.raises(ValueError, match=r"No method can use weights for \"nobody's\""):
        judge([cluster(1, pairs(1, 0))], other, [other], tmp_path)
