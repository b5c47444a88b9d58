"""On an NVIDIA GPU: the same results as on the CPU, short memory, training, Cancel; `make test-gpu`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_voxreg import register

from .on_device import (
    CASES,
    SHAPES,
    Comparison,
    compared,
    device_title,
    moved_pair,
    one_epoch,
    run_here,
    seconds_to_cancel,
    table,
    without_memory,
)

if not torch.cuda.is_available():
    pytest.skip("there is no CUDA device on this machine", allow_module_level=True)

APART = 0.05  # pixels, mean over the grid, that a GPU may lead away from the CPU's result
CANCEL = 1.0  # seconds
NOTE = "The CUDA device has too little memory; the CPU did the work."


@pytest.fixture(scope="module")
def timings() -> Iterator[list[tuple[str, int, Comparison]]]:
    """Collects what the comparisons found and prints it as a table."""
    fixed, moving = moved_pair((32, 36))
    register(fixed, moving, method="diffeo", device="cuda")  # the child process loads torch and its kernels
    rows: list[tuple[str, int, Comparison]] = []
    yield rows
    print(f"\n\n{table(device_title('cuda'), rows)}\n")


@pytest.mark.parametrize(("method", "ndim"), CASES)
def test_a_method_finds_the_same_on_the_gpu(method: str, ndim: int, timings: list) -> None:
    found = compared(method, SHAPES[ndim], "cuda")
    timings.append((method, ndim, found))
    assert found.distance < APART
    assert found.motion > 10 * APART
    # The search for a pose in 2D is the one part that stays on the CPU.
    assert found.result.device == ("cpu" if (method, ndim) == ("pose", 2) else "cuda")
    assert not any("did the work" in note for note in found.result.notes)


@pytest.mark.parametrize("method", ["auto", "pose", "diffeo", "pyramid"])
def test_the_cpu_goes_on_where_the_gpu_is_full(method: str) -> None:
    shape = (32, 36, 40)
    with without_memory("cuda"):
        short = run_here(method, shape, "cuda")
    plain, roomy = run_here(method, shape, "cpu"), run_here(method, shape, "cuda")
    assert (short.device, plain.device, roomy.device) == ("cpu", "cpu", "cuda")
    assert short.notes.count(NOTE) == 1
    assert NOTE not in plain.notes + roomy.notes
    nodes = moved_pair(shape)[0].grid.nodes()
    np.testing.assert_array_equal(short.transform(nodes), plain.transform(nodes))


def test_a_network_learns_for_an_epoch(tmp_path: Path) -> None:
    began, done = one_epoch("cuda", tmp_path)
    assert began.device == "cuda"
    assert done.row.training is not None
    assert np.isfinite(done.row.training.total)


@pytest.mark.parametrize("ndim", [2, 3])
def test_cancel_is_heeded_at_once(ndim: int) -> None:
    assert seconds_to_cancel("cuda", SHAPES[ndim]) < CANCEL


def test_a_second_gpu_must_be_there_to_be_chosen() -> None:
    fixed, moving = moved_pair((32, 36))
    with pytest.raises(ValueError, match="There is no cuda:99 on this machine"):
        register(fixed, moving, method="diffeo", device="cuda:99")
