"""A global search for the pose, independent of modality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..core.params import Params, param
from ..core.progress import Progress
from .base import Method, Outcome, Task
from .proposals import sources, weights

if TYPE_CHECKING:
    from ..pose import Pose

Model = Literal["auto", "similarity", "affine", "homography", "quadratic"]
MODEL_HELP = (
    "The model: a similarity (rotation, scale, translation), an affine, or in 2D a homography (a flat "
    "scene from another viewpoint) or a quadratic (a curved one, such as the back of the eye). Auto takes "
    "the simplest that explains the pair."
)


@dataclass(frozen=True, kw_only=True)
class Search(Params):
    """Parameters of the pose search."""

    model: Model = param("auto", MODEL_HELP)


def run(task: Task, params: Search, progress: Progress) -> Outcome:
    """Search all poses, refine the best and report whether it is reliable; see `Run`."""
    pose = find(task, params.model, progress)
    used = weights(task.fixed.ndim)
    return Outcome(pose.transform, pose.notes, pose.trace, pose.confidence, device=pose.device, weights=used)


def find(task: Task, model: Model, progress: Progress, *, thorough: bool = True) -> Pose:
    """The pose of a 2D or 3D pair, from all that proposes one.

    Parameters
    ----------
    task : Task
    model : str
        What the pose may be.
    progress : Progress
        May raise `Cancelled`.
    thorough : bool
        Whether to search all poses where none that is proposed is clear.
    """
    from ..pose.plane import find_pose_2d
    from ..pose.volume import find_pose_3d

    if task.fixed.ndim == 2:
        proposing = sources(2) if thorough else sources(2)[:1]
        return find_pose_2d(task, model, progress, proposing, thorough=thorough)
    return find_pose_3d(task, model, progress, thorough=thorough)


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
    motion="affine",
    isolate=True,
    landmarks=True,
    anywhere=True,
    device=True,
    loads=(
        "napari_voxreg.pose.plane",
        "napari_voxreg.pose.volume",
        "napari_voxreg.nets.inference.candidates",
        "napari_voxreg.nets.checkpoints.checkpoint",
    ),
    reference="oriented channels free of polarity; masked correlation (Padfield, IEEE TIP 21, 2012)",
)
