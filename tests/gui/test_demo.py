"""The demo as a new user runs it, and the error that it reports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from napari_voxreg import Affine, MethodUnavailable, register
from napari_voxreg.gui.demo import demo, true_error
from napari_voxreg.gui.register.panel import RegisterWidget
from napari_voxreg.samples import make_sample


def numbers(sentence: str) -> list[float]:
    """Mean before and after, 95th percentile before and after."""
    return [float(text) for text in re.findall(r"\d+\.\d+", sentence)]


def test_true_error_is_measured_against_the_truth() -> None:
    sample = make_sample("fundus")
    before, after, before95, after95 = numbers(true_error(sample, sample.truth))
    assert after == after95 == 0
    assert true_error(sample, sample.truth).endswith(" px.")
    assert 5 < before < before95
    same = numbers(true_error(sample, Affine.identity(2)))
    assert same == [before, before, before95, before95]
    translated = Affine.translation((3.0, 4.0))
    moved = true_error(sample, translated)
    assert numbers(moved)[1] != pytest.approx(before, abs=0.1)


@pytest.mark.slow
def test_demo_registers_and_saves_a_screenshot(tmp_path: Path) -> None:
    screenshot = tmp_path / "new" / "demo.png"
    command = [sys.executable, "-m", "napari_voxreg", "demo", "-o", str(screenshot)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(screenshot) in done.stdout
    error = next(line for line in done.stdout.splitlines() if line.startswith("True error"))
    before, after, _, worst = numbers(error)
    assert before > 10
    assert after < 1.5
    assert worst < 5
    pixels = iio.imread(screenshot)
    assert min(pixels.shape[:2]) > 600
    # The overlay of both is grey and fills much of the window; of a black canvas nothing is as bright.
    assert np.mean(pixels[..., :3].max(axis=-1) > 100) > 0.1


def test_demo_closes_when_the_screenshot_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "demo.png"

    def registered_at_once(panel: RegisterWidget) -> None:
        place.mkdir()  # after the command line has checked it
        sample = make_sample("fundus")
        panel.finished.emit(register(sample.fixed, sample.moving, method="translation"))

    monkeypatch.setattr(RegisterWidget, "run", registered_at_once)
    with pytest.raises(MethodUnavailable, match=r"demo\.png"):
        demo(place, print)
