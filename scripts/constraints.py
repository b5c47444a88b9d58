"""Print the versions this environment was tested with, for constraints.txt.

    .venv/bin/python scripts/constraints.py > constraints.txt

Only what our own dependencies pull in is listed, so the file holds nothing that belongs to one machine.
"""

from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

# Ourselves, and what installs the rest (the set-up takes a recent pip).
EXCLUDED = {"napari-voxreg", "pip", "setuptools"}
ROOTS = (
    "napari-voxreg[all]",
    "hypothesis",
    "pytest",
    "nitransforms",
    "ome-zarr-models",
    "pytest-cov",
    "pytest-qt",
    "pytest-timeout",
    "pytest-xdist",
    "psutil",
    "voxelmorph",
    "ruff",
    "mypy",
    "typos",
    "validate-pyproject",
    "mkdocs-material",
    "mkdocstrings[python]",
    "nbclient",
    "ipykernel",
    "build",
    "twine",
)


def pinned() -> list[str]:
    """Name and version of everything the roots need here, sorted."""
    extras: dict[str, set[str]] = {}
    waiting = [Requirement(root) for root in ROOTS]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in extras and requirement.extras <= extras[name]:
            continue
        extras.setdefault(name, set()).update(requirement.extras)
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:  # wanted on another platform only
            continue
        chosen = ("", *extras[name])
        for need in map(Requirement, needs):
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in chosen):
                waiting.append(need)
    lines = []
    for name in extras:
        if name not in EXCLUDED:
            try:
                # "2.13.0+cpu" is this machine's build of 2.13.0.
                lines.append(f"{name}=={Version(distribution(name).version).public}")
            except PackageNotFoundError:
                continue
    return sorted(lines)


if __name__ == "__main__":
    print("# The versions the tests were last run with; written by scripts/constraints.py.")
    print("\n".join(pinned()))
