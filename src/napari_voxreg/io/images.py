"""Images on disk: medical formats with full geometry, TIFF with its tags, PNG, JPEG, BMP."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..core.disk import DiskFull, check_utf8
from ..core.geometry import Array, Grid, Image, unit_factor
from ..core.pixels import with_nan, with_opacity
from . import itk_files
from .brain_volumes import FREESURFER, MINC
from .dicom import Slices, is_dicom, sorted_slices
from .files import is_full, replace_file
from .headers import Refused, check_image, read_picture
from .medical import IN_PIXELS, NOTES_KEY, read_medical
from .tiff import TIME, UnclearAxes, read_tiff, tiff_refusal, write_tiff
from .two_files import HEADERS, PIXELS

log = logging.getLogger(__name__)

MEDICAL = (
    *(".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".dicom", ".ima"),
    *FREESURFER,
    *MINC,
    *HEADERS,
)
TIFF = (".tif", ".tiff", ".gtif", ".gtiff", ".geotiff")
PACKED = (".nii.gz", ".hdr.gz", ".img.gz")
PLAIN = (".png", ".jpg", ".jpeg", ".bmp")  # without geometry
LOOKED_AT = 2000  # files and folders in a folder without DICOM files, before the search is given up
WRITTEN = (".nii", ".nii.gz", ".nrrd", ".mha", *TIFF, ".png", ".jpg", ".jpeg")


def read_image(path: Path | str) -> Image:
    """Read an image with all the geometry that its file holds.

    Parameters
    ----------
    path : path
        NIfTI, NRRD, MetaImage, DICOM, MGH or MINC (in millimetres, in ITK's world: left, posterior,
        superior), a folder with one DICOM series, TIFF (see `read_tiff`), or PNG, JPEG, BMP (in pixels).
        Files that `write_image` wrote in pixels are read in pixels. DICOM files need no ending.

    Returns
    -------
    Image
        Pixels as stored: NaN is kept, and complex numbers in TIFF. Pixels without data are masked: GDAL's
        nodata and fully transparent ones. Inks (CMYK) become red, green and blue. A series in time has its
        time axis first, with the unit second. What its file says that a user should know is in its notes.

    Raises
    ------
    ValueError
        If the file is missing, damaged or of a kind that is not known, or a folder has no or several series.
    """
    image = read_unlogged(path)
    log.info("read %s: %s", path, _geometry(image))
    for note in image.notes:
        log.info(note)
    return image


def read_unlogged(path: Path | str) -> Image:
    """`read_image` without a record in the log, for whoever reads the same files over and over."""
    path = Path(path)
    check_utf8(path)
    if path.is_dir():
        found = read_series(path)
        if len(found) > 1:
            names = ", ".join(image.name for image in found)
            raise ValueError(
                f"{path.name} holds {len(found)} DICOM series ({names}); leave one in the folder."
            )
        return found[0]
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    ending = ending_of(path)
    if ending in MEDICAL + PIXELS:
        return _guarded(read_medical, path)
    if ending in TIFF:
        return _guarded(read_tiff, path)
    if ending in PLAIN:
        return _guarded(_read_plain, path)
    if is_dicom(path):  # as scanners and archives name them: no ending, or a number
        return replace(_guarded(read_medical, path), name=path.name)
    raise ValueError(
        f"{path.name} cannot be read; its name must end in {', '.join(MEDICAL + TIFF + PLAIN)}, "
        "unless it is DICOM."
    )


def read_series(folder: Path | str) -> list[Image]:
    """Read all DICOM series in a folder (not in its subfolders), slices sorted by position, millimetres.

    Raises
    ------
    ValueError
        If there are none, one cannot be read, or its slices do not lie on an even grid: some are missing,
        or several lie at one place.
    """
    import SimpleITK as sitk

    folder = Path(folder)
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not series:
        inside = next((p.parent for p in islice(folder.rglob("*"), LOOKED_AT) if is_dicom(p)), None)
        which = "the folder with the slices" if inside is None else f"one in it, such as {inside}"
        raise ValueError(f"The folder {folder.name} holds no DICOM files; give {which}.")

    def read(path: Path, slices: Slices) -> Image:
        from ..transforms.itk import image_from_itk

        if len(slices.files) == 1:  # which may hold many slices
            return read_medical(Path(slices.files[0]))
        return slices.placed(image_from_itk(itk_files.read_slices(slices.files)))

    files = [sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), one) for one in series]
    images = [_guarded(partial(read, slices=sorted_slices(names, folder.name)), folder) for names in files]
    if len(images) == 1:
        return [replace(images[0], name=folder.name)]
    return [replace(image, name=f"{folder.name} {k}") for k, image in enumerate(images, start=1)]


def write_image(image: Image, path: Path | str) -> Path:
    """Write an image so that `read_image` gives it back with its geometry.

    NIfTI, NRRD and MetaImage are written in millimetres; images in pixels keep their numbers and a note that
    says so. TIFF in metres, feet or degrees becomes a GeoTIFF, other lengths go to OME tags. Of a series of
    planes in time, NIfTI, NRRD and MetaImage give back volumes one plane thick. The file is complete or not
    there at all.

    Parameters
    ----------
    image : Image
        What to write.
    path : path
        Ending in .nii, .nii.gz, .nrrd, .mha, .tif, .tiff, .gtif, .gtiff, .geotiff, .png, .jpg or .jpeg.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    ValueError
        If the format cannot hold the geometry or the pixels: sheared grids fit into .mha only, which NIfTI
        and NRRD would silently make orthogonal.
    """
    path = Path(path)
    check_format(image, path)
    ending = ending_of(path)
    write: Callable[[Image, Path], None] = _write_medical
    if ending in TIFF:
        write = write_tiff
    elif ending in PLAIN:
        write = _write_plain
    replace_file(path, lambda target: write(image, target))
    log.info("wrote %s: %s", path, _geometry(image))
    return path


def check_format(image: Image, path: Path | str) -> None:
    """Refuse, with a `ValueError`, a file's name whose format cannot hold an image; see `write_image`.

    Parameters
    ----------
    image : Image
        Only the shape, the type and the grid of its pixels count (see `planned_series`).
    path : path
        Where it is to be written.
    """
    path = Path(path)
    reason = _refusal(image, ending_of(path))
    if reason:
        raise ValueError(f"{path.name} cannot be written: {reason}")


def format_like(image: Image, like: Path | str) -> str:
    """The ending in which `write_like` writes an image.

    Raises
    ------
    ValueError
        If neither the format of the other file nor .mha nor .tif can hold the image.
    """
    own = ending_of(Path(like))
    lost = image.grid.crs is not None and own not in TIFF  # only TIFF says where on the earth a map lies
    for ending in (".tif", own, ".mha") if lost else (own, ".mha", ".tif"):
        if ending in WRITTEN and can_write(image, f"image{ending}"):
            return ending
    raise ValueError(
        f"The warped image cannot be written as {own}: {_refusal(image, '.mha')} "
        "Convert the moving image first."
    )


def write_like(image: Image, stem: Path | str, like: Path | str) -> Path:
    """Write an image in the format of another file, or as .mha or .tif where that cannot hold it.

    Parameters
    ----------
    image : Image
        What to write.
    stem : path
        Where, without the ending.
    like : path
        The file whose ending is taken.
    """
    stem = Path(stem)
    return write_image(image, stem.with_name(stem.name + format_like(image, like)))


def _geometry(image: Image) -> str:
    """Shape, pixel type, spacing and origin, for the log."""
    grid = image.grid
    spacing, origin = (", ".join(f"{x:g}" for x in values) for values in (grid.spacing, grid.origin))
    return (
        f"{' x '.join(map(str, image.data.shape))} {image.data.dtype}, spacing ({spacing}), "
        f"origin ({origin}), units ({', '.join(grid.units)})"
    )


def can_write(image: Image, path: Path | str) -> bool:
    """Whether the format of a file's name holds an image with its geometry; see `write_image`."""
    try:
        return _refusal(image, ending_of(Path(path))) is None
    except ValueError:  # its units are no lengths
        return False


def ending_of(path: Path) -> str:
    """A file's ending in small letters, ``.nii.gz`` and the like as one."""
    name = path.name.lower()
    return next((ending for ending in PACKED if name.endswith(ending)), Path(name).suffix)


def name_of(path: Path) -> str:
    """A file's name without its ending."""
    return path.name[: len(path.name) - len(ending_of(path))]


def _guarded(read: Callable[[Path], Image], path: Path) -> Image:
    """Read, and report whatever a damaged file causes in a library in one sentence."""
    try:
        if not path.is_dir():
            check_image(path, ending_of(path))
        return replace(image := read(path), name=image.name or name_of(path))
    except (Refused, DiskFull, UnclearAxes):  # the disk is that of the temporary files
        raise
    except Exception as error:
        raise ValueError(f"{path.name} cannot be read; it may be damaged or cut off.") from error


def _read_plain(path: Path) -> Image:
    data = read_picture(path)
    if data.ndim == 3 and data.shape[-1] in (2, 4):
        data = with_opacity(data)
    return Image(data, Grid.from_spacing(data.shape[:2]))


def _write_medical(image: Image, path: Path) -> None:

    from ..transforms.itk import image_to_itk

    if image.grid.units[0] == TIME and image.ndim == 3:
        image = _as_volumes(image)
    units = tuple(unit if unit in (TIME, "pixel") else "millimeter" for unit in image.grid.units)
    image = image.with_grid(image.grid.in_units(units))
    if isinstance(image.data, np.ma.MaskedArray):
        floats = image.data.dtype.kind == "f"
        image = image.with_data(with_nan(image.data) if floats else image.data.filled())
    written = image_to_itk(image)
    if "pixel" in units:  # the formats have no such unit
        written.SetMetaData(NOTES_KEY, IN_PIXELS)
    itk_files.write_image(written, path)
    if not _is_whole(path, written):
        raise OSError("it was cut off")


def _is_whole(path: Path, image: Any) -> bool:
    """Whether ITK has written all of an image, for it does not report what a full disk cut off."""
    import SimpleITK as sitk

    if is_full(path.parent):
        return False
    if ending_of(path) == ".nii.gz":
        try:
            with gzip.open(path) as packed:
                while packed.read(1 << 20):
                    continue
        except EOFError:
            return False
        return True
    pixels = sitk.GetArrayViewFromImage(image)
    if ending_of(path) == ".nii":
        return path.stat().st_size >= 352 + pixels.nbytes  # a header, and what is not compressed
    found = itk_files.read_image(path)
    return np.array_equal(sitk.GetArrayViewFromImage(found), pixels, equal_nan=True)


def _as_volumes(series: Image) -> Image:
    """A series of planes in time as volumes one plane thick: three axes would be read as space."""
    grid = series.grid
    affine = np.insert(np.insert(grid.affine, 1, 0, axis=0), 1, 0, axis=1)
    affine[1, 1] = 1.0
    shape, units = (grid.shape[0], 1, *grid.shape[1:]), (TIME, grid.units[1], *grid.units[1:])
    return replace(
        series, data=series.data[:, None], grid=replace(grid, shape=shape, affine=affine, units=units)
    )


def _write_plain(image: Image, path: Path) -> None:
    import imageio.v3 as iio

    data = image.data
    if isinstance(data, np.ma.MaskedArray):
        data = _with_transparency(data, image.channels) if ending_of(path) == ".png" else data.filled()
    # Through memory: written straight to the file, a cut-off JPEG is not reported.
    path.write_bytes(iio.imwrite("<bytes>", data, extension=ending_of(path)))


def _with_transparency(data: np.ma.MaskedArray[Any, Any], channels: int | None) -> Array:
    """Grey or colours and their opacity, none where they are masked."""
    plain: Array = data.filled(0)
    if channels == 4 or data.dtype != np.uint8 or not np.ma.is_masked(data):
        return plain
    empty = np.ma.getmaskarray(data)
    colours = plain[..., None] if channels is None else plain
    opacity = np.where(empty if channels is None else empty.all(axis=-1), 0, 255).astype(np.uint8)
    return np.concatenate([colours, opacity[..., None]], axis=-1)


def _refusal(image: Image, ending: str) -> str | None:
    """Why a format cannot hold an image, as the end of a sentence; None where it can."""
    if ending not in WRITTEN:
        return f"files are written as {', '.join(WRITTEN)}."
    grid = image.grid
    direction = grid.direction
    upright = np.allclose(direction.T @ direction, np.eye(grid.ndim), rtol=0, atol=1e-6)
    if ending in (".nii", ".nii.gz", ".nrrd") and not upright:
        return "its axes are not at right angles, which this format would change; write .mha instead."
    if ending in MEDICAL:
        return _refused_pixels(image.data, grid)
    if ending in TIFF:
        return tiff_refusal(image)
    if not grid.same_as(Grid.from_spacing(grid.shape)) or grid.ndim != 2:
        return "PNG, JPEG and BMP keep no spacing or origin; write .mha instead."
    if image.data.dtype != np.uint8 and not (image.data.dtype == np.uint16 and ending == ".png"):
        return f"{ending} cannot hold {image.data.dtype} pixels; write .tif or .mha instead."
    most = {".png": (None, 3, 4)}.get(ending, (None, 3)) if image.data.dtype == np.uint8 else (None,)
    if image.channels not in most:
        return (
            f"{ending} cannot hold {image.channels} channels of {image.data.dtype} pixels; "
            "write .tif or .mha instead."
        )
    return None


def _refused_pixels(data: Array, grid: Grid) -> str | None:
    """Why ITK's formats cannot hold the pixels or their units."""
    if np.iscomplexobj(data):
        return "this format cannot hold complex pixels; write .tif instead."
    space = grid.units[1:] if grid.units[0] == TIME else grid.units
    if set(space) != {"pixel"}:
        for unit in space:
            unit_factor(unit, "millimeter")
    return None
