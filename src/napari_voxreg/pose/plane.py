"""The pose of one 2D image on another: search, refinement, choice of model, and whether to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch

from ..core.geometry import Array
from ..core.progress import Progress, silent, subprogress
from ..images.task import Task
from ..tensor.device import device_named
from ..transforms import Affine, Homography, Quadratic, Transform
from ..transforms.affine import fit_points
from . import information
from .confidence import Evidence, agreeing, halves, simplest, stays, trust, unrepeated
from .models import Model, Poses
from .pose import Pose
from .proposal import Proposals, Source
from .pyramid_image import PyramidImage, on_dark_ground, pyramid_image
from .refine import Level, Scored, refine
from .search import Candidates, scales, search, several_small_tasks

# Size (pixels on the long side) and softening at which candidates are brought to their peaks, at which many
# are compared, and the best few.
FIRST, MANY, FEW = (64, 1.5), (128, 1.0), (256, 0.7)
KEPT = (20, 6)  # poses that are refined at the two last
MODELS = (256, 0.7)  # size and softening at which models are compared
LAST = (384, 0.5)  # and at which the last refinement is done
APART = 0.06  # of the image's length: nearer poses are one candidate
MIRRORED = 0.3  # fraction of the structure in place from which a mirror image is reported
TURNS = np.deg2rad(np.arange(30.0, 360.0, 30.0))  # by which what is proposed is rotated
TURNED = 2  # of these are compared with it
REFINED = 28  # candidates by each score that are refined
NEAR = 0.04  # of the image's length: a pose this near to what a source proposed has that source's support
FAINT = 0.03  # support below which a proposal is not better than chance
CLEAR = 0.7  # confidence from which the search of all poses is left out
# Lead of the highest mutual information over that of poses elsewhere from which it counts.
ENOUGH = {"rigid": 0.14, "similarity": 0.17}
WITHIN = 1.2  # times as much as when rotated that the insides of two objects must say of each other
MUCH = 1.1  # times the mutual information of the simpler pose that an affine must reach
UNCLEAR = "No reliable pose was found without a search; the current pose is kept, and other presets search."
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
    pixels: bool  # whether world units are mere pixels, so that scales mean nothing
    _levels: dict[tuple[int, float], Level] = field(default_factory=dict)

    def level(self, size: int, soften: float) -> Level:
        """The pair at so many pixels on the fixed image's long side; each is made once."""
        if (size, soften) not in self._levels:
            self._levels[size, soften] = Level(self.fixed, self.moving, self.fixed.extent / size, soften)
        return self._levels[size, soften]

    def objects(self, task: Task) -> Scene | None:
        """The scene without an instrument's borders, if both images show something on a dark ground.

        A round outline on a dark ground (a brain in PET) may look like a border; two of them are borders.
        """
        whole = [
            pyramid_image(image, mask, bordered=False)
            for image, mask in ((task.fixed, task.fixed_mask), (task.moving, task.moving_mask))
        ]
        seen = any(
            bool((a.mask == b.mask).all()) for a, b in zip((self.fixed, self.moving), whole, strict=True)
        )
        if not seen or not all(on_dark_ground(image) for image in whole):
            return None
        return replace(self, fixed=whole[0], moving=whole[1], _levels={})

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
        pixels = all(unit == "pixel" for unit in task.fixed.grid.units)
        return cls(a, b, corners, centre, float((high - low).max()) / 2, np.array(always), pixels)

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


@dataclass(frozen=True, eq=False)
class Found:
    """The best poses, how far the first can be trusted, and the scores on the way."""

    scored: Scored
    evidence: Evidence
    trace: tuple[float, ...]


def find_pose_2d(
    task: Task,
    model: Model | Literal["auto"] = "auto",
    progress: Progress = silent,
    sources: Sequence[Source] = (),
    *,
    thorough: bool = True,
) -> Pose:
    """Refine what is proposed, or all that a search brings; choose a model and assess the pose.

    The search covers all translations and rotations and scales of 0.5 to 2. It is left out where a proposal
    is clearly right.

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
    sources : sequence of callable
        Propose poses, the cheapest first. They should know nothing of oriented channels, for their support
        counts as evidence of its own.
    thorough : bool
        Whether to search where nothing that is proposed is clearly right, and to compare models.

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
    with several_small_tasks() as workers:
        known, found = _from_proposals(scene, task, sources, subprogress(progress, 0.02, 0.2))
        if found is None and not thorough:
            return Pose(Affine.identity(2), 0.0, False, (UNCLEAR,))
        if found is None:
            found = _find(scene, known, workers, subprogress(progress, 0.2, 0.8))
        pose = _assessed(scene, task, found, model, thorough, workers, progress)
    return replace(pose, notes=(*pose.notes, ON_CPU)) if elsewhere else pose


def _from_proposals(
    scene: Scene, task: Task, sources: Sequence[Source], progress: Progress
) -> tuple[Proposals, Found | None]:
    """All that is proposed, and what it refines to as soon as that is clearly right."""
    known = Proposals.unsupported(scene.always)
    for number, source in enumerate(sources):
        part = number / len(sources), (number + 1) / len(sources)
        known = known.joined(source(task, subprogress(progress, *part)))
        if known.support.max() > FAINT:
            progress(part[1], "refining what is proposed")
            near = _near(scene, scene.poses(known.matrices))
            crowd = _near(scene, near.poses.joined(_turned(scene, near.poses[:1])))
            found = _judged(scene, known, crowd, (), searched=False)
            if found.evidence.confidence > CLEAR:
                return known, found
    return known, None


def _assessed(
    scene: Scene,
    task: Task,
    found: Found,
    model: Model | Literal["auto"],
    thorough: bool,
    workers: int,
    progress: Progress,
) -> Pose:
    """The last refinement of what was found, in the model it needs; see `find_pose_2d`."""
    evidence, trace = found.evidence, found.trace
    if not evidence.reliable:
        objects = scene.objects(task)
        grey = objects and by_grey_values(objects, subprogress(progress, 0.8, 0.9))
        return grey or _mirrored(scene, workers, evidence, trace, subprogress(progress, 0.9, 1.0))
    linear: Model = "similarity" if model == "similarity" else "affine"
    families: tuple[Model, ...] = (linear, "homography", "quadratic") if model == "auto" else (model,)
    best, level = found.scored[:1], scene.level(*MODELS)
    if thorough or model not in ("auto", "affine"):
        if families != (linear,):
            progress(0.8, "comparing models")
            best = simplest(level, best.poses, families)
        progress(0.9, "last refinement")
        level = scene.level(*LAST)
        best = refine(level, best.poses, best.poses.model, 3)
    if stays(level, scene.poses(np.eye(3)[None]), best.poses):
        notes = (*evidence.notes, "The images are already aligned; their current pose is kept.")
        return Pose(Affine.identity(2), evidence.confidence, True, notes, trace)
    trace += (float(best.score[0]),)
    notes = evidence.notes
    if best.poses.model in ("homography", "quadratic") and model == "auto":
        notes += (f"A {best.poses.model} explains the pair clearly better than an affine map.",)
    return Pose(_transform(best.poses), evidence.confidence, True, notes, trace)


def _find(scene: Scene, known: Proposals, workers: int, progress: Progress, mirrored: bool = False) -> Found:
    """The best poses of a search over all, and of those known before."""
    tried = scales(scene.fixed, scene.moving, scene.pixels)
    raw: Candidates = search(
        scene.fixed, scene.moving, tried, subprogress(progress, 0.0, 0.6), mirrored, workers
    )
    if not len(raw.scores):
        nothing = Scored(scene.poses(np.eye(3)[None]), np.zeros(1), np.zeros(1), np.zeros(1))
        return Found(nothing, Evidence(), (0.0,))
    ranks = (np.argsort(-score, kind="stable")[:600] for score in raw.scores.T)
    ranked = [scene.poses(raw.matrices[rank]) for rank in ranks]
    first, second = (poses[scene.distinct(poses, REFINED)] for poses in ranked)
    poses = first.joined(second)
    poses = poses[scene.distinct(poses, len(poses))]
    exact = scene.poses(known.matrices[(known.support == 0) | (known.support > FAINT)])
    progress(0.6, "refining the best candidates")
    scored = refine(scene.level(*FIRST), exact.joined(poses), "similarity", 8).sorted()
    trace = (float(raw.scores[0, 0]), float(scored.score[0]))
    progress(0.7, f"refining at {MANY[0]} pixels")
    chosen = scored.poses[scene.distinct(scored.poses, KEPT[0], 0.0)]
    # What is near its peak already may leave it where all is blurred; so it is refined from there as well.
    crowd = _near(scene, exact.joined(chosen))
    progress(0.85, f"refining at {FEW[0]} pixels")
    return _judged(scene, known, crowd, (*trace, float(crowd.score[0])), searched=True)


def _turned(scene: Scene, pose: Poses) -> Poses:
    """The best of a pose rotated all around: a brain upside down fits a brain well, but less well.

    Returns
    -------
    Poses
        At most `TURNED` affine ones.
    """
    matrices = np.tile(np.eye(3), (len(TURNS), 1, 1))
    cosine, sine = np.cos(TURNS), np.sin(TURNS)
    matrices[:, :2, :2] = np.array([[cosine, -sine], [sine, cosine]]).transpose(2, 0, 1)
    matrices[:, :2, 2] = scene.centre - matrices[:, :2, :2] @ scene.centre
    rotated = scene.poses(pose.matrices @ matrices)
    found = refine(scene.level(*FIRST), rotated, "similarity", 8).sorted().poses
    return scene.poses(found[scene.distinct(found, TURNED)].matrices)


def _near(scene: Scene, poses: Poses) -> Scored:
    """Poses that are near their peaks, refined where many are compared, the best first."""
    return refine(scene.level(*MANY), poses, "affine", 8).sorted()


def _judged(
    scene: Scene, known: Proposals, crowd: Scored, trace: tuple[float, ...], *, searched: bool
) -> Found:
    """The best of many poses refined further, and the evidence for the first."""
    fine = scene.level(*FEW)
    poses = crowd.poses[scene.distinct(crowd.poses, KEPT[1], 0.01)]  # what met is one pose
    scored = refine(fine, poses, "affine", 6).sorted()
    best = scored.poses[:1]
    near = scene.distance(scene.poses(known.matrices), best)[:, 0] < NEAR
    many = scene.level(*MANY)
    support = float(known.support[near].max(initial=0.0)) * unrepeated(many, best)
    apart = scene.distance(crowd.poses, best)[:, 0] if searched else None
    gap, agree = halves(fine, scored), agreeing(many, scored.poses)
    evidence = trust(apart, crowd, scored, gap, agree, support)
    return Found(scored, evidence, (*trace, float(scored.score[0])))


def by_grey_values(scene: Scene, progress: Progress = silent) -> Pose | None:
    """The pose of highest mutual information, for objects on a dark ground without a common edge.

    PET with MRI, say: only the brain is bright in one and the whole head in the other. Mutual information
    has few details there, and with more freedom it leads astray. So the pose is rigid first, of other scale
    if that fails, and an affine only where that says much more of one image by the other.
    """
    found: tuple[Poses, float] | None = None
    models: tuple[information.Motion, ...] = ("rigid", "similarity")
    for number, model in enumerate(models):
        tried = (1.0,) if model == "rigid" else information.SCALES
        stage = subprogress(progress, 0.4 * number, 0.4 * number + 0.4)
        matrices, _ = information.search(scene.fixed, scene.moving, tried, stage)
        poses = scene.poses(matrices)
        poses = poses[scene.distinct(poses, 16)]
        poses, values = information.refine(scene.fixed, scene.moving, poses, 64, 12, model)
        far = values[scene.distance(poses, poses[:1])[:, 0] > 0.1]
        margin = float(values[0] / far.max() - 1) if len(far) and far.max() > 0 else 1.0
        # Never as sure as edges that meet.
        confidence = min(0.6, 0.5 * margin / ENOUGH[model])
        # At the edge of what was searched there is no peak.
        within = abs(poses.rotation()[0]) < information.ANGLES.max()
        if confidence >= 0.5 and within and information.inside(scene.fixed, scene.moving, poses) > WITHIN:
            found = poses, confidence
            break
    if found is None:
        return None
    progress(0.8, "refining by mutual information")
    poses, confidence = found
    for size, steps, most in ((128, 20, 3), (192, 12, 1)):
        poses = poses[scene.distinct(poses, most, 0.03)]
        poses, values = information.refine(scene.fixed, scene.moving, poses, size, steps, model)
    freer, more = information.refine(scene.fixed, scene.moving, poses[:1], 192, 20, "affine")
    if more[0] > MUCH * values[0]:
        poses, values = freer, more
    notes = ("The images share hardly any edges; the pose was estimated by mutual information, so check it.",)
    best = Affine(poses.matrices[0])
    return Pose(best, confidence, True, notes, (float(values[0]),), edges=False)


def _mirrored(
    scene: Scene, workers: int, evidence: Evidence, trace: tuple[float, ...], progress: Progress
) -> Pose:
    """No pose was found: is the moving image a mirror image?"""
    nothing = Proposals.unsupported(np.zeros((0, 3, 3)))
    other = _find(scene, nothing, workers, progress, mirrored=True).evidence
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
