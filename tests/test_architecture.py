"""The house's rules, read from the source: who may import whom, and what may be imported where."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import napari_voxreg

ROOT = Path(napari_voxreg.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

GROUND = {
    "geometry",
    "io",
    "isolate",
    "itk",
    "likeness",
    "measures",
    "method",
    "params",
    "preprocess",
    "starts",
    "transforms",
}
TORCH = {"nets", "pose", "diffeo", "train"}  # rooms that work on tensors; everything else imports them on use
MIDDLE = {
    "methods",
    "series",
    "samples",
    "preflight",
    "verdict",
    "registration",
    "describe",
    "comparison",
    "evaluation",
    "cohort",
    "figures",
}
# Room -> the rooms it may import; downward only. A new room is added here on purpose.
MAY_IMPORT = {
    **dict.fromkeys(GROUND, GROUND),
    "nets": GROUND,
    "pose": GROUND | {"nets"},
    "diffeo": GROUND | {"nets"},
    "train": GROUND | {"nets"},
    "methods": GROUND | TORCH - {"train"},
    "samples": GROUND,
    "series": GROUND,
    "preflight": GROUND,
    "verdict": GROUND,
    "registration": GROUND | {"methods", "preflight", "verdict"},
    "comparison": GROUND | {"methods", "preflight", "registration", "verdict"},
    "describe": GROUND | {"methods"},
    "evaluation": GROUND | {"methods", "preflight", "registration", "verdict"},
    "cohort": GROUND | {"evaluation", "methods"},
    "figures": GROUND | {"evaluation"},
    "gui": GROUND | MIDDLE | {"train"},
    "cli_options": GROUND | {"describe", "methods"},
    "cli_pairs": GROUND,
    "cli_evaluate": GROUND | {"cli_options", "cli_pairs", "evaluation", "figures", "registration"},
    "cli_train": GROUND | {"cli_options", "cli_pairs", "train"},
    "cli_clusters": GROUND | {"cli_options", "cli_pairs", "cohort", "figures", "train"},
    "cli": GROUND | MIDDLE | {"gui", "cli_options", "cli_pairs", "cli_evaluate", "cli_train", "cli_clusters"},
}
WINDOWS = {"magicgui", "napari", "npe2", "PyQt5", "PyQt6", "PySide6", "qtpy", "superqt", "vispy"}
HEAVY = {"itk", "SimpleITK", "torch"}
# The only modules that load ITK when they are imported; so they are themselves imported on use.
LOADERS = {"itk", "methods.elastix_load"}


def name_of(file: Path) -> str:
    """A file's dotted name inside the package, "" for the package itself."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in FILES}


def statements(tree: ast.AST, functions: bool) -> Iterator[ast.stmt]:
    """Imports that really run: not those under TYPE_CHECKING, and those in functions only if asked for."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not functions:
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        yield from statements(node, functions)


def imports(file: Path, functions: bool = True) -> tuple[set[str], set[str]]:
    """Names of our own modules, and of other top-level packages, that a file imports."""
    package = [*ROOT.parts[-1:], *file.relative_to(ROOT).parts[:-1]]
    ours, others = set(), set()
    for node in statements(ast.parse(file.read_text(encoding="utf-8")), functions):
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


def room(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_imports_go_downward(file: Path) -> None:
    here = room(name_of(file))
    if here == "":
        return  # the package's own names are loaded lazily, from everywhere
    assert here in MAY_IMPORT, f"{here} is a new room: give it its place in MAY_IMPORT"
    targets = {room(module) for module in imports(file)[0]}
    assert targets - MAY_IMPORT[here] - {here} == set()


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_windows_stay_in_the_gui_and_itk_is_loaded_on_use(file: Path) -> None:
    if room(name_of(file)) != "gui":
        assert imports(file)[1] & WINDOWS == set()
    if name_of(file) not in LOADERS:
        ours, others = imports(file, functions=False)
        tensors = room(name_of(file)) in TORCH
        assert others & (HEAVY - ({"torch"} if tensors else set())) == set()
        assert ours & LOADERS == set()
        assert tensors or {room(module) for module in ours} & TORCH == set()


def test_no_circles() -> None:
    graph = {name: imports(file, functions=False)[0] - {name} for name, file in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_nothing_is_swallowed_or_printed(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            assert file.name == "cli.py", f"print in line {node.lineno}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.relative_to(ROOT).as_posix())
def test_files_and_functions_stay_short(file: Path) -> None:
    """The aim is 400 and 60 lines; a quarter more is where splitting can wait no longer."""
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node, clean=False)
            lines = (node.end_lineno or 0) - node.lineno - len((documented or "").splitlines())
            assert lines <= 75, f"{node.name} has {lines} lines"


def test_the_rules_see_what_they_look_for() -> None:
    ours, others = imports(ROOT / "itk.py")
    assert "geometry" in ours
    assert "SimpleITK" in others
    assert "registration" not in imports(ROOT / "io" / "transforms.py")[0]  # there for types only
    assert "methods" in imports(ROOT / "registration.py", functions=False)[0]
