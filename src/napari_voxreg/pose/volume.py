"""The pose of a volume on another, whatever their modalities, geometry and fields of view."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from ..core.geometry import Array
from ..core.progress import Progress, silent, subprogress
from ..images.task import Task
from ..tensor.device import with_fallback
from ..transforms import Affine
from .pose import Pose
from .volume_around import around
from .volume_refine import REACH, Level, agreement, level, rank, refine, score, warped
from .volume_search import SCALES, distinct, elsewhere, rotations, search
from .volume_view import Volume, extents, volume

FINE, MIDDLE, COARSE = 96, 48, 32  # voxels along a mean side of the smaller image at which poses are refined
ROUGH = 20  # the same where rotations all around are tried
MIRRORED_CLOSER = 0.02  # similarity by which a mirror image must fit better than a rotation all around
LONGEST = 128  # the same of the larger image at most
CORRELATION = 40  # size of the correlation maps along a mean side
KEPT = (48, 12, 4)  # candidates after the search and after each refinement
RELIABLE = 0.25  # share of the structure that must fit best in place; wrong poses reach 0.2
SURE = 0.42  # the same for a current pose that makes a search unnecessary
UNMATCHED = 0.8  # the same where no mirror image can fit better
EQUAL = 0.9  # of the best correlation and agreement: another translation that reaches both is as good
ROUND = 0.97  # of the rank remains after rotating a round object by 20 degrees; a skull's slab keeps 0.94
CLEAR = 0.04  # fraction of the gap to a perfect fit that a new pose must close to replace the current one
MIRRORED = 36  # as CORRELATION, for mirror images
MIRROR = (
    "One image seems to be a mirror image of the other: check the orientation in which they were stored; "
    "nothing was flipped."
)
REPEATED = (
    "Several equally good poses were found: the structure repeats itself or runs on, and another translation "
    "fits about as well; use the initial transform 'landmarks'."
)
NOTHING = "No reliable pose was found; the images stay at their current positions."


@dataclass(frozen=True, eq=False)
class Pair:
    """Two volumes, the smaller one first, and the levels at which they are compared.

    Parameters
    ----------
    small, large : Volume
        At the finest spacing.
    side, reach : float
        Mean sides of the two boxes, world units.
    swapped : bool
        Whether the moving image is the smaller one.
    """

    small: Volume
    large: Volume
    side: float
    reach: float
    swapped: bool

    def at(self, size: int) -> Level:
        """The pair with about so many voxels along a mean side of the smaller volume."""
        return level(self.small, self.large, max(self.small.spacing, self.side / size))

    def coarsest(self, size: int) -> Level:
        """The pair so coarse that maps of all translations have about so many voxels along a mean side."""
        reach = max(self.reach, 0.9 * self.longest)
        return level(self.small, self.large, max(self.small.spacing, (self.side + 1.3 * reach) / size))

    @property
    def longest(self) -> float:
        """The longest side of both boxes, much longer than `reach` in a few planes; world units."""
        return max(max(v.shape) * v.spacing for v in (self.small, self.large))


def find_pose_3d(
    task: Task, model: str = "auto", progress: Progress = silent, *, thorough: bool = True
) -> Pose:
    """Search rotations all around, then translation, scale (0.7 to 1.4) and rotation, and refine.

    The rotations all around (see `around`) need most of both objects to be seen; the search of all
    translations and scales covers 45 degrees about each axis. Both are left out once a pose is clear.

    Parameters
    ----------
    task : Task
        Two volumes anywhere in the world and on any grids. From three landmarks on they give a further
        initial pose. The seed is not used: nothing is random.
    model : str
        "similarity", "affine" or "auto", which is an affine.
    progress : Progress
    thorough : bool
        Whether to search where the current pose is not clear, and to look for mirror images.

    Returns
    -------
    Pose

    Raises
    ------
    ValueError
        If a pose in 3D cannot be of that model, or the device is not there.
    """
    if model not in ("auto", "affine", "similarity"):
        raise ValueError(f"A pose in 3D cannot be a {model}; choose auto, similarity or affine.")
    kind = "similarity" if model == "similarity" else "affine"

    def work(where: torch.device) -> Pose:
        with torch.inference_mode():
            progress(0.0, "preparing the volumes")
            pair = _pair(task, where)
            middle = pair.at(MIDDLE)
            if min(middle.energy, middle.moving_energy) < 1e-3:
                return Pose(Affine.identity(3), 0.0, False, ("One image shows no structure. " + NOTHING,))
            return _found(pair, middle, kind, _initial_worlds(pair, task), thorough, progress)

    pose, used, note = with_fallback(work, task.device)
    return replace(pose, device=used, notes=pose.notes if note is None else (*pose.notes, note))


def _found(pair: Pair, middle: Level, kind: str, initial: Array, thorough: bool, progress: Progress) -> Pose:
    """The current pose if it fits, else what the search finds, refined and assessed."""
    progress(0.1, "refining the current pose")
    worlds, ranks = _climbed(pair.at(COARSE), initial[:1] if thorough else initial, "similarity", 8)
    worlds, ranks = _climbed(middle, worlds[:1], kind, 6)
    share, blocks = agreement(middle, _indices(middle, worlds)[0])
    trace = [float(ranks[0])]
    for number, search_in in enumerate((_all_around, _searched) if thorough else ()):
        if share >= _needed(SURE, blocks):
            break
        part = subprogress(progress, 0.2 + 0.1 * number, 0.3 + 0.45 * number)
        found = search_in(pair, middle, kind, initial, trace, part)
        worlds = np.concatenate([found, worlds])
        shares = [agreement(middle, p) for p in _indices(middle, worlds)]
        order = np.argsort([-s for s, _ in shares], kind="stable")
        worlds, (share, blocks) = worlds[order[:1]], shares[order[0]]
    if share < _needed(RELIABLE, blocks):
        notes: tuple[str, ...] = (NOTHING,)
        if thorough:
            notes += _mirrored(pair, middle, share, worlds[0], subprogress(progress, 0.75, 0.95))
        return Pose(Affine.identity(3), min(_confidence(share), 0.4), False, notes, tuple(trace))
    progress(0.75, "refining the pose")
    fine = pair.at(FINE)
    worlds, ranks = _climbed(fine, worlds, kind, 6)
    current = _ranked(fine, initial[:1])
    progress(0.9, "comparing with the current pose")
    if ranks[0] - current[0] < CLEAR * (1 - current[0]):
        worlds, ranks = initial[:1], current
    trace.append(float(ranks[0]))
    confidence = _confidence(share)
    far = np.trace(worlds[0][:3, :3]) < 1  # by 90 degrees or more, where only rotations all around reach
    notes = _mirrored(pair, middle, share, worlds[0], None) if share < UNMATCHED or far else ()
    if _repeats(middle, worlds[0], share):
        if not np.array_equal(worlds[0], initial[0]):
            notes = (NOTHING, REPEATED, *notes)
            return Pose(Affine.identity(3), min(confidence, 0.4), False, notes, tuple(trace))
        confidence, notes = 0.6 * confidence, (REPEATED, *notes)
    matrix = np.linalg.inv(worlds[0]) if pair.swapped else worlds[0]
    return Pose(Affine(matrix), confidence, True, notes, tuple(trace))


def _repeats(middle: Level, world: Array, share: float) -> bool:
    """Whether another translation fits about as well where both images overlap, or another rotation."""
    pose = _indices(middle, world[None])
    round_about = _ranked(middle, np.concatenate([world[None], world @ _rotated(middle.centroid())]))
    if (round_about[1:] > ROUND * round_about[0]).any():
        return True
    other, _, _ = refine(middle, elsewhere(middle, pose[0], REACH)[None], "similarity", 4)
    both = torch.cat([pose, other])
    correlation, _ = score(middle, both, *warped(middle, both))
    if len(distinct(both, middle.fixed.shape, float(REACH), 2)) < 2:
        return False
    equal = bool(correlation[1] > EQUAL * correlation[0])
    return equal and agreement(middle, other[0])[0] > EQUAL * share


def _rotated(centre: Array) -> Array:
    """Rotations of 20 degrees about a point and each of three axes, (3, 4, 4)."""
    rotations = np.tile(np.eye(4), (3, 1, 1))
    rotations[:, :3, :3] = Rotation.from_rotvec(20.0 * np.eye(3), degrees=True).as_matrix()
    rotations[:, :3, 3] = centre - rotations[:, :3, :3] @ centre
    return rotations


def _mirrored(
    pair: Pair, middle: Level, share: float, world: Array, progress: Progress | None
) -> tuple[str, ...]:
    """A note if the images fit clearly better when one is mirrored.

    Parameters
    ----------
    share : float
        How well they fit as they are.
    world : ndarray, shape (4, 4)
        The best pose found.
    progress : Progress or None
        None if the pose is good enough to refine from; else all mirror images are searched.
    """
    flips = np.stack([np.diag([-1.0 if k == j else 1.0 for j in range(3)]) for k in range(3)])
    frame = pair.small.to_world[:3, :3] / pair.small.spacing
    flips = frame @ flips @ frame.T
    if progress is None:
        centre = middle.centroid()
        worlds = np.tile(np.eye(4), (3, 1, 1))
        worlds[:, :3, :3] = flips
        worlds[:, :3, 3] = centre - flips @ centre
        worlds = world @ worlds
    else:
        coarsest = pair.coarsest(MIRRORED)
        linears = np.concatenate([rotations() @ flip for flip in flips])
        poses, _ = search(coarsest, linears, progress)
        worlds = _worlds(coarsest, poses[distinct(poses, coarsest.fixed.shape, 3.0, KEPT[1])])
        worlds, _ = _climbed(coarsest, worlds, "similarity", 10, KEPT[2])
    worlds, _ = _climbed(pair.at(COARSE), worlds, "similarity", 8, 1)
    worlds, _ = _climbed(middle, worlds, "affine", 6)
    fits, blocks = agreement(middle, _indices(middle, worlds)[0])
    # A head turned half round fits its mirror image in most blocks, but never as closely as the mirror does.
    ranks = _ranked(middle, np.stack([world, worlds[0]]))
    closer = fits > share and ranks[1] > ranks[0] + MIRRORED_CLOSER
    return (MIRROR,) if fits > _needed(SURE, blocks) and (closer or fits > share + 0.15) else ()


def _all_around(
    pair: Pair, middle: Level, kind: str, initial: Array, trace: list[float], progress: Progress
) -> Array:
    """World matrices (B, 4, 4) of the best poses at rotations all around, centred and of the same scale."""
    progress(0.0, "trying all rotations")
    coarsest = pair.at(ROUGH)
    poses, ranks = around(coarsest)
    trace.append(float(ranks[0]))
    poses = poses[distinct(poses, coarsest.fixed.shape, 2.0, KEPT[0])]
    worlds, _ = _climbed(coarsest, _worlds(coarsest, poses), "similarity", 8, KEPT[1])
    progress(0.4, "refining the best rotations")
    worlds, _ = _climbed(pair.at(COARSE), worlds, "similarity", 8, 2)
    progress(0.8, "refining the best rotations")
    return _climbed(middle, worlds, kind, 6)[0]


def _searched(
    pair: Pair, middle: Level, kind: str, initial: Array, trace: list[float], progress: Progress
) -> Array:
    """World matrices (B, 4, 4) of the best poses of a search over all, refined at the middle level."""
    coarsest = pair.coarsest(CORRELATION)
    linears = np.concatenate([rotations() * s for s in SCALES])
    poses, values = search(coarsest, linears, subprogress(progress, 0.0, 0.6))
    poses = poses[distinct(poses, coarsest.fixed.shape, 3.0, KEPT[0])]
    worlds = np.concatenate([_worlds(coarsest, poses), initial[1:]])
    trace.append(float(values[0]))
    progress(0.6, "refining the best poses")
    worlds, _ = _climbed(coarsest, worlds, "similarity", 10, KEPT[1])
    progress(0.75, "refining the best poses")
    worlds, ranks = _climbed(pair.at(COARSE), worlds, "similarity", 8, KEPT[2])
    trace.append(float(ranks[0]))
    progress(0.85, "refining the best poses")
    worlds, ranks = _climbed(middle, worlds, kind, 6)
    trace.append(float(ranks[0]))
    return worlds


def _climbed(
    level: Level, worlds: Array, kind: str, iterations: int, most: int | None = None
) -> tuple[Array, Array]:
    """Poses refined at a level and what they are ranked by, the best that differ first."""
    poses, correlation, overlap = refine(level, _indices(level, worlds), kind, iterations)
    ranks = rank(correlation, overlap)
    order = ranks.argsort(descending=True)
    if most is not None:
        order = order[distinct(poses[order], level.fixed.shape, 1.5, most)]
    return _worlds(level, poses[order]), ranks[order].cpu().numpy()


def _ranked(level: Level, worlds: Array) -> Array:
    """What poses are ranked by, as they are."""
    poses = _indices(level, worlds)
    return rank(*score(level, poses, *warped(level, poses))).cpu().numpy()


def _confidence(share: float) -> float:
    """From the share of the structure that fits best in place: 0.1 by chance, 0.5 at the least when right."""
    return float(np.clip((share - 0.1) / 0.4, 0, 1))


def _indices(level: Level, worlds: Array) -> Tensor:
    """World matrices as matrices from fixed to moving indices of a level."""
    inner = np.linalg.inv(level.moving.to_world) @ worlds @ level.fixed.to_world
    return torch.tensor(inner, dtype=torch.float32, device=level.features.device)


def _worlds(level: Level, poses: Tensor) -> Array:
    """Matrices from fixed to moving indices of a level as world matrices."""
    return level.moving.to_world @ poses.double().cpu().numpy() @ np.linalg.inv(level.fixed.to_world)


def _needed(share: float, blocks: int) -> float:
    """The required share of blocks: more where few blocks could agree by chance."""
    return share + 1.0 / max(blocks, 1) ** 0.5 * 0.3


def _pair(task: Task, device: torch.device) -> Pair:
    """Both images on isotropic lattices of one spacing, the smaller one first."""
    fixed, moving = task.fixed, task.moving
    sides = [float(np.prod(extents(image)[1]) ** (1 / 3)) for image in (fixed, moving)]
    natural = [float(np.prod(image.grid.spacing) ** (1 / 3)) for image in (fixed, moving)]
    spacing = max(min(natural), min(sides) / FINE, max(sides) / LONGEST)
    views = [
        volume(image, mask, spacing, device)
        for image, mask in ((fixed, task.fixed_mask), (moving, task.moving_mask))
    ]
    swapped = sides[1] < 0.99 * sides[0]
    if swapped:
        views.reverse()
    return Pair(views[0], views[1], min(sides), max(sides), swapped)


def _initial_worlds(pair: Pair, task: Task) -> Array:
    """World matrices, smaller to larger volume: the current pose, centres on centres, fitted landmarks."""
    initial = [np.eye(4), np.eye(4)]
    initial[1][:3, 3] = extents(task.moving)[2] - extents(task.fixed)[2]
    if task.landmarks is not None and len(task.landmarks[0]) >= 3:
        initial.append(_fitted(*task.landmarks))
    found = np.array(initial)
    return np.linalg.inv(found) if pair.swapped else found


def _fitted(fixed: Array, moving: Array) -> Array:
    """The similarity that brings points nearest (Umeyama, IEEE PAMI 13, 1991)."""
    a, b = fixed - fixed.mean(axis=0), moving - moving.mean(axis=0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1.0, 1.0, np.linalg.det(u @ vt)])
    rotation = u @ sign @ vt
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * float((s * sign.diagonal()).sum() / max((a**2).sum(), 1e-12))
    matrix[:3, 3] = moving.mean(axis=0) - matrix[:3, :3] @ fixed.mean(axis=0)
    return matrix
