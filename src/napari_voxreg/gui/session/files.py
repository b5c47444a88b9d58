"""Results as files: exported for other programs, and read from folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...io.transforms import OURS, Grids, write_transform
from ...io.transforms.formats.ants import AFFINE
from ...registration.result import TRANSFORM, Result, load_result

ANY = "All files (*)"
# By the text in the dialog, the format and the endings of its names.
EXPORTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "This program and ITK (*.h5)": (OURS, (".h5",)),
    "ITK text (*.tfm)": ("itk-text", (".tfm",)),
    "ANTs, affine and warp (*.mat)": ("ants", (".mat",)),
    "elastix (*.txt)": ("elastix", (".txt",)),
    "Displacement field (*.nii.gz *.mha *.nrrd)": ("nifti", (".nii.gz", ".mha", ".nrrd")),
    "Middlebury flow, 2D (*.flo)": ("flo", (".flo",)),
    "Matrix in array order (*.csv)": ("matrix", (".csv",)),
    "Matrix in x, y, z (*.csv)": ("matrix-xyz", (".csv",)),
}
TRANSFORMS = (
    "Transforms (*.h5 *.hdf5 *.json *.tfm *.txt *.toml *.mat *.xfm *.lta *.1D *.fsl *.csv *.npy *.flo *.nii "
    f"*.nii.gz *.mha *.mhd *.nrrd);;{ANY}"
)


def export(result: Result, path: Path, chosen: str = "") -> tuple[Path, tuple[str, ...]]:
    """Write a transform for another program.

    Parameters
    ----------
    result : Result
    path : Path
        As the user typed it; a name without an ending gets that of the format.
    chosen : str
        A key of `EXPORTS`; the name's ending overrules it.

    Returns
    -------
    tuple of Path and tuple of str
        The file, or the first of several, and notes on what is approximate.

    Raises
    ------
    ValueError
        If the format cannot hold the transform.
    """
    format, endings = EXPORTS.get(chosen, (None, ()))
    if endings and not path.suffix:
        path = path.with_name(path.name + endings[0])
    if not path.name.lower().endswith(endings or "."):
        format = None
    if format == "ants" and not path.name.endswith(AFFINE):
        path = path.with_name(f"{path.stem}_{AFFINE}")
    return write_transform(result.transform, path, Grids(result.fixed, result.moving), None, format)


def results_in(folder: Path) -> list[tuple[Path, Result]]:
    """The results that were saved in a folder and in the folders in it, with their folders.

    Raises
    ------
    ValueError
        If there is none, or one cannot be read.
    """
    found = sorted({path.parent for pattern in ("", "*/") for path in folder.glob(pattern + TRANSFORM)})
    if not found:
        raise ValueError(f"{folder} holds no result; choose a folder that Save has written, or one above it.")
    return [(one, load_result(one)) for one in found]
