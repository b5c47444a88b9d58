"""Free-form deformation by SimpleITK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.geometry import Image
from ...core.params import Params, param
from ...core.progress import Progress, subprogress
from ...transforms import BSpline
from ..base import Method, Outcome, Task
from ..normalised_frame import Frame
from ..options import GRID_HELP, METRIC_HELP, Metric, control_distance
from . import affine, optimiser

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True, kw_only=True)
class FreeForm(Params):
    """Parameters of the SimpleITK B-spline."""

    metric: Metric = param("mutual information", METRIC_HELP)
    affine_first: bool = param(True, "Find an affine map first, so that the spline has less to do.")
    grid_spacing: float = param(0.0, GRID_HELP, range=(0.0, 1000.0), special="auto")
    levels: int = param(3, "Levels; control points and pixels get twice as fine at each.", range=(1, 6))
    iterations: int = param(60, "Iterations at each level, at most.", range=(1, 10_000))
    samples: int = param(
        50_000, "Pixels sampled by the similarity; fewer are quicker.", range=(500, 10_000_000)
    )
    convergence: float = param(
        1e-5,
        "Stop a level when the cost falls by less than this part in five iterations.",
        range=(1e-12, 0.1),
        advanced=True,
    )


def run(task: Task, params: FreeForm, progress: Progress) -> Outcome:
    """Optimise a cubic B-spline coarse to fine, its control points refined too; see `Run`."""
    from ...transforms.itk import bspline_from_itk, image_to_itk

    trace: list[float] = []
    linear: Outcome | None = None
    if params.affine_first:
        linear = affine.METHOD.run(
            task,
            affine.METHOD.parameters(params={"metric": params.metric}),
            subprogress(progress, 0.0, 0.25),
        )
        progress = subprogress(progress, 0.25, 1.0)
        trace.extend(linear.trace)
    frame = Frame.of(task.fixed.grid)
    fixed, moving = frame.image(task.fixed), frame.image(task.moving)
    factors = optimiser.pyramid_factors(fixed, params.levels, task.fixed_mask)
    fixed_itk, moving_itk = image_to_itk(fixed), image_to_itk(moving)
    meshes = _meshes(fixed, control_distance(fixed.grid, params.grid_spacing), len(factors))
    transform = _spline(fixed_itk, meshes[0])
    report_for = optimiser.staged(progress, "B-spline", len(factors), params.iterations, trace)
    for level, factor in enumerate(factors):
        progress(level / len(factors), f"B-spline, level {level + 1} of {len(factors)}")
        if level:
            transform = _refined(transform, fixed_itk, meshes[level])
        method = _level(params, factor, fixed, task.seed)
        optimiser.set_masks(method, frame, factor, task)
        if linear is not None:
            # ITK composes: on a grid moved by the affine map, the same seed would not give the same spline.
            method.SetMovingInitialTransform(linear.transform.moved(frame.matrix).to_itk(fixed.grid))
        method.SetInitialTransform(transform, inPlace=True)
        optimiser.execute(
            method,
            optimiser.shrink(fixed_itk, factor),
            optimiser.shrink(moving_itk, factor),
            report_for(level),
        )
    found = Outcome(frame.from_frame(BSpline(*bspline_from_itk(transform))), trace=tuple(trace))
    return found if linear is None else found.followed_by(linear.transform)


def _meshes(fixed: Image, spacing: float, levels: int) -> list[tuple[int, ...]]:
    """Mesh cells per axis (array order) at each level, doubling where the axis is long enough."""
    extent = np.array(fixed.grid.shape) * fixed.grid.spacing
    finest = np.maximum(1, np.round(extent / spacing)).astype(int)
    doublings = np.minimum(levels - 1, np.floor(np.log2(finest)).astype(int))
    coarsest = np.maximum(1, np.round(finest / 2.0**doublings)).astype(int)
    return [
        tuple(int(c) for c in coarsest * 2 ** np.maximum(0, doublings - (levels - 1 - level)))
        for level in range(levels)
    ]


def _spline(fixed: sitk.Image, mesh: tuple[int, ...]) -> sitk.Transform:
    """A flat B-spline whose domain is the fixed image."""
    import SimpleITK as sitk

    return sitk.BSplineTransformInitializer(fixed, [int(n) for n in mesh[::-1]], 3)


def _refined(transform: sitk.Transform, fixed: sitk.Image, mesh: tuple[int, ...]) -> sitk.Transform:
    """The same deformation with twice as many cells along the axes where `mesh` requires them.

    Halving the knots of a cubic B-spline is exact: new control points are (1, 1) / 2 and (1, 6, 1) / 8
    of the old.
    """
    from ...transforms.itk import bspline_from_itk

    coefficients, grid = bspline_from_itk(transform)
    for axis, (cells, old) in enumerate(zip(mesh, grid.shape, strict=True)):
        if cells + 3 == old:
            continue
        c = np.moveaxis(coefficients, axis + 1, -1)
        halves = (c[..., :-1] + c[..., 1:]) / 2
        knots = (c[..., :-2] + 6 * c[..., 1:-1] + c[..., 2:]) / 8
        fine = np.empty((*c.shape[:-1], cells + 3))
        fine[..., ::2], fine[..., 1::2] = halves, knots
        coefficients = np.moveaxis(fine, -1, axis + 1)
    refined = _spline(fixed, mesh)
    refined.SetParameters(coefficients[::-1].ravel().tolist())
    return refined


def _level(
    params: FreeForm, factor: tuple[int, ...], fixed: Image, seed: int
) -> sitk.ImageRegistrationMethod:
    """The registration of one level."""
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    optimiser.set_metric(method, params.metric)
    pixels = int(np.prod([-(-n // f) for n, f in zip(fixed.grid.shape, factor, strict=True)]))
    optimiser.set_sampling(method, pixels, params.samples, seed)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsLBFGS2(
        numberOfIterations=params.iterations,
        solutionAccuracy=1e-7,
        deltaConvergenceTolerance=params.convergence,
        deltaConvergenceDistance=5,
    )
    return method


METHOD = Method(
    name="bspline",
    title="B-spline (SimpleITK)",
    params=FreeForm,
    run=run,
    presets={
        "any modality": {},
        "same modality": {"metric": "correlation"},
        "fine": {"grid_spacing": 8.0, "levels": 4},
        "smooth": {"grid_spacing": 64.0},
    },
    motion="deformable",
    isolate=True,  # L-BFGS ends as close as a line search in a third of the time, but cannot be stopped
    reference="Rueckert et al., IEEE TMI 18, 1999",
)
