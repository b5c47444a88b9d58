"""`napari-voxreg train`: one command from pairs to weights, stopped, resumed, shared by two processes."""

from __future__ import annotations

import csv
import json
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

QUICK = ["--architecture", "stn", "--size", "32", "--workers", "0", "--validation", "0.25"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight pairs in two folders."""
    rng, grid = np.random.default_rng(0), Grid.from_spacing((32, 32))
    for k in range(8):
        image = ndimage.gaussian_filter(rng.standard_normal((32, 32)), 2).astype(np.float32)
        write_image(Image(image, grid), tmp_path / "in" / "moving" / f"{k}.tif")
        write_image(Image(np.roll(image, 1, 0), grid), tmp_path / "in" / "fixed" / f"{k}.tif")
    return tmp_path / "in"


def curve(run: Path) -> list[list[float]]:
    """Losses of history.csv."""
    with (run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name.endswith(("total", "similarity", "smoothness"))]
    return [[float(row[name] or "nan") for name in names] for row in rows]


def test_train_writes_weights_and_says_where(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["train", str(folder), "-o", str(run), *QUICK, "--epochs", "2", "--batch-size", "3"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "All 2 epochs are done." in said
    assert "Best validation in epoch" in said
    assert (run / "best.safetensors").is_file()
    assert len(curve(run)) == 3
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG") and "curves.png" in said
    assert main(words) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main(["train", str(run), "--resume", "--epochs", "3"]) == 0
    assert len(curve(run)) == 4


def test_every_option_is_there_with_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    for info in TrainOptions.infos():
        assert f"--{info.name.replace('_', '-')}" in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-o", "{run}", "--architecture", "unet"], "choose from: voxelmorph"),
        (["-o", "{run}", "--epochs", "0"], "choose between 1 and"),
        (["-o", "{run}", "--start", "weights"], "give it and set start"),
        ([], "or --resume and the folder"),
        (["--resume"], "holds no training run"),
        (["-o", "{run}", "--devices", "0"], "1 device"),
    ],
)
def test_refusals_are_one_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    filled = [word.format(run=tmp_path / "run") for word in words]
    assert main(["train", str(folder), *filled]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_sources_that_hold_no_pairs_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty folder, lists of unequal length, 2D with 3D."""
    (tmp_path / "empty").mkdir()
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "train_fixed.txt").write_text("".join(f"{folder}/fixed/{k}.tif\n" for k in range(3)))
    (lists / "train_moving.txt").write_text(f"{folder}/moving/0.tif\n")
    mixed = tmp_path / "mixed"
    for side in ("fixed", "moving"):
        write_image(Image(np.ones((8, 8, 8), np.uint8), Grid.from_spacing((8, 8, 8))), mixed / side / "a.nii")
        write_image(Image(np.ones((8, 8), np.uint8), Grid.from_spacing((8, 8))), mixed / side / "b.tif")
    for source in (tmp_path / "empty", lists, mixed):
        assert main(["train", str(source), "-o", str(tmp_path / "run"), *QUICK]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.slow, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, id="SIGTERM"),
    ],
)
def test_a_signal_stops_and_keeps(folder: Path, tmp_path: Path, number: int) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-m", "napari_voxreg", "train", str(folder), "-o", str(run), *QUICK]
    with subprocess.Popen([*words, "--epochs", "100000"], stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 120
        while not (run / "last.safetensors").exists() and time.monotonic() < until:
            time.sleep(0.1)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"train {run} --resume" in said
    done = len(curve(run))
    assert main(["train", str(run), "--resume", "--epochs", str(done)]) == 0
    assert len(curve(run)) == done + 1


@pytest.mark.slow
def test_two_processes_learn_as_one_with_the_doubled_batch(folder: Path, tmp_path: Path) -> None:
    common = [sys.executable, "-m", "napari_voxreg", "train", str(folder), *QUICK, "--epochs", "2"]
    common += ["--device", "cpu", "--rotation", "10"]
    for name, words in (
        ("one", ["--batch-size", "6"]),
        ("two", ["--batch-size", "3", "--devices", "2"]),
    ):
        done = subprocess.run(
            [*common, "-o", str(tmp_path / name), *words], capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("All 2 epochs are done.") == 1
        card = json.loads((tmp_path / name / "best.json").read_text())
        assert all(len(entry["sha256"]) == 64 for entry in card["data"])
    one, two = curve(tmp_path / "one"), curve(tmp_path / "two")
    np.testing.assert_allclose(one, two, rtol=1e-4)
    assert np.ptp(np.array(one)[1:, 0]) > 0
