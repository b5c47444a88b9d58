"""Transforms from the world of the fixed image to the world of the moving image, and warping through them."""

from .base import Affine, Transform, is_affine
from .bspline import BSpline
from .composite import Composite, chain
from .fields import Displacement, StationaryVelocity, displacement_on, jacobian_determinant
from .projective import Homography, Quadratic
from .resample import warp
from .thinplate import ThinPlate

__all__ = [
    "Affine",
    "BSpline",
    "Composite",
    "Displacement",
    "Homography",
    "Quadratic",
    "StationaryVelocity",
    "ThinPlate",
    "Transform",
    "chain",
    "displacement_on",
    "is_affine",
    "jacobian_determinant",
    "warp",
]
