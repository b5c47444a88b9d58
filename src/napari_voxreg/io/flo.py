"""Middlebury's .flo files, the flow fields of optical flow benchmarks (Baker et al., IJCV 92, 2011)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core.geometry import Array
from .files import replace_file

MAGIC = np.array(202021.25, "<f4").tobytes()  # "PIEH" in ASCII
HEADER = 12  # bytes: magic, width, height
LONGEST = 99_999  # pixels a side, as in Middlebury's own reader
UNKNOWN = 1e10  # marks pixels whose flow is not known
LARGEST = 1e9  # flows beyond it are unknown


def read_flo(path: Path | str) -> Array:
    """Read a flow field.

    Parameters
    ----------
    path : path
        A .flo file.

    Returns
    -------
    ndarray, shape (H, W, 2), float32
        Displacement in pixels, (row, column); nan where the file marks it unknown. x + u(x) is the
        place in the second (moving) image that belongs to x in the first (fixed).

    Raises
    ------
    ValueError
        If the file is missing, is not a .flo file, or does not hold as many pixels as its header states.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no flow file at {path}; check the path.")
    with path.open("rb") as file:
        header = file.read(HEADER)
        if header[:4] != MAGIC:
            raise ValueError(f"{path.name} is not a .flo file (it does not begin with PIEH); choose another.")
        size = path.stat().st_size
        if len(header) < HEADER:
            raise ValueError(f"{path.name} ends after {size} bytes, within its header; copy it again.")
        width, height = (int(n) for n in np.frombuffer(header, "<i4", offset=4))
        if not (1 <= width <= LONGEST and 1 <= height <= LONGEST):
            raise ValueError(
                f"{path.name} claims to be {width} x {height} pixels, but sides lie between 1 and {LONGEST}; "
                "the file is damaged, copy it again."
            )
        expected = HEADER + 8 * width * height
        if size != expected:
            raise ValueError(
                f"{path.name} has {size} bytes, but {width} x {height} pixels take {expected}; copy it again."
            )
        flow = np.frombuffer(file.read(), "<f4").reshape(height, width, 2)
    # The file's flow is along columns first. Comparing this way round, nan counts as unknown too.
    known = (np.abs(flow) <= LARGEST).all(axis=-1, keepdims=True)
    return np.where(known, flow[..., ::-1], np.float32(np.nan)).astype(np.float32)


def write_flo(path: Path | str, displacement: Array) -> Path:
    """Write a flow field; what stood there stays until the new file is complete.

    Parameters
    ----------
    path : path
        Ending in .flo; its folder is made if it is missing.
    displacement : ndarray, shape (H, W, 2)
        In pixels, (row, column); pixels that are not finite are written as unknown.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    ValueError
        If the name or the array does not suit the format.
    """
    path = Path(path)
    flow = np.asarray(displacement)
    if path.suffix.lower() != ".flo":
        raise ValueError(f"{path.name} cannot hold a flow field; give a name that ends in .flo.")
    if flow.ndim != 3 or flow.shape[2] != 2:
        raise ValueError(
            f"A .flo file holds displacements of shape (rows, columns, 2), not {flow.shape}; "
            "only 2D fields can be saved in it."
        )
    height, width = flow.shape[:2]
    if not (1 <= width <= LONGEST and 1 <= height <= LONGEST):
        raise ValueError(
            f"A .flo file has sides of 1 to {LONGEST} pixels, not {width} x {height}; choose another size."
        )
    known = (np.abs(flow) <= LARGEST).all(axis=-1, keepdims=True)
    values = np.where(known, flow[..., ::-1], UNKNOWN).astype("<f4")
    content = MAGIC + np.array([width, height], "<i4").tobytes() + values.tobytes()
    replace_file(path, lambda target: target.write_bytes(content))
    return path
