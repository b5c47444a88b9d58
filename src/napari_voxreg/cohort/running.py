"""Where the registrations of many images run: here, in processes of this machine, or on a Dask cluster.

The same functions run in all three places, with the same number of threads, so the results are the same to
the bit.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..core.progress import Progress, subprogress
from ..core.threads import chosen, use

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")

SERIAL, PROCESSES = "serial", "processes"
TASK_MEMORY = 3e9  # bytes that a registration of two volumes may take
RETRIES = 3  # of a task whose worker has died
AHEAD = 2  # tasks a worker that are sent before it has ended the last
LOOK = 0.2  # seconds between two looks at the progress and at Cancel


class Runner(Protocol):
    """Runs one function on many arguments."""

    def each(
        self,
        function: Callable[..., T],
        arguments: Iterable[tuple[Any, ...]],
        names: Sequence[str],
        progress: Progress,
        done: Callable[[int, T], None],
    ) -> None:
        """Run a function on each tuple of arguments.

        Parameters
        ----------
        function : callable
            Of a module, so that other processes find it. Takes the arguments and, by the name `progress`,
            how it reports.
        arguments : iterable of tuple
            Taken only when their turn comes.
        names : sequence of str
            What to call each in messages.
        progress : Progress
            May raise `Cancelled`, which ends all that runs.
        done : callable
            Gets the number of a result and the result, as soon as it is there.
        """


class Serial:
    """One after the other, in this thread."""

    link = ""

    def each(
        self,
        function: Callable[..., T],
        arguments: Iterable[tuple[Any, ...]],
        names: Sequence[str],
        progress: Progress,
        done: Callable[[int, T], None],
    ) -> None:
        """See `Runner`."""
        for k, (values, name) in enumerate(zip(arguments, names, strict=True)):
            done(k, function(*values, progress=_named(progress, k, len(names), name)))


class Distributed:
    """On the workers of a Dask scheduler.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.link = str(client.dashboard_link or "")

    def each(
        self,
        function: Callable[..., T],
        arguments: Iterable[tuple[Any, ...]],
        names: Sequence[str],
        progress: Progress,
        done: Callable[[int, T], None],
    ) -> None:
        """See `Runner`."""
        from distributed import TimeoutError, wait

        count, begun = len(names), 0
        coming = iter(arguments)
        waiting: dict[Any, int] = {}
        try:
            while begun < count or waiting:
                while begun < count and len(waiting) < AHEAD * max(1, len(self.client.nthreads())):
                    future = self.client.submit(function, *next(coming), pure=False, retries=RETRIES)
                    waiting[future] = begun
                    begun += 1
                progress((begun - len(waiting)) / count, f"{begun - len(waiting)} of {count}: {names[0]} ...")
                try:
                    finished = wait(list(waiting), timeout=LOOK, return_when="FIRST_COMPLETED").done
                except TimeoutError:
                    continue
                for future in finished:
                    done(waiting.pop(future), future.result())
        except BaseException:
            self.client.cancel(list(waiting), force=True)
            raise


@contextmanager
def runner(where: str, threads: int) -> Iterator[Serial | Distributed]:
    """What runs the registrations, as long as the context lasts.

    Parameters
    ----------
    where : str
        ``"serial"``, ``"processes"`` (on this machine, as many as its cores and its memory allow), or the
        address of a Dask scheduler, such as ``tcp://host:8786``.
    threads : int
        Of each registration.

    Raises
    ------
    ValueError
        If there is no scheduler at that address, or Dask's ``distributed`` is not installed.
    """
    if where == SERIAL:
        yield Serial()
        return
    if where != PROCESSES and "://" not in where:
        raise ValueError(
            f"{where!r} is not a scheduler; give serial, processes, or an address such as tcp://host:8786."
        )
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ValueError(
            'Running on several processes needs Dask; install it with pip install "napari-voxreg[cluster]".'
        ) from error
    if where == PROCESSES:
        with (
            _no_script(),
            LocalCluster(
                n_workers=workers_for(threads),
                threads_per_worker=1,
                processes=True,
                dashboard_address=":0",
                silence_logs=40,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield Distributed(client)
        return
    try:
        client = Client(where, timeout=5)
    except (OSError, TimeoutError, ValueError) as error:
        raise ValueError(f"No Dask scheduler answers at {where}; start one with dask scheduler.") from error
    with client:
        yield Distributed(client)


@contextmanager
def _no_script() -> Iterator[None]:
    """Hide the script that runs here from new processes: they would run it again, and open napari, say."""
    main = sys.modules["__main__"]
    spec, file = main.__spec__, getattr(main, "__file__", None)
    main.__spec__ = None
    if file is not None:
        del main.__file__
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file


def cores() -> int:
    """Of this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_for(threads: int) -> int:
    """How many registrations of so many threads run at a time here, by the cores and the memory."""
    from distributed.system import MEMORY_LIMIT

    return max(1, min(cores() // threads, int(MEMORY_LIMIT / TASK_MEMORY)))


@contextmanager
def limited(count: int) -> Iterator[None]:
    """So many threads, here and in the child process in which methods run, as long as the context lasts."""
    import SimpleITK as sitk

    # Methods that need PyTorch run in the child process; loading it here would block napari for seconds.
    torch = sys.modules.get("torch")
    before, of_itk = chosen(), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    of_torch = None if torch is None else torch.get_num_threads()
    try:
        use(count)
        yield
    finally:
        use(before)
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(of_itk)
        if torch is not None:
            torch.set_num_threads(of_torch)


def _named(progress: Progress, done: int, count: int, message: str) -> Progress:
    """Progress of one of many; the message names it."""
    part = subprogress(progress, done / count, (done + 1) / count)
    part(0.0, message)
    return lambda fraction, text, metric=None: part(fraction, message, metric)
