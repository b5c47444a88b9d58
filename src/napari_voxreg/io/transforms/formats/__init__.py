"""The formats of transform files, one file each, all with the functions ``recognises`` and ``read``."""

from __future__ import annotations

from collections.abc import Mapping

from ..base import Format
from ..entries import write_itk
from . import (
    afni,
    ants,
    bigwarp,
    elastix,
    flo,
    freesurfer,
    fsl,
    itk_hdf5,
    itk_matlab,
    itk_text,
    matrix,
    mni,
    napari_affine,
    niftyreg,
    vector_image,
)


def _unseen(head: bytes) -> bool:
    """No: nothing in a file shows this meaning, it has to be named."""
    return False


# By the names that users give them; those of one content stand together.
FORMATS: Mapping[str, Format] = {
    "itk": Format("ITK in HDF5", itk_hdf5.recognises, itk_hdf5.read, write_itk, (".h5", ".hdf5"), True),
    "itk-text": Format("ITK text", itk_text.recognises, itk_text.read, write_itk, (".tfm", ".txt"), True),
    "itk-matlab": Format(
        "ITK or ANTs affine", itk_matlab.recognises, itk_matlab.read, write_itk, (".mat",), True
    ),
    "ants": Format("ANTs' files of one registration", ants.recognises, ants.read, ants.write, (), True),
    "elastix": Format("elastix parameters", elastix.recognises, elastix.read, elastix.write, (".txt",), True),
    "nifti": Format(
        "displacement field",
        vector_image.recognises,
        vector_image.read,
        vector_image.write,
        (".nii.gz", ".nii", ".mha", ".nrrd"),
        True,
    ),
    "nifti-ras": Format("displacement field in RAS", _unseen, vector_image.read_ras, None, (), True, "nifti"),
    "flo": Format("Middlebury flow", flo.recognises, flo.read, flo.write, (".flo",)),
    "bigwarp": Format("BigWarp landmarks, thin plate", bigwarp.recognises, bigwarp.read),
    "bigwarp-affine": Format("BigWarp landmarks, affine", _unseen, bigwarp.read_affine, shown_as="bigwarp"),
    "matrix": Format("matrix in array order", matrix.ARRAY.recognises, matrix.ARRAY.read, matrix.ARRAY.write),
    "matrix-xyz": Format("matrix in (x, y, z)", matrix.XYZ.recognises, matrix.XYZ.read, matrix.XYZ.write),
    "napari": Format("affine of the moving napari layer", napari_affine.recognises, napari_affine.read),
    "fsl": Format("FSL FLIRT matrix", fsl.recognises, fsl.read, None, (".mat", ".fsl"), True),
    "niftyreg": Format("NiftyReg affine", niftyreg.recognises, niftyreg.read, None, (), True),
    "freesurfer": Format("FreeSurfer LTA", freesurfer.recognises, freesurfer.read, None, (".lta",), True),
    "afni": Format("AFNI matrix", afni.recognises, afni.read, None, (".1D",), True),
    "mni": Format("MNI linear transform", mni.recognises, mni.read, None, (".xfm",), True),
}
WRITTEN = tuple(name for name, one in FORMATS.items() if one.write is not None)
