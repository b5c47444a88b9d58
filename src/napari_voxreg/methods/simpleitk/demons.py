"""Diffeomorphic demons by SimpleITK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.geometry import Array
from ...core.params import Params, param
from ...core.progress import Cancelled, Progress
from ...transforms import Displacement
from ..base import Method, Outcome, Task
from ..flow.resampled import on_fixed_grid
from ..normalised_frame import Frame
from . import optimiser

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True, kw_only=True)
class Demons(Params):
    """Parameters of the diffeomorphic demons."""

    levels: int = param(3, "Levels of the pyramid; more find larger motions.", range=(1, 8))
    iterations: int = param(40, "Iterations at each level.", range=(1, 10_000))
    smoothing: float = param(
        1.5, "Smoothing of the field after each iteration, in pixels of the level.", range=(0.1, 20.0)
    )
    match_histograms: bool = param(
        True, "Match the moving intensities to the fixed ones first; demons need one modality."
    )
    step: float = param(
        2.0, "Longest motion in one iteration, in pixels of the level.", range=(0.1, 10.0), advanced=True
    )
    fluid_smoothing: float = param(
        0.0,
        "Smoothing of each update, in pixels; 0 for none.",
        range=(0.0, 20.0),
        advanced=True,
        special="none",
    )


def run(task: Task, params: Demons, progress: Progress) -> Outcome:
    """Run demons coarse to fine on the moving image resampled on the fixed grid; see `Run`."""
    import SimpleITK as sitk

    from ...transforms.itk import displacement_from_itk, image_to_itk

    resampled, trusted = on_fixed_grid(task)
    frame = Frame.of(task.fixed.grid)
    fixed = frame.image(task.fixed)
    factors = optimiser.pyramid_factors(fixed, params.levels)
    fixed_itk = image_to_itk(fixed)
    if params.match_histograms:
        resampled = _matched(resampled, fixed.data, trusted)
    # Where there is no data, the images are equal and no force arises.
    moving_itk = image_to_itk(fixed.with_data(np.where(trusted, resampled, fixed.data)))
    trace: list[float] = []
    report_for = optimiser.staged(progress, "demons", len(factors), params.iterations, trace)
    field: sitk.Image | None = None
    for level, factor in enumerate(factors):
        progress(level / len(factors), f"demons, level {level + 1} of {len(factors)}")
        small = optimiser.shrink(fixed_itk, factor)
        field = _level(
            small, optimiser.shrink(moving_itk, factor), _on(field, small), params, report_for(level)
        )
    found, _ = displacement_from_itk(sitk.DisplacementFieldTransform(_on(field, fixed_itk)))
    return Outcome(frame.from_frame(Displacement(found, fixed.grid)), trace=tuple(trace))


def _matched(moving: Array, fixed: Array, trusted: Array) -> Array:
    """The moving pixels with the histogram of the fixed ones, both inside `trusted`."""
    from skimage.exposure import match_histograms

    result = moving.copy()
    result[trusted] = match_histograms(moving[trusted], fixed[trusted])
    return result


def _on(field: sitk.Image | None, image: sitk.Image) -> sitk.Image:
    """A displacement field resampled on another image's grid; zero where there is none yet."""
    import SimpleITK as sitk

    if field is None:
        field = sitk.Image(image.GetSize(), sitk.sitkVectorFloat64, image.GetDimension())
        field.CopyInformation(image)
        return field
    warper = sitk.ResampleImageFilter()
    warper.SetReferenceImage(image)
    # A coarse level's outermost pixels lie inside the fine image's rim, so the field is extrapolated there.
    warper.SetUseNearestNeighborExtrapolator(True)
    return warper.Execute(field)


def _level(
    fixed: sitk.Image, moving: sitk.Image, field: sitk.Image, params: Demons, report: Any
) -> sitk.Image:
    """One level of demons from a given field."""
    import SimpleITK as sitk

    demons = sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetNumberOfIterations(params.iterations)
    demons.SetMaximumUpdateStepLength(params.step)
    demons.SmoothDisplacementFieldOn()
    demons.SetStandardDeviations(params.smoothing)
    if params.fluid_smoothing > 0:
        demons.SmoothUpdateFieldOn()
        demons.SetUpdateFieldStandardDeviations(params.fluid_smoothing)
    stopped: list[Cancelled] = []

    def iterated() -> None:
        if stopped:
            return
        try:
            report(demons.GetElapsedIterations(), demons.GetMetric())
        except Cancelled as cancelled:  # an exception must not cross ITK
            stopped.append(cancelled)
            demons.Abort()

    demons.AddCommand(sitk.sitkIterationEvent, iterated)
    try:
        result = demons.Execute(fixed, moving, field)
    except RuntimeError as error:
        if stopped:
            raise stopped[0] from None
        raise ValueError(optimiser.plain_error(error)) from error
    if stopped:
        raise stopped[0]
    return result


METHOD = Method(
    name="demons",
    title="Diffeomorphic demons (SimpleITK)",
    params=Demons,
    run=run,
    presets={
        "same modality": {},
        "smooth": {"smoothing": 3.0},
        "large motion": {"levels": 5, "iterations": 80},
    },
    motion="deformable",
    isolate=True,  # at full resolution an iteration takes longer than Cancel may
    reference="Vercauteren et al., NeuroImage 45, 2009",
)
