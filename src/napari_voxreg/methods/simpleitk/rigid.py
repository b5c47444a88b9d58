"""Rotation and translation, by SimpleITK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .linear import linear_method

if TYPE_CHECKING:
    import SimpleITK as sitk


def _identity(ndim: int) -> sitk.Transform:
    import SimpleITK as sitk

    return sitk.Euler2DTransform() if ndim == 2 else sitk.Euler3DTransform()


METHOD = linear_method("rigid", "Rigid (SimpleITK)", _identity)
