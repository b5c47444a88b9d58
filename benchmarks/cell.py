"""One contestant on one case, alone in a fresh process: ``python cell.py SOURCE METHOD OUT.json``."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

import contestants
from case import Case, load
from napari_voxreg.core import process
from napari_voxreg.metrics.similarity import dice, folded_percentage
from napari_voxreg.transforms import Affine, Transform, warp

LIMIT = 0.01  # of the fixed image's diagonal: an error up to this is a success


def peak_megabytes() -> float:
    """The largest resident memory that this process or its child has ever held.

    Linux reports it for each process; elsewhere the operating system's ``ru_maxrss`` is used.
    """
    if not sys.platform.startswith("linux"):
        whose = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
        return max(resource.getrusage(who).ru_maxrss for who in whose) / 2**20  # bytes on macOS
    import psutil

    own = psutil.Process()
    peaks = []
    for running in (own, *own.children(recursive=True)):
        status = Path(f"/proc/{running.pid}/status").read_text()
        peaks.append(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))
    return max(peaks) / 1024


def errors(case: Case, transform: Transform) -> dict[str, float]:
    """Mean distance from the truth and mean Dice, where they are known."""
    found = {}
    if case.points is not None:
        first, second = case.points
        found["error"] = float(np.linalg.norm(transform(first) - second, axis=1).mean())
    if case.labels is not None:
        fixed, moving = case.labels
        moved = warp(moving, transform, fixed.grid, order=0)
        found["dice"] = float(np.mean([dice(fixed.data, moved.data, label) for label in case.classes]))
    return found


def measure(source: str, method: str) -> dict[str, Any]:
    """The cell's content."""
    case = load(source)
    contestants.warm(method, case.fixed.ndim)
    loaded = peak_megabytes()
    found = contestants.registered(method, case.fixed, case.moving)
    peak = peak_megabytes()
    process.shutdown()
    after = errors(case, found.transform)
    return {
        "before": errors(case, Affine.identity(case.fixed.ndim)),
        "after": after,
        "limit": LIMIT * case.fixed.grid.diagonal,
        "unit": case.unit,
        "folds": folded_percentage(found.transform, case.fixed.grid),
        "seconds": found.seconds,
        "loaded": loaded,
        "peak": peak,
        "pixels": int(np.prod(case.fixed.grid.shape)),
        "notes": found.notes,
        "confidence": found.confidence,
        "reliable": found.reliable,
    }


def main(source: str, method: str, out: str) -> None:
    """Measure and write, the reason in the place of numbers where a contestant gives up."""
    try:
        content = measure(source, method)
    except (ValueError, RuntimeError) as error:
        content = {"failed": str(error).splitlines()[0]}
    Path(out).write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
