"""`register`: check a pair, run a method, measure before and after, say whether it got better."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.geometry import Image
from ..core.params import Params
from ..core.progress import Progress, silent, subprogress
from ..methods import METHODS
from ..methods.base import Method, Outcome
from ..metrics.similarity import PairMetrics, Scores
from ..metrics.verdict import judge
from ..transforms import Affine, Transform, chain
from .prepare import Pair, check_overlap, prepare
from .result import Result

DEFAULT_METHOD = "auto"  # of Python, the command line and the panel


def register(
    fixed: Image | npt.ArrayLike,
    moving: Image | npt.ArrayLike,
    *,
    method: str = DEFAULT_METHOD,
    preset: str | None = None,
    params: Params | Mapping[str, Any] | None = None,
    initial: Any = None,
    fixed_mask: Image | npt.ArrayLike | None = None,
    moving_mask: Image | npt.ArrayLike | None = None,
    points: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    channel: int | str | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> Result:
    """Find the transform that brings the moving image onto the fixed one.

    Parameters
    ----------
    fixed, moving : Image or array_like
        2D or 3D alike, any pixel type, channels last; plain arrays get unit spacing. Never modified.
    method : str
        A name in ``METHODS``.
    preset : str, optional
        One of the method's presets; its first if left out.
    params : Params or mapping, optional
        All parameters, or changes to those of the preset.
    initial : str, Transform, Result or None
        Where to start: None takes both images where they lie in the world; ``"corners"``, ``"centres"``,
        ``"moments"`` and ``"points"`` are described in `starts.start`; a transform or an earlier result is
        continued.
    fixed_mask, moving_mask : Image or array_like, optional
        Pixels that are not zero count. An `Image` may have a grid of its own; an array has its image's.
    points : tuple of array_like, optional
        Corresponding world points of fixed and moving, (N, d) each, in the units of their image.
        Methods that can use them do; the verdict always does.
    channel : int or "luminance", optional
        Which channel drives; luminance by default.
    seed : int
        Same seed, same result.
    device : str
        "auto", "cpu", "cuda" or "mps", for methods that compute on tensors.
    progress : Progress, optional
        Called as the work goes on; raises `Cancelled` to stop it.

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        With one plain sentence and its remedy, before anything runs.
    Cancelled
        If `progress` asked for it.
    MethodUnavailable
        If the method cannot run on this machine or its process died.
    """
    report = silent if progress is None else progress
    values = method_named(method).parameters(preset, params)
    report(0.0, "checking the images")
    pair = prepare(
        fixed,
        moving,
        initial=initial,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        points=in_fixed_units(points, fixed, moving),
        channel=channel,
    )
    check_method(method, values, pair)
    ready = Ready.of(pair, (fixed, moving), subprogress(report, 0.01, 0.08))
    result = run_method(
        method, values, ready, seed=seed, device=device, progress=subprogress(report, 0.08, 1.0)
    )
    return result.with_images(fixed, moving)


@dataclass(frozen=True, eq=False)
class Ready:
    """A checked pair, and what is measured once whatever methods run on it.

    Parameters
    ----------
    pair : Pair
        As methods get it.
    comparison : Comparison
        Measures the pair.
    before : Scores
        At the layers' present pose.
    hashes : tuple of str
        SHA-256 of the images as they were given.
    """

    pair: Pair
    comparison: PairMetrics
    before: Scores
    hashes: tuple[str, str]

    @classmethod
    def of(cls, pair: Pair, given: tuple[Any, Any], progress: Progress = silent) -> Ready:
        """Measure a pair; `given` are the images that it was prepared from."""
        comparison = PairMetrics(pair.fixed, pair.moving, pair.fixed_mask, pair.moving_mask, pair.points)
        before = comparison.scores(None, progress)
        return cls(pair, comparison, before, (_digest(given[0]), _digest(given[1])))


def method_named(name: str) -> Method:
    """The method of a name; a `ValueError` lists those there are."""
    if name not in METHODS:
        raise ValueError(f"There is no method {name!r}; choose from: {', '.join(METHODS)}.")
    return METHODS[name]


def check_method(method: str, values: Params, pair: Pair) -> None:
    """Refuse a method, with a `ValueError`, that cannot work on a pair."""
    chosen = METHODS[method]
    refusal = chosen.refusal(pair.fixed.ndim, values)
    if refusal:
        raise ValueError(refusal)
    if not chosen.anywhere:
        check_overlap(pair)


def run_method(
    method: str, values: Params, ready: Ready, *, seed: int, device: str, progress: Progress
) -> Result:
    """Run a method on a pair that it can work on, and measure and judge what it found."""
    chosen, pair = METHODS[method], ready.pair
    began = time.perf_counter()
    outcome = _run(method, values, pair, seed, device, subprogress(progress, 0.0, 0.87))
    seconds = time.perf_counter() - began
    after = ready.comparison.scores(outcome.transform, subprogress(progress, 0.87, 0.97))
    notes = outcome.notes
    if pair.points is not None and not chosen.landmarks:
        notes += (f"{chosen.title} is not guided by landmarks; they judge the result.",)
    verdict = judge(
        ready.comparison, ready.before, after, outcome.transform, subprogress(progress, 0.97, 1.0)
    )
    progress(1.0, verdict.sentence)
    return Result(
        transform=outcome.transform,
        fixed=pair.fixed.grid,
        moving=pair.moving.grid,
        method=method,
        params=values,
        seconds=seconds,
        before=ready.before,
        after=after,
        verdict=verdict,
        names=(pair.fixed.name, pair.moving.name),
        hashes=ready.hashes,
        notes=notes,
        trace=outcome.trace,
        confidence=outcome.confidence,
        extras=outcome.extras,
        files=outcome.files,
        device=outcome.device,
        weights=outcome.weights,
    )


def _run(method: str, params: Params, pair: Pair, seed: int, device: str, progress: Progress) -> Outcome:
    """Run a method from the pair's start; the outcome's transform includes it."""
    from ..core.process import call

    chosen = METHODS[method]
    moving, moving_mask, points, initial = pair.moving, pair.moving_mask, pair.points, pair.initial
    affine = initial if isinstance(initial, Affine) else None
    if affine is not None:
        # An affine start moves the moving image's grid: exact, and no method needs to know.
        back = affine.inverse()
        moving = moving.with_grid(moving.grid.moved(back.matrix))
        moving_mask = None if moving_mask is None else moving_mask.with_grid(moving.grid)
        points = None if points is None else (points[0], back(points[1]))
        initial = None
    arguments: dict[str, Any] = {
        "initial": initial,
        "fixed_mask": pair.fixed_mask,
        "moving_mask": moving_mask,
        "points": points,
        "seed": seed,
        "device": device,
        "progress": progress,
    }
    progress(0.0, f"starting {chosen.title}")
    if chosen.isolate:
        outcome = call(chosen.run, pair.fixed, moving, params, **arguments)
    else:
        outcome = chosen.run(pair.fixed, moving, params, **arguments)
    if affine is None:
        return outcome
    shown = {k: chain(v, affine) if isinstance(v, Transform) else v for k, v in outcome.extras.items()}
    return replace(outcome, transform=chain(outcome.transform, affine), extras=shown)


def in_fixed_units(
    points: tuple[npt.ArrayLike, npt.ArrayLike] | None, fixed: Any, moving: Any
) -> tuple[npt.ArrayLike, npt.ArrayLike] | None:
    """Moving points, given in the units of their image, in those of the fixed image."""
    if points is None or not (isinstance(fixed, Image) and isinstance(moving, Image)):
        return points
    if fixed.grid.units == moving.grid.units or fixed.ndim != moving.ndim or not len(np.asarray(points[1])):
        return points
    factors = np.diag(moving.grid.in_units(fixed.grid.units).affine @ np.linalg.inv(moving.grid.affine))
    return points[0], np.asarray(points[1], dtype=float) * factors[:-1]


def _digest(image: Any) -> str:
    """SHA-256 of an image's shape, type and pixels."""
    import hashlib

    data = np.ascontiguousarray(image.data if isinstance(image, Image) else image)
    digest = hashlib.sha256(f"{data.shape} {data.dtype.str}".encode())
    digest.update(data.view(np.uint8).data if data.ndim else data.tobytes())
    return digest.hexdigest()
