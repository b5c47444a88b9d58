"""Images and transforms through ITK's readers and writers, one thread at a time.

ITK's HDF5 library is not safe with threads, and every reader asks it whether a file is its own. Two threads
in it at once crash the process.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import SimpleITK as sitk

_one_at_a_time = threading.Lock()


def read_image(path: Path, *, quiet: bool = False) -> sitk.Image:
    """Read an image.

    Parameters
    ----------
    path : Path
        Of the file.
    quiet : bool
        Without ITK's own warnings on the terminal.

    Raises
    ------
    RuntimeError
        By ITK, if it is damaged.
    """
    import SimpleITK as sitk

    with _one_at_a_time:  # the switch of the warnings is one for the whole process, too
        shown = sitk.ProcessObject.GetGlobalWarningDisplay()
        sitk.ProcessObject.SetGlobalWarningDisplay(shown and not quiet)
        try:
            return sitk.ReadImage(str(path))
        finally:
            sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def read_slices(files: Sequence[str]) -> sitk.Image:
    """Read a volume of which each file is a slice, in the order given.

    Raises
    ------
    RuntimeError
        By ITK, if one is damaged.
    """
    import SimpleITK as sitk

    with _one_at_a_time:
        return sitk.ReadImage(list(files))


def read_header(path: Path) -> sitk.ImageFileReader:
    """What is told of an image without its pixels.

    Raises
    ------
    RuntimeError
        By ITK, if it reads none there.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with _one_at_a_time:
        reader.ReadImageInformation()
    return reader


def write_image(image: sitk.Image, path: Path) -> None:
    """Write an image, compressed where its format can be.

    Raises
    ------
    RuntimeError
        By ITK, if it cannot.
    """
    import SimpleITK as sitk

    with _one_at_a_time:
        sitk.WriteImage(image, str(path), useCompression=True)


def write_transform(transform: sitk.Transform, path: Path) -> None:
    """Write a transform.

    Raises
    ------
    RuntimeError
        By ITK, if it cannot.
    """
    import SimpleITK as sitk

    with _one_at_a_time:
        sitk.WriteTransform(transform, str(path))
