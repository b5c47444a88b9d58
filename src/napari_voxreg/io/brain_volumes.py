"""Volumes of FreeSurfer (MGH, MGZ) and MINC (1 and 2), which nibabel reads."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.geometry import Array, Grid, Image
from .guards import check_claim, quiet
from .headers import Refused
from .nifti import TO_LPS, squared
from .tiff import TIME

FREESURFER, MINC = (".mgh", ".mgz"), (".mnc",)
SPACE = ["xspace", "yspace", "zspace"]
MILLISECONDS = 1000.0  # in a second
WHOLE = 1e-9  # relative to the largest value, by which whole numbers of MINC are rounded


def read_volume(path: Path) -> Image:
    """Read a volume, or a series of volumes with its time axis first, in millimetres.

    Raises
    ------
    Refused
        If its axes are not three of space and one of time, or it claims more than its file can hold.
    ValueError, OSError
        If it is damaged.
    """
    minc = path.name.lower().endswith(MINC)
    order, step = _minc_axes(path) if minc else ([], 1.0)
    if minc and sorted(order) not in (SPACE, ["time", *SPACE]):
        raise Refused(f"{path.name} has the axes {', '.join(order)}; convert it to NIfTI with mnc2nii.")
    import nibabel

    with quiet("nibabel.global"):
        found: Any = nibabel.load(path)
    claimed = math.prod(map(int, found.shape)) * found.get_data_dtype().itemsize
    check_claim(path.name, claimed, path.stat().st_size)
    data, affine = np.asarray(found.dataobj), found.affine
    if not minc:
        step = float(found.header.get_zooms()[3]) / MILLISECONDS if data.ndim == 4 else step
        data, affine = data.T, affine[:, [2, 1, 0, 3]]
    elif "time" in order:
        data = np.moveaxis(data, order.index("time"), 0)
    data = _whole(data, found.get_data_dtype()) if minc else data
    data = np.ascontiguousarray(data, data.dtype.newbyteorder("="))
    return Image(data, _grid(data, affine, step if step > 0 else 1.0))


def _whole(data: Array, stored: np.dtype[Any]) -> Array:
    """Real values of MINC as integers where they are whole numbers stored as integers, as labels are."""
    whole = np.rint(data)
    largest = float(np.abs(whole).max(initial=1.0))
    if stored.kind not in "iu" or np.abs(data - whole).max(initial=0.0) > WHOLE * largest:
        return data
    return whole.astype(
        stored if largest <= np.iinfo(stored).max and whole.min() >= np.iinfo(stored).min else "i4"
    )


def _grid(data: Array, affine: Array, step: float) -> Grid:
    """Where pixels lie; the matrix leads from the last three axes to right, anterior, superior."""
    shape = data.shape[-3:]
    ends = np.array(np.meshgrid(*[(0.0, n - 1) for n in shape])).reshape(3, -1).T
    lps = TO_LPS @ squared(affine, ends)
    spatial = lps[[2, 1, 0, 3]]
    if data.ndim == 3:
        return Grid(shape, spatial, ("millimeter",) * 3)
    whole = np.eye(5)
    whole[1:, 1:] = spatial
    whole[0, 0] = step
    return Grid(data.shape, whole, (TIME, *("millimeter",) * 3))


def _minc_axes(path: Path) -> tuple[list[str], float]:
    """The names of the axes in the order of the array, and the seconds between points in time."""
    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            image, axes = file["minc-2.0/image/0/image"], file["minc-2.0/dimensions"]
            step = axes["time"].attrs.get("step", 1.0) if "time" in axes else 1.0
            return image.attrs["dimorder"].decode().split(",")[: image.ndim], float(step)
    from scipy.io import netcdf_file

    with netcdf_file(path, mmap=False) as file:
        step = getattr(
            file.variables.get("time"), "step", 1.0
        )  # attributes of the file are SciPy's attributes
        return list(file.variables["image"].dimensions), float(step)
