"""`napari-voxreg info`: what a report of a problem needs, without what is personal in it."""

from __future__ import annotations

import argparse
import json
import locale
import os
import platform
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ...core import last_log
from ...core.threads import VARIABLES
from ..options import add_verbose
from ..terminal import text_table

PACKAGES = (
    *("napari-voxreg", "napari", "npe2", "PyQt6", "PySide6", "qtpy", "vispy", "numpy", "scipy", "torch"),
    *("scikit-image", "SimpleITK", "itk-elastix", "opencv-python-headless", "dask", "distributed", "h5py"),
    *("nibabel", "tifffile", "imagecodecs", "pillow"),
)
SHOWN = 40  # lines of the last log
# A path ends at a quote, a bracket or where the sentence around it goes on; names may hold blanks.
_PATH = re.compile(
    r"""(?<![\w.>~])(?:~|[A-Za-z]:)?[\\/](?=\S)[^\n"'<>|:]*?"""
    r"""(?=["'<>|);,]|:(?:\s|$)|\s(?:and|is|was|has|as|in|cannot|to)\s|:?$)""",
    re.MULTILINE,
)
_FILE = re.compile(
    r"""[^\s"'<>/\\]+?(\.(?:nii(?:\.gz)?|mha|mhd|nrrd|nhdr|dcm|ima|g?tiff?|png|jpe?g|csv|json|hdf5|h5|mgz|mgh"""
    r"""|mnc|hdr|img|txt|tfm|mat|safetensors|pt))\b"""
)
_OURS = re.compile(r"(?:site-packages|napari_voxreg)[\\/].*")


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options."""
    parser.usage = "%(prog)s [--json] [options]"
    parser.add_argument("--json", action="store_true", help="print JSON instead of text, with the whole log")
    add_verbose(parser)


def run(options: argparse.Namespace) -> None:
    """Print what is known; what cannot be found out is said in its place."""
    found = {name: _tried(part) for name, part in PARTS.items()}
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for name, values in found.items():
        if "lines" in values:
            print(
                f"{name} ({values['file']}):", *(f"  {line}" for line in values["lines"][-SHOWN:]), sep="\n"
            )
        else:
            print(
                f"{name}:",
                text_table((f"  {key}", str(value)) for key, value in values.items()),
                "",
                sep="\n",
            )


def without_paths(text: str) -> str:
    """A text without the names of the user's folders and files; places in installed packages stay.

    Parameters
    ----------
    text : str
        Lines of a log.
    """

    def short(match: re.Match[str]) -> str:
        ours = _OURS.search(match[0])
        file = _FILE.search(match[0].replace("\\", "/").rpartition("/")[2])
        return ours[0] if ours else "<path>" + (file[1] if file else "")

    return _FILE.sub(r"<file>\1", _PATH.sub(short, text))


def _tried(part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A part of the report, or why it is missing: on a broken installation the others still help."""
    try:
        return part()
    except Exception as error:  # noqa: BLE001 - whatever is broken is what the report is about
        sentence = without_paths(f"{type(error).__name__}: {error}")
        return {"cannot be read": sentence}


def _versions() -> dict[str, Any]:
    found = {"Python": f"{platform.python_version()} ({platform.python_implementation()})"}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _machine() -> dict[str, Any]:
    environment = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "encoding": f"{sys.getfilesystemencoding()}, {locale.getpreferredencoding(False)}",
        **environment,
    }


def _devices() -> dict[str, Any]:
    from ...tensor.device import described

    return dict(described())


def _settings() -> dict[str, Any]:
    from ...gui.preferences import described  # loads napari's settings, and no window

    folder, found = described()
    return {"folder": "none" if folder is None else _home_short(folder), **found}


def _log() -> dict[str, Any]:
    file = last_log.path()
    text = file.read_text(encoding="utf-8") if file.is_file() else "There is none."
    return {"file": _home_short(file), "lines": without_paths(text).splitlines()}


def _home_short(path: Path) -> str:
    """A path without the name of the user, which is that of the home folder on most systems."""
    home = Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "versions": _versions,
    "machine": _machine,
    "devices": _devices,
    "settings": _settings,
    "last log": _log,
}
