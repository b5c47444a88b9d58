"""Optical flow by iterative Lucas-Kanade (scikit-image)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ...core.params import Params, param
from ...core.progress import Progress
from ..base import Method, Outcome, Task
from .scikit import register_by_flow


@dataclass(frozen=True, kw_only=True)
class ILKParams(Params):
    """Parameters of `skimage.registration.optical_flow_ilk`."""

    radius: int = param(
        7, "Half width in pixels of the window that moves as one; more is smoother.", range=(1, 200)
    )
    warps: int = param(
        10, "How often the moving image is warped anew at each level; more for larger motion.", range=(1, 100)
    )
    gaussian: bool = param(
        False, "Weight the window with a Gaussian, for a smoother flow, instead of evenly, which is faster."
    )
    prefilter: bool = param(False, "Take the median of the flow before each warp; helps against outliers.")


def run(task: Task, params: ILKParams, progress: Progress) -> Outcome:
    """Register; see `Run`. Landmarks are not used."""
    from skimage.registration import optical_flow_ilk

    progress(None, "Lucas-Kanade optical flow")
    flow = partial(
        optical_flow_ilk,
        radius=params.radius,
        num_warp=params.warps,
        gaussian=params.gaussian,
        prefilter=params.prefilter,
    )
    return register_by_flow(flow, task)


METHOD = Method(
    name="ilk",
    title="Optical flow (Lucas-Kanade)",
    params=ILKParams,
    run=run,
    presets={
        "default": {},
        "smooth": {"radius": 15, "gaussian": True, "prefilter": True},
        "fine detail": {"radius": 4},
        "large motion": {"radius": 11, "warps": 25, "prefilter": True},
    },
    motion="deformable",
    isolate=True,
    reference="Le Besnerais, Champagnat, ICIP 2005 (doi:10.1109/ICIP.2005.1529706); scikit-image",
)
