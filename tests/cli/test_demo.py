"""`napari-voxreg demo` without a display; with one it is tested in tests/gui."""

from __future__ import annotations

import sys

import pytest

from napari_voxreg.cli.main import main


def test_demo_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("PATH", "")
    assert main(["demo"]) == 1
    assert "apt-get install -y xvfb" in capsys.readouterr().err
