"""The shape of the package, read from its source: who may import whom, and what may be imported where."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import napari_voxreg

ROOT = Path(napari_voxreg.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

# From top to bottom; within a tier, a folder may import those to its right.
TIERS = (
    ("cli", "gui"),
    ("figures", "cohort", "large", "evaluation", "train"),
    ("registration",),
    ("methods",),
    ("pose", "diffeo", "nets"),
    ("metrics",),
    ("samples",),
    ("images",),
    ("tensor", "io", "weights"),
    ("transforms",),
    ("core",),
)
ORDER = [folder for tier in TIERS for folder in tier]
# The same inside gui/: a panel knows the folders below it, never another panel.
PANELS = ("register", "results", "landmarks", "apply", "train", "evaluate")
GUI_BELOW = (
    *("shortcuts", "doors", "by_hand", "cursor", "look", "session"),
    *("layers", "widgets", "background", "preferences"),
)
TORCH = {"tensor", "nets", "pose", "diffeo", "train"}  # everything else imports these where it uses them
WINDOWS = {"magicgui", "napari", "npe2", "PyQt5", "PyQt6", "PySide6", "qtpy", "superqt", "vispy"}
HEAVY = {"itk", "SimpleITK", "torch"}
# What takes over 50 ms to load, or reads a large library; only to spare one of these is anything imported
# inside a function. (h5py and tifffile, 40 ms each, stand at the top.)
SLOW = HEAVY | WINDOWS
SLOW |= {
    "cv2",
    "dask",
    "distributed",
    "imageio",
    "lightning_fabric",
    "matplotlib",
    "nibabel",
    "pandas",
    "pint",
    "pooch",
    "requests",
    "zarr",
}
SLOW |= {"scipy", "skimage"}
# The only modules that load ITK when they are imported; so they are themselves imported on use.
LOADERS = {"transforms.itk", "methods.elastix.load"}


def name_of(file: Path) -> str:
    """A file's dotted name inside the package, "" for the package itself."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in FILES}


def statements(tree: ast.AST, lazy: bool) -> Iterator[ast.stmt]:
    """All imports, or only those that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if not lazy:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        yield from statements(node, lazy)


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def imports(file: Path, lazy: bool = True) -> tuple[set[str], set[str]]:
    """Names of our own modules, and of other top-level packages, that a file imports.

    With `lazy`, imports inside functions and under TYPE_CHECKING count, too.
    """
    return names(file, statements(parsed(file), lazy))


def names(file: Path, nodes: Iterable[ast.stmt]) -> tuple[set[str], set[str]]:
    """Names of our own modules, and of other top-level packages, that import statements of a file name."""
    package = [*ROOT.parts[-1:], *file.relative_to(ROOT).parts[:-1]]
    ours, others = set(), set()
    for node in nodes:
        if isinstance(node, ast.Import):
            targets = [(alias.name, "") for alias in node.names]
        else:
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            targets = [(source, alias.name) for alias in node.names]
        for source, member in targets:
            if source.split(".")[0] != ROOT.name:
                others.add(source.split(".")[0])
                continue
            inner = source.partition(".")[2]
            child = ".".join(filter(None, (inner, member)))
            ours.add(child if child in MODULES else inner)
    return ours, others


@cache
def loads(module: str) -> set[str]:
    """Top-level packages that are loaded with a module of ours, by way of whatever it imports."""
    seen: set[str] = set()
    found: set[str] = set()
    todo = {module}
    while todo:
        name = todo.pop()
        seen.add(name)
        ours, others = imports(MODULES[name], lazy=False)
        found |= others
        parents = {name.rpartition(".")[0]} - {""}
        todo |= (ours | parents) - seen
    return found


def folder(module: str) -> str:
    return module.split(".")[0]


def allowed(here: str) -> set[str]:
    """The folders that a folder may import: those below its tier, and those to its right."""
    tier = next(k for k, folders in enumerate(TIERS) if here in folders)
    right = TIERS[tier][TIERS[tier].index(here) :]
    return {*right, *(name for folders in TIERS[tier + 1 :] for name in folders)}


def rules() -> list[Path]:
    """The files that the rules of direction hold for: the package and its command load everything lazily."""
    return [file for file in FILES if name_of(file) not in ("", "__main__")]


@pytest.mark.parametrize("file", rules(), ids=lambda f: f.relative_to(ROOT).as_posix())
def test_imports_go_downward(file: Path) -> None:
    here = folder(name_of(file))
    assert here in ORDER, f"{here} is a new folder: give it its place in TIERS"
    assert {folder(module) for module in imports(file)[0]} - allowed(here) == set()


@pytest.mark.parametrize("file", sorted((ROOT / "gui").rglob("*.py")), ids=lambda f: f.name)
def test_panels_never_know_each_other(file: Path) -> None:
    inside = name_of(file).split(".")
    targets = {m.split(".")[1] for m in imports(file)[0] if m.startswith("gui.")}
    part = inside[1] if len(inside) > 1 else ""
    if part in PANELS:
        assert targets <= {part, *GUI_BELOW}
    if part in GUI_BELOW:
        assert targets <= set(GUI_BELOW[GUI_BELOW.index(part) :])


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_windows_stay_in_the_gui_and_itk_is_loaded_on_use(file: Path) -> None:
    if folder(name_of(file)) != "gui":
        assert imports(file)[1] & WINDOWS == set()
    if name_of(file) not in LOADERS:
        ours, others = imports(file, lazy=False)
        tensors = folder(name_of(file)) in TORCH
        assert others & (HEAVY - ({"torch"} if tensors else set())) == set()
        assert ours & LOADERS == set()
        assert tensors or {folder(module) for module in ours} & TORCH == set()


@pytest.mark.parametrize("file", rules(), ids=lambda f: f.relative_to(ROOT).as_posix())
def test_imports_inside_functions_spare_a_slow_library(file: Path) -> None:
    here = name_of(file)
    for function in ast.walk(parsed(file)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            ours, others = names(file, statements(function, lazy=True))
            assert others - SLOW == set(), f"move it to the top of the file: {function.name}"
            spared = {name for name in ours if folder(name) in TORCH or (loads(name) & SLOW) - loads(here)}
            assert ours - spared == set(), f"move it to the top of the file: {function.name}"


def test_no_circles() -> None:
    """Of no kind: imports inside functions and under TYPE_CHECKING count."""
    graph = {name: imports(file)[0] - {name} for name, file in MODULES.items() if name}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_no_circles_between_folders() -> None:
    """A folder and its subfolders import each other in one direction only, at every depth."""
    for parent in {name.rpartition(".")[0] for name in MODULES}:
        prefix = f"{parent}." if parent else ""
        graph: dict[str, set[str]] = {}
        for name, file in MODULES.items():
            if not name.startswith(prefix) or name in ("", "__main__", parent):
                continue
            child = name[len(prefix) :].split(".")[0]
            targets = {m[len(prefix) :].split(".")[0] for m in imports(file)[0] if m.startswith(prefix)}
            graph.setdefault(child, set()).update(targets - {child, ""})
        TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_nothing_is_swallowed_or_printed(file: Path) -> None:
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            assert folder(name_of(file)) == "cli", f"print in line {node.lineno}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_files_and_functions_stay_short(file: Path) -> None:
    """The aim is 400 and 60 lines; an eighth or a tenth more is where splitting can wait no longer."""
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 450
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node, clean=False)
            lines = (node.end_lineno or 0) - node.lineno - len((documented or "").splitlines())
            assert lines <= 66, f"{node.name} has {lines} lines"


def test_folders_stay_small() -> None:
    for parent in {file.parent for file in FILES}:
        modules = [file for file in parent.glob("*.py") if file.name != "__init__.py"]
        assert len(modules) <= (5 if parent == ROOT else 15), parent.relative_to(ROOT)


def test_the_rules_see_what_they_look_for() -> None:
    ours, others = imports(ROOT / "transforms" / "itk.py")
    assert "core.geometry" in ours
    assert "SimpleITK" in others
    assert "transforms.itk" in imports(ROOT / "io" / "transforms" / "entries.py")[0]  # inside a function
    assert "transforms.itk" not in imports(ROOT / "io" / "transforms" / "native.py", lazy=False)[0]
    assert "methods" in imports(ROOT / "registration" / "prepare.py", lazy=False)[0]
    assert "SimpleITK" not in loads("io.transforms.native")
    assert "torch" in loads("tensor.warp")
    assert "registration" not in allowed("methods")
    assert "diffeo" in allowed("pose")
    assert "pose" not in allowed("diffeo")
