"""Forked processes, such as multiprocessing's workers on Linux, have a child of their own."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from napari_voxreg.core import process

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here"),
    # Python 3.12 warns that a process with threads may hang in a fork: that it does not is what is tested.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning"),
]
LIMIT = 60  # seconds, for a machine under load


@pytest.fixture(scope="module", autouse=True)
def nothing_left(children):
    yield
    process.shutdown()
    assert not children()


def own_pid(number, progress):
    return number, os.getpid()


def pausing(progress):
    progress(0.5, "pausing")
    time.sleep(1.0)
    return "awake"


def job(number):
    """What a worker does; returns what it was given and the process in which its child is."""
    return process.call(own_pid, number)


def nested(number):
    """A worker that has a child and forks another one."""
    own = job(number)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        inner = pool.apply_async(job, [number + 100]).get(LIMIT)
    return own, inner, job(number)


def test_workers_of_a_pool_get_their_own_child_and_the_parent_keeps_its():
    before = process.call(own_pid, 1)[1]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map_async(job, range(4)).get(LIMIT)
    assert [number for number, _ in found] == [0, 1, 2, 3]
    assert before not in {pid for _, pid in found}
    assert [process.call(own_pid, k) for k in (5, 6)] == [(5, before), (6, before)]


def test_workers_that_fork_again():
    before = process.call(own_pid, 1)[1]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as executor:
        own, inner, after = executor.submit(nested, 7).result(LIMIT)
    assert own == after and own[0] == 7 and inner[0] == 107
    assert len({before, own[1], inner[1]}) == 3
    assert process.call(own_pid, 2) == (2, before)


def test_a_fork_while_another_thread_waits_for_the_child():
    """The fork has a copy of the lock that the thread holds, and no thread that would release it."""
    results = []
    going = threading.Event()
    thread = threading.Thread(
        target=lambda: results.append(
            process.call(pausing, progress=lambda f, words, m=None: words == "pausing" and going.set())
        )
    )
    thread.start()
    assert going.wait(LIMIT)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(job, [3]).get(LIMIT)[0] == 3
    thread.join(LIMIT)
    assert results == ["awake"]


def test_a_forked_process_that_shuts_down_leaves_the_parents_child_alone():
    before = process.call(own_pid, 1)[1]
    pid = os.fork()
    if pid == 0:
        try:
            process.shutdown()
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert process.call(own_pid, 2) == (2, before)
