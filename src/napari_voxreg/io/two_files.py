"""NIfTI and Analyze in two files, a header (.hdr) and its pixels (.img), joined into one .nii."""

from __future__ import annotations

import gzip
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from .headers import Refused
from .nifti import FIELDS, FIELDS_2, SIZE, SIZE_2

HEADERS, PIXELS = (".hdr", ".hdr.gz"), (".img", ".img.gz")
OTHERS = {
    b"ENVI": "a header of ENVI; write it as GeoTIFF, for example with gdal_translate",
    b"#?": "a picture of Radiance; save it as TIFF",
    b"EHFA_HEADER_TAG": "an image of ERDAS; write it as GeoTIFF, for example with gdal_translate",
}
# What Analyze holds where NIfTI has its intent, slope of slices, codes, units, placement and names.
NOT_ANALYZE = ((56, 70), (116, 148), (148, SIZE))


def joined(path: Path, target: Path) -> tuple[str, ...]:
    """Write a header and its pixels as one NIfTI file.

    Parameters
    ----------
    path : Path
        Of either file; the other one is beside it.
    target : Path
        Where to write.

    Returns
    -------
    tuple of str
        Notes for the user: Analyze does not say where left is.

    Raises
    ------
    Refused
        If the other file is missing, or they are of another format, in one sentence with the remedy.
    ValueError
        If the header is damaged.
    """
    header, pixels = _both(path)
    with _opened(header) as file:
        head = bytearray(file.read(SIZE_2))
    order = next((order for order in "<>" if _size(head, order) in (SIZE, SIZE_2)), "")
    if not order:
        raise Refused(f"{header.name} is no header of NIfTI or Analyze; give a .nii, .nrrd or .mha file.")
    second = _size(head, order) == SIZE_2
    size, fields = (SIZE_2, FIELDS_2) if second else (SIZE, FIELDS)
    if len(head) < size:
        raise ValueError("no whole header")
    head = head[:size]
    at = fields["magic"][1]
    analyze = bytes(head[at : at + 2]) not in (b"ni", b"n+")
    if analyze:
        for start, end in NOT_ANALYZE:
            head[start:end] = bytes(end - start)
    place, kind = fields["vox_offset"][1], "q" if second else "f"
    (skipped,) = struct.unpack_from(order + kind, head, place)
    head[at : at + 4] = b"n+2\0" if second else b"n+1\0"
    struct.pack_into(order + kind, head, place, size + 4)
    with _opened(pixels) as source, target.open("wb") as file:
        file.write(bytes(head).ljust(size + 4, b"\0"))
        source.seek(int(skipped))
        shutil.copyfileobj(source, file)
    if not analyze:
        return ()
    return (f"{path.name} is Analyze, which does not say which side is left; compare another image.",)


def _size(head: bytearray, order: str) -> int:
    """The size that a header states first."""
    return int(struct.unpack_from(f"{order}i", head.ljust(4, b"\0"))[0])


def _both(path: Path) -> tuple[Path, Path]:
    """The header and the pixels."""
    with path.open("rb") as file:
        start = file.read(20)
    for beginning, what in OTHERS.items():
        if start.startswith(beginning):
            raise Refused(f"{path.name} is {what}.")
    name = path.name.lower()
    packed = name.endswith(".gz")
    stem = path.name[: len(path.name) - (7 if packed else 4)]
    given = name.removesuffix(".gz")[-4:]
    wanted = PIXELS if given == ".hdr" else HEADERS
    beside = {file.name.lower(): file for file in path.parent.glob(f"{_plain(stem)}.*") if file.is_file()}
    other = next((beside[key] for end in wanted if (key := stem.lower() + end) in beside), None)
    if other is None:
        what = "its pixels" if given == ".hdr" else "its header"
        raise Refused(f"{path.name} needs {stem}{wanted[0]}, {what}, beside it; put it there.")
    return (path, other) if given == ".hdr" else (other, path)


def _plain(name: str) -> str:
    """A name in which no character stands for others."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A file as stored, unpacked if its name says so."""
    with path.open("rb") if path.suffix.lower() != ".gz" else gzip.open(path) as file:
        yield cast(BinaryIO, file)
