"""elastix's groupwise B-spline: images that are deformed together onto the middle of all of them.

The images are stacked along one more axis, and elastix finds a B-spline for each of them at once (Metz et
al., MedIA 15, 2011). There is no fixed image: aligned images are explained by few patterns, whatever their
brightness and contrast, so the principal components of the stack are made few (Huizinga et al., MedIA 29,
2016). The mean of all B-splines stays zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core import process
from ...core.disk import scratch_folder
from ...core.geometry import Array, Grid, Image
from ...core.process import MethodUnavailable
from ...core.progress import Progress
from ...transforms import BSpline
from ...transforms.itk_parameters import bspline_from_parameters
from ..options import voxel_size
from .child import register_stack
from .log import LogReader, explained
from .parameter_maps import COMMON, Map, control_points
from .params import ElastixParams


def register_group(
    images: Sequence[Image], params: ElastixParams, seed: int, threads: int, progress: Progress
) -> tuple[BSpline, ...]:
    """Deform images together.

    Parameters
    ----------
    images : sequence of Image
        Two or more of one channel, all on one grid.
    params : ElastixParams
        Of which the resolutions, iterations, samples and the distance of the control points count.
    seed : int
        For elastix's choice of samples.
    threads : int
        Of elastix; the result is the same to the bit for the same number.
    progress : Progress
        Called as the work goes on; raises `Cancelled` to stop it.

    Returns
    -------
    tuple of BSpline
        For each image, from world points of the middle to world points of the image. Their mean is zero.

    Raises
    ------
    ValueError
        If elastix fails, with the end of its log as a note.
    MethodUnavailable
        If elastix's process dies.
    """
    grid = images[0].grid
    # Along the image's own axes, in voxels of mean size: so the unit, a flip or shear makes no difference.
    spacing = grid.spacing / voxel_size(grid)
    to_world = grid.affine @ np.diag([*1 / spacing, 1.0])
    values = group_map(params, grid, seed)
    stack = np.stack([image.data for image in images]).astype(np.float32)
    with scratch_folder() as temporary:
        folder = temporary.resolve()
        reader = LogReader(folder / "elastix.log", [values], progress)
        try:
            found, fixed = process.call(
                register_stack, stack, spacing.tolist(), values, folder, threads, progress=reader.beat
            )
        except MethodUnavailable:
            raise
        except RuntimeError as error:
            raise explained(error, folder) from error
    return tuple(_spline(parameters, fixed, grid, to_world) for parameters in found)


def _spline(parameters: Array, fixed: Array, grid: Grid, to_world: Array) -> BSpline:
    """A B-spline in the world of the images."""
    return BSpline(*bspline_from_parameters(parameters, fixed, grid.units)).moved(to_world)


def group_map(params: ElastixParams, grid: Grid, seed: int) -> Map:
    """The parameter map; see `register_group`."""
    smoothing = [2 ** (params.resolutions - 1 - level) for level in range(params.resolutions)]
    values: Map = {key: (value,) for key, value in COMMON.items()}
    values |= control_points(params, grid)
    values |= {
        # Images are smoothed, but not across the stack.
        "ImagePyramidSchedule": tuple(
            str(factor) for level in smoothing for factor in (*[level] * grid.ndim, 0)
        ),
        "ImageSampler": ("RandomCoordinate",),
        "Interpolator": ("ReducedDimensionBSplineInterpolator",),
        "BSplineInterpolationOrder": ("1",),
        "MaximumNumberOfIterations": (str(params.iterations),),
        "Metric": ("PCAMetric2",),
        "NumberOfResolutions": (str(params.resolutions),),
        "NumberOfSpatialSamples": (str(params.samples),),
        "RandomSeed": (str(1 + seed % 2**31),),
        "Registration": ("MultiResolutionRegistration",),
        "ResampleInterpolator": ("FinalReducedDimensionBSplineInterpolator",),
        "SubtractMean": ("true",),
        "Transform": ("BSplineStackTransform",),
    }
    return values
