"""What the GPU's tests do, tried on the CPU against the CPU, so that there only the device is new."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_voxreg import METHODS

from .on_device import (
    CASES,
    compared,
    device_title,
    one_epoch,
    run_here,
    seconds_to_cancel,
    table,
    without_memory,
)

SMALL = {2: (72, 80), 3: (32, 36, 40)}


def test_every_method_that_takes_a_device_is_compared() -> None:
    assert {name for name, _ in CASES} == {name for name, method in METHODS.items() if method.device}
    assert {("auto", 2), ("auto", 3), ("pose", 3), ("pyramid", 3), ("avsm", 3), ("jsm", 2)} <= set(CASES)


def test_a_device_is_as_good_as_itself() -> None:
    found = compared("diffeo", SMALL[2], "cpu")
    assert found.distance == 0
    assert found.motion > 0.5
    assert found.result.device == "cpu"
    title, head, line = table(device_title("cpu"), [("diffeo", 2, found)]).splitlines()
    assert title == "cpu"
    assert line.split()[:3] == ["diffeo", "2", "0.0000"]
    assert len(line) == len(head)


@pytest.mark.parametrize(("method", "ndim"), [("pose", 3), ("pyramid", 2)])
def test_methods_run_in_this_process_too(method: str, ndim: int) -> None:
    with without_memory("cpu"):
        found = run_here(method, SMALL[ndim], "cpu")
    assert found.device == "cpu"
    assert not any("did the work" in note for note in found.notes)


def test_an_epoch_is_learnt(tmp_path: Path) -> None:
    began, done = one_epoch("cpu", tmp_path)
    assert began.device == "cpu"
    assert done.row.training is not None
    assert np.isfinite(done.row.training.total)


def test_a_long_run_is_cancelled() -> None:
    assert seconds_to_cancel("cpu", SMALL[2]) < 1.0
