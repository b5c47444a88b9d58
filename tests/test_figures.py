"""Figures: what is drawn, and the files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Affine, Grid, Image, figures, warp
from napari_voxreg.core.params import Params
from napari_voxreg.evaluation import Row, evaluate
from napari_voxreg.io.pairs import Pair
from napari_voxreg.methods.base import Method, Outcome
from napari_voxreg.train.events import Losses
from napari_voxreg.train.events import Row as EpochRow

SHIFT = (2.0, -3.0)


def rows_of(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], count: int) -> tuple[Row, ...]:
    """Rows whose answer is right, of images that are shifted by more and more."""
    shift = (0.0,) * (len(shape) - 2) + SHIFT

    def run(task, params, progress):  # type: ignore[no-untyped-def]
        return Outcome(Affine.translation(shift))

    monkeypatch.setitem(METHODS, "known", Method("known", "Known", Params, run, {"default": {}}, "rigid"))
    rng = np.random.default_rng(0)
    grid = Grid.from_spacing(shape)
    pairs = []
    for k in range(count):
        fixed = Image(gaussian_filter(rng.normal(size=shape), 2).astype(np.float32), grid)
        pairs.append(Pair(f"P{k}", fixed, warp(fixed, Affine.translation(np.negative(shift)), grid)))
    return evaluate(pairs, method="known").rows


def test_before_and_after_of_every_pair_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = rows_of(monkeypatch, (32, 40), 5)
    failed = Row("bad", "known", "", "", "", "failed", "Not read.")
    figure = figures.before_after((*rows, failed))
    (axes,) = figure.axes
    before, after, alone = (np.asarray(dots.get_offsets())[:, 1] for dots in axes.collections)
    assert len(before) == 5 and list(after) == sorted(after) and (after > before).all()
    order = sorted(rows, key=lambda row: row.after["ssim_common"])
    better, worse = axes.lines
    for row, line in zip(order, np.reshape(better.get_xydata(), (5, 3, 2)), strict=True):
        np.testing.assert_allclose(line[:2, 1], (row.before["ssim_common"], row.after["ssim_common"]))
    assert len(worse.get_xdata()) == 0
    assert list(alone) == [row.interpolated for row in order]
    assert [label.get_text() for label in axes.get_xticklabels()] == [row.name for row in order]
    assert "5 of 5 pairs improved" in axes.get_title(loc="left")
    for ending, magic in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        path = figures.save(figure, tmp_path / "new" / f"plot{ending}")
        assert path.read_bytes().startswith(magic)
    with pytest.raises(ValueError, match=r"plot\.bmp cannot be written as a figure"):
        figures.save(figure, tmp_path / "plot.bmp")


def test_plots_leave_the_state_that_all_of_matplotlib_shares_alone() -> None:
    code = "import sys, napari_voxreg.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_score_that_shall_fall_and_one_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(monkeypatch, (32, 40), 2)
    figure = figures.before_after(rows, "rmse_lit")
    assert len(figure.axes[0].collections) == 2  # without the marks of interpolation
    assert "2 of 2 pairs improved" in figure.axes[0].get_title(loc="left")
    with pytest.raises(ValueError, match="No pair has the score Dice"):
        figures.before_after(rows, "dice")
    with pytest.raises(ValueError, match="no score 'psnr'"):
        figures.before_after(rows, "psnr")


@pytest.mark.parametrize("shape", [(32, 40), (8, 24, 32)])
def test_the_gallery_shows_the_best_first_and_the_worst_last(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(monkeypatch, shape, 5)
    figure = figures.gallery(rows, count=2)
    order = sorted(rows, key=lambda row: -row.beyond)
    lines = np.reshape(np.array(figure.axes, dtype=object), (4, 5))
    names = [line[0].get_title() for line in lines]
    assert names == [
        f"best 1: {order[0].name}",
        f"best 2: {order[1].name}",
        f"worst 2: {order[3].name}",
        f"worst 1: {order[4].name}",
    ]
    pictures = [axes.images[0].get_array() for axes in lines[0]]
    assert all(picture.shape == shape[-2:] for picture in pictures)
    before, after = (np.abs(picture).mean() for picture in pictures[3:])
    assert after < before / 3
    assert pictures[2].mask.any()  # where nothing is to be seen
    assert len(figures.gallery(rows[:1]).axes) == 5
    with pytest.raises(ValueError, match="No pair has a result"):
        figures.gallery([Row("bad", "known", "", "", "", "failed", "Not read.")])


def test_curves_put_training_and_validation_of_a_term_together() -> None:
    epochs = np.arange(1, 7)
    history = {
        "epoch": epochs,
        "train_total": 1 / epochs,
        "val total": [np.nan, 0.9, None, 0.5, np.nan, 0.4],
        "seconds": 2 * epochs,
        "validation/smoothness": epochs * 0.1,
        "learning rate": np.full(6, 1e-4),
        "empty": np.full(6, np.nan),
    }
    figure = figures.curves(history)
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert list(panels) == ["total", "smoothness", "learning rate"]
    training, validation = panels["total"].lines
    assert (training.get_label(), validation.get_label()) == ("training", "validation")
    assert list(validation.get_xdata()) == [2, 4, 6] and list(validation.get_ydata()) == [0.9, 0.5, 0.4]
    assert panels["learning rate"].get_legend() is None
    with pytest.raises(ValueError, match="no curve yet"):
        figures.curves({"epoch": [], "train total": []})
    # What a run has written is taken as it is read.
    losses = [Losses(0.5 / k, 0.4 / k, 0.1) for k in (1, 2, 3)]
    rows = [EpochRow(k, 5 * k, loss, None, 1.0) for k, loss in enumerate(losses, 1)]
    shown = figures.curves(rows)
    assert [axes.get_title() for axes in shown.axes] == ["total", "similarity", "smoothness"]
    assert list(shown.axes[0].lines[0].get_ydata()) == [loss.total for loss in losses]
    with pytest.raises(ValueError, match="no curve yet"):
        figures.curves(())


def test_the_elbow_is_marked_and_the_choice_where_it_is_another() -> None:
    (axes,) = figures.elbow([9.0, 4.0, 1.0, 0.5], 3, 3).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["elbow: 3"]
    assert list(axes.lines[0].get_ydata()) == [9.0, 4.0, 1.0, 0.5]
    assert not axes.lines[0].get_clip_on()  # the last dot is nearly on the axis
    assert (axes.lines[2].get_xdata()[0], axes.lines[2].get_ydata()[0]) == (3, 1.0)
    (axes,) = figures.elbow([9.0, 4.0, 1.0, 0.5], 3, 2).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["elbow: 3", "chosen: 2"]
    assert len(figures.elbow([1.0], 1).axes) == 1


def test_members_of_each_cluster_stand_in_a_line_the_nearest_first() -> None:
    from napari_voxreg.cohort import Cluster, Member
    from napari_voxreg.io.pairs import PairSet

    clusters = []
    for number, count in ((1, 3), (2, 1)):
        pairs = [Pair(f"c{number}p{k}", Path("f"), Path("m")) for k in range(count)]
        shown = tuple(Member(p, True, 0.5 * k, np.full((96, 96), k, np.uint8)) for k, p in enumerate(pairs))
        clusters.append(Cluster(number, shown, PairSet(tuple(pairs), ())))
    figure = figures.members(clusters, count=2)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["c1p0\n0.00", "c1p1\n0.50", "c2p0\n0.00", ""]
    assert [sub.get_suptitle() for sub in figure.subfigs] == [
        "cluster 1: 3 training, 0 validation pairs",
        "cluster 2: 1 training, 0 validation pairs",
    ]
    assert (figure.axes[1].images[0].get_array() == 1).all()
