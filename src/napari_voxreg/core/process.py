"""One warm child process for work that holds the interpreter lock or may crash.

The parent and the child speak JSON lines: requests through the child's stdin, reports through a private copy
of its stdout. Arguments and results travel as pickles in a temporary folder, large arrays as files of their
own that the child maps into memory. The child is ``python -m napari_voxreg.core.process``: never a fork, and
the user's own ``__main__`` is not imported again.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import ctypes
import faulthandler
import importlib
import json
import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from . import threads
from .disk import scratch_folder
from .exchange import portable, read_value, write_value
from .progress import Cancelled, Progress, silent

T = TypeVar("T")

log = logging.getLogger(__name__)

BEAT = 0.1  # seconds between two calls of the caller's progress, through which a cancel is noticed
LAST_WORDS = 2000  # characters of the child's stderr that are shown when it dies


class MethodUnavailable(RuntimeError):
    """A method cannot run on this machine (a missing library, a child process that will not start)."""


def call(function: Callable[..., T], *args: Any, progress: Progress = silent, **kwargs: Any) -> T:
    """Run a function in the child process and return its value.

    Calls from several threads wait for each other.

    Parameters
    ----------
    function : callable
        Defined at the top level of an importable module. It is called as
        ``function(*args, progress=..., **kwargs)``; what it reports is passed on to `progress`.
    *args, **kwargs
        Anything that can be pickled.
    progress : Progress
        Called in the calling thread for every report and at least every 0.1 s (with the last report and no
        metric). If it raises, the child is killed at once and replaced by a new one.

    Raises
    ------
    ValueError
        If the function or an argument cannot be sent.
    Cancelled
        If `progress` raised it, or if `shutdown` was called meanwhile.
    DiskFull
        If the arguments or the value do not fit on the disk of the temporary files.
    MethodUnavailable
        If the child dies, with its last output, or cannot be started; the next call has a new child.
    Exception
        Whatever the function raised, with the child's traceback as a note.
    """
    if function.__module__ == "__main__":
        raise ValueError(
            f"{function.__name__} cannot run in a child process because it is part of a script; "
            "move it into a module that can be imported."
        )
    while not _one_call.acquire(timeout=BEAT):
        progress(None, "waiting for other work of the plugin to finish")
    try:
        with scratch_folder() as folder:
            write_value((function, args, kwargs), folder, "call")
            child = _current()
            try:
                here = {"path": _path(), "cwd": os.getcwd(), "level": log.getEffectiveLevel()}  # noqa: PTH109
                child.send({"call": str(folder), "threads": threads.chosen(), **here})
                error = child.wait(progress)
            except BaseException:
                # The child is dead or busy with work that nobody waits for.
                _replace(child)
                raise
            if error is not None:
                raise error
            value: T = read_value(folder, "value")
            return value
    finally:
        _one_call.release()


def warm(*modules: str) -> None:
    """Start the child if there is none and have it import modules, so that the first call need not wait.

    Returns at once. A module that cannot be imported is left for the call that needs it to report.
    """
    with _state:
        _modules.update(dict.fromkeys(modules))
        fresh = _child is None
        child = _current()
        if not fresh:
            child.send({"warm": list(modules), "path": _path(), "threads": threads.chosen()})


def shutdown() -> None:
    """Kill the child, if there is one, and wait until it is gone; a running `call` raises `Cancelled`.

    The modules given to `warm` are forgotten; the next `call` starts a bare child.
    """
    global _child
    with _state:
        _modules.clear()
        child, _child = _child, None
        if child is not None:
            child.dismissed = True
            child.kill()


def launch(module: str, stderr: BinaryIO) -> subprocess.Popen[bytes]:
    """Start ``python -m module PARENT`` at low priority, with pipes to and from it.

    Parameters
    ----------
    module : str
        Calls `settle` first thing.
    stderr : file
        For its last output.

    Raises
    ------
    OSError
        If Python cannot be started.
    """
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.BELOW_NORMAL_PRIORITY_CLASS | subprocess.CREATE_NO_WINDOW
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        # Threads that wait shall sleep: spinning, they take the cores from those they wait for as
        # soon as anything else runs on the machine, and a second of tensor work becomes a minute.
        env={
            "OMP_WAIT_POLICY": "PASSIVE",
            **os.environ,
            "PYTHONPATH": os.pathsep.join(_path()),
        },
        creationflags=flags,
    )
    log.info("started the child process %d (%s)", process.pid, module)
    return process


def last_words(process: subprocess.Popen[bytes], stderr: BinaryIO) -> tuple[str, str]:
    """How a process that `launch` started ended (a signal's name or an exit code), and what it said last."""
    code = process.wait()
    cause = f"exit code {code}"
    if code < 0:
        with contextlib.suppress(ValueError):  # a number that has no name
            cause = signal.Signals(-code).name
    stderr.seek(0)
    lines = stderr.read().decode(errors="replace").splitlines()
    # Python's report of a crash ends with the names of hundreds of modules.
    words = "\n".join(x for x in lines if not x.startswith("Extension modules:")).strip()[-LAST_WORDS:]
    return cause, words


def settle() -> BinaryIO:
    """What a child does first; returns the pipe to its parent, in which nothing that is printed gets."""
    faulthandler.enable()  # a crash leaves last words
    reports = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    # Ctrl-C in the terminal and the end of a batch job reach this process, too: the parent's business.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(5)
    return reports


class _Child:
    """A child process and the thread that started it and listens to it."""

    def __init__(self) -> None:
        self.dismissed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: OSError | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the child)
        self._inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._started = threading.Event()
        # Linux kills the child when the *thread* that started it ends, so it is one that lives as long.
        self._listener = threading.Thread(target=self._listen, name="napari-voxreg-isolate", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        try:
            self._process = launch("napari_voxreg.core.process", self._stderr)
        except OSError as error:
            self._failure = error
            return
        finally:
            self._started.set()
        assert self._process.stdout is not None  # it is a pipe
        for line in self._process.stdout:
            if line.endswith(b"\n"):  # a killed child may leave half a line
                self._inbox.put(json.loads(line))
        self._inbox.put(None)

    def send(self, message: dict[str, Any]) -> None:
        """Send a request (short enough for the pipe's buffer, so that this never blocks)."""
        self._started.wait()
        if self._process is None:
            raise MethodUnavailable(
                f"The child process could not be started ({self._failure}); check that {sys.executable} runs."
            )
        assert self._process.stdin is not None  # it is a pipe
        # A child that is dead already is noticed by whoever waits for its result.
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def wait(self, progress: Progress) -> Exception | None:
        """Pass reports on until the present call is done; returns what it raised."""
        fraction, words = None, "starting"
        while True:
            metric = None
            try:
                message = self._inbox.get(timeout=BEAT)
            except queue.Empty:
                message = {"progress": (fraction, words, None)}
            if message is None:
                raise self._death()
            if "done" in message:
                text = message["done"]
                error: Exception | None = None if text is None else pickle.loads(base64.b64decode(text))
                return error
            if "log" in message:
                name, level, text = message["log"]
                logging.getLogger(name).log(level, "%s", text)
                continue
            fraction, words, metric = message["progress"]
            progress(fraction, words, metric)

    def _death(self) -> Exception:
        """The reason to give for a child that is gone."""
        if self.dismissed:
            return Cancelled("The work was stopped because the child process was shut down.")
        assert self._process is not None  # it has been listened to
        cause, words = last_words(self._process, self._stderr)
        output = f" Last output:\n{words}" if words else " It printed nothing."
        return MethodUnavailable(
            f"The child process died ({cause}); nothing is lost, and the next run gets a new one.{output}"
        )

    def abandon(self) -> None:
        """Let go of the pipes in a forked process: the child goes on with the parent, which owns it."""
        if self._process is None:
            return
        null = os.open(os.devnull, os.O_RDWR)
        # Closing them would wait for locks of threads that were not forked.
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None  # they are pipes
            os.dup2(null, pipe.fileno(), inheritable=False)
        os.close(null)

    def kill(self) -> None:
        """End the process now and wait until it is gone."""
        self._started.wait()
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        log.info("stopped the child process %d", self._process.pid)
        self._listener.join()
        assert self._process.stdin is not None  # it is a pipe
        with contextlib.suppress(OSError):  # a request that was never read
            self._process.stdin.close()
        assert self._process.stdout is not None  # it is a pipe
        self._process.stdout.close()
        self._stderr.close()


_one_call = threading.Lock()
_state = threading.RLock()
_child: _Child | None = None
_modules: dict[str, None] = {}  # in the order in which they were first requested
_abandoned: list[_Child] = []  # of the processes from which this one was forked, kept from the collector
atexit.register(shutdown)


def _forked() -> None:
    """Start afresh in a forked process: the child answers its parent alone, and locks may be held."""
    global _one_call, _state, _child
    _one_call, _state = threading.Lock(), threading.RLock()
    if _child is not None:
        _child.abandon()
        _abandoned.append(_child)
        _child = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _current() -> _Child:
    """The child, started and warmed if there is none."""
    global _child
    with _state:
        if _child is None:
            child = _Child()
            child.send({"warm": list(_modules), "path": _path(), "threads": threads.chosen()})
            _child = child
        return _child


def _replace(child: _Child) -> None:
    """Kill a child and warm another one, unless `shutdown` has already taken it away."""
    global _child
    with _state:
        if _child is child:
            child.kill()
            _child = None
            _current()


def _path() -> list[str]:
    """Where the child shall find modules: as here."""
    return [entry or str(Path.cwd()) for entry in sys.path]


def _serve(parent: int) -> None:
    """The child's life: take requests in order until the parent is gone."""
    reports = settle()
    _die_with(parent)
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            requests.put(json.loads(line))
        os._exit(0)  # the parent closed the pipe or is gone

    threading.Thread(target=listen, daemon=True).start()
    while True:
        request = requests.get()
        sys.path[:] = request["path"]
        threads.use(request["threads"])  # before a library that reads the environment is loaded
        importlib.invalidate_caches()  # for what was installed since
        for module in request.get("warm", ()):
            with contextlib.suppress(ImportError):  # reported by the call that needs it
                importlib.import_module(module)
        if "call" in request:
            with contextlib.suppress(OSError):  # it may be gone
                os.chdir(request["cwd"])  # so that relative paths mean the same
            _run_call(Path(request["call"]), request["level"], reports)


def _run_call(folder: Path, level: int, reports: BinaryIO) -> None:
    """Do one call and leave its value in the folder.

    An exception is reported, for the disk may be full; so is what the package logs, from `level` on.
    """
    one_line = threading.Lock()

    def send(message: dict[str, Any]) -> None:
        with one_line:
            reports.write(json.dumps(message).encode() + b"\n")

    def progress(fraction: float | None, message: str, metric: float | None = None) -> None:
        numbers = [None if x is None else float(x) for x in (fraction, metric)]  # NumPy's have no JSON
        send({"progress": (numbers[0], message, numbers[1])})

    os.ftruncate(2, 0)  # last words are of the present call only
    os.lseek(2, 0, os.SEEK_SET)
    logger, handler = logging.getLogger("napari_voxreg"), _ToParent(send)
    logger.setLevel(level)
    logger.addHandler(handler)
    failure = None
    try:
        _work(folder, progress)
    except Exception as error:  # noqa: BLE001 (it is raised in the parent)
        failure = base64.b64encode(pickle.dumps(portable(error))).decode()
    logger.removeHandler(handler)
    send({"done": failure})


def _work(folder: Path, progress: Progress) -> None:
    """Do the work of a call; afterwards its files are no longer mapped, which Windows would not remove."""
    function, args, kwargs = read_value(folder, "call", mapped=True)
    write_value(function(*args, progress=progress, **kwargs), folder, "value")


class _ToParent(logging.Handler):
    """Reports what is logged in the child, where nobody would see it."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send({"log": (record.name, record.levelno, record.getMessage())})


def _die_with(parent: int) -> None:
    """Have Linux kill this process when its parent goes, even in a library that holds the interpreter lock.

    Elsewhere the end of the pipe does the same as soon as the lock is free.
    """
    if not sys.platform.startswith("linux"):
        return
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before this was set
        os._exit(0)


if __name__ == "__main__":
    # The classes that are pickled must be those of the imported module, not of this second copy of it.
    from .process import _serve as serve

    serve(int(sys.argv[1]))
