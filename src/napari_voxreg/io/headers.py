"""What the header of an image file claims, checked before memory is taken for it or other files are read."""

from __future__ import annotations

import gzip
import math
import re
import struct
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from PIL import Image
from tifffile import TiffFile

from ..core.geometry import Array
from . import itk_files
from .guards import check_claim, check_regular, quiet_tifffile

NIBABEL = (".mgh", ".mgz", ".mnc")
DETACHED = (".mhd", ".mha", ".nhdr", ".nrrd")  # may name files that hold their pixels
PICTURES = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")  # PIL knows others, of which some run programs
HEADER = 4 * 2**20  # bytes in which the header of a MetaImage or NRRD ends
LONGEST_LINE = 500  # characters in a line of a NRRD header, but for comments: ITK dies of a thousand
BLOCK = 2**20
# By the first integer of a NIfTI header: the places of dim, bitpix and vox_offset, and their types.
NIFTI = {348: (40, "8h", 72, 108, "f"), 540: (16, "8q", 14, 168, "q")}
_one_at_a_time = threading.Lock()


class Refused(ValueError):
    """A file that is not read, for a reason that its one sentence gives."""


def check_image(path: Path, ending: str) -> None:
    """Refuse an image whose header claims more than its file can hold, or names files that lie elsewhere.

    Parameters
    ----------
    path : Path
        NIfTI, MetaImage, NRRD, DICOM, TIFF or a picture.
    ending : str
        Of its name, in small letters.

    Raises
    ------
    Refused
        In one sentence that names the file.
    """
    stored = path.stat().st_size
    if ending in DETACHED:
        stored += _size_of(path, _names_in_header(path, ending))
    if ending == ".nii.gz":
        with gzip.open(path) as packed:
            claimed = _nifti_size(packed.read(540))
    elif ending == ".nii":
        with path.open("rb") as file:
            claimed = _nifti_size(file.read(540))
    elif ending.startswith((".tif", ".gtif", ".geotif")):
        claimed, stored = _tiff_sizes(path, stored)
    elif ending in (".png", ".jpg", ".jpeg", ".bmp", *(".hdr", ".hdr.gz", ".img", ".img.gz"), *NIBABEL):
        claimed = 0  # by those who read them
    else:
        claimed = _itk_size(path)
    _check(path, claimed, stored)


def copy_nifti(packed: gzip.GzipFile, unpacked: BinaryIO) -> None:
    """Unpack a NIfTI file as far as its header says, and one block more to notice that it is damaged."""
    head = packed.read(540)
    unpacked.write(head)
    left = _nifti_size(head) - len(head)
    while left > 0 and (block := packed.read(min(BLOCK, left))):
        unpacked.write(block)
        left -= len(block)
    packed.read(BLOCK)  # the checksum follows the last byte


def read_picture(path: Path) -> Array:
    """The pixels of a PNG, JPEG or BMP file, of any size that its bytes can hold; inks (CMYK) as colours.

    Raises
    ------
    Refused
        If it claims more.
    """
    import imageio.v3 as iio

    with _any_size():
        with Image.open(path, formats=PICTURES) as picture:
            width, height = picture.size
            mode = picture.mode
            pixel = 4 if mode in ("I", "F") else 2 if ";16" in mode else len(picture.getbands())
        _check(path, width * height * pixel, path.stat().st_size)
        inks = {"mode": "RGB"} if mode == "CMYK" else {}
        return np.asarray(iio.imread(path, index=0, plugin="pillow", **inks))


@contextmanager
def _any_size() -> Iterator[None]:
    """PIL without its limit of 179 megapixels, which slides exceed; it is one for the whole process."""
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _check(path: Path, claimed: int, stored: int) -> None:
    try:
        check_claim(path.name, claimed, stored)
    except ValueError as error:
        raise Refused(str(error)) from error


def _nifti_size(head: bytes) -> int:
    """Bytes of the whole file that begins so; 0 if it is no NIfTI file."""
    for order in "<>":
        places = NIFTI.get(struct.unpack_from(f"{order}i", head.ljust(4, b"\0"))[0])
        if places and len(head) >= places[3] + 8:
            dim, bits, offset = places[0], places[2], places[3]
            count, *sizes = struct.unpack_from(order + places[1], head, dim)
            (bitpix,), (start,) = (
                struct.unpack_from(order + kind, head, at) for kind, at in (("h", bits), (places[4], offset))
            )
            if not (math.isfinite(start) and 0 <= start < 2**40 and bitpix > 0):
                return 0
            pixels = math.prod(max(1, n) for n in sizes[: max(0, min(7, count))])
            return int(start) + pixels * bitpix // 8
    return 0


def _itk_size(path: Path) -> int:
    """Bytes of the pixels by the header that ITK reads; 0 if it reads none."""
    import SimpleITK as sitk

    try:
        reader = itk_files.read_header(path)
    except RuntimeError:  # said by whoever reads the pixels
        return 0
    kind = sitk.GetPixelIDValueAsString(reader.GetPixelIDValue())
    bits = re.search(r"(\d+)-bit", kind)
    parts = (2 if "complex" in kind else 1) * reader.GetNumberOfComponents()
    return math.prod(reader.GetSize()) * parts * (int(bits[1]) if bits else 8) // 8


def _tiff_sizes(path: Path, stored: int) -> tuple[int, int]:
    """Bytes of the pixels of the first series, and of the files that hold them."""
    with quiet_tifffile(), TiffFile(path) as tiff:
        if tiff.is_ome:
            # Checked before tifffile follows them.
            text = tiff.ome_metadata or ""
            names = re.findall(r"(?:FileName|MetadataFile)\s*=\s*[\"']([^\"']*)[\"']", text)
            stored += _size_of(path, set(names) - {path.name})
        series = tiff.series[0]
        return math.prod(series.shape) * series.dtype.itemsize, stored


def _names_in_header(path: Path, ending: str) -> list[str]:
    """The files that a MetaImage or NRRD header names for its pixels; none where it holds them itself."""
    with path.open("rb") as file:
        text = file.read(HEADER).decode("latin-1").replace("\r\n", "\n")
    if ending in (".nhdr", ".nrrd"):
        text = text.partition("\n\n")[0]
    found = re.search(
        r"^[ \t]*(?:ElementDataFile|data ?file)[ \t]*[=:](.*)$", text, re.IGNORECASE | re.MULTILINE
    )
    if ending in (".nhdr", ".nrrd"):
        lines = [line for line in text.split("\n") if not re.match(r"#|[^:]*:=", line)]
        harmful = any(len(line) > LONGEST_LINE for line in lines)
    else:
        head = text[: found.end()] if found else text
        axes = re.findall(r"^[ \t]*NDims[ \t]*[=:](.*)$", head, re.MULTILINE)
        harmful = any(number.strip() not in ("2", "3", "4") for number in axes)
    if harmful:
        raise Refused(f"{path.name} cannot be read; its header is damaged.")
    if found is None or found[1].strip().lower() == "local":
        return []
    if found[1].split()[:1] == ["LIST"]:
        return [line.strip() for line in text[found.end() :].split("\n") if line.strip()]
    return [found[1].strip()]


def _size_of(path: Path, names: Iterable[str]) -> int:
    """Bytes of the files that a header names, each of which must lie beside it or in a folder there."""
    total = 0
    for name in names:
        plain = PurePosixPath(name.replace("\\", "/"))
        if plain.is_absolute() or ".." in plain.parts or ":" in name:
            raise Refused(
                f"{path.name} takes its pixels from {name[:80]}, which is not followed; "
                "put that file beside it."
            )
        file = path.parent / plain
        if "%" in name:  # a pattern for many files
            total += sum(each.stat().st_size for each in file.parent.glob("*") if each.is_file())
        elif file.exists():
            try:
                check_regular(file)
            except ValueError as error:
                raise Refused(
                    f"{path.name} takes its pixels from {name[:80]}, which is not a file."
                ) from error
            total += file.stat().st_size
    return total
