"""Ctrl-C and SIGTERM: one sentence, exit code 130, nothing lost and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from napari_voxreg import METHODS, figures
from napari_voxreg.cli.main import main
from napari_voxreg.core import process
from napari_voxreg.core.params import Params
from napari_voxreg.core.progress import Progress
from napari_voxreg.methods.base import Method, Outcome, Task

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")
CANCELLED = "napari-voxreg: cancelled; nothing was written\n"

# Sends a signal to itself in the middle of an import.
INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[2]:
            os.kill(os.getpid(), int(sys.argv[1]))
from napari_voxreg.cli.main import main
sys.meta_path.insert(0, Finder())
sys.exit(main(sys.argv[3:]))
"""


def pausing(progress):
    progress(0.5, "pausing")
    time.sleep(60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("module", ["tqdm", "numpy", "napari_voxreg.methods"])
def test_while_libraries_are_loaded_there_is_no_traceback(number: int, module: str) -> None:
    words = [sys.executable, "-c", INTERRUPTED, str(int(number)), module, "methods"]
    found = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", CANCELLED)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_run_ends_and_removes_its_temporary_folders(
    number: int,
    images: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The images lie in a temporary folder, for the child process."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    there = []

    def run(task: Task, params: Params, progress: Progress) -> Outcome:
        def report(fraction: float | None, message: str, metric: float | None = None) -> None:
            if message == "pausing" and not there:
                there.extend((tmp_path / "tmp").iterdir())
                os.kill(os.getpid(), number)
            progress(fraction, message, metric)

        process.call(pausing, progress=report)
        raise AssertionError

    monkeypatch.setitem(METHODS, "slow", Method("slow", "Slow", Params, run, {"x": {}}, "affine"))
    before = signal.getsignal(number)
    assert main(["register", *images, "-o", str(tmp_path / "out"), "-m", "slow"]) == 130
    assert signal.getsignal(number) is before
    assert capsys.readouterr().err == CANCELLED
    assert there, "there was a folder"
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_termination_while_files_are_read_is_one_sentence(
    images: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(path: Path) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    monkeypatch.setattr("napari_voxreg.cli.commands.register.read_image", read)
    assert main(["register", *images, "-o", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err == CANCELLED


def test_what_a_killed_command_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import sys, time; from napari_voxreg.core.disk import scratch_folder\n"
        "with scratch_folder() as folder: print(folder, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    (tmp_path / "napari-voxreg-of-mine").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        left = Path(killed.stdout.readline().strip())
        killed.kill()
    assert left.is_dir()
    words = [sys.executable, "-m", "napari_voxreg", "methods"]
    subprocess.run(words, env=environment, check=True, capture_output=True, timeout=60)
    assert [path.name for path in tmp_path.iterdir()] == ["napari-voxreg-of-mine"]


def test_ctrl_c_while_clusters_are_drawn_ends_before_the_next_drawing(
    images: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = figures.elbow

    def interrupted(*given: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*given)

    monkeypatch.setattr(figures, "elbow", interrupted)
    (tmp_path / "pairs.csv").write_text(
        "fixed,moving\n" + f"{images[0]},{images[1]}\n{images[1]},{images[0]}\n"
    )
    out = tmp_path / "out"
    words = ["clusters", str(tmp_path / "pairs.csv"), "-o", str(out), "-k", "1", "--validation", "0"]
    assert main(words) == 130
    expected = f"napari-voxreg: cancelled; {out} holds clusters.csv and elbow.png so far\n"
    assert capsys.readouterr().err == expected
    assert sorted(path.name for path in out.iterdir()) == ["clusters.csv", "elbow.png"]
