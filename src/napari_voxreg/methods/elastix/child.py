"""The elastix code that runs in the child process; itk is loaded when it is called."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...core.geometry import Array, Grid, Image
from ...core.progress import Progress
from ..base import Task

log = logging.getLogger(__name__)

LINEAR = ("TranslationTransform", "EulerTransform", "SimilarityTransform", "AffineTransform")


class Stage(NamedTuple):
    """One stage's transform in ITK's own terms."""

    kind: str
    parameters: Array
    fixed_parameters: Array


class Found(NamedTuple):
    """What elastix found: its stages in order, or, where ITK has not their kind, the whole map as a field."""

    stages: tuple[Stage, ...]
    field: Array | None


def register(
    task: Task,
    maps: Sequence[Mapping[str, Sequence[str]] | Path],
    folder: Path,
    landmarks: tuple[Path, Path] | None,
    progress: Progress,
) -> Found:
    """Run elastix.

    Parameters
    ----------
    task : Task
        The images and their masks.
    maps : sequence
        One parameter map or parameter file a stage.
    folder : Path
        Where elastix leaves its log and its transform files.
    landmarks : tuple of Path, optional
        elastix's own point files of fixed and moving.

    Raises
    ------
    RuntimeError
        If elastix fails; the reason is in its log.
    """
    progress(None, "loading elastix")
    began = time.monotonic()
    from .load import itk

    log.info("loaded elastix in %.1f s", time.monotonic() - began)
    image_type = itk.Image[itk.F, task.fixed.ndim]
    elastix = itk.ElastixRegistrationMethod[image_type, image_type].New()
    elastix.SetFixedImage(_image(task.fixed, np.float32))
    elastix.SetMovingImage(_image(task.moving, np.float32))
    if task.fixed_mask is not None:
        elastix.SetFixedMask(_image(task.fixed_mask, np.uint8))
    if task.moving_mask is not None:
        elastix.SetMovingMask(_image(task.moving_mask, np.uint8))
    if landmarks is not None:
        elastix.SetFixedPointSetFileName(str(landmarks[0]))
        elastix.SetMovingPointSetFileName(str(landmarks[1]))
    elastix.SetParameterObject(_parameters(maps))
    elastix.SetOutputDirectory(str(folder))
    elastix.SetLogFileName("elastix.log")
    elastix.LogToFileOn()
    elastix.LogToConsoleOff()
    elastix.UpdateLargestPossibleRegion()
    stages = _stages(elastix, len(maps))
    if stages is None:
        return Found((), _field(elastix.GetCombinationTransform(), task.fixed.grid))
    return Found(stages, None)


def register_stack(
    stack: Array,
    spacing: Sequence[float],
    values: Mapping[str, Sequence[str]],
    folder: Path,
    threads: int,
    progress: Progress,
) -> tuple[tuple[Array, ...], Array]:
    """Run elastix on a stack of images that are deformed together.

    Parameters
    ----------
    stack : ndarray, shape (n, *shape), float32
        The images, on one grid.
    spacing : sequence of float
        Of that grid, in array-axis order; its origin is 0 and its axes those of the world.
    values : mapping
        A parameter map with a ``BSplineStackTransform``.
    folder : Path
        Where elastix leaves its log.
    threads : int
        Of elastix; another number sums in another order.

    Returns
    -------
    parameters : tuple of ndarray
        Of each image's cubic B-spline, in ITK's order.
    fixed_parameters : ndarray
        Of each of them: size, origin, spacing and direction of the control grid, in ITK's order.

    Raises
    ------
    RuntimeError
        If elastix fails; the reason is in its log.
    """
    progress(None, "loading elastix")
    from .load import itk

    image = itk.GetImageFromArray(np.ascontiguousarray(stack, dtype=np.float32))
    image.SetSpacing([*map(float, spacing[::-1]), 1.0])
    elastix = itk.ElastixRegistrationMethod[type(image), type(image)].New()
    # The stack is both: elastix compares its images with each other.
    elastix.SetFixedImage(image)
    elastix.SetMovingImage(image)
    elastix.SetParameterObject(_parameters([values]))
    elastix.SetNumberOfThreads(threads)
    elastix.SetOutputDirectory(str(folder))
    elastix.SetLogFileName("elastix.log")
    elastix.LogToFileOn()
    elastix.LogToConsoleOff()
    elastix.UpdateLargestPossibleRegion()
    found = elastix.GetTransformParameterObject().GetParameterMap(0)
    fixed = [found[f"Grid{what}"] for what in ("Size", "Origin", "Spacing", "Direction")]
    parameters = np.array(found["TransformParameters"], dtype=float)
    return tuple(np.split(parameters, len(stack))), np.concatenate(fixed).astype(float)


def _image(image: Image, dtype: Any) -> Any:
    """An itk image with the geometry of the grid; itk has x, y, z order."""
    from .load import itk

    converted = itk.GetImageFromArray(np.ascontiguousarray(image.data, dtype=dtype))
    return _placed(converted, image.grid)


def _placed(image: Any, grid: Grid) -> Any:
    """Give an itk image the geometry of a grid (in place) and return it."""
    from .load import itk

    image.SetSpacing(grid.spacing[::-1].tolist())
    image.SetOrigin(grid.origin[::-1].tolist())
    image.SetDirection(itk.GetMatrixFromArray(np.ascontiguousarray(grid.direction[::-1, ::-1])))
    return image


def _parameters(maps: Sequence[Mapping[str, Sequence[str]] | Path]) -> Any:
    """elastix's parameter object; files are read by elastix itself."""
    from .load import itk

    parameters = itk.ParameterObject.New()
    for stage in maps:
        if isinstance(stage, Path):
            parameters.AddParameterFile(str(stage))
        else:
            parameters.AddParameterMap({name: list(values) for name, values in stage.items()})
    return parameters


def _stages(elastix: Any, count: int) -> tuple[Stage, ...] | None:
    """Each stage as one of ITK's transforms, first stage first; None if one is not of a kind we keep."""
    found = elastix.GetTransformParameterObject()
    stages = []
    for n in range(count):
        if not _is_kept(found.GetParameterMap(n)):
            return None
        native = elastix.ConvertToItkTransform(elastix.GetNthTransform(count - 1 - n))  # the last comes first
        stages.append(
            Stage(
                native.GetNameOfClass(),
                np.array(native.GetParameters()),
                np.array(native.GetFixedParameters()),
            )
        )
    return tuple(stages)


def _is_kept(values: Mapping[str, Sequence[str]]) -> bool:
    """Whether a stage, by its map, is one of the transforms that we have, applied after those before it."""
    name = values["Transform"][0]
    cubic = name in ("BSplineTransform", "RecursiveBSplineTransform") and (
        values["BSplineTransformSplineOrder"][0] == "3" and values["UseCyclicTransform"][0] == "false"
    )
    return values["HowToCombineTransforms"][0] == "Compose" and (name in LINEAR or cubic)


def _field(transform: Any, grid: Grid) -> Array:
    """World displacement of a transform at the nodes of a grid, (*grid.shape, d), array-axis order."""
    from .load import itk

    d = grid.ndim
    reference = itk.Image[itk.UC, d].New()
    reference.SetRegions([int(n) for n in grid.shape[::-1]])
    sampler = itk.TransformToDisplacementFieldFilter[itk.Image[itk.Vector[itk.F, d], d], itk.D].New()
    sampler.SetTransform(transform)
    sampler.SetUseReferenceImage(True)
    sampler.SetReferenceImage(_placed(reference, grid))
    sampler.Update()
    return itk.GetArrayFromImage(sampler.GetOutput())[..., ::-1].astype(np.float64)
