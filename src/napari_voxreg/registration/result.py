"""What a registration gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..core.geometry import Grid, Image
from ..core.params import Params
from ..io.files import replace_file
from ..io.transforms import save_transform
from ..metrics.pair import Scores
from ..metrics.verdict import Verdict
from ..transforms import Transform


@dataclass(frozen=True, eq=False)
class Result:
    """What a registration gave.

    Parameters
    ----------
    transform : Transform
        From world points of the fixed image to world points of the moving image, in the fixed image's units.
    notes, trace, confidence, extras, files
        As in `Outcome`.
    fixed, moving : Grid
        The grids of the two images (without axes of one pixel; the moving one in the fixed units).
    method : str
        The method's name.
    params : Params
        All its parameters.
    seconds : float
        Time of the method itself, without checks and scores.
    before, after : Scores
        Measured at the layers' present pose and with the transform.
    verdict : Verdict
        Whether it got better, in one sentence.
    names, hashes : tuple of str
        Of the fixed and the moving image; hashes are SHA-256 of shape, type and pixels.
    """

    transform: Transform
    fixed: Grid
    moving: Grid
    method: str
    params: Params
    seconds: float
    before: Scores
    after: Scores
    verdict: Verdict
    names: tuple[str, str] = ("", "")
    hashes: tuple[str, str] = ("", "")
    notes: tuple[str, ...] = ()
    trace: tuple[float, ...] = ()
    confidence: float | None = None
    extras: Mapping[str, Image | Transform] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def save(self, folder: Path | str) -> Path:
        """Write ``transform.h5``, ``transform.json`` and the method's own files into a folder.

        Returns
        -------
        Path
            Of ``transform.h5``, which any program that uses ITK can read.
        """
        return save_result(self, Path(folder))


def save_result(result: Result, folder: Path) -> Path:
    """Write a result's transform, record and files into a folder; see `Result.save`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in result.files.items():
        replace_file(folder / name, partial(Path.write_bytes, data=content))
    return save_transform(result.transform, folder / "transform.h5", result.fixed, result_record(result))


def result_record(result: Result) -> dict[str, Any]:
    """How a result came about, as plain values: method, parameters, inputs, scores, verdict."""
    return {
        "method": result.method,
        "parameters": result.params.as_dict(),
        "seconds": round(result.seconds, 3),
        "inputs": {
            which: {"name": name, "sha256": digest}
            for which, name, digest in zip(("fixed", "moving"), result.names, result.hashes, strict=True)
        },
        "scores": {which: _scores(getattr(result, which)) for which in ("before", "after")},
        "verdict": result.verdict.sentence,
        "confidence": result.confidence,
        "notes": list(result.notes),
    }


def _scores(scores: Any) -> dict[str, Any]:
    """Scores as plain numbers; JSON has no nan."""
    values = {
        "whole": dict(scores.whole),
        "overlap": {k: None if np.isnan(v) else v for k, v in scores.overlap.items()},
        "overlap fraction": scores.overlap_fraction,
        "folded percent": scores.folded,
        "landmark error": scores.landmark_error,
    }
    return values
