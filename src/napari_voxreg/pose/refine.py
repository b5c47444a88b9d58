"""Many poses at a time brought to where the images agree best."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..core.geometry import Array
from .features import channels
from .models import Model, Poses, freedoms
from .pyramid_image import PyramidImage, blur, sample
from .search import FAVOUR

ENOUGH = 10_000  # pixels from which the curvature is taken
LEAST = 0.25  # of the smaller view that must overlap
OCTAVE = 1.3  # moving images are kept at spacings this far apart


class Level:
    """Both images at one size, ready to compare many poses.

    Parameters
    ----------
    fixed, moving : PyramidImage
        At their full size.
    spacing : float
        World units.
    soften : float
        Pixels by which the channels are smoothed: the farther off the poses, the more.
    """

    def __init__(self, fixed: PyramidImage, moving: PyramidImage, spacing: float, soften: float) -> None:
        self.fixed = fixed.at(max(spacing, fixed.spacing))
        self.whole, self.soften = moving, soften
        self._moving: dict[int, tuple[PyramidImage, Tensor]] = {}
        z, mask = channels(self.fixed.pixels[None, None], self.fixed.mask[None, None])
        self.mask = mask[0, 0]
        self.z = self._soft(z, mask)[0]
        rows = (self.z.roll(-1, 1) - self.z.roll(1, 1)) / 2
        columns = (self.z.roll(-1, 2) - self.z.roll(1, 2)) / 2
        self.slope = torch.stack([rows, columns], 1)  # (channel, axis, h, w)
        self.moving_area = float(moving.mask.sum()) * moving.spacing**2 / self.fixed.spacing**2

    def terms(self, poses: Poses) -> Tensor:
        """The terms of `models.basis` at each pixel of the fixed image, (6, pixels)."""
        h, w = self.mask.shape
        start = (self.fixed.origin - poses.centre) / poses.radius
        step = self.fixed.spacing / poses.radius
        a = (torch.arange(h) * step + start[0])[:, None].expand(h, w).flatten()
        b = (torch.arange(w) * step + start[1]).expand(h, w).flatten()
        return torch.stack([torch.ones_like(a), a, b, a * a, a * b, b * b])

    def index(self, poses: Poses, image: PyramidImage) -> Tensor:
        """Where each pixel of the fixed image falls on a moving image, (n, h, w, 2) in its pixels."""
        numbers = poses.numbers.copy()
        homogeneous = numbers[:, 2:] if poses.model != "quadratic" else np.eye(6)[:1]
        numbers = (numbers[:, :2] - image.origin[:, None] * homogeneous) / image.spacing
        terms = self.terms(poses)
        terms = terms if poses.model == "quadratic" else terms[[1, 2, 0]]
        index = torch.from_numpy(numbers).float() @ terms
        if poses.model == "homography":
            index = index / (torch.from_numpy(homogeneous).float() @ terms)
        return index.transpose(1, 2).reshape(len(poses), *self.mask.shape, 2)

    def _soft(self, z: Tensor, mask: Tensor) -> Tensor:
        return blur(z, self.soften) * mask if self.soften > 0 else z

    def moving(self, octave: int) -> tuple[PyramidImage, Tensor]:
        """The moving image and its channels (1, 3, h, w), the last its mask, one of several spacings."""
        if octave not in self._moving:
            image = self.whole.at(max(self.fixed.spacing * OCTAVE**octave, self.whole.spacing))
            z, mask = channels(image.pixels[None, None], image.mask[None, None])
            self._moving[octave] = image, torch.cat([self._soft(z, mask), mask], 1)
        return self._moving[octave]

    def warped(self, poses: Poses) -> tuple[Tensor, Tensor]:
        """The moving channels under each pose, rotated with it, (n, 2, h, w), and their mask (n, h, w)."""
        n, (h, w) = len(poses), self.mask.shape
        octaves = np.round(np.log(poses.scale()) / np.log(OCTAVE)).astype(int)
        z = torch.zeros((n, 3, h, w))
        for octave in np.unique(octaves):
            which = np.flatnonzero(octaves == octave)
            image, values = self.moving(int(octave))
            z[which] = sample(values, self.index(poses[which], image))
        linear = poses.linear()
        mirrored = np.linalg.det(linear) < 0
        linear[mirrored, :, 0] *= -1
        rotation = np.arctan2(linear[:, 1, 0] - linear[:, 0, 1], linear[:, 0, 0] + linear[:, 1, 1])
        c = torch.from_numpy(np.cos(2 * rotation)).float()[:, None, None]
        s = torch.from_numpy(np.sin(2 * rotation)).float()[:, None, None]
        mask = (z[:, 2] > 0.99).float() * self.mask
        sign = torch.from_numpy(np.where(mirrored, -1.0, 1.0)).float()[:, None, None]
        rotated = torch.stack([c * z[:, 0] + s * z[:, 1], sign * (c * z[:, 1] - s * z[:, 0])], 1)
        return rotated * mask[:, None], mask


@dataclass(frozen=True, eq=False)
class Scored:
    """Poses and the similarity of the images in each.

    Parameters
    ----------
    poses : Poses
        n of them.
    similarity : ndarray, shape (n,)
        Correlation of the channels where both images vote.
    covered : ndarray, shape (n,)
        Fraction of the fixed view that the moving view covers.
    overlap : ndarray, shape (n,)
        Fraction of the smaller view, as the pose scales it, that both cover.
    """

    poses: Poses
    similarity: Array
    covered: Array
    overlap: Array

    @property
    def score(self) -> Array:
        """What poses are ranked by."""
        score: Array = np.where(self.overlap < LEAST, -1.0, self.similarity * self.covered**FAVOUR)
        return score

    def __getitem__(self, index: Array | slice | list[int]) -> Scored:
        return Scored(self.poses[index], self.similarity[index], self.covered[index], self.overlap[index])

    def sorted(self) -> Scored:
        """Best first."""
        return self[np.argsort(-self.score, kind="stable")]


def refine(level: Level, poses: Poses, model: Model, steps: int, weights: Tensor | None = None) -> Scored:
    """Gauss-Newton on the correlation of the channels, the best state of each pose kept.

    The gradient of the fixed channels serves all steps (inverse composition: Baker and Matthews, IJCV 56,
    2004), and images of different strength are compared by correlation (Evangelidis and Psarakis, IEEE
    PAMI 30, 2008).

    Parameters
    ----------
    level : Level
        The images.
    poses : Poses
        Initial poses.
    model : str
        Which motions to allow.
    steps : int
        Of the optimiser.
    weights : Tensor, shape (h, w), optional
        How much each pixel of the fixed image counts; all the same by default.
    """
    system = _System(level, model, poses, weights)
    poses = poses.relaxed(model)
    extent = poses.scale()
    best = None
    damping = np.ones(len(poses))
    for step in range(steps + 1):
        z, mask = level.warped(poses)
        now = system.scored(poses, z, mask)
        if best is None:
            best = now
            better = np.ones(len(poses), dtype=bool)
        else:
            better = np.asarray(now.score > best.score)
            best = _choose(better, now, best)
            damping = np.where(better, np.minimum(1.0, damping * 1.5), damping * 0.4)
        if step < steps:
            # A step that made things worse is taken again from the best state, shorter.
            if better.all():
                motions = system.step(z, mask, now.similarity)
                last = motions
            else:
                fresh = system.step(z, mask, now.similarity)
                last = motions = np.where(better[:, None, None], fresh, last)
            poses = _sane(best.poses.after(motions * damping[:, None, None]), best.poses, extent)
    assert best is not None
    return best


def _sane(poses: Poses, before: Poses, extent: Array) -> Poses:
    """The poses, but those before where a step ran away: no number, or twice or half the first scale."""
    finite: Array = np.isfinite(poses.numbers.sum((1, 2)))
    numbers = np.where(finite[:, None, None], poses.numbers, before.numbers)
    ratio = replace(poses, numbers=numbers).scale() / extent
    fine: Array = (ratio > 0.5) & (ratio < 2)
    return replace(poses, numbers=np.where(fine[:, None, None], numbers, before.numbers))


def _choose(which: Array, a: Scored, b: Scored) -> Scored:
    """a where `which`, else b."""
    numbers = np.where(which[:, None, None], a.poses.numbers, b.poses.numbers)
    poses = Poses(a.poses.model, numbers, a.poses.centre, a.poses.radius)
    values = [
        np.where(which, p, q)
        for p, q in ((a.similarity, b.similarity), (a.covered, b.covered), (a.overlap, b.overlap))
    ]
    return Scored(poses, values[0], values[1], values[2])


class _System:
    """The normal equations of one model at one level."""

    def __init__(self, level: Level, model: Model, poses: Poses, weights: Tensor | None) -> None:
        self.level = level
        self.weights = level.mask if weights is None else level.mask * weights
        self.total = self.weights.sum((-2, -1)).numpy().astype(float)
        terms = level.terms(poses)
        self.motions = torch.from_numpy(freedoms(model)).float()
        fields = torch.einsum("kdt,tp->kdp", self.motions, terms)  # displacements of u
        slope = level.slope.reshape(2, 2, -1) * (poses.radius / level.fixed.spacing)
        self.descent = torch.einsum("cdp,kdp->kcp", slope, fields)  # (k, channel, p)
        k = len(self.motions)
        self.pairs = torch.triu_indices(k, k)
        # A subset of the pixels is enough for the curvature.
        self.part = slice(None, None, max(1, self.descent.shape[2] // ENOUGH))
        some = self.descent[:, :, self.part]
        self.products = (some[self.pairs[0]] * some[self.pairs[1]]).sum(1)  # (pairs, some of p)

    def scored(self, poses: Poses, z: Tensor, mask: Tensor) -> Scored:
        """Similarity and overlap of each pose."""
        weights = mask * self.weights
        f = self.level.z
        top = (weights * (z * f).sum(1)).sum((1, 2))
        ff = (weights * (f * f).sum(0)).sum((1, 2))
        mm = (weights * (z * z).sum(1)).sum((1, 2))
        similarity = (top / torch.sqrt(ff * mm).clamp_min(1e-6)).numpy().astype(float)
        covered = weights.sum((1, 2)).numpy() / np.maximum(self.total, 1)
        area = self.level.moving_area / poses.scale() ** 2 / max(float(self.level.mask.sum()), 1)
        return Scored(poses, similarity, covered, covered / np.minimum(1.0, area))

    def step(self, z: Tensor, mask: Tensor, similarity: Array) -> Array:
        """Displacements of u (n, 2, 6) after which the fixed image would match the warped one."""
        n = len(z)
        weights = (mask * self.weights).reshape(n, -1)
        f = self.level.z.reshape(2, -1)
        z = z.reshape(n, 2, -1)
        gain = torch.sqrt(
            ((weights * (f * f).sum(0)).sum(1) + 1e-6) / ((weights * (z * z).sum(1)).sum(1) + 1e-6)
        )
        residual = (gain[:, None, None] * z - f) * weights[:, None]
        k = len(self.motions)
        right = residual.reshape(n, -1) @ self.descent.reshape(k, -1).T
        some = weights[:, self.part]
        upper = some @ self.products.T * (weights.shape[1] / some.shape[1])
        matrix = torch.zeros((n, k, k))
        matrix[:, self.pairs[0], self.pairs[1]] = upper
        matrix[:, self.pairs[1], self.pairs[0]] = upper
        diagonal = matrix.diagonal(dim1=1, dim2=2).clone()
        matrix = matrix + torch.diag_embed(1e-3 * diagonal + 1e-3)
        steps = torch.linalg.solve(matrix.double(), right.double()).numpy()
        # Noise in the gradient makes the steps too short, by the fraction of the channels that is common.
        steps /= np.clip(similarity, 0.4, 1.0)[:, None]
        return np.einsum("nk,kdt->ndt", steps, self.motions.double().numpy())
