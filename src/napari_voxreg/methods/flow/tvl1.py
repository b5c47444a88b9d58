"""Optical flow with total variation and absolute differences (scikit-image)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ...core.params import Params, param
from ...core.progress import Progress
from ..base import Method, Outcome, Task
from .scikit import register_by_flow


@dataclass(frozen=True, kw_only=True)
class TVL1Params(Params):
    """Parameters of `skimage.registration.optical_flow_tvl1`."""

    attachment: float = param(
        15.0, "How closely the images must match; less gives a smoother deformation.", range=(0.1, 1000)
    )
    tightness: float = param(
        0.3, "How closely the smooth and the matching half of the solution are tied.", range=(0.01, 10)
    )
    warps: int = param(
        5, "How often the moving image is warped anew at each level; more for larger motion.", range=(1, 100)
    )
    iterations: int = param(10, "Smoothing iterations after each warp.", range=(1, 1000))
    prefilter: bool = param(False, "Take the median of the flow before each warp; helps against outliers.")
    tolerance: float = param(
        1e-4,
        "Stop a level when the flow changes less than this (squared pixels).",
        range=(0, 1),
        advanced=True,
    )


def run(task: Task, params: TVL1Params, progress: Progress) -> Outcome:
    """Register; see `Run`. Landmarks are not used."""
    from skimage.registration import optical_flow_tvl1

    progress(None, "TV-L1 optical flow")
    flow = partial(
        optical_flow_tvl1,
        attachment=params.attachment,
        tightness=params.tightness,
        num_warp=params.warps,
        num_iter=params.iterations,
        tol=params.tolerance,
        prefilter=params.prefilter,
    )
    return register_by_flow(flow, task)


METHOD = Method(
    name="tvl1",
    title="Optical flow (TV-L1)",
    params=TVL1Params,
    run=run,
    presets={
        "default": {},
        "large motion": {"attachment": 8.0, "warps": 15, "iterations": 20},
        "fine detail": {"attachment": 40.0, "warps": 10},
        "noisy images": {"attachment": 5.0, "prefilter": True},
    },
    motion="deformable",
    isolate=True,
    reference="Zach, Pock, Bischof, DAGM 2007 (doi:10.1007/978-3-540-74936-3_22); scikit-image",
)
