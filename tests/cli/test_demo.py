"""`napari-voxreg demo` without a display; with one it is tested in tests/gui."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_voxreg.cli.main import main


def test_demo_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("PATH", "")
    assert main(["demo"]) == 1
    assert "apt-get install -y xvfb" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["demo.jpg", "demo", "demo.png.txt"])
def test_demo_refuses_other_formats_before_it_opens_napari(
    name: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    assert ".png" in refused("demo", "-o", tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_demo_refuses_a_place_that_cannot_hold_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes").write_text("mine")
    (tmp_path / "demo.png").mkdir()
    for place, words in (
        (tmp_path / "notes" / "demo.png", "not a folder"),
        (tmp_path / "demo.png", "is a folder"),
    ):
        assert main(["demo", "-o", str(place)]) == 1
        assert words in capsys.readouterr().err
