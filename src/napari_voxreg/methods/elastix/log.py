"""elastix's log: how far a run is, its metric, and why it failed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ...core.progress import Progress
from .parameter_maps import KINDS, Map

TITLES = {transform: title for title, transform in KINDS.items()} | {
    "RecursiveBSplineTransform": "B-spline",
    "BSplineStackTransform": "B-splines of all images",
}
STAGE = "=============== start of ParameterMap"
# elastix's messages, and what they mean for the user.
REASONS = {
    "map outside moving image buffer": "Too few pixels of the fixed image fall on the moving image; "
    "use the initial transform 'centres', or give masks that overlap.",
    "enough image samples": "The mask leaves too few pixels to compare; draw a larger one.",
    "No valid voxels": "The mask leaves too few pixels to compare; draw a larger one.",
    "Not implemented for AdvancedTransformAdapter": "elastix cannot compute this metric through a dense "
    "initial transform; omit TransformBendingEnergyPenalty, or use a pose or a B-spline instead.",
    "is not installed": "The parameter files name a component that this elastix has not; see the log.",
}


class LogReader:
    """Follows a growing ``elastix.log``.

    Parameters
    ----------
    path : Path
        The log, which need not exist yet.
    maps : sequence of mapping
        The parameter map of each stage.
    progress : Progress
        Who wants to know.
    """

    def __init__(self, path: Path, maps: Sequence[Map], progress: Progress) -> None:
        self.trace: list[float] = []
        self._path = path
        self._progress = progress
        self._position = 0
        self._half = ""
        self._titles = [TITLES.get(m["Transform"][0], m["Transform"][0]) for m in maps]
        self._work = [_iterations(m) for m in maps]
        self._stage, self._level, self._iteration = -1, 0, 0
        self._column: int | None = None

    def beat(self, fraction: float | None, message: str, metric: float | None = None) -> None:
        """Read what is new and report it: a `Progress` for `isolate.call`, whose own reports it drops."""
        before = len(self.trace)
        self.read()
        if self._stage < 0:
            self._progress(None, "loading elastix")
            return
        levels = self._work[self._stage]
        words = f"{self._titles[self._stage]}, resolution {self._level + 1} of {len(levels)}"
        self._progress(self._fraction(), words, self.trace[-1] if len(self.trace) > before else None)

    def read(self) -> None:
        """Take in what has been added to the log."""
        if not self._path.exists():
            return
        with self._path.open("rb") as log:
            log.seek(self._position)
            new = log.read()
        self._position += len(new)
        *lines, self._half = (self._half + new.decode(errors="replace")).split("\n")
        for line in lines:
            self._take(line)

    def _take(self, line: str) -> None:
        """Understand one line."""
        if line.startswith(STAGE):
            self._stage = min(self._stage + 1, len(self._work) - 1)
            self._level = self._iteration = 0
        elif found := re.match(r"Resolution: (\d+)", line):
            self._level = min(int(found[1]), len(self._work[self._stage]) - 1)
            self._iteration = 0
        elif line.startswith("1:ItNr"):
            columns = line.split("\t")
            self._column = columns.index("2:Metric") if "2:Metric" in columns else None
        elif self._column is not None:
            cells = line.split("\t")
            if not cells[0].isdigit() or len(cells) <= self._column:
                self._column = None  # the table has ended
                return
            self._iteration = int(cells[0]) + 1
            self.trace.append(float(cells[self._column]))

    def _fraction(self) -> float:
        """Fraction of all iterations that is done; stages that stopped early count as done."""
        levels = self._work[self._stage]
        done = sum(map(sum, self._work[: self._stage])) + sum(levels[: self._level])
        return (done + min(self._iteration, levels[self._level])) / sum(map(sum, self._work))


def _iterations(values: Map) -> list[int]:
    """Iterations of each resolution of a stage, with elastix's defaults."""
    levels = int(values.get("NumberOfResolutions", ("3",))[0])
    given = [max(1, int(float(n))) for n in values.get("MaximumNumberOfIterations", ("500",))]
    # As elastix does, the first value serves where there is none for a resolution.
    return [given[level] if level < len(given) else given[0] for level in range(levels)]


def failure(log: str, error: str = "") -> str:
    """Why elastix failed, in one sentence with a remedy.

    Parameters
    ----------
    log : str
        Content of ``elastix.log``.
    error : str
        itk's message, for a log without a reason.
    """
    for said, reason in REASONS.items():
        if said in log:
            return reason
    described = re.findall(r"Description: (?:ITK ERROR: )?(?:\w+\(0x[0-9a-f]+\): )?(.+)", log)
    if "Internal elastix error" not in error:  # which only points to the log
        described += re.findall(r"ITK ERROR: (?:\w+\(0x[0-9a-f]+\): )?(.+)", error)
    if not described:
        return "elastix failed without a reason; see the log, and try other parameters or initial transforms."
    return f"elastix failed: {described[0].strip().rstrip('.')}; see the log, and try other parameters."


def explained(error: RuntimeError, folder: Path) -> ValueError:
    """What elastix's failure means, with the end of its log as a note.

    Parameters
    ----------
    error : RuntimeError
        What itk raised.
    folder : Path
        Where elastix left ``elastix.log``.
    """
    path = folder / "elastix.log"
    log = path.read_text(errors="replace") if path.exists() else ""
    found = ValueError(failure(log, str(error)))
    found.add_note("The end of elastix.log:\n" + log[-4000:])
    return found
