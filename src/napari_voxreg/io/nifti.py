"""The header of a NIfTI file: where its pixels lie, as nibabel has it, and where it contradicts itself.

ITK reads the pixels. Its choice between sform and qform depends on more than their codes, it tells of a
contradiction on the terminal only, and it refuses a matrix that was rounded to a few digits. It does not read
NIfTI-2, which says the same in longer numbers; such a file is first written as NIfTI-1.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..core.geometry import Array, Image
from .headers import Refused

SIZE, SIZE_2 = 348, 540  # bytes of the two headers, which each of them states first
# nifti1.h and nifti2.h say where the fields stand.
FIELDS = {
    "sizeof_hdr": ("i4", 0),
    "dim": ("8i2", 40),
    "intent_p": ("3f4", 56),
    "intent_code": ("i2", 68),
    "datatype": ("i2", 70),
    "bitpix": ("i2", 72),
    "pixdim": ("8f4", 76),
    "vox_offset": ("f4", 108),
    "scl": ("2f4", 112),
    "xyzt_units": ("u1", 123),
    "qform_code": ("i2", 252),
    "sform_code": ("i2", 254),
    "quatern": ("6f4", 256),
    "srow": ("(3,4)f4", 280),
    "intent_name": ("S16", 328),
    "magic": ("S4", 344),
}
FIELDS_2 = {
    "sizeof_hdr": ("i4", 0),
    "dim": ("8i8", 16),
    "intent_p": ("3f8", 80),
    "intent_code": ("i4", 504),
    "datatype": ("i2", 12),
    "bitpix": ("i2", 14),
    "pixdim": ("8f8", 104),
    "vox_offset": ("i8", 168),
    "scl": ("2f8", 176),
    "xyzt_units": ("i4", 500),
    "qform_code": ("i4", 344),
    "sform_code": ("i4", 348),
    "quatern": ("6f8", 352),
    "srow": ("(3,4)f8", 400),
    "intent_name": ("S16", 508),
    "magic": ("S4", 4),
}
START = SIZE + 4  # of the pixels in NIfTI-1 without extensions
MILLIMETRES = {
    1: 1000.0,
    3: 1e-3,
}  # of the codes of metre and micrometre; all others are taken as millimetres
NEAR = 0.1  # pixels by which two placements may differ and still say the same
ROUNDING = 1e-4  # pixels that float32 may move a corner by
UNLIKE = 0.01  # relative difference of two pixel sizes that is no rounding
TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_header(path: Path) -> Any:
    """The fields of a .nii file's header, NIfTI-1 or NIfTI-2, a NumPy record.

    Raises
    ------
    ValueError
        If it is none, or the file is shorter than it states: ITK leaves the missing pixels undefined.
    """
    with path.open("rb") as file:
        head = file.read(SIZE_2).ljust(SIZE_2, b"\0")
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    for order in orders:
        second = np.frombuffer(head, f"{order}i4", 1)[0] == SIZE_2
        header = np.frombuffer(head, _layout(second).newbyteorder(order), 1)[0]
        used = int(header["dim"][0])
        if 1 <= used <= 7:
            sizes = [max(1, int(n)) for n in header["dim"][1 : used + 1]]
            # The bits are those of all components of a pixel: 24 of red, green and blue.
            pixels = math.prod(sizes) * int(header["bitpix"]) // 8
            if path.stat().st_size < int(header["vox_offset"]) + pixels:
                raise ValueError("shorter than its header states")
            placing = [header["srow"]] if header["sform_code"] > 0 else []
            placing += [header["quatern"]] if header["qform_code"] > 0 else []
            if not all(np.isfinite(numbers).all() for numbers in placing):
                raise ValueError("placed by numbers that are not finite")  # ITK would print its matrices
            return header
    raise ValueError("no NIfTI header")


def header_in(head: bytes) -> Any | None:
    """The fields of the NIfTI header, of either version, with which a file begins; None if it is none."""
    for order in ("<", ">"):
        size = int(np.frombuffer(head.ljust(4, b"\0"), f"{order}i4", 1)[0])
        if size in (SIZE, SIZE_2) and len(head) >= size:
            header = np.frombuffer(head, _layout(size == SIZE_2).newbyteorder(order), 1)[0]
            return header if 1 <= int(header["dim"][0]) <= 7 else None
    return None


def place_of(header: Any, field: str) -> int:
    """The byte at which a field stands in the file."""
    return (FIELDS_2 if is_second(header) else FIELDS)[field][1]


def is_second(header: Any) -> bool:
    """Whether a header is that of NIfTI-2."""
    return bool(header["sizeof_hdr"] == SIZE_2)


def write_first(path: Path, header: Any, target: Path, name: str) -> None:
    """Write a NIfTI-2 file as NIfTI-1, with the same pixels, placement and scaling.

    Parameters
    ----------
    path : Path
        The file.
    header : record
        See `read_header`.
    target : Path
        Where to write.
    name : str
        Of the file, for the message.

    Raises
    ------
    Refused
        If an axis is longer than NIfTI-1 can say.
    """
    longest, most = int(header["dim"][1:].max()), np.iinfo(np.int16).max
    if longest > most:
        raise Refused(
            f"{name} has {longest} pixels along an axis; of NIfTI-2, up to {most} are read. Save it as .nrrd."
        )
    if not header["magic"].startswith(b"n+2"):
        raise ValueError("its pixels are in another file")
    first = np.zeros(1, _layout(False).newbyteorder(header.dtype["bitpix"].byteorder))
    for field in FIELDS:
        first[field] = header[field]
    first["sizeof_hdr"], first["vox_offset"], first["magic"] = SIZE, START, b"n+1"
    with path.open("rb") as source, target.open("wb") as file:
        file.write(first.tobytes().ljust(START, b"\0"))
        source.seek(int(header["vox_offset"]))
        shutil.copyfileobj(source, file)


def _layout(second: bool) -> np.dtype[np.void]:
    """Of a header, in this machine's byte order."""
    fields, size = (FIELDS_2, SIZE_2) if second else (FIELDS, SIZE)
    kinds, offsets = zip(*fields.values(), strict=True)
    return np.dtype({"names": list(fields), "formats": kinds, "offsets": offsets, "itemsize": size})


def blank_placement(path: Path) -> None:
    """Set the codes of sform and qform in a file to 0, so that ITK reads its pixels whatever they say."""
    with path.open("r+b") as file:
        file.seek(FIELDS["qform_code"][1])
        file.write(bytes(4))


def placed(image: Image, header: Any, name: str) -> Image:
    """An image where its header places it: by the sform if its code is set, else by the qform.

    Parameters
    ----------
    image : Image
        As ITK reads it, which places it if neither code is set; a time axis comes first.
    header : record
        See `read_header`.
    name : str
        Of the file, for the notes on what contradicts itself.
    """
    scale = MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)
    pixdim = np.abs(np.array(header["pixdim"][1:4], dtype=float))
    found = {}
    if header["sform_code"] > 0:
        found["sform"] = np.vstack([np.array(header["srow"], dtype=float), [0, 0, 0, 1]])
    if header["qform_code"] > 0:
        found["qform"] = _qform(header, pixdim)
    found = {which: np.diag([*[scale] * 3, 1.0]) @ affine for which, affine in found.items()}
    found = {which: affine for which, affine in found.items() if np.linalg.matrix_rank(affine) == 4}
    if not found:
        return image
    affine = next(iter(found.values()))
    d = min(image.ndim, 3)
    shape = np.array(image.grid.shape[-d:][::-1], dtype=float)
    if d < 3 and np.abs(affine[d:3, :d]).max() > 1e-6 * np.abs(affine).max():
        note = f"{name} is a slice that lies obliquely in space; only its pixel size is used."
        return replace(image, notes=(*image.notes, note))
    ends = np.array(np.meshgrid(*[(0.0, n - 1) for n in shape], *[(0.0,)] * (3 - d))).reshape(3, -1).T
    notes = _contradictions(found, scale * pixdim[:d], ends, name)
    lps = TO_LPS @ squared(affine, ends)
    order = [*range(d)[::-1], 3]
    grid = image.grid.affine.copy()
    grid[np.ix_([*range(-d - 1, 0)], [*range(-d - 1, 0)])] = lps[np.ix_(order, order)]
    image = replace(image, notes=(*image.notes, *notes))
    own = replace(image.grid, affine=grid)
    # Where both agree, ITK's numbers are kept, which are rounded less.
    apart = np.abs(own.corners() - image.grid.corners()).max()
    return image if apart <= ROUNDING * own.spacing.min() else image.with_grid(own)


def with_lost(image: Image, path: Path, header: Any) -> Image:
    """An image with the NaN and infinities of its .nii file, which ITK reads as 0."""
    floats = {16: "f4", 64: "f8"}.get(int(header["datatype"]))
    if floats is None or image.channels is not None:
        return image
    layout = np.dtype(floats).newbyteorder(header.dtype["bitpix"].byteorder)
    stored = np.memmap(path, layout, "r", int(header["vox_offset"]), image.data.shape)
    lost = ~np.isfinite(stored)
    if not lost.any():
        return image
    data = image.data.copy()
    data[lost] = stored[lost]
    return replace(image, data=data)


def _qform(header: Any, pixdim: Array) -> Array:
    """The matrix of the quaternion, (4, 4): index to right, anterior, superior."""
    from scipy.spatial.transform import Rotation

    b, c, d, *offset = np.array(header["quatern"], dtype=float)
    a = math.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    flip = -1.0 if header["pixdim"][0] < 0 else 1.0
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat([b, c, d, a]).as_matrix() * pixdim * [1, 1, flip]
    matrix[:3, 3] = offset
    return matrix


def _contradictions(found: dict[str, Array], pixdim: Array, ends: Array, name: str) -> list[str]:
    """What the placements that a header holds do not agree on, as sentences."""
    notes = []
    which, affine = next(iter(found.items()))
    sizes = np.linalg.norm(affine[:3, : len(pixdim)], axis=0)
    if np.abs(sizes - pixdim).max() > UNLIKE * sizes.min():
        own, other = (" x ".join(f"{x:.4g}" for x in values) for values in (sizes, pixdim))
        notes.append(
            f"The header of {name} gives pixels of {own} in its {which} and {other} in pixdim; "
            f"the {which} is used."
        )
    if len(found) > 1:
        apart = ends @ (affine - found["qform"])[:3, :3].T + (affine - found["qform"])[:3, 3]
        most = float(np.linalg.norm(apart, axis=1).max())
        if most > NEAR * sizes.min():
            notes.append(
                f"The sform and the qform of {name} place it up to {most:.3g} mm apart; the sform is used."
            )
    return notes


def squared(affine: Array, ends: Array) -> Array:
    """The matrix with its axes at right angles, if that moves no corner by more than a tenth of a pixel.

    So a matrix that was rounded to a few digits becomes a rotation again, and one that shears stays as it is.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        From index to world.
    ends : ndarray, shape (8, 3)
        Indices of the corners.
    """
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    u, _, v = np.linalg.svd(affine[:3, :3] / sizes)
    square = affine.copy()
    square[:3, :3] = (u @ v) * sizes
    middle = ends.mean(axis=0)
    square[:3, 3] += (affine - square)[:3, :3] @ middle
    moved = np.linalg.norm((ends - middle) @ (affine - square)[:3, :3].T, axis=1).max()
    return square if moved <= NEAR * sizes.min() else affine
