"""`napari-voxreg register`: what it writes, prints and refuses."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from napari_voxreg import METHODS, Affine, load_transform
from napari_voxreg.cli.main import main
from napari_voxreg.core.geometry import Grid, Image
from napari_voxreg.core.params import Params
from napari_voxreg.core.progress import Progress
from napari_voxreg.io.images import read_image, write_image
from napari_voxreg.io.points import BIGWARP, PairFile, PointFile, write_point_pairs, write_points
from napari_voxreg.methods.base import Method, Outcome, Task


def test_register_finds_the_translation_and_writes_everything(
    registered: Path, shift: tuple[float, float]
) -> None:
    transform = load_transform(registered)
    points = np.array([[40.0, 50.0], [60.0, 80.0]])
    assert np.abs(transform(points) - points - shift).max() < 0.2
    record = json.loads((registered / "transform.json").read_text(encoding="utf-8"))
    assert record["method"] == "affine"
    assert record["parameters"]["levels"] == 2
    assert record["parameters"]["metric"] == "correlation"
    assert record["verdict"]["sentence"].startswith("Better")


def test_warped_image_keeps_the_fixed_geometry(pair: Path, registered: Path) -> None:
    warped, fixed = read_image(registered / "warped.nii.gz"), read_image(pair / "fixed.nii.gz")
    assert warped.grid.same_as(fixed.grid)
    inner = (slice(10, -10), slice(10, -10))
    assert np.abs(warped.data[inner] - fixed.data[inner]).max() < 0.1 * np.ptp(fixed.data)
    # Any other program makes the same picture from the saved file.
    moving = sitk.ReadImage(str(pair / "moving.nii.gz"))
    reference = sitk.ReadImage(str(pair / "fixed.nii.gz"))
    again = sitk.Resample(moving, reference, sitk.ReadTransform(str(registered / "transform.h5")))
    assert np.abs(sitk.GetArrayFromImage(again) - warped.data).max() < 1e-3 * np.ptp(fixed.data)


def test_register_prints_verdict_and_scores(
    images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["register", *images, "-o", tmp_path]
    assert main([*map(str, words), "--method", "translation"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Better: LNCC")
    for word in ("NCC", "NMI", "SSIM", "overlap only", "folded", "warped.nii.gz"):
        assert word in shown.out
    assert shown.err == ""  # no bar where there is no terminal


def test_the_device_reaches_the_method(
    images: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    told = []

    def run(task: Task, params: Params, progress: Progress) -> Outcome:
        told.append(task.device)
        return Outcome(Affine.identity(2))

    monkeypatch.setitem(METHODS, "anywhere", Method("anywhere", "Any", Params, run, {"x": {}}, "affine"))
    assert main(["register", *images, "-o", str(tmp_path), "--method", "anywhere"]) == 0
    assert main(["compare", *images, "-m", "anywhere", "--device", "cuda"]) == 0
    assert told == ["auto", "cuda"]
    assert "There is no device 'tpu'; choose from: auto, " in refused("compare", *images, "--device", "tpu")


@pytest.mark.parametrize(
    "words",
    [
        *(["register", "-o", "no", "-m", name] for name in ("auto", "diffeo", "pose")),
        ["compare", "-m", "translation", "diffeo"],
    ],
    ids=" ".join,
)
def test_a_device_that_is_not_there_is_refused(
    words: list[str],
    images: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("napari_voxreg.tensor.device.call", lambda function, progress: ("auto", "cpu"))
    assert main([words[0], *images, *words[1:], "--device", "cuda"]) == 2
    shown = capsys.readouterr()
    assert shown.err == "napari-voxreg: There is no CUDA device on this machine; choose auto or cpu.\n"
    assert shown.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("affine", "Affine (SimpleITK) runs on the CPU."),
        pytest.param("elastix", "elastix runs on the CPU.", marks=pytest.mark.slow),
    ],
)
def test_methods_that_need_no_device_say_so(
    method: str, sentence: str, images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if method == "elastix" and importlib.util.find_spec("itk") is None:
        pytest.skip("elastix is not installed")
    words = ["register", *images, "-o", str(tmp_path), "-m", method, "--iterations", "5"]
    assert main([*words, "--device", "cuda"]) == 0
    assert sentence in capsys.readouterr().out


def test_initial_transform_mask_and_landmarks_are_used(
    pair: Path, images: list[str], tmp_path: Path, shift: tuple[float, float]
) -> None:
    image = read_image(pair / "fixed.nii.gz")
    write_image(image.with_data(np.ones(image.grid.shape, np.uint8)), tmp_path / "mask.nii.gz")
    fixed = np.array([[20.0, 10.0], [60.0, 30.0], [40.0, 80.0], [70.0, 100.0]])
    np.savetxt(tmp_path / "fixed.csv", fixed, delimiter=",")
    np.savetxt(tmp_path / "moving.csv", fixed + shift, delimiter=",")
    words = ["register", *images, "-o", tmp_path / "out"]
    words += ["--method", "rigid", "--initial", "landmarks", "--fixed-mask", tmp_path / "mask.nii.gz"]
    words += ["--landmarks", tmp_path / "fixed.csv", tmp_path / "moving.csv"]
    assert main([str(word) for word in words]) == 0
    scores = json.loads((tmp_path / "out" / "transform.json").read_text(encoding="utf-8"))["scores"]
    assert scores["before"]["landmark error"] == pytest.approx(np.hypot(*shift))
    assert scores["after"]["landmark error"] < 0.3


def test_landmarks_correspond_by_their_labels(
    images: list[str], tmp_path: Path, shift: tuple[float, float], capsys: pytest.CaptureFixture[str]
) -> None:
    fixed = np.array([[20.0, 10.0], [60.0, 30.0], [40.0, 80.0]])
    write_points(PointFile(fixed, ("a", "b", "c"), "millimeter"), tmp_path / "f.mrk.json")
    moving = np.vstack([(fixed + shift)[::-1], [[1.0, 2.0]]])
    write_points(PointFile(moving, ("c", "b", "a", "d"), "millimeter"), tmp_path / "m.fcsv")
    words = ["register", *images, "-o", tmp_path / "out", "--method", "translation"]
    assert (
        main([str(word) for word in [*words, "--landmarks", tmp_path / "f.mrk.json", tmp_path / "m.fcsv"]])
        == 0
    )
    said = "Only one of f.mrk.json and m.fcsv has d; left out."
    record = json.loads((tmp_path / "out" / "transform.json").read_text(encoding="utf-8"))
    assert said in capsys.readouterr().out and said in record["notes"]
    assert record["scores"]["before"]["landmark error"] == pytest.approx(np.hypot(*shift))
    pairs = write_point_pairs(PairFile(fixed, fixed + shift), tmp_path / "pairs.csv", BIGWARP)
    words[4] = tmp_path / "again"
    assert main([str(word) for word in [*words, "--landmarks", pairs, pairs]]) == 0
    again = json.loads((tmp_path / "again" / "transform.json").read_text(encoding="utf-8"))
    assert again["scores"]["before"]["landmark error"] == pytest.approx(np.hypot(*shift))


def test_a_saved_transform_is_continued(
    images: list[str], registered: Path, tmp_path: Path, shift: tuple[float, float]
) -> None:
    words = ["register", *images, "-o", tmp_path]
    words += ["--method", "affine", "--initial", registered, "--iterations", "1", "--levels", "1"]
    assert main([str(word) for word in words]) == 0
    point = np.array([[40.0, 50.0]])
    # One step moves it a pixel or so; from the layer positions it would end 3 mm away.
    assert np.abs(load_transform(tmp_path)(point) - point - shift).max() < 1.5


def test_each_time_point_is_warped(
    pair: Path, registered: Path, tmp_path: Path, shift: tuple[float, float]
) -> None:
    """A series in time of one slice, as NIfTI has it: time, plane, row, column."""
    moving = read_image(pair / "moving.nii.gz")
    grid = Grid.from_spacing(
        (3, 1, *moving.grid.shape),
        spacing=(2.0, 4.0, *moving.grid.spacing),
        origin=(0.0, 0.0, *moving.grid.origin),
        units=("second", "mm", "mm", "mm"),
    )
    frames = np.stack([moving.data, 2 * moving.data, 3 * moving.data])[:, None]
    write_image(Image(frames, grid), tmp_path / "series.nii.gz")
    target = tmp_path / "warped.nii.gz"
    assert main(["apply", str(registered), str(tmp_path / "series.nii.gz"), "-o", str(target)]) == 0
    once, series = read_image(registered / "warped.nii.gz"), read_image(target)
    found = series.data.reshape(3, *once.data.shape)
    for k in range(3):
        assert np.allclose(found[k], (k + 1) * once.data, atol=1e-5)

    # As the moving image its first time point is registered; the fixed image has no planes at all.
    words = ["register", pair / "fixed.nii.gz", tmp_path / "series.nii.gz", "-o", tmp_path / "out"]
    assert main([*map(str, words), "--method", "translation"]) == 0
    point = np.array([[40.0, 50.0]])
    assert np.abs(load_transform(tmp_path / "out")(point) - point - shift).max() < 0.5
    assert read_image(tmp_path / "out" / "warped.nii.gz").data.size == 3 * once.data.size


def test_bad_input_is_refused_and_nothing_is_written(
    pair: Path, images: list[str], tmp_path: Path, refused: Callable[..., str]
) -> None:
    out = tmp_path / "out"
    base = ["register", *images, "-o", out]
    assert "magic" in refused(*base, "--method", "magic")
    assert "preset" in refused(*base, "--method", "affine", "--preset", "magic")
    assert "between" in refused(*base, "--method", "affine", "--levels", "99")
    assert "must be a number" in refused(*base, "--method", "affine", "--levels", "few")
    assert "not a valid initial transform" in refused(*base, "--initial", "somewhere")
    assert "expected 2 arguments" in refused(*base, "--landmarks", tmp_path / "points.csv")
    assert "no file" in refused(*base, "--landmarks", tmp_path / "one.csv", tmp_path / "other.csv")
    colours = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    write_image(Image(colours, Grid.from_spacing((40, 40))), tmp_path / "colours.png")
    colour = ["register", tmp_path / "colours.png", tmp_path / "colours.png", "-o", out]
    assert "channel" in refused(*colour, "--method", "affine", "--channel", "red")
    assert "between 0 and 2" in refused(*colour, "--method", "affine", "--channel", "3")

    image = read_image(pair / "fixed.nii.gz")
    far = Grid.from_spacing(image.grid.shape, origin=(5000.0, 0.0), units="mm")
    write_image(image.with_grid(far), tmp_path / "far.nii.gz")
    words = ["register", pair / "fixed.nii.gz", tmp_path / "far.nii.gz", "-o", out, "--method", "affine"]
    assert "centres" in refused(*words)
    write_image(image.with_data(np.zeros_like(image.data)), tmp_path / "black.nii.gz")
    words[2] = tmp_path / "black.nii.gz"
    assert "constant" in refused(*words)
    words[2] = tmp_path / "missing.nii.gz"
    assert "missing.nii.gz" in refused(*words)
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_progress_is_shown_in_a_terminal_and_interrupt_cancels(images: list[str], tmp_path: Path) -> None:
    import pty
    import termios

    words = ["register", *images, "-o", tmp_path / "out"]
    # So many iterations that only a cancel can end them.
    words += ["--method", "demons", "--iterations", "10000"]
    command = [sys.executable, "-m", "napari_voxreg", *map(str, words)]
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (25, 100))
    process = subprocess.Popen(command, stderr=end)
    os.close(end)
    shown = b""
    while b"level" not in shown:  # the method is at work
        shown += os.read(terminal, 1000)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while more := os.read(terminal, 1000):
            shown += more
    assert process.wait(timeout=30) == 130
    assert time.monotonic() - began < 5
    os.close(terminal)
    assert b"%|" in shown
    assert b"cancelled" in shown
    assert b"Traceback" not in shown
    assert not (tmp_path / "out").exists()
