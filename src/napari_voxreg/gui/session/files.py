"""Results as files: exported for other programs, and read from folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...core.geometry import Image
from ...io.images import write_image
from ...io.transforms import save_transform
from ...registration.result import TRANSFORM, Result, load_result
from ...transforms import displacement_on

EXPORTS = "ITK transform (*.h5);;Displacement field (*.nii.gz *.mha *.nrrd)"


def export(result: Result, path: Path) -> Path:
    """Write a transform for other programs.

    Parameters
    ----------
    result : Result
    path : Path
        Ending in .h5 for ITK's transform; else an image of the displacements T(x) - x on the fixed grid,
        float32, world units, components in array-axis order in the last axis.

    Raises
    ------
    ValueError
        If the format cannot hold it.
    """
    if path.suffix == ".h5":
        return save_transform(result.transform, path, result.fixed)
    field = displacement_on(result.transform, result.fixed).astype(np.float32)
    return write_image(Image(field, result.fixed, "displacement"), path)


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
