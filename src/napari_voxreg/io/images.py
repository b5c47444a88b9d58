"""Images on disk: medical formats with full geometry (SimpleITK), TIFF with its tags, PNG, JPEG, BMP."""

from __future__ import annotations

import gzip
import logging
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..core.geometry import Array, Grid, Image, unit_factor
from .files import replace_file
from .headers import Refused, check_image, copy_nifti, read_picture
from .tiff import TIME, read_tiff, tiff_refusal, write_tiff

log = logging.getLogger(__name__)

MEDICAL = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".dicom", ".ima")
TIFF = (".tif", ".tiff", ".gtif", ".gtiff", ".geotiff")
PLAIN = (".png", ".jpg", ".jpeg", ".bmp")  # without geometry
WRITTEN = (".nii", ".nii.gz", ".nrrd", ".mha", ".tif", ".tiff", ".png", ".jpg", ".jpeg")


def read_image(path: Path | str) -> Image:
    """Read an image with all the geometry that its file holds.

    Parameters
    ----------
    path : path
        NIfTI, NRRD, MetaImage or DICOM (in millimetres, in ITK's world: left, posterior, superior), a folder
        with one DICOM series, TIFF (see `read_tiff`), or PNG, JPEG, BMP (in pixels).

    Returns
    -------
    Image
        Pixels as stored: NaN and complex numbers are kept. A series in time has its time axis first, with the
        unit second.

    Raises
    ------
    ValueError
        If the file is missing, damaged or of a kind that is not known, or a folder has no or several series.
    """
    image = read_unlogged(path)
    log.info("read %s: %s", path, _geometry(image))
    return image


def read_unlogged(path: Path | str) -> Image:
    """`read_image` without a record in the log, for whoever reads the same files over and over."""
    path = Path(path)
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
    if ending in MEDICAL:
        return _guarded(_read_medical, path)
    if ending in TIFF:
        return _guarded(read_tiff, path)
    if ending in PLAIN:
        return _guarded(_read_plain, path)
    raise ValueError(f"{path.name} cannot be read; its name must end in {', '.join(MEDICAL + TIFF + PLAIN)}.")


def read_series(folder: Path | str) -> list[Image]:
    """Read all DICOM series in a folder (not in its subfolders), slices sorted by position, millimetres.

    Raises
    ------
    ValueError
        If there are none, or one cannot be read.
    """
    import SimpleITK as sitk

    folder = Path(folder)
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not series:
        raise ValueError(f"The folder {folder.name} holds no DICOM files; give the folder with the slices.")

    def read(path: Path, identifier: str) -> Image:
        from ..transforms.itk import image_from_itk

        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path), identifier))
        return image_from_itk(reader.Execute())

    images = [_guarded(partial(read, identifier=identifier), folder) for identifier in series]
    if len(images) == 1:
        return [replace(images[0], name=folder.name)]
    return [replace(image, name=f"{folder.name} {k}") for k, image in enumerate(images, start=1)]


def write_image(image: Image, path: Path | str) -> Path:
    """Write an image so that `read_image` gives it back with its geometry.

    NIfTI, NRRD and MetaImage are written in millimetres; images in pixels keep their numbers. TIFF in metres
    becomes a GeoTIFF, other lengths go to OME tags. The file is complete or not there at all.

    Parameters
    ----------
    image : Image
        What to write.
    path : path
        Ending in .nii, .nii.gz, .nrrd, .mha, .tif, .tiff, .png, .jpg or .jpeg.

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
    reason = _refusal(image, ending_of(path))
    if reason:
        raise ValueError(f"{path.name} cannot be written: {reason}")
    ending = ending_of(path)
    write: Callable[[Image, Path], None] = _write_medical
    if ending in TIFF:
        write = write_tiff
    elif ending in PLAIN:
        write = _write_plain
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda target: write(image, target))
    log.info("wrote %s: %s", path, _geometry(image))
    return path


def write_like(image: Image, stem: Path | str, like: Path | str) -> Path:
    """Write an image in the format of another file, or as .mha where that format cannot hold it.

    Parameters
    ----------
    image : Image
        What to write.
    stem : path
        Where, without the ending.
    like : path
        The file whose ending is taken.
    """
    stem, ending = Path(stem), ending_of(Path(like))
    if ending not in WRITTEN or _refusal(image, ending):
        ending = ".mha"
    return write_image(image, stem.with_name(stem.name + ending))


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


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do; no for one that cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def ending_of(path: Path) -> str:
    """A file's ending in small letters, ``.nii.gz`` as one."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def name_of(path: Path) -> str:
    """A file's name without its ending."""
    return path.name[: len(path.name) - len(ending_of(path))]


def _guarded(read: Callable[[Path], Image], path: Path) -> Image:
    """Read, and report whatever a damaged file causes in a library in one sentence."""
    try:
        if not path.is_dir():
            check_image(path, ending_of(path))
        return replace(image := read(path), name=image.name or name_of(path))
    except Refused:
        raise
    except Exception as error:
        if "orthonormal" in str(error):
            raise ValueError(
                f"{path.name} has axes that are not at right angles, which NIfTI readers refuse; "
                "convert it to .mha."
            ) from error
        raise ValueError(f"{path.name} cannot be read; it may be damaged or cut off.") from error


def _read_medical(path: Path) -> Image:
    import SimpleITK as sitk

    from ..transforms.itk import image_from_itk

    ending = ending_of(path)
    if ending == ".nii.gz":
        # ITK accepts a truncated file, and reads the pixels of a NAME.nii that is beside NAME.nii.gz.
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / "image.nii"
            with gzip.open(path) as packed, plain.open("wb") as unpacked:
                copy_nifti(packed, unpacked)
            return _read_medical(plain)
    if ending == ".nii":
        _check_size(path)
    image = image_from_itk(sitk.ReadImage(str(path)))
    if image.ndim == 4:
        return image.with_grid(replace(image.grid, units=(TIME, *image.grid.units[1:])))
    return image


def _check_size(path: Path) -> None:
    """Refuse a NIfTI file that is shorter than its header states; ITK leaves the missing pixels undefined."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    pixels = math.prod(reader.GetSize()) * reader.GetNumberOfComponents()
    if path.stat().st_size < pixels * int(reader.GetMetaData("bitpix")) // 8:
        raise ValueError("shorter than its header states")


def _read_plain(path: Path) -> Image:
    data = read_picture(path)
    return Image(data, Grid.from_spacing(data.shape[:2]))


def _write_medical(image: Image, path: Path) -> None:
    import SimpleITK as sitk

    from ..transforms.itk import image_to_itk

    if image.grid.units != ("pixel",) * image.ndim:
        spatial = tuple(unit if unit == TIME else "millimeter" for unit in image.grid.units)
        image = image.with_grid(image.grid.in_units(spatial))
    sitk.WriteImage(image_to_itk(image), str(path), useCompression=True)


def _write_plain(image: Image, path: Path) -> None:
    import imageio.v3 as iio

    iio.imwrite(path, image.data)


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
    return None


def _refused_pixels(data: Array, grid: Grid) -> str | None:
    """Why ITK's formats cannot hold the pixels or their units."""
    if np.iscomplexobj(data):
        return "this format cannot hold complex pixels; write .tif instead."
    if grid.units != ("pixel",) * grid.ndim:
        for unit in grid.units:
            if unit != TIME:
                unit_factor(unit, "millimeter")
    return None
