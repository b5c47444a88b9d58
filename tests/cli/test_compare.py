"""`napari-voxreg compare`: the table that it prints and writes."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Affine, Grid, Image, compare, load_transform
from napari_voxreg.cli.commands.compare import comma_separated, markdown, table
from napari_voxreg.cli.main import main
from napari_voxreg.core.params import Params
from napari_voxreg.core.progress import Progress
from napari_voxreg.images.task import Task
from napari_voxreg.methods.base import Method, Outcome


def test_compare_prints_and_writes_a_table(
    images: list[str],
    tmp_path: Path,
    shift: tuple[float, float],
    capsys: pytest.CaptureFixture[str],
    refused: Callable[..., str],
) -> None:
    out = tmp_path / "new" / "table"
    words = ["compare", *images, "-m", "translation", "rigid"]
    assert main([*map(str, words), "-o", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["method", "verdict", "LNCC", "SSIM"]
    assert [line.split()[0] for line in lines[1:4]] == ["before", "translation", "rigid"]
    assert sum(" * " in line for line in lines[1:4]) == 1
    assert {path.name for path in out.iterdir()} == {"table.csv", "table.md", "translation", "rigid"}
    point = np.array([[40.0, 50.0]])
    assert np.abs(load_transform(out / "rigid")(point) - point - shift).max() < 0.3
    assert (out / "table.csv").read_text(encoding="utf-8").startswith("method,verdict,best,LNCC")
    assert "magic" in refused(*words[:3], "-m", "rigid", "-m", "magic")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_an_interrupted_comparison_keeps_what_is_finished(images: list[str], tmp_path: Path) -> None:
    import pty
    import termios

    out = tmp_path / "out"
    words = ["compare", *images, "-o", out]
    # So many iterations that only a cancel can end the second method.
    script = (
        "import sys; from napari_voxreg import METHODS; from napari_voxreg.cli.main import main;"
        "METHODS['demons'].presets['same modality'].update(iterations=10000);"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, *map(str, words), "-m", "translation", "demons"]
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


def test_the_texts_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def right(task: Task, params: Params, progress: Progress) -> Outcome:
        return Outcome(Affine.translation([3.0, -2.0]))

    def missing(task: Task, params: Params, progress: Progress) -> Outcome:
        raise ValueError("Not here | there.")

    for run in (right, missing):
        monkeypatch.setitem(
            METHODS,
            run.__name__,
            Method(run.__name__, f"The {run.__name__}", Params, run, {"x": {}}, "affine"),
        )
    scene = gaussian_filter(np.random.default_rng(0).normal(size=(74, 82)), 2).astype(np.float32)
    grid = Grid.from_spacing((64, 72), units="millimeter")
    pair = Image(scene[5:69, 5:77], grid), Image(scene[2:66, 7:79], grid)
    rows = compare(*pair, methods=["right", "missing"])
    lines = table(rows).splitlines()
    assert lines[2].startswith("right *") and "better" in lines[2] and "error" not in lines[0]
    assert len({len(line) for line in lines[:3]}) == 1
    assert "missing failed: Not here | there." in lines
    page = markdown(rows)
    assert page.splitlines()[1].startswith("| --- | --- | --: |") and "| right * | better |" in page
    head, *body = csv.reader(io.StringIO(comma_separated(rows)))
    found = [dict(zip(head, line, strict=True)) for line in body]
    assert [line["best"] for line in found] == ["0", "1", "0"]
    assert float(found[1]["SSIM"]) == rows[1].scores.overlap["ssim"]
    assert found[2]["SSIM"] == "" and found[2]["failure"] == "Not here | there."
