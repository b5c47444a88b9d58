"""Work in a thread that reports and is cancelled."""

import logging
import threading
import time
import warnings

import pytest

from napari_voxreg.core.progress import Cancelled
from napari_voxreg.gui.background.worker import Runner


class Heard:
    """Everything that a runner called back."""

    def __init__(self):
        self.reports, self.values, self.errors, self.warnings, self.lines = [], [], [], [], []
        self.threads = set()

    def start(self, runner, job):
        def note(where):
            def call(value):
                self.threads.add(threading.current_thread())
                where.append(value)

            return call

        lists = (self.reports, self.values, self.errors, self.warnings, self.lines)
        names = ("report", "done", "failed", "warned", "logged")
        runner.start(job, **{name: note(where) for name, where in zip(names, lists, strict=True)})


@pytest.fixture
def heard(qapp):
    return Heard()


def test_reports_are_few_and_lose_no_metric(heard, qtbot):
    def job(progress):
        for k in range(500):
            progress(k / 500, "working", float(k))
            time.sleep(0.001)
        return "result"

    began = time.monotonic()
    runner = Runner()
    heard.start(runner, job)
    assert runner.busy
    qtbot.waitUntil(lambda: heard.values == ["result"])
    seconds = time.monotonic() - began
    assert not runner.busy
    assert len(heard.reports) <= 20 * seconds + 2
    assert [value for report in heard.reports for value in report.metrics] == [float(k) for k in range(500)]
    assert heard.threads == {threading.main_thread()}


def test_cancel_stops_the_job_and_drops_its_reports(heard, qtbot):
    ended = threading.Event()

    def job(progress):
        try:
            while True:
                progress(None, "working")
                time.sleep(0.005)
        except Cancelled:
            ended.set()
            raise

    runner = Runner()
    heard.start(runner, job)
    qtbot.waitUntil(lambda: bool(heard.reports))
    runner.cancel()
    assert not runner.busy
    assert ended.wait(1)
    qtbot.wait(50)
    assert not heard.values
    assert not heard.errors


def test_a_late_result_does_not_disturb_the_next_job(heard, qtbot):
    go_on = threading.Event()
    later = Heard()
    runner = Runner()
    heard.start(runner, lambda progress: go_on.wait(5))
    qtbot.wait(20)
    later.start(runner, lambda progress: "second")  # abandons the first, which does not listen
    qtbot.waitUntil(lambda: later.values == ["second"])
    go_on.set()
    qtbot.wait(50)
    assert not heard.values


def test_errors_and_warnings_arrive(heard, qtbot):
    def job(progress):
        warnings.warn("mind the gap", stacklevel=1)
        raise ZeroDivisionError("nothing left")

    runner = Runner()
    heard.start(runner, job)
    qtbot.waitUntil(lambda: bool(heard.errors))
    assert isinstance(heard.errors[0], ZeroDivisionError)
    assert heard.warnings == ["UserWarning: mind the gap"]
    assert not runner.busy


def test_the_package_log_of_the_job_arrives_and_no_other(heard, qtbot):
    log, here, other = logging.getLogger("napari_voxreg.some"), threading.Event(), threading.Event()

    def job(progress):
        log.debug("too much")
        log.info("level %d", 1)
        logging.getLogger("some").warning("of somebody else")
        here.set()
        assert other.wait(5)
        return "result"

    heard.start(Runner(), job)
    assert here.wait(5)
    log.info("of another thread")
    other.set()
    qtbot.waitUntil(lambda: heard.values == ["result"])
    log.info("after the end")
    assert heard.lines == ["level 1"]
    assert heard.threads == {threading.main_thread()}
