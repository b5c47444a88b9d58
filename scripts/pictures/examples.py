"""What the code on a tutorial's page makes, so that its picture shows just that."""

from __future__ import annotations

import re
import shlex
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

from napari_voxreg.cli.main import main

TUTORIALS = Path(__file__).resolve().parents[2] / "docs" / "tutorials"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def example(page: str) -> dict[str, Any]:
    """Run the blocks of a page in a folder of their own.

    Returns
    -------
    dict
        The names that the Python blocks define, and "folder", which lies among the temporary files.
    """
    folder = Path(tempfile.mkdtemp(prefix="voxreg-pictures-"))
    names: dict[str, Any] = {"__name__": "__main__", "folder": folder}
    with chdir(folder):
        for kind, text in BLOCK.findall((TUTORIALS / page).read_text(encoding="utf-8")):
            if kind == "python":
                exec(compile(text, page, "exec"), names)
            else:
                for line in text.splitlines():
                    if main(shlex.split(line)[1:]):
                        raise RuntimeError(f"{page}: {line} failed")
    return names
