"""A pair is checked and prepared once; methods are then run on it and measured."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.geometry import Grid, Image, as_image, unit_factor
from ..core.params import Params
from ..core.pixels import counted
from ..core.process import call
from ..core.progress import Progress, logged, silent, subprogress
from ..images.nodata import nodata_note, without_nodata
from ..images.notes import reading_notes
from ..images.preprocess import driving_channel, mask_on
from ..images.task import Landmarks, Task
from ..io.points import outside_note
from ..methods import KNOWN_METHODS, METHODS
from ..methods.availability import require
from ..methods.base import Method, Outcome
from ..metrics.pair import PairMetrics, Scores
from ..metrics.verdict import judge
from ..transforms import Affine, Transform
from .initial import INITIAL_TRANSFORMS, initial_transform
from .pair_transform import PairTransform, in_units, open_transform
from .result import Result
from .slices import Slices, across

log = logging.getLogger(__name__)


@dataclass(eq=False)
class PreparedPair:
    """A checked pair, on which any number of methods can be run.

    Whatever does not depend on the method is measured once.

    Parameters
    ----------
    task : Task
        One float32 channel of each image at its current position, without axes of one pixel; masks on their
        images' grids; all in the units of the fixed image.
    initial : Transform or None
        The initial transform of all methods; None for the current positions.
    given : tuple
        The fixed and the moving image as they were given.
    notes : tuple of str
        What a user should know of the images and their files; the first notes of each result.
    slices : Slices or None
        Single slices that are oblique to their arrays' axes; the task is in their planes.
    """

    task: Task
    initial: Transform | None
    given: tuple[Any, Any]
    notes: tuple[str, ...] = ()
    slices: Slices | None = None
    _before: Scores | None = field(default=None, init=False, repr=False)

    @cached_property
    def metrics(self) -> PairMetrics:
        """Measures the pair under any transform."""
        return PairMetrics.of(self.task)

    @cached_property
    def hashes(self) -> tuple[str, str]:
        """SHA-256 of the fixed and the moving image as they were given."""
        return pixels_digest(self.given[0]), pixels_digest(self.given[1])

    def before(self, progress: Progress = silent) -> Scores:
        """The scores at the current positions."""
        if self._before is None:
            self._before = self.metrics.scores(None, progress)
        return self._before

    def run(self, method: str, params: Params, progress: Progress = silent) -> Result:
        """Run a method from the initial transform and measure its result.

        Parameters
        ----------
        method : str
            A name in ``METHODS``, or "by hand" or "landmarks".
        params : Params
            All its parameters, see `Method.parameters`.
        progress : Progress
            Called as the work goes on; raises `Cancelled` to stop it.

        Raises
        ------
        ValueError
            If the method cannot work on the pair or the device is not there, before anything is computed.
        Cancelled
            If `progress` requested it.
        MethodUnavailable
            If the method cannot run on this machine or its process died.
        """
        chosen, task = method_named(method), self.task
        check_device(task.device, [chosen], progress)
        require(chosen)
        refusal = chosen.refusal(task.fixed.ndim, params)
        if refusal:
            raise ValueError(refusal)
        if not chosen.anywhere:
            self._check_overlap()
        log.info("running %s on %s, seed %d: %s", method, task.device, task.seed, params.as_dict())
        progress = logged(progress, log)
        before = self.before(subprogress(progress, 0.0, 0.07))
        began = time.perf_counter()
        outcome = self._outcome(chosen, params, subprogress(progress, 0.07, 0.88))
        seconds = time.perf_counter() - began
        after = self.metrics.scores(outcome.transform, subprogress(progress, 0.88, 0.97))
        notes = (*self.notes, *outcome.notes)
        if task.landmarks is not None and not chosen.landmarks:
            notes += (f"{chosen.title} is not guided by landmarks; they decide the verdict.",)
        if not chosen.device and task.device not in ("auto", "cpu"):
            notes += (f"{chosen.title} runs on the CPU.",)
        verdict = judge(self.metrics, before, after, outcome.transform, subprogress(progress, 0.97, 1.0))
        progress(1.0, verdict.sentence)
        for line in (*notes, f"{method} took {seconds:.1f} s. {verdict.sentence}"):
            log.info(line)
        result = Result(
            transform=outcome.transform,
            fixed=task.fixed.grid,
            moving=task.moving.grid,
            method=method,
            params=params,
            seconds=seconds,
            before=before,
            after=after,
            verdict=verdict,
            names=(task.fixed.name, task.moving.name),
            hashes=self.hashes,
            notes=notes,
            trace=outcome.trace,
            confidence=outcome.confidence,
            extras=outcome.extras,
            files=outcome.files,
            device=outcome.device,
            weights=outcome.weights,
            rejected=outcome.rejected,
        )
        return result if self.slices is None else self.slices.result(result)

    def lncc(self, result: Result) -> float:
        """The LNCC of a result on this pair; see `PairMetrics.lncc`."""
        transform = result.transform
        return self.metrics.lncc(transform if self.slices is None else self.slices.flat(transform))

    def _outcome(self, method: Method, params: Params, progress: Progress) -> Outcome:
        """A method's outcome with the initial transform, which is applied and chained here only."""
        task = self.task if self.initial is None else self.task.placed(self.initial)
        progress(0.0, f"starting {method.title}")
        if method.isolate:
            outcome = call(method.run, task, params, progress=progress)
        else:
            outcome = method.run(task, params, progress)
        return outcome if self.initial is None else outcome.followed_by(self.initial)

    def _check_overlap(self) -> None:
        """Refuse a pair none of whose pixels meet at its initial transform."""
        fixed, moving = self.task.fixed.grid, self.task.moving.grid
        nodes = fixed.coarsened([max(1, n // 32) for n in fixed.shape]).nodes()
        nodes = np.concatenate([nodes, fixed.corners()])
        initial = Affine.identity(fixed.ndim) if self.initial is None else self.initial
        if moving.contains(initial(nodes)).any():
            return
        # A small moving image may lie between the lattice's nodes, so the inverse is checked too.
        back = moving.coarsened([max(1, n // 32) for n in moving.shape]).nodes()
        if isinstance(initial, Affine) and fixed.contains(initial.inverse()(back)).any():
            return
        raise ValueError("The images do not overlap in the world; use the initial transform 'centres'.")


def prepare(
    fixed: Image | npt.ArrayLike,
    moving: Image | npt.ArrayLike,
    *,
    initial: str | Path | Transform | Result | PairTransform | None = None,
    fixed_mask: Image | npt.ArrayLike | None = None,
    moving_mask: Image | npt.ArrayLike | None = None,
    landmarks: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    channel: int | str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> PreparedPair:
    """Check a pair and bring it into the form that methods take; see `register` for the parameters.

    Whether the two overlap is checked when a method is run: not all need it.

    Raises
    ------
    ValueError
        With one plain sentence, for a pair that cannot be registered.
    """
    given = fixed, moving
    images = as_image(fixed, "fixed"), as_image(moving, "moving")
    masks = [
        _mask(mask, image, which)
        for mask, image, which in zip((fixed_mask, moving_mask), images, ("fixed", "moving"), strict=True)
    ]
    grids = images[0].grid, images[1].grid
    (fixed, fixed_mask), (moving, moving_mask) = (
        _flat(image, mask) for image, mask in zip(images, masks, strict=True)
    )
    if fixed.ndim != moving.ndim:
        raise ValueError(
            f"The fixed image is {fixed.ndim}D and the moving image {moving.ndim}D; "
            "choose two images with the same number of axes."
        )
    if fixed.ndim not in (2, 3):
        raise ValueError(f"Images with {fixed.ndim} axes cannot be registered; choose 2D or 3D ones.")
    initial, said = _opened(initial, images)
    notes = (*reading_notes(images, masks), *said)
    own = moving.grid
    moving = moving.with_grid(own.in_world_of(fixed.grid))
    factors = [unit_factor(a, b) for a, b in zip(own.units, fixed.grid.units, strict=True)]
    fixed, fixed_mask, without = _with_data(driving_channel(fixed, channel), fixed_mask, "fixed")
    moving, moving_mask, without_too = _with_data(driving_channel(moving, channel), moving_mask, "moving")
    task = Task(
        fixed,
        moving,
        fixed_mask,
        moving_mask,
        None if landmarks is None else _landmarks(landmarks, factors, grids),
        seed,
        device,
    )
    if task.landmarks is not None:
        for points, image, which in zip(task.landmarks, (fixed, moving), ("fixed", "moving"), strict=True):
            notes += outside_note(points, image.grid, which)
    notes += nodata_note(("fixed", without), ("moving", without_too))
    slices = None
    if grids[0].ndim == grids[1].ndim:
        other = grids[1].in_world_of(grids[0])
        slices = Slices.of(grids[0], other)
        notes += across(grids[0], other)
    return PreparedPair(task, _initial(initial, task, slices), given, notes, slices)


def method_named(name: str) -> Method:
    """The method of a name; a `ValueError` lists those there are."""
    if name not in KNOWN_METHODS:
        raise ValueError(f"There is no method {name!r}; choose from: {', '.join(METHODS)}.")
    return KNOWN_METHODS[name]


def check_device(device: str, methods: Iterable[Method], progress: Progress) -> None:
    """Refuse, with a `ValueError`, a device that is unknown, or not there for methods that would use it."""
    from ..tensor import device as devices

    if any(method.device for method in methods):
        devices.check_device(device, progress)
    else:
        devices.check_name(device)


def _flat(image: Image, mask: Image | None) -> tuple[Image, Image | None]:
    """Both without axes of one pixel: a single slice is a 2D image."""
    thin = image.grid.thin_axes()
    if not thin:
        return image, mask
    return image.without(thin), mask_on(mask, image.grid).without(thin) if mask is not None else None


def _mask(mask: Image | npt.ArrayLike | None, image: Image, which: str) -> Image | None:
    """A mask as an image; a plain array takes its image's grid."""
    if mask is None or isinstance(mask, Image):
        return mask
    data = counted(np.asanyarray(mask))
    if data.shape != image.grid.shape:
        raise ValueError(
            f"The {which} mask has the shape {data.shape} and its image {image.grid.shape}; "
            "give an Image with its own grid, or an array of the image's shape."
        )
    return Image(data, image.grid)


def _mask_for(mask: Image | None, image: Image, which: str) -> Image | None:
    """The mask on its image's grid, with something in it."""
    if mask is None:
        return None
    mask = mask.with_grid(mask.grid.in_world_of(image.grid))
    if mask.ndim != image.ndim:
        raise ValueError(
            f"The {which} mask is {mask.ndim}D and its image {image.ndim}D; draw it on the image."
        )
    sampled = mask_on(mask, image.grid)
    if not sampled.data.any():
        raise ValueError(
            f"The {which} mask covers no pixel of its image; draw it on the image or choose none."
        )
    return sampled


def _with_data(image: Image, mask: Image | None, which: str) -> tuple[Image, Image | None, Image | None]:
    """The image with finite pixels, its mask without those that had no data, and where they were.

    The last is None if all that the mask counts had data.
    """
    own = _mask_for(mask, image, which)
    image, known = without_nodata(image)
    shown = image.data if known is None else image.data[known.data]
    if shown.min() == shown.max():
        raise ValueError(f"The {which} image is constant; choose one with something in it.")
    if known is None or own is None:
        return image, own or known, known
    both = known.with_data(own.data & known.data)
    if not both.data.any():
        raise ValueError(
            f"The {which} mask covers no pixel with data of its image; use another mask or none."
        )
    return image, both, None if (known.data | ~own.data).all() else known


def _landmarks(
    landmarks: tuple[npt.ArrayLike, npt.ArrayLike], factors: list[float], grids: tuple[Grid, Grid]
) -> Landmarks:
    """Corresponding points as float arrays (N, d), the moving ones times a factor for each axis."""
    fixed, moving = (
        grid.flat_points(points) if np.shape(points)[1:] == (grid.ndim,) else np.asarray(points, dtype=float)
        for points, grid in zip(landmarks, grids, strict=True)
    )
    if len(fixed) != len(moving):
        raise ValueError(
            f"There are {len(fixed)} fixed and {len(moving)} moving landmarks; "
            "they must correspond one to one."
        )
    if not len(fixed):
        raise ValueError("There are no landmarks in the sets given; add corresponding points or give none.")
    for points, which in ((fixed, "fixed"), (moving, "moving")):
        if points.ndim != 2 or points.shape[1] != len(factors) or not np.isfinite(points).all():
            raise ValueError(
                f"The {which} landmarks must be finite world coordinates of shape (N, {len(factors)})."
            )
    return fixed, moving * factors


def _opened(
    initial: str | Path | Transform | Result | PairTransform | None, images: tuple[Image, Image]
) -> tuple[str | Transform | Result | PairTransform | None, tuple[str, ...]]:
    """An initial transform, read if it is a file, and what a user should know of it."""
    if isinstance(initial, Path):
        initial = open_transform(initial, images[0].grid, images[1].grid)
    return initial, initial.notes if isinstance(initial, PairTransform) else ()


def _kept(initial: Result | PairTransform, grid: Grid) -> Transform:
    """The transform of earlier images, in the units of the present fixed image."""
    fixed = initial.fixed
    if fixed is None:
        return initial.transform
    if None not in (fixed.crs, grid.crs) and fixed.crs != grid.crs:
        raise ValueError(
            f"The initial transform is in {fixed.crs} and the fixed image in {grid.crs}; register images of "
            "one reference system, or leave it out."
        )
    d = initial.transform.ndim
    if fixed.ndim < d:
        return initial.transform  # it is refused where its axes are counted
    units = [*grid.units, *[grid.units[-1]] * d][:d]  # single slices have an axis less
    return in_units(initial.transform, fixed.units[:d], units)


def _initial(
    initial: str | Transform | Result | PairTransform | None, task: Task, slices: Slices | None
) -> Transform | None:
    """The initial transform."""
    if isinstance(initial, str):
        return initial_transform(
            initial,
            _shown(task.fixed, task.fixed_mask),
            _shown(task.moving, task.moving_mask),
            task.landmarks,
        )
    transform = _kept(initial, task.fixed.grid) if isinstance(initial, Result | PairTransform) else initial
    if transform is None:
        return None
    if not isinstance(transform, Transform):
        raise ValueError(
            f"{initial!r} is not a valid initial transform; pass a Transform, a Result, or one of "
            f"{', '.join(INITIAL_TRANSFORMS)}."
        )
    if slices is not None and transform.ndim == 3:
        return slices.flat(transform)
    if transform.ndim != task.fixed.ndim:
        raise ValueError(f"The initial transform is {transform.ndim}D and the images {task.fixed.ndim}D.")
    return transform


def _shown(image: Image, mask: Image | None) -> Image:
    """The image, at its minimum outside its mask, where it has no mass."""
    return image if mask is None else image.with_data(np.where(mask.data, image.data, image.data.min()))


def pixels_digest(image: Any) -> str:
    """SHA-256 of an image's shape, type and pixels."""
    data = np.ascontiguousarray(image.data if isinstance(image, Image) else image)
    digest = hashlib.sha256(f"{data.shape} {data.dtype.str}".encode())
    digest.update(data.view(np.uint8).data if data.ndim else data.tobytes())
    return digest.hexdigest()
