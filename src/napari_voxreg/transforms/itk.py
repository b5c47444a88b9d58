"""Images and transforms to and from SimpleITK: the only place where the axis order is flipped.

SimpleITK takes seconds to load, so this module is imported on use. All arrays here are in array-axis order
(row, column) or (plane, row, column); ITK's (x, y, z) is the reverse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from ..core.geometry import Array, Grid, Image
from ..core.progress import Cancelled, Progress, silent
from .itk_parameters import bspline_from_parameters


def set_geometry(image: sitk.Image, grid: Grid) -> sitk.Image:
    """Give a SimpleITK image the geometry of a grid (in place) and return it.

    ITK refuses negative spacing, so signs, rotation and shear all go into its direction matrix.
    """
    image.SetSpacing(grid.spacing[::-1].tolist())
    image.SetOrigin(grid.origin[::-1].tolist())
    image.SetDirection(grid.direction[::-1, ::-1].ravel().tolist())
    return image


def grid_from_itk(image: sitk.Image, units: Sequence[str] | str = "millimeter") -> Grid:
    """The grid of a SimpleITK image; ITK itself knows no units."""
    d = image.GetDimension()
    return Grid.from_spacing(
        image.GetSize()[::-1],
        np.array(image.GetSpacing())[::-1],
        np.array(image.GetOrigin())[::-1],
        np.array(image.GetDirection()).reshape(d, d)[::-1, ::-1],
        units,
    )


def image_to_itk(image: Image) -> sitk.Image:
    """An `Image` as a SimpleITK image (vector pixels where it has channels).

    Booleans become uint8 and float16 becomes float32, which SimpleITK has not.
    """
    data = image.data
    if data.dtype == bool:
        data = data.astype(np.uint8)
    elif data.dtype == np.float16:
        data = data.astype(np.float32)
    data = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))
    return set_geometry(sitk.GetImageFromArray(data, isVector=image.channels is not None), image.grid)


def image_from_itk(image: sitk.Image, units: str = "millimeter", name: str = "") -> Image:
    """A SimpleITK image as an `Image`; vector pixels become channels."""
    return Image(sitk.GetArrayFromImage(image), grid_from_itk(image, units), name)


def affine_to_itk(matrix: Array) -> sitk.Transform:
    """A homogeneous matrix (d + 1, d + 1) as an ITK affine transform centred on the origin."""
    d = len(matrix) - 1
    transform = sitk.AffineTransform(d)
    transform.SetMatrix(matrix[:d, :d][::-1, ::-1].ravel().tolist())
    transform.SetTranslation(matrix[:d, d][::-1].tolist())
    return transform


def affine_from_itk(transform: sitk.Transform) -> Array:
    """The homogeneous matrix (d + 1, d + 1) of any linear ITK transform."""
    d = transform.GetDimension()
    origin = np.array(transform.TransformPoint([0.0] * d))
    columns = [np.array(transform.TransformPoint(axis.tolist())) - origin for axis in np.eye(d)]
    matrix = np.eye(d + 1)
    if hasattr(transform, "GetMatrix"):  # exact; probing with points rounds
        linear = np.array(transform.GetMatrix()).reshape(d, d)
    else:
        linear = np.stack(columns, axis=1)
    matrix[:d, :d] = linear[::-1, ::-1]
    matrix[:d, d] = origin[::-1]
    return matrix


def bspline_to_itk(coefficients: Array, grid: Grid) -> sitk.Transform:
    """Cubic B-spline coefficients (d, *grid.shape), world units, as an ITK B-spline transform."""
    d = grid.ndim
    transform = sitk.BSplineTransform(d, 3)
    fixed = [
        *map(float, grid.shape[::-1]),
        *grid.origin[::-1],
        *grid.spacing[::-1],
        *grid.direction[::-1, ::-1].ravel(),
    ]
    transform.SetFixedParameters(fixed)
    transform.SetParameters(coefficients[::-1].ravel().tolist())
    return transform


def bspline_from_itk(transform: sitk.Transform, units: str = "millimeter") -> tuple[Array, Grid]:
    """Coefficients (d, *shape) and control grid of an ITK B-spline transform.

    Raises
    ------
    ValueError
        If the spline is not cubic.
    """
    spline = sitk.BSplineTransform(transform)
    if spline.GetOrder() != 3:
        raise ValueError(f"A B-spline of order {spline.GetOrder()} cannot be read; only cubic ones can.")
    numbers = np.array(transform.GetParameters()), np.array(transform.GetFixedParameters())
    return bspline_from_parameters(*numbers, units)


def displacement_to_itk(field: Array, grid: Grid) -> sitk.Transform:
    """World displacements (*grid.shape, d) as an ITK displacement field transform in double precision."""
    return sitk.DisplacementFieldTransform(field_to_itk(field, grid))


def displacement_from_itk(
    transform: sitk.Transform, units: Sequence[str] | str = "millimeter"
) -> tuple[Array, Grid]:
    """World displacements (*shape, d) and grid of an ITK displacement field transform."""
    image = sitk.DisplacementFieldTransform(transform).GetDisplacementField()
    return sitk.GetArrayFromImage(image)[..., ::-1].copy(), grid_from_itk(image, units)


def sample_displacement(transform: sitk.Transform, grid: Grid) -> Array:
    """World displacement of an ITK transform at every node of a grid, (*grid.shape, d), float64."""
    if transform.GetName() == "DisplacementFieldTransform":
        vectors, own = displacement_from_itk(transform, grid.units)
        if own.same_as(grid):
            return vectors
    field = sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat64,
        [int(n) for n in grid.shape[::-1]],
        grid.origin[::-1].tolist(),
        grid.spacing[::-1].tolist(),
        grid.direction[::-1, ::-1].ravel().tolist(),
    )
    return sitk.GetArrayFromImage(field)[..., ::-1]


def resample(
    image: sitk.Image,
    transform: sitk.Transform,
    grid: Grid,
    interpolator: int,
    fill: float | None,
    progress: Progress = silent,
) -> Array:
    """Sample a SimpleITK image on a grid through a transform.

    Pixels from outside get `fill`, or for None the value of the nearest pixel inside.
    """
    # The interpreter lock is released inside; number of threads is ITK's own choice.
    warper = sitk.ResampleImageFilter()
    warper.SetSize([int(n) for n in grid.shape[::-1]])
    warper.SetOutputSpacing(grid.spacing[::-1].tolist())
    warper.SetOutputOrigin(grid.origin[::-1].tolist())
    warper.SetOutputDirection(grid.direction[::-1, ::-1].ravel().tolist())
    warper.SetTransform(transform)
    warper.SetInterpolator(interpolator)
    if fill is None:
        warper.SetUseNearestNeighborExtrapolator(True)
    else:
        warper.SetDefaultPixelValue(fill)
    return sitk.GetArrayFromImage(_execute(warper, progress, image))


def displaced(
    image: sitk.Image, field: sitk.Image, interpolator: int, fill: float, progress: Progress = silent
) -> Array:
    """Sample a SimpleITK image on the grid of a field of displacements, each taken at its own node.

    Pixels from outside get `fill`.
    """
    warper = sitk.WarpImageFilter()
    warper.SetOutputSize(field.GetSize())
    warper.SetOutputSpacing(field.GetSpacing())
    warper.SetOutputOrigin(field.GetOrigin())
    warper.SetOutputDirection(field.GetDirection())
    warper.SetInterpolator(interpolator)
    warper.SetEdgePaddingValue(fill)
    return sitk.GetArrayFromImage(_execute(warper, progress, image, field))


def field_to_itk(field: Array, grid: Grid) -> sitk.Image:
    """World displacements (*grid.shape, d) as a SimpleITK image in double precision."""
    vectors = np.ascontiguousarray(field[..., ::-1], dtype=np.float64)
    return set_geometry(sitk.GetImageFromArray(vectors, isVector=True), grid)


def _execute(method: sitk.ImageFilter, progress: Progress, *images: sitk.Image) -> sitk.Image:
    """Run a filter of ITK's and report how far it is; ends within one report of Cancel."""
    stopped: list[Cancelled] = []

    def reported() -> None:
        try:
            progress(float(method.GetProgress()), "warping")
        except Cancelled as cancelled:  # in a callback ITK would replace it by an error of its own
            stopped.append(cancelled)
            method.Abort()

    if progress is not silent:
        method.AddCommand(sitk.sitkProgressEvent, reported)
    try:
        return method.Execute(*images)
    except RuntimeError:
        if stopped:
            raise stopped[0] from None
        raise
