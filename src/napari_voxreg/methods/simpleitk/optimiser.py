"""What the SimpleITK methods share: pyramids, metrics, and stopping an optimiser from its callback."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.geometry import Image
from ...core.progress import Cancelled, Progress
from ..base import Task
from ..normalised_frame import Frame
from ..options import Metric

if TYPE_CHECKING:
    import SimpleITK as sitk

SMALLEST = 8  # pixels that a pyramid leaves along an axis
FEWEST = 600  # pixels that a level must have in all


def pyramid_factors(image: Image, levels: int, mask: Image | None = None) -> list[tuple[int, ...]]:
    """Shrink factors per axis (array order) of each level, coarse to fine, the last all ones.

    Coarse axes shrink later, so that pixels become as isotropic as they can. Levels with too few pixels
    (inside the mask) to distinguish poses are omitted.
    """
    spacing = image.grid.spacing / image.grid.spacing.min()
    pixels = image.data.size if mask is None else int(np.count_nonzero(mask.data))
    allowed = np.maximum(1, np.array(image.grid.shape) // SMALLEST)
    factors: list[tuple[int, ...]] = []
    for level in reversed(range(levels)):
        wanted = np.maximum(1, np.round(2**level / spacing)).astype(int)
        factor = tuple(int(f) for f in np.minimum(wanted, allowed))
        enough = pixels >= FEWEST * np.prod(factor)
        if factor not in factors and (enough or level == 0):
            factors.append(factor)
    return factors


def shrink(image: sitk.Image, factors: Sequence[int]) -> sitk.Image:
    """Smooth by half the shrink factor and take every n-th pixel; factors in array order."""
    import SimpleITK as sitk

    if max(factors) == 1:
        return image
    reversed_factors = [int(f) for f in factors[::-1]]
    sigmas = [
        0.5 * f * s if f > 1 else 0.0 for f, s in zip(reversed_factors, image.GetSpacing(), strict=True)
    ]
    for axis, sigma in enumerate(sigmas):
        if sigma > 0:
            image = sitk.RecursiveGaussian(image, sigma, direction=axis)
    return sitk.Shrink(image, reversed_factors)


def set_masks(method: sitk.ImageRegistrationMethod, frame: Frame, factor: Sequence[int], task: Task) -> None:
    """Hand the masks of a pair to a registration that works in the frame.

    That of the fixed image is shrunk by `factor` (array order).
    """
    import SimpleITK as sitk

    from ...transforms.itk import image_to_itk

    if task.fixed_mask is not None:
        mask = image_to_itk(frame.image(task.fixed_mask))
        method.SetMetricFixedMask(sitk.Shrink(mask, [int(f) for f in factor[::-1]]))
    if task.moving_mask is not None:
        method.SetMetricMovingMask(image_to_itk(frame.image(task.moving_mask)))


def set_metric(method: sitk.ImageRegistrationMethod, metric: Metric) -> None:
    """Choose the similarity."""
    if metric == "mutual information":
        method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)
    elif metric == "correlation":
        method.SetMetricAsCorrelation()
    else:
        method.SetMetricAsMeanSquares()


def set_sampling(method: sitk.ImageRegistrationMethod, pixels: int, samples: int, seed: int) -> None:
    """Use at most `samples` random pixels; all of them where there are no more."""
    if samples < pixels:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(samples / pixels, seed + 1)  # ITK takes 0 for the clock
    else:
        method.SetMetricSamplingStrategy(method.NONE)


def execute(
    method: sitk.ImageRegistrationMethod,
    fixed: sitk.Image,
    moving: sitk.Image,
    report: Any,
) -> sitk.Transform:
    """Run a registration, calling ``report(iteration, metric)`` at each iteration.

    Raises
    ------
    Cancelled
        If `report` raised it; ITK replaces exceptions of callbacks by its own errors, so it is kept.
    ValueError
        If ITK gave up, in plain words.
    """
    import SimpleITK as sitk

    stopped: list[Cancelled] = []
    count = itertools.count()  # some of ITK's optimisers start their own counter anew on the way

    def iterated() -> None:
        if stopped:
            return
        try:
            report(next(count), method.GetMetricValue())
        except Cancelled as cancelled:
            stopped.append(cancelled)
            method.StopRegistration()

    method.AddCommand(sitk.sitkIterationEvent, iterated)
    try:
        transform = method.Execute(fixed, moving)
    except RuntimeError as error:
        if stopped:
            raise stopped[0] from None
        raise ValueError(plain_error(error)) from error
    if stopped:
        raise stopped[0]
    return transform


def plain_error(error: RuntimeError) -> str:
    """An ITK error in one sentence with a remedy."""
    text = str(error)
    if "All samples map outside" in text or "valid points" in text or "samples map outside" in text:
        return "The overlap was lost during the search; use the initial transform 'centres' or a closer one."
    last = [line.strip() for line in text.splitlines() if line.strip()][-1]
    return f"ITK gave up ({last}); try another metric, fewer levels or a closer initial transform."


def staged(progress: Progress, name: str, levels: int, iterations: int, trace: list[float]) -> Any:
    """Make ``report_for(level)``, which gives the ``report(iteration, metric)`` of a level for `execute`."""

    def report_for(level: int) -> Any:
        message = f"{name}, level {level + 1} of {levels}"

        def report(iteration: int, metric: float) -> None:
            trace.append(metric)
            progress((level + min(iteration / iterations, 1.0)) / levels, message, metric)

        return report

    return report_for
