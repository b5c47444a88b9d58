"""A global search for the pose, independent of modality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..core.geometry import Image
from ..core.params import Params, param
from ..core.progress import Progress
from ..transforms import Transform, chain
from .base import Method, Outcome

if TYPE_CHECKING:
    from ..pose import Pose

MODEL_HELP = (
    "What the pose may be: a similarity (turn, scale, shift), an affine, or in 2D a homography (a flat scene "
    "seen from elsewhere) or a quadratic (a curved one, such as the back of the eye); auto takes the "
    "simplest that explains the pair."
)


@dataclass(frozen=True, kw_only=True)
class Search(Params):
    """Parameters of the pose search."""

    model: Literal["auto", "similarity", "affine", "homography", "quadratic"] = param("auto", MODEL_HELP)


def run(
    fixed: Image,
    moving: Image,
    params: Search,
    *,
    initial: Transform | None,
    fixed_mask: Image | None,
    moving_mask: Image | None,
    points: Any,
    seed: int,
    device: str,
    progress: Progress,
) -> Outcome:
    """Search all poses, refine the best and say whether one can be trusted; see `method.Run`."""
    if initial is not None:
        from ..transforms import warp

        # A start that bends is laid under the search: what is sought is the pose of the bent image.
        covered = (
            moving.with_data(np.ones(moving.grid.shape, np.float32)) if moving_mask is None else moving_mask
        )
        moving_mask = warp(covered, initial, fixed.grid, order=0)
        moving = warp(moving, initial, fixed.grid)
    pose = finder(fixed.ndim)(
        fixed,
        moving,
        model=params.model,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        points=points,
        seed=seed,
        device=device,
        progress=progress,
    )
    transform = pose.transform if initial is None else chain(pose.transform, initial)
    return Outcome(transform, pose.notes, pose.trace, pose.confidence, device=pose.device)


def finder(ndim: int) -> Callable[..., Pose]:
    """The search for so many axes."""
    if ndim == 2:
        from ..pose.plane import find_pose_2d

        return find_pose_2d
    from ..pose.volume import find_pose_3d

    return find_pose_3d


METHOD = Method(
    name="pose",
    title="Pose (global search)",
    params=Search,
    run=run,
    presets={
        "any pair": {},
        "flat scene": {"model": "homography"},
        "fundus": {"model": "quadratic"},
        "affine": {"model": "affine"},
        "similarity": {"model": "similarity"},
    },
    isolate=True,
    landmarks=True,
    anywhere=True,
    loads=("napari_voxreg.pose.plane", "napari_voxreg.pose.volume"),
    reference="oriented channels free of polarity; masked correlation (Padfield, IEEE TIP 21, 2012)",
)
