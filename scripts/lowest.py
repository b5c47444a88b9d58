"""Install the lowest versions that pyproject.toml allows, and run the smoke tests with them.

    .venv/bin/python scripts/lowest.py

First without the extras, then with elastix, in a virtual environment of its own under build/. Only what the
project names itself is pinned; whatever that needs comes in the newest version that fits.
"""

import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "lowest"
PYTHON = FOLDER / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
# Older builds of torch for Linux bring gigabytes of CUDA, so the version in constraints.txt is taken instead.
FROM_CONSTRAINTS = ("torch",)
# What runs the tests, and a Qt binding for napari to open its windows with.
TOOLS = ("pytest", "pytest-qt", "pytest-timeout", "psutil", "PyQt6")

# The panel is opened in a real window; where there is no display, on a virtual one.
HEADLESS = sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
ON_DISPLAY = ("xvfb-run", "-a", "-s", "-screen 0 1600x1000x24") if HEADLESS else ()


def lowest(requirements: list[str], constraints: dict[str, str]) -> list[str]:
    """Each requirement at its lower bound.

    Raises
    ------
    ValueError
        If a requirement has no lower bound, for then no version of it is known to work.
    """
    pins = []
    for requirement in map(Requirement, requirements):
        bounds = [bound.version for bound in requirement.specifier if bound.operator in (">=", "==", "~=")]
        if not bounds:
            raise ValueError(f"{requirement} has no lower bound; give it one in pyproject.toml.")
        name = requirement.name
        pins.append(f"{name}=={constraints[name] if name in FROM_CONSTRAINTS else bounds[0]}")
    return pins


def constraints() -> dict[str, str]:
    """Name to version, as in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def pip(*words: str) -> None:
    """Install into the environment; its own output is the report."""
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *words], check=True)


def smoke(name: str) -> int:
    """Run the smoke tests and return their exit code."""
    print(f"\n== Smoke tests, {name}", flush=True)
    return subprocess.run(
        [*ON_DISPLAY, str(PYTHON), "-m", "pytest", "-q", "tests/smoke"], cwd=ROOT
    ).returncode


def main() -> int:
    """Set the environment up, test it without and with the extra, and return the worse exit code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = constraints()
    core = lowest(project["dependencies"], pinned)
    elastix = lowest(project["optional-dependencies"]["elastix"], pinned)
    venv.create(FOLDER, clear=True, with_pip=True)
    print("\n".join(sorted(core + elastix, key=str.lower)), flush=True)
    pip(*core, *TOOLS)
    pip("--no-deps", "--editable", str(ROOT))
    without = smoke("without extras")
    pip(*core, *TOOLS, *elastix)
    return max(without, smoke("with elastix"))


if __name__ == "__main__":
    sys.exit(main())
