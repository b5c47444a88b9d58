"""`napari-voxreg clusters`: from a folder to clusters, pictures, models and a table."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_voxreg import Grid, Image
from napari_voxreg.cli.main import main
from napari_voxreg.io.images import write_image
from napari_voxreg.train.options import TrainOptions
from napari_voxreg.train.runs import read_run

QUICK = ["--architecture", "stn", "--size", "32", "--workers", "0", "--epochs", "1", "--batch-size", "4"]
QUICK += ["--device", "cpu"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pairs of smooth noise and six of stripes, a third of either for validation."""
    rng, grid = np.random.default_rng(0), Grid.from_spacing((32, 32))
    stripes = (np.arange(32) // 4 % 2) * np.ones((32, 1))
    held = []
    for k in range(12):
        smooth = ndimage.gaussian_filter(rng.standard_normal((32, 32)), 4)
        data = stripes + 0.1 * rng.standard_normal((32, 32)) if k % 2 else smooth / np.abs(smooth).max()
        kind = "stripes" if k % 2 else "noise"
        for side, shift in (("fixed", 0), ("moving", 1)):
            image = Image(np.roll(data, shift, 0).astype(np.float32), grid)
            write_image(image, tmp_path / "in" / side / f"{kind}{k:02d}.tif")
        held += [f"{kind}{k:02d}.tif"] * (k >= 8)
    (tmp_path / "held.txt").write_text("\n".join(held))
    return tmp_path / "in"


def words(folder: Path, *more: str) -> list[str]:
    held = ["--validation", str(folder.parent / "held.txt")]
    return ["clusters", str(folder), "-o", str(folder.parent / "out"), *held, *more]


def table(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_clusters_are_listed_and_drawn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(folder, "-k", "2")) == 0
    said = capsys.readouterr().out
    assert "Cluster 1: 4 training, 2 validation; nearest" in said and "The elbow is at " in said
    out = folder.parent / "out"
    assert "Wrote clusters.csv, elbow.png and gallery.png to" in said
    assert sorted(path.name for path in out.iterdir()) == ["clusters.csv", "elbow.png", "gallery.png"]
    for name in ("elbow.png", "gallery.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    rows = table(out / "clusters.csv")[1:]
    kinds = {number: {row[2][:5] for row in rows if row[0] == number} for number in ("1", "2")}
    assert sorted(map(sorted, kinds.values())) == [["noise"], ["strip"]]
    assert sum(row[1] == "val" for row in rows) == 4


@pytest.mark.slow
def test_models_are_trained_judged_and_not_trained_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(folder, "-k", "2", "--train", *QUICK)) == 0
    said, out = capsys.readouterr().out, folder.parent / "out"
    assert "stn, MSE: every model took 2 steps from the same weights (2 steps on all pairs)" in said
    rows = table(out / "table.csv")
    assert [row[0] for row in rows] == ["cluster", "1", "2", "all"]
    assert [row[1] for row in rows[1:]] == ["4", "4", "8"] and [row[2] for row in rows[1:]] == ["2", "2", "4"]
    page = (out / "summary.md").read_text(encoding="utf-8")
    assert "over 4 validation pairs" in page and "every model took 2 steps" in page
    runs = sorted(path.parent.name for path in (out / "models").glob("*/last.safetensors"))
    assert runs == ["all", "cluster-1", "cluster-2", "first"]
    times = {path: path.stat().st_mtime_ns for path in (out / "models").glob("*/last.safetensors")}
    first = (out / "table.csv").read_bytes()
    assert main(words(folder, "-k", "2", "--train", *QUICK)) == 0
    assert (out / "table.csv").read_bytes() == first
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert main(words(folder, "-k", "3", "--train", *QUICK)) == 2  # other clusters, the same runs
    assert "holds a run of other pairs" in capsys.readouterr().err


def test_ctrl_c_stops_and_keeps(folder: Path) -> None:
    command = [sys.executable, "-m", "napari_voxreg", *words(folder, "-k", "2", "--train", *QUICK)]
    command += ["--epochs", "100000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 120
        weights = folder.parent / "out" / "models" / "first" / "last.safetensors"
        while not weights.exists() and time.monotonic() < until:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "while the first model was trained; all is saved, the same command goes on from there" in said
    assert read_run(weights.parent).resumable


def test_every_training_option_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clusters", "--help"]) == 0
    text = capsys.readouterr().out
    for info in TrainOptions.infos():
        assert f"--{info.name.replace('_', '-')}" in text


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["-k", "0"], "There cannot be 0 clusters"),
        (["-k", "9"], "9 clusters cannot be made of this set; choose from 1 to 8 (8 training pairs)"),
        (["--epochs", "3"], "--epochs is about training; give --train"),
        (["--train", "--validation", "0"], "keep some with --validation"),
        (["--train", "-k", "1"], "choose 2 clusters or more"),
        (["--train", "-k", "2", "--patience", "2"], "leave it out"),
        (["--train", "--loss", "none"], "choose from: auto, MSE"),
    ],
)
def test_refusals_are_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], sentence: str
) -> None:
    assert main(words(folder, *more)) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
    assert not (folder.parent / "out" / "models").exists()
