"""`napari-voxreg evaluate`: what it writes, resumes and refuses."""

from __future__ import annotations

import csv
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Affine, Grid, Image, warp
from napari_voxreg.cli.main import main
from napari_voxreg.io.images import write_image
from napari_voxreg.methods.base import Method, Outcome

SHIFT = (2.0, -3.0)
GRID = Grid.from_spacing((40, 48))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for k in range(4):
        scene = gaussian_filter(rng.normal(size=GRID.shape), 2)
        fixed = Image((255 * (scene - scene.min()) / np.ptp(scene)).astype(np.uint8), GRID)
        write_image(fixed, tmp_path / "set" / "fixed" / f"s{k}.png")
        moving = warp(fixed, Affine.translation(np.negative(SHIFT)), GRID)
        write_image(moving, tmp_path / "set" / "moving" / f"s{k}.png")
    return tmp_path / "set"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A method that knows the answer, and its parameters at each call."""
    seen: list[object] = []

    def run(task, params, progress):  # type: ignore[no-untyped-def]
        progress(0.5, "half")
        seen.append(params)
        return Outcome(Affine.translation(SHIFT))

    params, presets = METHODS["translation"].params, METHODS["translation"].presets
    monkeypatch.setitem(METHODS, "known", Method("known", "Known", params, run, presets, "translation"))
    return seen


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_it_writes_table_summary_figures_and_transforms(
    pairs: Path, tmp_path: Path, calls: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    (pairs / "moving" / "s2.png").write_bytes(b"rubbish")
    out = tmp_path / "out"
    words = ["evaluate", str(pairs), "-m", "known", "translation", "-o", str(out)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "known: 4 pairs, 1 without a result" in said and "the gain comes from registration" in said
    assert "1 of 4 pairs could not be evaluated; s2: s2.png" in said
    lines = table(out)
    assert len(lines) == 8 and len(calls) == 3
    good = [line for line in lines if line["method"] == "known" and line["outcome"] == "better"]
    assert [line["pair"] for line in good] == ["s0", "s1", "s3"]
    assert all(float(line["ssim_after"]) > float(line["ssim_before"]) for line in good)
    assert all((out / line["transform"] / "transform.h5").is_file() for line in good)
    page = (out / "summary.md").read_text(encoding="utf-8")
    assert "## known: 4 pairs" in page and "## translation: 4 pairs" in page
    for name in ("before-after-known.png", "gallery-translation.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert not (out / "fields").exists()

    assert main([*words, "--fields"]) == 0
    written = {path.parent.name: path.parent for path in (out / "fields").glob("*/matches.csv")}
    assert {Path(line["transform"]).name for line in good} <= set(written) and len(written) == 6
    assert "3 of 4 pairs were already in the table" in capsys.readouterr().out and len(calls) == 3


def test_parameters_come_from_the_declaration_of_each_method(
    pairs: Path, tmp_path: Path, calls: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    info = next(i for i in METHODS["known"].params.infos() if i.kind is int and i.range is not None)
    value = int(info.range[0]) if info.range[0] != info.default else int(info.range[0]) + 1
    option = f"--{info.name.replace('_', '-')}"
    words = ["evaluate", str(pairs), "-m", "known", "-o", str(tmp_path / "out"), option]
    assert main([*words, str(value), "--only", "validation", "--figures", "svg"]) == 0
    assert {getattr(params, info.name) for params in calls} == {value}
    assert len(calls) == 1  # a fifth, but at least one
    assert list((tmp_path / "out").glob("*.svg"))
    assert main([*words, str(int(info.range[1]) + 1)]) == 2
    assert info.name in capsys.readouterr().err


def test_control_c_keeps_what_is_done(
    pairs: Path,
    tmp_path: Path,
    calls: list[object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usual = METHODS["known"].run

    def run(task, params, progress):  # type: ignore[no-untyped-def]
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return usual(task, params, progress)

    method = METHODS["known"]
    interrupted = replace(method, run=run)
    monkeypatch.setitem(METHODS, "known", interrupted)
    words = ["evaluate", str(pairs), "-m", "known", "-o", str(tmp_path / "out")]
    assert main(words) == 130
    said = capsys.readouterr()
    assert "after 2 evaluated pairs, which are kept" in said.err and "known: 2 pairs" in said.out
    assert len(table(tmp_path / "out")) == 2
    monkeypatch.setitem(METHODS, "known", method)
    assert main(words) == 0
    assert len(calls) == 4 and len(table(tmp_path / "out")) == 4


def test_refusals(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["-o", str(tmp_path / "out")]
    assert main(["evaluate", str(tmp_path / "none"), *out]) == 2
    assert main(["evaluate", str(pairs), "-m", "nothing", *out]) == 2
    assert "no method 'nothing'" in capsys.readouterr().err
    assert main(["evaluate", str(pairs), "-m", "translation", "--preset", "none", *out]) == 2
    assert "no preset 'none'" in capsys.readouterr().err
    assert main(["evaluate", str(pairs), "--preset", "none", *out]) == 2
    assert "auto has no preset 'none'" in capsys.readouterr().err
    assert main(["evaluate", str(pairs), "--validation", "0", "--only", "validation", *out]) == 2
    assert "no pairs for validation" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    for file in (pairs / "moving").iterdir():
        file.write_bytes(b"rubbish")
    assert main(["evaluate", str(pairs), "-m", "translation", *out]) == 2
    said = capsys.readouterr()
    assert "No pair could be evaluated; the first: s0.png" in said.err
    assert main(["evaluate", "--help"]) == 0
