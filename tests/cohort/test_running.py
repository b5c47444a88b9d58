"""The same cohort in this process and on a Dask cluster of two worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as displaced

from napari_voxreg import Grid, Image, register_cohort
from napari_voxreg.cohort.running import Distributed, Serial, limited, runner, workers_for
from napari_voxreg.core import process
from napari_voxreg.core.progress import Cancelled, Progress, silent

OPTIONS = {"template": "image", "linear": "rigid"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def images() -> list[Image]:
    scene = gaussian_filter(np.random.default_rng(0).standard_normal((88, 92)), 3).astype(np.float32)
    ways = ((0, 0), (2, -3), (-2, 1), (1, 1))
    return [
        Image(displaced(scene, way, order=3)[12:-12, 12:-12], Grid.from_spacing((64, 68)), f"{k}")
        for k, way in enumerate(ways)
    ]


def slow(seconds: float, number: int, progress: Progress = silent) -> int:
    """A task that takes a while."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.02)
        progress(None, "waiting")
    return number


def die_once(mark: str, number: int, progress: Progress = silent) -> int:
    """A task whose first run takes its worker with it."""
    path = Path(mark)
    if number == 1 and not path.exists():
        path.write_text("dead")
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_cluster_gives_the_same_to_the_bit(cluster: Any, images: list[Image]) -> None:
    here = register_cohort(images, options=OPTIONS, threads=1)
    there = register_cohort(images, options=OPTIONS, scheduler=cluster.scheduler_address)
    points = images[0].grid.nodes()
    for one, other in zip(here.transforms, there.transforms, strict=True):
        assert one is not None
        assert other is not None
        assert np.array_equal(one(points), other(points))
    assert [row[:-1] for row in here.table()] == [row[:-1] for row in there.table()]  # but for the seconds
    assert there.options["threads"] == here.options["threads"] == 1


def test_a_killed_worker_is_survived(cluster: Any, tmp_path: Path) -> None:
    from distributed import Client

    found: dict[int, int] = {}
    arguments = [(str(tmp_path / "mark"), k) for k in range(4)]
    with Client(cluster) as client:
        Distributed(client).each(die_once, arguments, list("abcd"), silent, found.__setitem__)
    assert found == {0: 0, 1: 1, 2: 2, 3: 3}
    assert (tmp_path / "mark").exists()


def test_cancel_returns_at_once(cluster: Any) -> None:
    from distributed import Client

    began = time.monotonic()

    def stop(fraction: float | None, message: str, metric: float | None = None) -> None:
        if time.monotonic() > began + 0.5:
            raise Cancelled

    with Client(cluster) as client, pytest.raises(Cancelled):
        began = time.monotonic()
        Distributed(client).each(slow, [(20.0, k) for k in range(3)], list("abc"), stop, lambda *_: None)
    assert time.monotonic() - began < 5


def test_serial_reports_each_by_its_name() -> None:
    seen: list[tuple[float | None, str]] = []
    found: dict[int, int] = {}
    Serial().each(
        slow,
        [(0.0, 7), (0.0, 8)],
        ["first", "second"],
        lambda fraction, message, metric=None: seen.append((fraction, message)),
        found.__setitem__,
    )
    assert found == {0: 7, 1: 8}
    assert seen == [(0.0, "first"), (0.5, "second")]


def test_what_is_refused() -> None:
    for where, reason in (
        ("cluster", "is not a scheduler"),
        ("tcp://127.0.0.1:9", "No Dask scheduler answers"),
    ):
        with pytest.raises(ValueError, match=reason), runner(where, 1):
            pass


def test_no_more_workers_than_cores() -> None:
    cores = os.cpu_count() or 1
    assert 1 <= workers_for(1) <= cores
    assert workers_for(2 * cores) == 1


@pytest.mark.slow
def test_processes_do_not_run_the_users_script_again(tmp_path: Path) -> None:
    """It need not guard its first line by ``if __name__ == "__main__"``: it may open napari there."""
    pytest.importorskip("distributed")
    script = tmp_path / "script.py"
    script.write_text("""
print("begun")
import numpy as np
from scipy.ndimage import gaussian_filter, shift
from napari_voxreg import Grid, Image, register_cohort
scene = gaussian_filter(np.random.default_rng(0).standard_normal((64, 64)), 3)
images = [Image(shift(scene, (k, -k)), Grid.from_spacing((64, 64))) for k in range(3)]
options = {"template": "image", "linear": "rigid", "deform": "none"}
print(len(register_cohort(images, options=options, scheduler="processes").members), __file__)
""")
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=250)
    assert run.stdout.split() == ["begun", "3", str(script)], run.stderr


def torch_threads(progress: Progress) -> int:
    import torch

    return torch.get_num_threads()


@pytest.mark.parametrize("count", [1, 2])
def test_methods_in_the_child_process_are_limited_too(count: int) -> None:
    """Else the registrations of two workers would each take all cores."""
    with limited(count):
        assert process.call(torch_threads) == count


def test_limited_threads_are_given_back_and_torch_is_not_loaded() -> None:
    code = """
import sys
import SimpleITK as sitk
from napari_voxreg.cohort.running import limited
count = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads
sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(3)
with limited(2):
    inside = count()
print(inside, count(), "torch" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["2", "3", "False"]
