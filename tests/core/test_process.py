"""The child process: values there and back, cancel, crashes, and that nothing is left running."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from napari_voxreg.core import process
from napari_voxreg.core.process import MethodUnavailable
from napari_voxreg.core.progress import Cancelled


@pytest.fixture(scope="module", autouse=True)
def nothing_left(children):
    yield
    process.shutdown()
    assert not children()


# What the child runs.


def scaled(image, factor, progress):
    return {"image": image * factor, "pid": os.getpid()}


def counting(n, progress):
    for k in range(n):
        progress(np.float32((k + 1) / n), f"step {k}", np.float64(k))
    return n


def reading(path, progress):
    return path.read_text()


def logging_at_each_level(progress):
    for level in ("debug", "info", "warning"):
        getattr(logging.getLogger("napari_voxreg.methods.some"), level)("%d times %s", 3, level)


def failing(progress):
    raise ValueError("The spacing is -1; give a positive one.")


class Odd(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def failing_oddly(progress):
    raise Odd(1, 2)


def sleeping(progress):
    progress(0.25, "asleep")
    time.sleep(60)


def holding_the_lock(progress):
    progress(0.25, "asleep")
    ctypes.PyDLL(None).sleep(60)  # PyDLL keeps the interpreter lock, as elastix does


def aborting(progress):
    sys.stderr.write("the disk is on fire\n")
    sys.stderr.flush()
    os.abort()


def leaving(progress):
    os._exit(3)


def printing(progress):
    print("python")
    sys.stdout.flush()
    os.write(1, b"native\n" * 2000)
    return 5


def changing(array, progress):
    array += 1
    return float(array.sum())


# What is asked of it.


def test_arrays_there_and_back():
    image = np.random.default_rng(0).random((300, 400)).astype(np.float32)
    result = process.call(scaled, image, factor=2)
    np.testing.assert_array_equal(result["image"], 2 * image)
    assert result["pid"] != os.getpid()
    assert process.call(scaled, 1, 1)["pid"] == result["pid"], "the child stays for the next call"


def test_large_arrays_cross_and_leave_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    image = np.ones((128, 256, 256), dtype=np.float32)  # 32 MB
    turned = np.asfortranarray(image[:4])
    assert process.call(changing, image) == 2 * image.size
    assert image.max() == 1, "the child's changes stay there"
    result = process.call(scaled, image, 3)["image"]
    result[0, 0, 0] = 7  # writable, and of the parent's own
    assert result.sum(dtype=float) == 3 * image.size + 4
    np.testing.assert_array_equal(process.call(scaled, turned, 3)["image"], 3 * turned)
    assert list(tmp_path.iterdir()) == []


def test_progress_arrives_in_order_in_the_calling_thread():
    seen = []
    process.call(
        counting, 20, progress=lambda f, words, m=None: seen.append((f, words, m, threading.get_ident()))
    )
    steps = [entry for entry in seen if entry[2] is not None]
    assert [entry[1] for entry in steps] == [f"step {k}" for k in range(20)]
    assert steps[-1][0] == 1 and steps[-1][2] == 19
    assert {entry[3] for entry in seen} == {threading.get_ident()}


def test_exceptions_keep_class_and_message():
    with pytest.raises(ValueError) as caught:
        process.call(failing)
    assert str(caught.value) == "The spacing is -1; give a positive one."
    assert "in failing" in caught.value.__notes__[0], "the child's traceback"
    with pytest.raises(RuntimeError, match=r"^Odd: 1 and 2"):
        process.call(failing_oddly)


@pytest.mark.parametrize("function", [sleeping, holding_the_lock])
def test_cancel_within_a_second_in_the_middle(function, children):
    pid = process.call(scaled, 1, 1)["pid"]
    asleep, cancelled = 0.0, 0.0

    def progress(fraction, words, metric=None):
        nonlocal asleep, cancelled
        if words == "asleep":
            asleep = asleep or time.perf_counter()
            if time.perf_counter() > asleep + 0.5:
                cancelled = time.perf_counter()
                raise Cancelled

    with pytest.raises(Cancelled):
        process.call(function, progress=progress)
    assert time.perf_counter() - cancelled < 1
    assert not psutil.pid_exists(pid)
    assert len(children()) == 1, "one warm child"
    assert process.call(scaled, 1, 1)["pid"] != pid


def test_a_crash_is_told_with_its_last_words_and_the_next_call_works():
    with pytest.raises(MethodUnavailable, match=r"(?s)SIGABRT.*the disk is on fire"):
        process.call(aborting)
    with pytest.raises(MethodUnavailable, match=r"exit code 3.*It printed nothing"):
        process.call(leaving)
    assert process.call(counting, 3) == 3


def test_prints_do_not_get_among_the_messages():
    assert process.call(printing) == 5


def test_what_cannot_be_sent_is_refused():
    with pytest.raises(ValueError, match=r"cannot be sent"):
        process.call(scaled, threading.Lock(), 1)
    with pytest.raises(ValueError, match=r"cannot be sent"):
        process.call(lambda progress: 1)


def test_warm_modules_are_loaded_again_in_every_child():
    process.warm("colorsys", "there_is_no_such_module")
    assert process.call(is_loaded, "colorsys")
    with pytest.raises(MethodUnavailable):
        process.call(leaving)
    assert process.call(is_loaded, "colorsys")
    process.shutdown()
    assert not process.call(is_loaded, "colorsys")


def is_loaded(name, progress):
    return name in sys.modules


def test_calls_from_several_threads_wait_for_each_other():
    results = []
    threads = [
        threading.Thread(target=lambda k=k: results.append(process.call(scaled, k, 2)["image"]))
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(results) == [0, 2, 4, 6]


def test_shutdown_in_the_middle_leaves_no_process(children):
    raised = []

    def run():
        try:
            process.call(
                holding_the_lock, progress=lambda f, words, m=None: words == "asleep" and going.set()
            )
        except Cancelled as error:
            raised.append(error)

    going = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    assert going.wait(20)
    process.shutdown()
    assert not children()
    thread.join(5)
    assert raised and not thread.is_alive()
    assert not children(), "the cancelled call starts no new child"


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="Linux ends even a child that holds the lock"
)
def test_the_child_goes_when_its_parent_is_killed():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import test_process as t\n"
        "from napari_voxreg.core import process\n"
        "print(process.call(t.scaled, 1, 1)['pid'], flush=True)\n"
        "process.call(t.holding_the_lock, progress=lambda f, w, m=None: print(w, flush=True))\n"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        while parent.stdout.readline().strip() != "asleep":
            assert parent.poll() is None
        child = psutil.Process(pid)
        os.kill(parent.pid, signal.SIGKILL)
    psutil.wait_procs([child], timeout=3)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_relative_paths_mean_the_same_in_the_child(tmp_path, monkeypatch):
    process.call(scaled, 1.0, 2.0)  # it is there before the folder changes
    (tmp_path / "here.txt").write_text("found")
    monkeypatch.chdir(tmp_path)
    assert process.call(reading, Path("here.txt")) == "found"


@pytest.mark.parametrize(("level", "seen"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1)])
def test_what_the_child_logs_reaches_the_parents_loggers(caplog, level, seen):
    caplog.set_level(level, logger="napari_voxreg")
    process.call(logging_at_each_level)
    records = [r for r in caplog.records if r.name == "napari_voxreg.methods.some"]
    texts = ["3 times debug", "3 times info", "3 times warning"][-seen:]
    assert [record.getMessage() for record in records] == texts
    assert {record.threadName for record in records} == {"MainThread"}


def test_start_and_stop_of_the_child_are_logged(caplog):
    process.shutdown()
    caplog.set_level("INFO", logger="napari_voxreg")
    caplog.clear()  # the child of an earlier test
    pid = process.call(scaled, 1.0, 2.0)["pid"]
    process.shutdown()
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"started the child process {pid} (napari_voxreg.core.process)",
        f"stopped the child process {pid}",
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tells what a process maps")
def test_after_a_call_its_files_are_no_longer_mapped():
    """On Windows they could not be removed, and a session would fill the disk."""
    image = np.ones((200, 200))
    pid = process.call(scaled, image, 2)["pid"]
    assert "napari-voxreg-" not in Path(f"/proc/{pid}/maps").read_text()
