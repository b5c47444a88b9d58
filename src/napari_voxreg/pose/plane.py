"""The pose of one 2D image on another: search, refinement, choice of model, and whether to trust it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from ..core.geometry import Array
from ..core.progress import Progress, silent, subprogress
from ..images.task import Task
from ..tensor.device import device_named
from ..transforms import Affine, Homography, Quadratic, Transform
from ..transforms.fit import fit_points
from . import information
from .confidence import Evidence, agreeing, halves, simplest, stays, trust
from .models import Model, Poses
from .pose import Pose
from .pyramid_image import PyramidImage, on_dark_ground, pyramid_image
from .refine import Level, Scored, refine
from .search import Candidates, scales, search, several_small_tasks

FIRST = 64  # pixels on the long side at which the candidates are brought to their peaks
KEPT = ((128, 20, 1.0), (256, 6, 0.7))  # size, poses kept, softening
MODELS = 256  # pixels on the long side at which models are compared
LAST = 384  # and at which the last refinement is done
APART = 0.06  # of the image's length: nearer poses are one candidate
MIRRORED = 0.3  # fraction of the structure in place from which a mirror image is reported
REFINED = 28  # candidates by each score that are refined
ON_CPU = "The pose in 2D is searched on the CPU."


@dataclass(frozen=True, eq=False)
class Scene:
    """A prepared pair, the points in which poses are compared, and the poses that are always tried."""

    fixed: PyramidImage
    moving: PyramidImage
    corners: Array
    centre: Array
    radius: float
    always: Array

    @property
    def objects(self) -> bool:
        """Whether both images show something on a dark ground that reaches all around it."""
        return on_dark_ground(self.fixed) and on_dark_ground(self.moving)

    @classmethod
    def of(cls, task: Task) -> Scene:
        a, b = pyramid_image(task.fixed, task.fixed_mask), pyramid_image(task.moving, task.moving_mask)
        voting = task.fixed.grid.corners()
        if a.mask.any():
            voting = a.origin + a.spacing * torch.nonzero(a.mask).numpy()
        low, high = voting.min(0), voting.max(0)
        centre = (low + high) / 2
        corners = np.array([[p, q] for p in (low[0], high[0]) for q in (low[1], high[1])] + [centre])
        always = [np.eye(3)]
        if task.landmarks is not None and len(task.landmarks[0]) >= 3:
            fitted = fit_points(*task.landmarks).matrix
            if np.linalg.det(fitted) > 0:
                always.append(fitted)
        return cls(a, b, corners, centre, float((high - low).max()) / 2, np.array(always))

    def poses(self, matrices: Array) -> Poses:
        """World matrices as poses of this scene."""
        return Poses.of(matrices, self.centre, self.radius)

    def distance(self, a: Poses, b: Poses) -> Array:
        """Mean distance of corners and middle under two poses, in image lengths: (n_a, n_b)."""
        gap = np.linalg.norm(a(self.corners)[:, None] - b(self.corners)[None], axis=-1).mean(-1)
        return gap / (2 * self.radius) / np.sqrt(a.scale()[:, None] * b.scale()[None])

    def distinct(self, poses: Poses, most: int, apart: float = APART) -> list[int]:
        """The first of each group of near poses."""
        kept: list[int] = []
        gaps = self.distance(poses, poses)
        for k in range(len(poses)):
            if len(kept) == most:
                break
            if not kept or gaps[k, kept].min() > apart:
                kept.append(k)
        return kept


def find_pose_2d(task: Task, model: Model | Literal["auto"] = "auto", progress: Progress = silent) -> Pose:
    """Search all translations and rotations and scales of 0.5 to 2, refine, choose a model and assess it.

    Parameters
    ----------
    task : Task
        Two 2D images anywhere in the world. From three landmarks on the pose fitted to them is one of the
        candidates. The seed is not used: nothing is random. The device must be there, but the search runs
        on the CPU, where its many small steps are as fast.
    model : {"auto", "similarity", "affine", "homography", "quadratic"}
        What the pose may be.
    progress : Progress
        Called at each stage.

    Returns
    -------
    Pose
        The identity, not reliable, where no pose stands out from those that chance brings.

    Raises
    ------
    ValueError
        If the device is not there.
    """
    elsewhere = task.device != "auto" and device_named(task.device).type != "cpu"
    progress(0.0, "preparing the images")
    scene = Scene.of(task)
    pixels = all(unit == "pixel" for unit in task.fixed.grid.units)
    with several_small_tasks() as workers:
        pose = _assessed(scene, model, pixels, workers, progress)
    return replace(pose, notes=(*pose.notes, ON_CPU)) if elsewhere else pose


def _assessed(
    scene: Scene, model: Model | Literal["auto"], pixels: bool, workers: int, progress: Progress
) -> Pose:
    """Search, refine and assess; see `find_pose_2d`."""
    found, evidence, trace = _find(scene, pixels, workers, subprogress(progress, 0.02, 0.8))
    if not evidence.reliable:
        grey = by_grey_values(scene, subprogress(progress, 0.8, 0.9)) if scene.objects else None
        return grey or _mirrored(scene, pixels, workers, evidence, trace, subprogress(progress, 0.9, 1.0))
    linear: Model = "similarity" if model == "similarity" else "affine"
    families: tuple[Model, ...] = (linear, "homography", "quadratic") if model == "auto" else (model,)
    best = found[:1]
    if families != (linear,):
        progress(0.8, "comparing models")
        level = Level(scene.fixed, scene.moving, scene.fixed.extent / MODELS, 0.7)
        best = simplest(level, best.poses, families)
    progress(0.9, "last refinement")
    level = Level(scene.fixed, scene.moving, scene.fixed.extent / LAST, 0.5)
    best = refine(level, best.poses, best.poses.model, 3)
    if stays(level, scene.poses(np.eye(3)[None]), best.poses):
        notes = (*evidence.notes, "The images are already aligned; their current pose is kept.")
        return Pose(Affine.identity(2), evidence.confidence, True, notes, trace)
    trace += (float(best.score[0]),)
    notes = evidence.notes
    if best.poses.model in ("homography", "quadratic") and model == "auto":
        notes += (f"A {best.poses.model} explains the pair clearly better than an affine map.",)
    return Pose(_transform(best.poses), evidence.confidence, True, notes, trace)


def _find(
    scene: Scene, pixels: bool, workers: int, progress: Progress, mirrored: bool = False
) -> tuple[Scored, Evidence, tuple[float, ...]]:
    """The best poses at 256 pixels, how far the first can be trusted, and the scores on the way."""
    tried = scales(scene.fixed, scene.moving, pixels)
    raw: Candidates = search(
        scene.fixed, scene.moving, tried, subprogress(progress, 0.0, 0.6), mirrored, workers
    )
    if not len(raw.scores):
        return Scored(scene.poses(np.eye(3)[None]), np.zeros(1), np.zeros(1), np.zeros(1)), Evidence(), (0.0,)
    ranks = (np.argsort(-score, kind="stable")[:600] for score in raw.scores.T)
    ranked = [scene.poses(raw.matrices[rank]) for rank in ranks]
    first, second = (poses[scene.distinct(poses, REFINED)] for poses in ranked)
    poses = first.joined(second)
    poses = poses[scene.distinct(poses, len(poses))]
    if not mirrored:
        poses = scene.poses(scene.always).joined(poses)
    progress(0.6, "refining the best candidates")
    level = Level(scene.fixed, scene.moving, scene.fixed.extent / FIRST, 1.5)
    scored = refine(level, poses, "similarity", 8).sorted()
    trace = [float(raw.scores[0, 0]), float(scored.score[0])]
    crowd, small = scored, level
    for number, (size, keep, soften) in enumerate(KEPT):
        progress(0.7 + 0.15 * number, f"refining at {size} pixels")
        level = Level(scene.fixed, scene.moving, scene.fixed.extent / size, soften)
        apart = 0.01 * number  # what met at the size before is one pose
        chosen = scored.poses[scene.distinct(scored.poses, keep, apart)]
        scored = refine(level, chosen, "affine", 8 if number == 0 else 6).sorted()
        trace.append(float(scored.score[0]))
        if number == 0:
            crowd, small = scored, level
    apart_from_best = scene.distance(crowd.poses, scored.poses[:1])[:, 0]
    evidence = trust(apart_from_best, crowd, scored, halves(level, scored), agreeing(small, scored.poses))
    return scored, evidence, tuple(trace)


def by_grey_values(scene: Scene, progress: Progress = silent) -> Pose | None:
    """The similarity of highest mutual information, for objects on a dark ground without a common edge.

    PET with MRI, say: only the brain is bright in one and the whole head in the other.
    """
    matrices, _ = information.search(scene.fixed, scene.moving, subprogress(progress, 0.0, 0.6))
    poses = scene.poses(matrices)
    poses = poses[scene.distinct(poses, 16)]
    poses, values = information.refine(scene.fixed, scene.moving, poses, 64, 12)
    progress(0.8, "refining by mutual information")
    far = values[scene.distance(poses, poses[:1])[:, 0] > 0.1]
    margin = float(values[0] / far.max() - 1) if len(far) and far.max() > 0 else 1.0
    # Two people's heads reach a margin of 0.15, right poses hardly more: never as sure as edges that meet.
    confidence = min(0.6, 0.5 * margin / 0.17)
    if confidence < 0.5:
        return None
    for size, steps, most in ((128, 20, 3), (192, 12, 1)):
        poses = poses[scene.distinct(poses, most, 0.03)]
        poses, values = information.refine(scene.fixed, scene.moving, poses, size, steps)
    notes = ("The images share hardly any edges; the pose was estimated by mutual information, so check it.",)
    return Pose(Affine(poses.matrices[0]), confidence, True, notes, (float(values[0]),))


def _mirrored(
    scene: Scene, pixels: bool, workers: int, evidence: Evidence, trace: tuple[float, ...], progress: Progress
) -> Pose:
    """No pose was found: is the moving image a mirror image?"""
    _, other, _ = _find(scene, pixels, workers, progress, mirrored=True)
    notes = ("No reliable pose was found; the current pose is kept.", *evidence.notes)
    if other.confidence > 0.9 and other.agree > MIRRORED:
        notes += ("The moving image seems to be a mirror image of the fixed one; flip it and try again.",)
    return Pose(Affine.identity(2), evidence.confidence, False, notes, trace)


def _transform(poses: Poses) -> Transform:
    """The first pose as a transform."""
    if poses.model == "quadratic":
        return Quadratic(poses.numbers[0], poses.centre, poses.radius)
    if poses.model == "homography":
        return Homography(poses.matrices[0])
    return Affine(poses.matrices[0])
