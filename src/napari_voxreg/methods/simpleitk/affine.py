"""Affine registration by SimpleITK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .linear import linear_method

if TYPE_CHECKING:
    import SimpleITK as sitk


def _identity(ndim: int) -> sitk.Transform:
    import SimpleITK as sitk

    return sitk.AffineTransform(ndim)


METHOD = linear_method("affine", "Affine (SimpleITK)", _identity)
