"""Rotation, translation and one scale, by SimpleITK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .linear import linear_method

if TYPE_CHECKING:
    import SimpleITK as sitk


def _identity(ndim: int) -> sitk.Transform:
    import SimpleITK as sitk

    return sitk.Similarity2DTransform() if ndim == 2 else sitk.Similarity3DTransform()


METHOD = linear_method("similarity", "Similarity (SimpleITK)", _identity)
