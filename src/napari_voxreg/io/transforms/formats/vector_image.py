"""Displacement fields as images of vectors: NIfTI of ITK, ANTs, NiftyReg and SPM; MetaImage and NRRD."""

from __future__ import annotations

import gzip
import math
import re
import shutil
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ....core.disk import full_disk_named, scratch_folder
from ....core.geometry import Array, Grid, Image
from ....transforms import Displacement, Transform, displacement_on
from ...guards import DAMAGED
from ...headers import check_image, copy_nifti
from ...images import ending_of, read_unlogged, write_image
from ...nifti import header_in, place_of
from ..base import Found, Grids

VECTOR, DISPLACEMENTS = 1007, 1006  # intents of NIfTI
FNIRT = range(2001, 2020)  # FSL's own
GZIP = b"\x1f\x8b"
NIFTYREG, SPM = "NREG_TRANS", "Mapping"  # names of intents
POSITIONS, SHIFTS = 0.0, 1.0  # NiftyReg's kinds that are read


def recognises(head: bytes) -> bool:
    """Whether it is an image of vectors."""
    if head.startswith(b"NRRD"):
        return re.search(rb"^kinds:.*vector", head, re.MULTILINE) is not None
    if re.match(rb"\s*(ObjectType|NDims)\s*=", head):
        return re.search(rb"^ElementNumberOfChannels\s*=\s*[23]\s*$", head, re.MULTILINE) is not None
    header = header_in(head)
    return header is not None and (_is_vector(header) or int(header["intent_code"]) in FNIRT)


def read(path: Path, grids: Grids) -> Found:
    """The displacement field; its vectors are in ITK's world, or in NIfTI's where the header says so."""
    return _read(path, ras=False)


def read_ras(path: Path, grids: Grids) -> Found:
    """The displacement field, whose vectors are towards right, anterior, superior."""
    return _read(path, ras=True)


def _read(path: Path, ras: bool) -> Found:
    with path.open("rb") as file:
        begins = file.read(16)
    if begins.startswith((b"NRRD", b"ObjectType", b"NDims")):
        image = _read_itk(path, ".nrrd" if begins.startswith(b"NRRD") else ".mha")
        return Found(_field(_ras(image) if ras else image, path))
    check_image(path, ".nii.gz" if begins.startswith(GZIP) else ".nii")
    with scratch_folder() as folder:
        plain = folder / f"{path.name.removesuffix('.gz').removesuffix('.nii')[:200]}.nii"
        try:
            with full_disk_named(folder.parent), path.open("rb") as file, plain.open("wb") as unpacked:
                if begins.startswith(GZIP):
                    copy_nifti(gzip.GzipFile(fileobj=file), unpacked)
                else:
                    shutil.copyfileobj(file, unpacked)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path.name} cannot be read; {DAMAGED}.") from error
        return _read_nifti(plain, path, ras)


def _read_itk(path: Path, ending: str) -> Image:
    """A MetaImage or NRRD, whatever it is called."""
    if ending_of(path) in (".mha", ".mhd", ".nrrd", ".nhdr"):
        return read_unlogged(path)
    with scratch_folder() as folder:
        named = folder / f"{path.name[:200]}{ending}"
        with full_disk_named(folder.parent):
            shutil.copyfile(path, named)
        return read_unlogged(named)


def _read_nifti(plain: Path, path: Path, named_ras: bool) -> Found:
    """A field in an unpacked copy, whose intent is set to vectors, so that ITK leaves them as they are."""
    with plain.open("rb") as file:
        header = header_in(file.read(540))
    if header is None or not _may_be_vector(header):
        raise ValueError(
            f"{path.name} is not an image of displacement vectors"
            + (
                ", but FSL's own kind of warp; convert it with wb_command or nitransforms."
                if header is not None and int(header["intent_code"]) in FNIRT
                else "; choose another file."
            )
        )
    intent, name = int(header["intent_code"]), bytes(header["intent_name"]).decode("ascii", "replace")
    kind = float(header["intent_p"][0]) if name.startswith(NIFTYREG) else SHIFTS
    if kind not in (POSITIONS, SHIFTS):
        raise ValueError(
            f"{path.name} holds NiftyReg's splines or velocities; convert it with reg_transform -def."
        )
    positions = kind == POSITIONS or name.startswith(SPM)
    ras = positions or name.startswith(NIFTYREG) or intent == DISPLACEMENTS or "RAS" in name
    dim = header["dim"].copy()
    if dim[0] == 4:  # the components stand in the place of time
        dim[[0, 4, 5]] = 5, 1, dim[4]
    _check_finite(plain, header, path)
    slice_alone = dim[3] == 1 and dim[5] == 3  # of three axes, which ITK would take for two
    if slice_alone:
        _double(plain, header)
        dim[3] = 2
    with plain.open("r+b") as file:
        for entry, value in (("intent_code", VECTOR), ("dim", dim)):
            file.seek(place_of(header, entry))
            file.write(np.array(value, header.dtype[entry].base).tobytes())
    image = read_unlogged(plain)
    if slice_alone:
        image = replace(
            image, data=image.data[:1], grid=replace(image.grid, shape=(1, *image.grid.shape[1:]))
        )
    if ras or named_ras:
        image = _ras(image)
    notes = image.notes
    if ras:
        notes += (f"The vectors of {path.name} are taken in NIfTI's world (RAS), as its header says.",)
    field = _field(image, path)
    if positions:
        there = image.data[..., ::-1].reshape(-1, field.ndim)
        field = Displacement((there - field.grid.nodes()).reshape(field.field.shape), field.grid)
    return Found(field, notes)


def _check_finite(plain: Path, header: Any, path: Path) -> None:
    """Refuse NaN and infinities, which ITK reads as 0."""
    floats = {16: "f4", 64: "f8"}.get(int(header["datatype"]))
    if floats is not None:
        layout = np.dtype(floats).newbyteorder(header.dtype["bitpix"].byteorder)
        count = math.prod(max(1, int(n)) for n in header["dim"][1:6])
        stored = np.memmap(plain, layout, "r", int(header["vox_offset"]), (count,))
        if not np.isfinite(stored).all():
            raise ValueError(f"{path.name} holds vectors that are not finite; write the field without them.")


def _double(plain: Path, header: Any) -> None:
    """Write each component's only slice twice."""
    start, number = int(header["vox_offset"]), int(header["bitpix"]) // 8
    size = int(header["dim"][1]) * int(header["dim"][2]) * number
    with plain.open("r+b") as file:
        file.seek(start)
        slices = [file.read(size) for _ in range(3)]
        file.seek(start)
        file.writelines(one + one for one in slices)


def _ras(image: Image) -> Image:
    """An image of vectors with the first two components negated."""
    signs = [-1, -1, 1][: image.channels or 0]
    return image.with_data(image.data * np.array(signs, image.data.dtype)) if signs else image


def _may_be_vector(header: Any) -> bool:
    """`_is_vector`, or three numbers at each place that are not said to be vectors: the user says so."""
    possible = int(header["intent_code"]) in (0, VECTOR, DISPLACEMENTS)
    return _is_vector(header) or (possible and int(header["dim"][0]) == 4 and int(header["dim"][4]) == 3)


def _is_vector(header: Any) -> bool:
    """Whether each place has as many numbers as the image has axes of space, in the fifth or fourth axis."""
    used, sizes = int(header["dim"][0]), [int(n) for n in header["dim"]]
    if used == 4:
        return int(header["intent_code"]) in (VECTOR, DISPLACEMENTS) and sizes[4] == 3 and sizes[3] > 1
    return used == 5 and sizes[4] == 1 and sizes[5] in (3 if sizes[3] > 1 else 2, 3)


def _field(image: Image, path: Path) -> Displacement:
    """Vectors (x, y, z) as a transform."""
    if image.channels != image.ndim or np.asarray(image.data).dtype.kind != "f":
        raise ValueError(
            f"{path.name} is not a field of displacements, which has a vector of {image.ndim} "
            "floating-point numbers at each place; choose another file."
        )
    if not np.isfinite(image.data).all():
        raise ValueError(
            f"{path.name} holds vectors that are not finite; write the field again without them."
        )
    return Displacement(image.data[..., ::-1], image.grid)


def write(transform: Transform, path: Path, grids: Grids) -> tuple[str, ...]:
    """Write the displacements at the pixels of the fixed image, as ITK and ANTs do.

    Raises
    ------
    ValueError
        If no grid is known, or the format cannot hold it.
    """
    grid = grids.fixed
    if grid is None and isinstance(transform, Displacement):
        grid = transform.grid
    if grid is None:
        raise ValueError(
            f"A field needs the grid of the fixed image; give it (--fixed) to write {path.name}."
        )
    if ending_of(path) not in (".nii", ".nii.gz", ".nrrd", ".mha"):
        raise ValueError(f"{path.name} cannot hold a field; give a name that ends in .nii.gz, .nrrd or .mha.")
    write_image(field_image(displacement_on(transform, grid), grid), path)
    exact = isinstance(transform, Displacement) and transform.grid.same_as(grid)
    return () if exact else (f"{path.name} is exact at the pixels of the fixed image, and zero outside it.",)


def field_image(field: Array, grid: Grid) -> Image:
    """Displacements as an image of vectors (x, y, z)."""
    return Image(np.ascontiguousarray(field[..., ::-1]), grid)
