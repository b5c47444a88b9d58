"""Images in medical formats: NIfTI, NRRD, MetaImage and DICOM, whose pixels ITK reads, MGH and MINC."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.disk import full_disk_named, scratch_folder
from ..core.geometry import Image
from . import itk_files
from .brain_volumes import FREESURFER, MINC, read_volume
from .dicom import Slices, is_dicom, sorted_slices
from .headers import copy_nifti
from .nifti import blank_placement, is_second, placed, read_header, with_lost, write_first
from .tiff import TIME
from .two_files import HEADERS, PIXELS, joined

if TYPE_CHECKING:
    import SimpleITK as sitk

NOTES_KEY, IN_PIXELS = "ITK_FileNotes", "unit: pixel"  # kept by NIfTI, NRRD and MetaImage, ignored by others


def read_medical(path: Path) -> Image:
    """Read a NIfTI, Analyze, NRRD, MetaImage, DICOM, MGH or MINC file, in millimetres.

    What `write_image` wrote in pixels is read in pixels.

    Raises
    ------
    ValueError
        If its header or the places of its frames contradict what ITK assumes.
    RuntimeError
        By ITK, if it is damaged.
    """

    name = path.name.lower()
    if name.endswith(".nii.gz"):
        # ITK accepts a truncated file, and reads the pixels of a NAME.nii that is beside NAME.nii.gz.
        with scratch_folder() as folder:
            plain = folder / "image.nii"
            with full_disk_named(folder.parent), gzip.open(path) as packed, plain.open("wb") as unpacked:
                copy_nifti(packed, unpacked)
            return _read_nifti(plain, path.name)
    if name.endswith(".nii"):
        return _read_nifti(path, path.name)
    if name.endswith(HEADERS + PIXELS):
        with scratch_folder() as folder:
            plain = folder / "image.nii"
            with full_disk_named(folder.parent):
                notes = joined(path, plain)
            image = _read_nifti(plain, path.name)
            return replace(image, notes=(*image.notes, *notes))
    if name.endswith(FREESURFER + MINC):
        return read_volume(path)
    slices = sorted_slices([str(path)], path.name) if is_dicom(path) else Slices((str(path),))
    return slices.placed(_as_image(itk_files.read_image(path), path.name))


def _as_image(found: sitk.Image, name: str) -> Image:
    """What ITK has read, with its time axis marked as such and complex pixels as their magnitude."""
    from ..transforms.itk import image_from_itk

    pixels = found.HasMetaDataKey(NOTES_KEY) and found.GetMetaData(NOTES_KEY).strip() == IN_PIXELS
    image = image_from_itk(found, "pixel" if pixels else "millimeter")
    if image.ndim == 4:
        image = image.with_grid(replace(image.grid, units=(TIME, *image.grid.units[1:])))
    if np.iscomplexobj(image.data):
        note = f"{name} has complex pixels; their magnitude is taken."
        image = replace(image, data=np.abs(image.data), notes=(note,))
    return image


def _read_nifti(path: Path, name: str) -> Image:
    """A .nii file, which lies where its header says, not where ITK puts it."""

    header = read_header(path)
    if is_second(header):
        with scratch_folder() as folder:
            first = folder / "image.nii"
            with full_disk_named(folder.parent):
                write_first(path, header, first, name)
            return _read_nifti(first, name)
    try:
        image = _as_image(itk_files.read_image(path, quiet=True), name)
    except RuntimeError as error:
        if "orthonormal" not in str(error):
            raise
        with scratch_folder() as folder:
            unplaced = folder / "image.nii"
            with full_disk_named(folder.parent):
                shutil.copyfile(path, unplaced)
            blank_placement(unplaced)
            image = _as_image(itk_files.read_image(unplaced), name)
    return placed(with_lost(image, path, header), header, name)
