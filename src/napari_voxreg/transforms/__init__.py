"""Transforms from the world of the fixed image to the world of the moving image, and warping through them."""

from __future__ import annotations

from collections.abc import Callable

from ..core.geometry import Array
from .affine import Affine
from .base import Record, Transform
from .bspline import BSpline
from .composite import Composite, Displacement, chain, displacement_on
from .fields import curl, jacobian_determinant, principal_strain, without_affine
from .projective import Homography, Quadratic
from .resample import resampled, warp
from .sampling import INTERPOLATIONS, Interpolation
from .thinplate import ThinPlate
from .velocity import StationaryVelocity

# By kind, what makes a transform of its record, and of the array that the .h5 holds of a native kind.
READERS: dict[str, Callable[[Record, Array | None], Transform]] = {
    "affine": Affine.from_record,
    "bspline": BSpline.from_record,
    "displacement": Displacement.from_record,
    "homography": Homography.from_record,
    "quadratic": Quadratic.from_record,
    "stationary velocity": StationaryVelocity.from_record,
    "thin plate": ThinPlate.from_record,
}

__all__ = [
    "INTERPOLATIONS",
    "READERS",
    "Affine",
    "BSpline",
    "Composite",
    "Displacement",
    "Homography",
    "Interpolation",
    "Quadratic",
    "StationaryVelocity",
    "ThinPlate",
    "Transform",
    "chain",
    "curl",
    "displacement_on",
    "jacobian_determinant",
    "principal_strain",
    "resampled",
    "warp",
    "without_affine",
]
