"""The command line: what it prints, writes and refuses."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Affine, load_transform
from napari_voxreg.cli import main as cli
from napari_voxreg.core.geometry import Grid, Image
from napari_voxreg.core.params import Params
from napari_voxreg.core.progress import Progress
from napari_voxreg.images.task import Task
from napari_voxreg.io.images import read_image, write_image
from napari_voxreg.io.points import read_points
from napari_voxreg.methods import describe
from napari_voxreg.methods.base import Method, Outcome

ROOT = Path(__file__).parents[2]
SHIFT = (3.0, -4.5)  # world units (millimetres), fixed to moving


def blobs(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Smooth texture, float32."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).standard_normal(shape)
    return gaussian_filter(noise, 4).astype(np.float32)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pictures of one scene, shifted in the world, as NIfTI."""
    folder = tmp_path_factory.mktemp("pair")
    scene = blobs((110, 120))
    grid = Grid.from_spacing((80, 90), spacing=(1.0, 1.5), origin=(5.0, -7.0), units="mm")
    write_image(Image(scene[10:90, 10:100], grid), folder / "fixed.nii.gz")
    # What lies at index i of the fixed image lies at i + (3, -3) of the moving one.
    write_image(Image(scene[7:87, 13:103], grid), folder / "moving.nii.gz")
    return folder


@pytest.fixture(scope="module")
def registered(pair: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `register` wrote for the pair."""
    folder = tmp_path_factory.mktemp("run") / "new" / "result"
    words = ["register", str(pair / "fixed.nii.gz"), str(pair / "moving.nii.gz"), "-o", str(folder)]
    code = cli.main([*words, "--method", "affine", "--levels", "2", "--metric", "correlation", "--seed", "3"])
    assert code == 0
    return folder


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one sentence of a refusal."""
    assert cli.main([str(word) for word in words]) == 2
    complaint = capsys.readouterr().err.strip()
    assert complaint.startswith("napari-voxreg: ")
    assert "\n" not in complaint
    assert complaint.endswith((".", ")"))
    return complaint


def test_help_loads_nothing() -> None:
    code = (
        "import sys, napari_voxreg.cli.main as cli; cli.main(['--help']);"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'SimpleITK', 'qtpy', 'napari')))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0
    for command in ("demo", "samples", "methods", "register", "compare", "apply"):
        assert command in shown.stdout


def test_wrong_options_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["register", "a.png"]) == 2
    assert cli.main([]) == 2
    assert cli.main(["register", "a", "b", "-o", "c", "--method", "affine", "--tightness", "9"]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", METHODS)
def test_each_parameter_is_an_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also shows that no parameter has the name of a shared option, which argparse would refuse."""
    assert cli.main(["register", "--method", name, "--help"]) == 0
    options = capsys.readouterr().out
    assert cli.main(["methods", name]) == 0
    listing = capsys.readouterr().out
    for info in METHODS[name].params.infos():
        assert f"--{info.name.replace('_', '-')}" in options
        assert f"  {info.name} " in listing
        assert describe.default(info) in listing
    for preset in METHODS[name].presets:
        assert preset in listing


def test_methods_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["methods"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(METHODS)
    assert "choose from" in refused(capsys, "methods", "magic")


def test_documentation_is_current() -> None:
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert page == describe.markdown(), "run: make docs"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in METHODS if f"`{name}`" not in readme] == []


def test_register_finds_the_shift_and_writes_everything(registered: Path) -> None:
    transform = load_transform(registered)
    points = np.array([[40.0, 50.0], [60.0, 80.0]])
    assert np.abs(transform(points) - points - SHIFT).max() < 0.2
    record = json.loads((registered / "transform.json").read_text(encoding="utf-8"))
    assert record["method"] == "affine"
    assert record["parameters"]["levels"] == 2
    assert record["parameters"]["metric"] == "correlation"
    assert record["verdict"].startswith("Better")


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
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["register", pair / "fixed.nii.gz", pair / "moving.nii.gz", "-o", tmp_path]
    assert cli.main([*map(str, words), "--method", "translation"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Better: LNCC")
    for word in ("NCC", "NMI", "SSIM", "overlap only", "folded", "warped.nii.gz"):
        assert word in shown.out
    assert shown.err == ""  # no bar where there is no terminal


def test_the_device_reaches_the_method(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []

    def run(task: Task, params: Params, progress: Progress) -> Outcome:
        told.append(task.device)
        return Outcome(Affine.identity(2))

    monkeypatch.setitem(METHODS, "anywhere", Method("anywhere", "Any", Params, run, {"x": {}}, "affine"))
    images = [str(pair / f"{which}.nii.gz") for which in ("fixed", "moving")]
    assert cli.main(["register", *images, "-o", str(tmp_path), "--method", "anywhere"]) == 0
    assert cli.main(["compare", *images, "--methods", "anywhere", "--device", "cuda"]) == 0
    assert told == ["auto", "cuda"]
    assert cli.main(["compare", *images, "--device", "tpu"]) == 2
    assert "invalid choice: 'tpu'" in capsys.readouterr().err


def test_compare_prints_and_writes_a_table(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "table"
    words = ["compare", pair / "fixed.nii.gz", pair / "moving.nii.gz", "--methods", "translation, rigid"]
    assert cli.main([*map(str, words), "-o", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["method", "verdict", "LNCC", "SSIM"]
    assert [line.split()[0] for line in lines[1:4]] == ["before", "translation", "rigid"]
    assert sum(" * " in line for line in lines[1:4]) == 1
    assert {path.name for path in out.iterdir()} == {"table.csv", "table.md", "translation", "rigid"}
    point = np.array([[40.0, 50.0]])
    assert np.abs(load_transform(out / "rigid")(point) - point - SHIFT).max() < 0.3
    assert (out / "table.csv").read_text(encoding="utf-8").startswith("method,verdict,best,LNCC")
    assert "magic" in refused(capsys, *words[:3], "--methods", "rigid,magic")
    assert cli.main([*map(str, words[:3]), "--method", "rigid"]) == 2


def test_apply_repeats_the_warp_and_keeps_labels(pair: Path, registered: Path, tmp_path: Path) -> None:
    again = tmp_path / "deep" / "again.nii.gz"
    assert cli.main(["apply", str(registered), str(pair / "moving.nii.gz"), "-o", str(again)]) == 0
    assert np.array_equal(read_image(again).data, read_image(registered / "warped.nii.gz").data)

    moving = read_image(pair / "moving.nii.gz")
    labels = np.where(moving.data > 0, 7, 200).astype(np.uint8)
    write_image(moving.with_data(labels), tmp_path / "labels.nrrd")
    target = tmp_path / "warped labels.nrrd"
    words = ["apply", registered / "transform.h5", tmp_path / "labels.nrrd", "-o", target, "--labels"]
    assert cli.main([str(word) for word in words]) == 0
    assert set(np.unique(read_image(target).data)) == {0, 7, 200}


def test_start_mask_and_points_are_used(pair: Path, tmp_path: Path) -> None:
    image = read_image(pair / "fixed.nii.gz")
    write_image(image.with_data(np.ones(image.grid.shape, np.uint8)), tmp_path / "mask.nii.gz")
    fixed = np.array([[20.0, 10.0], [60.0, 30.0], [40.0, 80.0], [70.0, 100.0]])
    np.savetxt(tmp_path / "fixed.csv", fixed, delimiter=",")
    np.savetxt(tmp_path / "moving.csv", fixed + SHIFT, delimiter=",")
    words = ["register", pair / "fixed.nii.gz", pair / "moving.nii.gz", "-o", tmp_path / "out"]
    words += ["--method", "rigid", "--start", "landmarks", "--fixed-mask", tmp_path / "mask.nii.gz"]
    words += ["--fixed-points", tmp_path / "fixed.csv", "--moving-points", tmp_path / "moving.csv"]
    assert cli.main([str(word) for word in words]) == 0
    scores = json.loads((tmp_path / "out" / "transform.json").read_text(encoding="utf-8"))["scores"]
    assert scores["before"]["landmark error"] == pytest.approx(np.hypot(*SHIFT))
    assert scores["after"]["landmark error"] < 0.3


def test_a_saved_transform_is_continued(pair: Path, registered: Path, tmp_path: Path) -> None:
    words = ["register", pair / "fixed.nii.gz", pair / "moving.nii.gz", "-o", tmp_path]
    words += ["--method", "affine", "--start", registered, "--iterations", "1", "--levels", "1"]
    assert cli.main([str(word) for word in words]) == 0
    point = np.array([[40.0, 50.0]])
    # One step moves it a pixel or so; from the present position it would end 3 mm away.
    assert np.abs(load_transform(tmp_path)(point) - point - SHIFT).max() < 1.5


def test_each_time_point_is_warped(pair: Path, registered: Path, tmp_path: Path) -> None:
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
    assert cli.main(["apply", str(registered), str(tmp_path / "series.nii.gz"), "-o", str(target)]) == 0
    once, series = read_image(registered / "warped.nii.gz"), read_image(target)
    found = series.data.reshape(3, *once.data.shape)
    for k in range(3):
        assert np.allclose(found[k], (k + 1) * once.data, atol=1e-5)

    # As the moving image its first time point is registered; the fixed image has no planes at all.
    words = ["register", pair / "fixed.nii.gz", tmp_path / "series.nii.gz", "-o", tmp_path / "out"]
    assert cli.main([*map(str, words), "--method", "translation"]) == 0
    point = np.array([[40.0, 50.0]])
    assert np.abs(load_transform(tmp_path / "out")(point) - point - SHIFT).max() < 0.5
    assert read_image(tmp_path / "out" / "warped.nii.gz").data.size == 3 * once.data.size


def test_bad_input_is_refused_and_nothing_is_written(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    base = ["register", pair / "fixed.nii.gz", pair / "moving.nii.gz", "-o", out]
    assert "magic" in refused(capsys, *base, "--method", "magic")
    assert "preset" in refused(capsys, *base, "--method", "affine", "--preset", "magic")
    assert "between" in refused(capsys, *base, "--method", "affine", "--levels", "99")
    assert "must be a number" in refused(capsys, *base, "--method", "affine", "--levels", "few")
    assert "start" in refused(capsys, *base, "--start", "somewhere")
    assert "both" in refused(capsys, *base, "--fixed-points", tmp_path / "points.csv")
    colours = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    write_image(Image(colours, Grid.from_spacing((40, 40))), tmp_path / "colours.png")
    colour = ["register", tmp_path / "colours.png", tmp_path / "colours.png", "-o", out]
    assert "channel" in refused(capsys, *colour, "--method", "affine", "--channel", "red")
    assert "between 0 and 2" in refused(capsys, *colour, "--method", "affine", "--channel", "3")

    image = read_image(pair / "fixed.nii.gz")
    far = Grid.from_spacing(image.grid.shape, origin=(5000.0, 0.0), units="mm")
    write_image(image.with_grid(far), tmp_path / "far.nii.gz")
    words = ["register", pair / "fixed.nii.gz", tmp_path / "far.nii.gz", "-o", out, "--method", "affine"]
    assert "centres" in refused(capsys, *words)
    write_image(image.with_data(np.zeros_like(image.data)), tmp_path / "black.nii.gz")
    words[2] = tmp_path / "black.nii.gz"
    assert "constant" in refused(capsys, *words)
    words[2] = tmp_path / "missing.nii.gz"
    assert "missing.nii.gz" in refused(capsys, *words)
    assert not out.exists()


def test_apply_needs_a_record(
    pair: Path, registered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alone.h5").write_bytes((registered / "transform.h5").read_bytes())
    words = ["apply", tmp_path / "alone.h5", pair / "moving.nii.gz", "-o", tmp_path / "x.nii.gz"]
    assert "record" in refused(capsys, *words)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_progress_is_shown_in_a_terminal_and_interrupt_cancels(pair: Path, tmp_path: Path) -> None:
    import pty
    import termios

    words = ["register", pair / "fixed.nii.gz", pair / "moving.nii.gz", "-o", tmp_path / "out"]
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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_an_interrupted_comparison_keeps_what_is_finished(pair: Path, tmp_path: Path) -> None:
    import pty
    import termios

    out = tmp_path / "out"
    words = ["compare", pair / "fixed.nii.gz", pair / "moving.nii.gz", "-o", out]
    # So many iterations that only a cancel can end the second method.
    script = (
        "import sys; from napari_voxreg import METHODS, cli;"
        "METHODS['demons'].presets['same modality'].update(iterations=10000);"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, *map(str, words), "--methods", "translation,demons"]
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (25, 140))
    process = subprocess.Popen(command, stderr=end, stdout=subprocess.PIPE, encoding="utf-8")
    os.close(end)
    shown = b""
    while b"demons, level" not in shown:
        shown += os.read(terminal, 1000)
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):
        while more := os.read(terminal, 1000):
            shown += more
    printed = process.communicate(timeout=30)[0]
    os.close(terminal)
    assert process.returncode == 130
    assert b"cancelled; 1 of the methods" in shown and b"Traceback" not in shown
    assert "translation *" in printed and "demons" not in printed
    assert {path.name for path in out.iterdir()} == {"table.csv", "table.md", "translation"}


def test_points_are_read_from_any_plain_table(tmp_path: Path) -> None:
    expected = np.array([[1.0, 2.5], [3.0, -4.0]])
    plain, headed, napari = (tmp_path / name for name in ("plain.csv", "headed.csv", "napari.csv"))
    plain.write_text("1,2.5\n3,-4\n", encoding="utf-8")
    headed.write_text("row,column\n1,2.5\n\n3,-4\n", encoding="utf-8")
    napari.write_text("index,axis-0,axis-1\n0,1,2.5\n1,3,-4\n", encoding="utf-8")
    for file in (plain, headed, napari):
        assert np.array_equal(read_points(file), expected)
    plain.write_text("1,2\n3\n", encoding="utf-8")
    with pytest.raises(ValueError, match="one point a line"):
        read_points(plain)
    with pytest.raises(ValueError, match="no file"):
        read_points(tmp_path / "nothing.csv")


def test_samples_are_listed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["samples"]) == 0
    listing = capsys.readouterr().out
    for name in ("fundus", "sar", "brain2d", "brain3d", "microscopy"):
        assert name in listing
    assert cli.main(["samples", "fundus", "-o", str(tmp_path)]) == 0
    files = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert len(files) >= 2
    assert all(file.is_file() for file in files)
    assert "choose from" in refused(capsys, "samples", "moon")


def test_demo_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("PATH", "")
    assert cli.main(["demo"]) == 1
    assert "apt-get install -y xvfb" in capsys.readouterr().err


def test_readme_examples_run(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", readme, re.DOTALL))
    assert "epochs=50" in code
    code = code.replace("epochs=50", "epochs=1")
    for k in range(5):
        picture = gaussian_filter(np.random.default_rng(k).random((32, 40)), 2).astype(np.float32)
        for side, shift in (("fixed", 0), ("moving", 2)):
            write_image(
                Image(np.roll(picture, shift, 0), Grid.from_spacing(picture.shape)),
                tmp_path / "visits" / side / f"{k}.tif",
            )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=200)
    assert (tmp_path / "fundus" / "transform.h5").is_file()
    assert (tmp_path / "run" / "best.safetensors").is_file()
    assert (tmp_path / "table" / "table.csv").is_file()
    commands = re.findall(r"^    napari-voxreg (.*)$", readme, re.MULTILINE)
    assert len(commands) == 6
    for words in commands:
        command = [sys.executable, "-m", "napari_voxreg", *words.split()]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=200, env=os.environ)
