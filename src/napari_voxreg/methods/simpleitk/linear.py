"""Rigid, similarity and affine registration by SimpleITK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.geometry import Array, Image
from ...core.params import Params, param
from ...core.progress import Progress
from ...transforms import Affine
from ..base import Method, Motion, Outcome, Task
from ..normalised_frame import Frame
from ..options import METRIC_HELP, Metric
from . import optimiser

if TYPE_CHECKING:
    import SimpleITK as sitk

REFERENCE = (
    "Mattes et al., IEEE TMI 22, 2003 (mutual information); Avants et al., "
    "Frontiers in Neuroinformatics 8, 2014 (ITK's registration framework)"
)
COLLAPSED = 0.02  # determinant: of the area or volume, below which nothing is left of an image
PRESETS: dict[str, dict[str, Any]] = {
    "any modality": {},
    "same modality": {"metric": "correlation"},
    "large motion": {"levels": 6, "iterations": 200, "step": 4.0},
}


@dataclass(frozen=True, kw_only=True)
class Linear(Params):
    """Parameters of the linear SimpleITK methods."""

    metric: Metric = param("mutual information", METRIC_HELP)
    levels: int = param(4, "Levels of the pyramid; more find larger motions.", range=(1, 8))
    iterations: int = param(100, "Iterations at each level, at most.", range=(1, 10_000))
    samples: int = param(
        50_000, "Pixels sampled by the similarity; fewer are quicker.", range=(500, 10_000_000)
    )
    step: float = param(
        1.0, "First step of the optimiser, in pixels of each level.", range=(0.01, 100.0), advanced=True
    )
    tolerance: float = param(
        1e-3, "Stop when a step is this short, in pixels of each level.", range=(1e-8, 1.0), advanced=True
    )


def linear_method(motion: Motion, title: str, make: Callable[[int], sitk.Transform]) -> Method:
    """A method that optimises one kind of linear transform coarse to fine; `make(d)` gives its identity."""

    def run(task: Task, params: Linear, progress: Progress) -> Outcome:
        """Register; see `Run`."""
        from ...transforms.itk import affine_from_itk, image_to_itk

        frame = Frame.of(task.fixed.grid)
        fixed, moving = frame.image(task.fixed), frame.image(task.moving)
        factors = optimiser.pyramid_factors(fixed, params.levels, task.fixed_mask)
        fixed_itk, moving_itk = image_to_itk(fixed), image_to_itk(moving)
        transform = make(fixed.ndim)
        trace: list[float] = []
        notes: list[str] = []
        report_for = optimiser.staged(progress, motion, len(factors), params.iterations, trace)
        for level, factor in enumerate(factors):
            progress(level / len(factors), f"{motion}, level {level + 1} of {len(factors)}")
            method = _level(params, factor, fixed, task.seed)
            optimiser.set_masks(method, frame, factor, task)
            method.SetInitialTransform(transform, inPlace=True)
            small_moving = optimiser.shrink(moving_itk, _moving_factor(factor, fixed, moving))
            before = transform.GetParameters()
            optimiser.execute(method, optimiser.shrink(fixed_itk, factor), small_moving, report_for(level))
            if np.linalg.det(affine_from_itk(transform)[:-1, :-1]) < COLLAPSED:
                transform.SetParameters(before)
                notes.append(
                    f"Level {level + 1} mirrored the image or made it vanish, and was left out; choose a "
                    "shorter step or a closer initial transform."
                )
        found = frame.from_frame(Affine(affine_from_itk(transform)))
        return Outcome(found, notes=tuple(notes), trace=tuple(trace))

    return Method(
        name=motion,
        title=title,
        params=Linear,
        run=run,
        presets=PRESETS,
        motion=motion,
        reference=REFERENCE,
    )


def _level(params: Linear, factor: tuple[int, ...], fixed: Image, seed: int) -> sitk.ImageRegistrationMethod:
    """The registration of one level; its pixel is `max(factor)` long in the frame."""
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    optimiser.set_metric(method, params.metric)
    pixels = int(np.prod([-(-n // f) for n, f in zip(fixed.grid.shape, factor, strict=True)]))
    optimiser.set_sampling(method, pixels, params.samples, seed)
    method.SetInterpolator(sitk.sitkLinear)
    # With scales from the physical displacement, step lengths are the largest motion of a pixel.
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=params.step * max(factor),
        minStep=params.tolerance * max(factor),
        numberOfIterations=params.iterations,
        relaxationFactor=0.5,
        gradientMagnitudeTolerance=1e-10,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    return method


def _moving_factor(factor: tuple[int, ...], fixed: Image, moving: Image) -> tuple[int, ...]:
    """Shrink factors that bring the moving image to about the fixed level's spacing."""
    level: Array = fixed.grid.spacing * np.array(factor)
    allowed = np.maximum(1, np.array(moving.grid.shape) // optimiser.SMALLEST)
    wanted = (
        np.floor(level.min() / moving.grid.spacing).astype(int)
        if max(factor) > 1
        else np.ones(len(factor), int)
    )
    return tuple(int(f) for f in np.clip(wanted, 1, allowed))
