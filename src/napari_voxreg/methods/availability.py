"""Whether the package that a method needs is installed, and the command that installs it."""

from __future__ import annotations

import importlib
import shlex
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from ..core.process import MethodUnavailable
from .base import Method


def installed(method: Method) -> bool:
    """Whether the module that a method needs is installed, even since a moment ago.

    Nothing is imported.
    """
    if not method.needs:
        return True
    importlib.invalidate_caches()
    package, *inner = method.needs.split(".")
    try:
        spec = find_spec(package)
        for module in inner:
            if spec is None:
                return False
            # A search by the whole name would import the package that holds the module.
            spec = PathFinder.find_spec(f"{spec.name}.{module}", spec.submodule_search_locations)
    except ImportError:
        return False
    return spec is not None


def require(method: Method) -> None:
    """Raise `MethodUnavailable`, with the command that installs it, if a method's package is not there."""
    if not installed(method):
        raise MethodUnavailable(
            f"{method.title} is not installed; choose another method, or install it with: "
            f"{install_command(method)}"
        )


def install_command(method: Method) -> str:
    """The line to type in a terminal that installs a method's package for this very Python."""
    requirement = f'"napari-voxreg[{method.extra}]"'  # the brackets mean something to most shells
    return f"{_quoted(Path(sys.executable))} -m pip install {requirement}"


def _quoted(python: Path) -> str:
    """The interpreter as the platform's shell takes it."""
    if sys.platform != "win32":
        return shlex.quote(str(python))
    # A shortcut starts napari with pythonw, which would hide pip's output.
    path = str(python.with_name(python.name.replace("pythonw", "python")))
    return f'"{path}"' if set(path) & set(" &()^") else path
