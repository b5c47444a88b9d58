"""`register`: check a pair, run a method, measure before and after, say whether it got better."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..core.geometry import Image
from ..core.params import Params
from ..core.progress import Progress, silent, subprogress
from ..transforms import Transform
from .pair_transform import PairTransform
from .prepare import method_named, prepare
from .result import Result

DEFAULT_METHOD = "auto"  # of Python, the command line and the panel


def register(
    fixed: Image | npt.ArrayLike,
    moving: Image | npt.ArrayLike,
    *,
    method: str = DEFAULT_METHOD,
    preset: str | None = None,
    params: Params | Mapping[str, Any] | None = None,
    initial: str | Path | Transform | Result | PairTransform | None = None,
    fixed_mask: Image | npt.ArrayLike | None = None,
    moving_mask: Image | npt.ArrayLike | None = None,
    landmarks: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    channel: int | str | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> Result:
    """Find the transform that brings the moving image onto the fixed one.

    Parameters
    ----------
    fixed, moving : Image or array_like
        Both 2D or both 3D, any pixel type, channels last; plain arrays get unit spacing. Never modified.
    method : str
        A name in ``METHODS``, or "by hand" or "landmarks", which keep the initial transform as it is.
    preset : str, optional
        One of the method's presets; its first by default.
    params : Params or mapping, optional
        All parameters, or changes to those of the preset.
    initial : str, Path, Transform, Result, PairTransform or None
        The initial transform: None takes the images at their current positions in the world; ``"corners"``,
        ``"centres"``, ``"moments"`` and ``"landmarks"`` are described in `initial_transform`; a transform, an
        earlier result or a transform file of any program is continued.
    fixed_mask, moving_mask : Image or array_like, optional
        Pixels that are not zero count. An `Image` may have a grid of its own; an array has its image's.
    landmarks : tuple of array_like, optional
        Corresponding world points of fixed and moving, (N, d) each, in the units of their image.
        Methods that can use them do; the verdict always does.
    channel : int or "luminance", optional
        Which channel drives; luminance by default.
    seed : int
        Same seed, same result.
    device : str
        Where methods that compute on tensors do so: "cpu", "cuda", "cuda:1", "mps", or "auto" for a GPU if
        there is one. The others run on the CPU.
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
        If `progress` requested it.
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
        landmarks=landmarks,
        channel=channel,
        seed=seed,
        device=device,
    )
    return pair.run(method, values, subprogress(report, 0.01, 1.0)).with_images(fixed, moving)
