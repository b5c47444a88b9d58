"""The wheel in a fresh environment, and the panel in it: ``python installed.py BINDING PYTHON OUT.json``."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from case import ROOT
from tables import Results, table

sys.path.insert(0, str(ROOT / "scripts"))
import check_wheel

PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")


def pythons() -> list[str]:
    """Those of `PYTHONS` that are here."""
    return [name for name in PYTHONS if shutil.which(name)]


def page(results: Results) -> str:
    """A row an environment."""
    rows = []
    for (python, binding), cell in sorted(results.items()):
        if "failed" in cell:
            rows.append([python, binding, cell["failed"], "", "", ""])
            continue
        numbers = f"{cell['megabytes']:.0f}", f"{cell['import']:.2f}", f"{cell['panel']:.2f}"
        rows.append([cell["python"], cell["binding"], cell["napari"], *numbers])
    words = (
        "The wheel in an empty environment with one Qt binding, without extras: size of the environment, and "
        "seconds to import the package and to open the Register panel in a viewer. `pip check` passed and a "
        "sample was registered in each."
    )
    return f"{words}\n\n{table(('Python', 'Qt', 'napari', 'MB', 'import, s', 'panel, s'), rows)}"


if __name__ == "__main__":
    binding, python, out = sys.argv[1:]
    check_wheel.FOLDER.mkdir(parents=True, exist_ok=True)
    found = check_wheel.check(check_wheel.build(), binding, python)
    shutil.rmtree(check_wheel.FOLDER / binding)
    Path(out).write_text(json.dumps(found, indent=1))
