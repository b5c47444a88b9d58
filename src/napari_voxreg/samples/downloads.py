"""Openly licensed real pairs, fetched from their sources on request and kept in the user's cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.progress import Progress, silent

SERVER = "https://raw.githubusercontent.com"
TIMEOUT = 20.0  # seconds without a response
CHUNK = 16_384  # bytes between two checks for Cancel


@dataclass(frozen=True)
class Remote:
    """One file of a pair.

    Parameters
    ----------
    role : str
        fixed, moving, labels_fixed, labels_moving, points_fixed or points_moving.
    path : str
        Inside the repository.
    bytes : int
        Its size.
    sha256 : str
        Of its content.
    """

    role: str
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Download:
    """A real pair and where it comes from.

    Parameters
    ----------
    name : str
        Key in `DOWNLOADS`.
    title : str
        A few words for a menu.
    repository : str
        OWNER/NAME on GitHub.
    commit : str
        The revision that is fetched.
    licence : str
        SPDX identifier.
    files : tuple of Remote
        At least fixed and moving.
    """

    name: str
    title: str
    repository: str
    commit: str
    licence: str
    files: tuple[Remote, ...]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files)


DOWNLOADS: dict[str, Download] = {
    pair.name: pair
    for pair in (
        Download(
            "head_2d",
            "Head CT, two slices",
            "InsightSoftwareConsortium/ITKElastix",
            "a55098204de32d0ee50b4e19bb9912f0bd972690",
            "Apache-2.0",
            (
                Remote(
                    "fixed",
                    "examples/data/CT_2D_head_fixed.mha",
                    131383,
                    "06f2ce6fbf6a59f0874c735555fcf71717f631156b1b0697c1752442f7fc1cc5",
                ),
                Remote(
                    "moving",
                    "examples/data/CT_2D_head_moving.mha",
                    131383,
                    "a37c5fe388c38b3f4ac564f456277d09d3982eda58c4da05ead8ee2332360f47",
                ),
            ),
        ),
        Download(
            "brain_slices",
            "Brain slices of two people",
            "ANTsX/ANTsPy",
            "0cf1e566019d92a5e878129fa4cf1af839ccb826",
            "Apache-2.0",
            (
                Remote(
                    "fixed",
                    "data/r16slice.jpg",
                    9589,
                    "f3f77d4118ccef62a378dc62de561e5d752eabe4247f14467ab43268778ddb0f",
                ),
                Remote(
                    "moving",
                    "data/r64slice.jpg",
                    9477,
                    "3971218c84734fa1e65ec4472cc8d5cd81eeaa2a904fa7e50c74e9fe07f59d59",
                ),
            ),
        ),
        Download(
            "histology_kidney",
            "Rat kidney, two stains",
            "Borda/BIRL",
            "f1648b293664e3bea50736280a19b846d60841f1",
            "BSD-3-Clause",
            (
                Remote(
                    "fixed",
                    "data-images/rat-kidney_/scale-5pc/Rat-Kidney_HE.jpg",
                    404562,
                    "46d71e0f0d6487c084293b1d250ead5d348ed9295acf62e680a36e555bdaa6e2",
                ),
                Remote(
                    "moving",
                    "data-images/rat-kidney_/scale-5pc/Rat-Kidney_PanCytokeratin.jpg",
                    311413,
                    "8d0c72e14ed2d4e3b7b05245f16152e7851f56be4bc4d57cdd9d1a996b0e1633",
                ),
                Remote(
                    "points_fixed",
                    "data-images/rat-kidney_/scale-5pc/Rat-Kidney_HE.csv",
                    773,
                    "a464ed4820e0ead5b42f00d3b5284f9dc13e7275117ba7f2f1c038c320c881bf",
                ),
                Remote(
                    "points_moving",
                    "data-images/rat-kidney_/scale-5pc/Rat-Kidney_PanCytokeratin.csv",
                    751,
                    "5a2563a74bc39a13703e982fb23aabc2850d69ede59180ccd9222d93694ffa21",
                ),
            ),
        ),
        Download(
            "spinal_cord",
            "Spinal cord MRI, T1 and T2",
            "spinalcordtoolbox/sct_testing_data",
            "af4c7e8783c9dcf8bcfc6c53b190af46260bb875",
            "MIT",
            (
                Remote(
                    "fixed",
                    "t1/t1w.nii.gz",
                    349020,
                    "b9c5f1d04a80ddea35443afc3c87a5ff4f8c6b1c02f85584e55b81be5c4656fd",
                ),
                Remote(
                    "moving",
                    "t2/t2.nii.gz",
                    227586,
                    "15cde5cdc5e56ad4f7d5fef698b317864c9bd68c0f72d2b3022c9fae6d11d977",
                ),
                Remote(
                    "labels_fixed",
                    "t1/t1w_seg-manual.nii.gz",
                    3591,
                    "53124f1bd5cfe20d75e324d4397cb9d3026428902b3528f663f60b35abf548fb",
                ),
                Remote(
                    "labels_moving",
                    "t2/t2_seg-manual.nii.gz",
                    1814,
                    "929a27bb3c3753c158ba98b6f24305e9be535a351232c950c3436a7284b62f67",
                ),
            ),
        ),
    )
}


def fetch(
    pair: Download, progress: Progress = silent, cache: Path | None = None, server: str | None = None
) -> dict[str, Path]:
    """Get a pair's files from the cache, or from their source, verified by their hashes.

    A file appears in the cache when it is complete and its hash is right, never before.

    Parameters
    ----------
    pair : Download
        Which.
    progress : Progress
        Gets how much has arrived; may raise `Cancelled`.
    cache : Path, optional
        Default: the user's cache folder.
    server : str, optional
        Address to use instead of `SERVER`.

    Returns
    -------
    dict
        Role to file.

    Raises
    ------
    ValueError
        If the source cannot be reached or sends other content.
    """
    import pooch
    import requests

    # pooch would announce each file on the terminal, where `progress` already speaks to the user.
    pooch.get_logger().setLevel("WARNING")
    cache = Path(pooch.os_cache("napari-voxreg")) if cache is None else cache
    found: dict[str, Path] = {}
    counter = _Counter(progress, pair)
    for file in pair.files:
        target = cache / pair.name / Path(file.path).name
        url = f"{server or SERVER}/{pair.repository}/{pair.commit}/{file.path}"
        downloader = pooch.HTTPDownloader(progressbar=counter, chunk_size=CHUNK, timeout=TIMEOUT)
        try:
            pooch.retrieve(url, f"sha256:{file.sha256}", target.name, target.parent, downloader=downloader)
        except requests.exceptions.RequestException as error:
            raise ValueError(
                f"{target.name} could not be fetched from {pair.repository}; "
                "check the connection and try again."
            ) from error
        except OSError as error:
            raise ValueError(
                f"{target.name} could not be kept in {target.parent}; free space there, or make it writable."
            ) from error
        except ValueError as error:  # pooch's word for a wrong hash
            raise ValueError(
                f"The download {target.name} is not what {pair.repository} had when this was written "
                "(its SHA-256 differs), so it was thrown away; try again or report it."
            ) from error
        counter.finished(file.bytes)
        found[file.role] = target
    return found


class _Counter:
    """pooch's idea of a progress bar, over all files of a pair."""

    def __init__(self, progress: Progress, pair: Download) -> None:
        self._progress = progress
        self._message = f"Fetching {pair.title}"
        self._whole = pair.bytes
        self._before = 0
        self._here = 0
        self.total: Any = 0  # set by pooch

    def update(self, size: int) -> None:
        """So much more has arrived."""
        self._here += size
        self._progress(min(1.0, (self._before + self._here) / self._whole), self._message)

    def reset(self) -> None:
        """pooch calls this after a file, only to count it once more."""
        self._here = 0

    def close(self) -> None:
        """Nothing to close."""

    def finished(self, size: int) -> None:
        """A whole file is there, fetched or from the cache."""
        self._before, self._here = self._before + size, 0
        self._progress(self._before / self._whole, self._message)
