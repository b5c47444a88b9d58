"""The log: silent unless it is asked for, on stderr, and with what one wants to know."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from napari_voxreg.cli.main import main


def register(images: list[str], out: Path, *more: str) -> list[str]:
    return ["register", *images, "-o", str(out), "-m", "translation", *more]


def test_verbose_tells_files_method_stages_and_decisions(
    images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(register(images, tmp_path / "out", "-vv")) == 0
    said = capsys.readouterr()
    assert said.out.startswith("Better")
    lines = said.err.splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d (INFO|DEBUG) ", line) for line in lines)
    for text in (
        f"read {images[0]}: 80 x 90 float32, spacing (1, 1.5), origin (5, -7), "
        "units (millimeter, millimeter)",
        "running translation on auto, seed 0: {'precision'",
        "phase correlation: ",
        "translation took ",
        "Better: ",
        f"wrote {tmp_path / 'out' / 'transform.h5'} and transform.json: Affine",
        f"wrote {tmp_path / 'out' / 'warped.nii.gz'}: 80 x 90 float32",
    ):
        assert sum(text in line for line in lines) == 1, text


def test_more_verbose_tells_more_and_nothing_is_left_behind(
    images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("napari_voxreg")
    before = (list(logger.handlers), logger.level)
    missing = ["apply", str(tmp_path), images[0], "-o", str(tmp_path / "x.mha")]
    assert main([*missing, "-v"]) == 2
    once = capsys.readouterr().err
    assert main([*missing, "-vv"]) == 2
    twice = capsys.readouterr().err
    assert "Traceback" in twice and "Traceback" not in once
    assert (list(logger.handlers), logger.level) == before
    assert main(register(images, tmp_path / "out")) == 0
    assert capsys.readouterr().err == ""


def test_the_start_of_the_child_process_is_told(images: list[str], tmp_path: Path) -> None:
    """In a process of its own: here the child may run already."""
    words = ["register", *images, "-o", str(tmp_path), "-m", "demons", "--iterations", "2", "-v"]
    command = [sys.executable, "-m", "napari_voxreg", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0
    assert "started the child process" in done.stderr and "demons took" in done.stderr


def test_the_package_alone_prints_nothing(images: list[str], tmp_path: Path) -> None:
    code = (
        "import logging, sys, napari_voxreg as v; from napari_voxreg.io.images import read_image;"
        "logging.getLogger('napari_voxreg.any').error('heard by nobody');"
        "v.register(*map(read_image, sys.argv[1:]), method='translation')"
    )
    done = subprocess.run([sys.executable, "-c", code, *images], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
