"""Measure how a checkout is built, and print a Markdown table: one column for each checkout.

    .venv/bin/python scripts/structure.py [CHECKOUT ...]

The package is read from its source and never imported, so that any commit can be measured. `--details` also
lists what was counted: the circles, the longest functions, the files that name every method.
"""

from __future__ import annotations

import argparse
import ast
import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

PACKAGE = "src/napari_voxreg"
MANY = 7  # arguments
BLOCK = 6  # lines that count as a duplicate where they stand twice

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file: its path inside the checkout, its text, and its syntax tree."""

    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text)

    @cached_property
    def functions(self) -> list[Function]:
        """All functions and methods, nested ones too."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]


@dataclass(frozen=True)
class Checkout:
    """The Python files of a checkout.

    Parameters
    ----------
    root : Path
        Its folder.
    """

    root: Path
    _cache: dict[str, list[Source]] = field(default_factory=dict)

    def files(self, folder: str) -> list[Source]:
        """The Python files below a folder; none if there is no such folder."""
        if folder not in self._cache:
            paths = sorted((self.root / folder).rglob("*.py"))
            self._cache[folder] = [
                Source(path.relative_to(self.root), path.read_text(encoding="utf-8")) for path in paths
            ]
        return self._cache[folder]

    @property
    def package(self) -> list[Source]:
        """The files of the package."""
        return self.files(PACKAGE)

    @property
    def functions(self) -> list[tuple[str, Function]]:
        """Each function of the package with the place where it begins."""
        return [(f"{s.path}:{f.lineno} {f.name}", f) for s in self.package for f in s.functions]


def length(function: Function) -> int:
    """Lines of a function without those of its docstring."""
    documented = ast.get_docstring(function, clean=False) or ""
    return (function.end_lineno or 0) - function.lineno + 1 - len(documented.splitlines())


def arguments(function: Function) -> list[str]:
    """Names of a function's arguments, without `self` and `cls`."""
    a = function.args
    several = [extra for extra in (a.vararg, a.kwarg) if extra is not None]
    names = [argument.arg for argument in (*a.posonlyargs, *a.args, *a.kwonlyargs, *several)]
    return [name for name in names if name not in ("self", "cls")]


def long_signatures(checkout: Checkout) -> list[str]:
    """The functions that take more than `MANY` arguments."""
    return [place for place, function in checkout.functions if len(arguments(function)) > MANY]


def takes_mask(checkout: Checkout) -> list[str]:
    """The functions that take a `fixed_mask`."""
    return [place for place, function in checkout.functions if "fixed_mask" in arguments(function)]


def lazy_imports(checkout: Checkout) -> int:
    """Import statements inside functions, each counted once."""
    return sum(
        len({n for f in s.functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)})
        for s in checkout.package
    )


def module(path: Path) -> str:
    """A file's dotted name inside the package, "" for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def statements(tree: ast.AST, run_time: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports, or only those that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        checked = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if run_time and (checked or isinstance(node, Function | ast.Lambda)):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        yield from statements(node, run_time)


def imported(source: Source, modules: set[str], run_time: bool) -> set[str]:
    """The modules of the package that one of its files imports."""
    here = source.path.relative_to(PACKAGE).parts[:-1]
    found = set()
    for node in statements(source.tree, run_time):
        if isinstance(node, ast.Import):
            targets = [(alias.name, "") for alias in node.names]
        else:
            above = ["napari_voxreg", *here[: len(here) + 1 - node.level]] if node.level else []
            targets = [
                (".".join([*above, *([node.module] if node.module else [])]), a.name) for a in node.names
            ]
        for base, member in targets:
            if base.split(".")[0] == "napari_voxreg":
                inner = base.partition(".")[2]
                child = ".".join(filter(None, (inner, member)))
                found.add(child if child in modules else inner)
    return found - {module(source.path)}


def circles(checkout: Checkout, run_time: bool) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others."""
    modules = {module(source.path) for source in checkout.package}
    # The package itself and its command load everything on first use.
    graph = {
        module(s.path): imported(s, modules, run_time) - {"", "__main__"}
        for s in checkout.package
        if module(s.path) not in ("", "__main__")
    }
    reached: dict[str, set[str]] = {}
    for start in graph:
        waiting, seen = [start], set()
        while waiting:
            new = graph.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        reached[start] = seen
    groups = {
        frozenset(other for other in seen if start in reached.get(other, ()))
        for start, seen in reached.items()
        if start in seen
    }
    return sorted(sorted(group) for group in groups)


def method_files(checkout: Checkout) -> list[str]:
    """Files of code that name every method, so that a new one must be added to each of them."""
    return [
        str(source.path)
        for folder in (PACKAGE, "tests", "benchmarks", "scripts")
        for source in checkout.files(folder)
        if set(methods(checkout)) <= words(source)
    ]


def method_pages(checkout: Checkout) -> list[str]:
    """Pages that name every method and are written by hand."""
    found = []
    for page in (checkout.root / "README.md", *sorted((checkout.root / "docs").glob("*.md"))):
        text = page.read_text(encoding="utf-8")
        if all(f"`{name}`" in text for name in methods(checkout)) and "Written by `make" not in text:
            found.append(str(page.relative_to(checkout.root)))
    return found


def methods(checkout: Checkout) -> list[str]:
    """Names of the methods, from the page that is written from their declarations."""
    page = (checkout.root / "docs" / "methods.md").read_text(encoding="utf-8")
    return re.findall(r"^## (\w+)$", page, re.MULTILINE)


def words(source: Source) -> set[str]:
    """A file's text constants and the names that it uses."""
    nodes = list(ast.walk(source.tree))
    constants = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
    return constants | {node.id for node in nodes if isinstance(node, ast.Name)}


def duplicates(checkout: Checkout) -> int:
    """Lines of the package that stand in a block of `BLOCK` or more that stands somewhere else, too.

    Blank lines, comments, docstrings and imports are excluded, and so is indentation.
    """
    blocks: dict[tuple[str, ...], list[tuple[Path, int]]] = {}
    for source in checkout.package:
        lines = source.text.splitlines()
        numbers = sorted(code_lines(source))
        for k in range(len(numbers) - BLOCK + 1):
            window = numbers[k : k + BLOCK]
            block = tuple(lines[n - 1].strip() for n in window)
            blocks.setdefault(block, []).extend((source.path, n) for n in window)
    return len({place for places in blocks.values() if len(places) > BLOCK for place in places})


def code_lines(source: Source) -> set[int]:
    """Numbers of the lines that hold code and are no import."""
    lines = source.text.splitlines()
    kept = {n for n, line in enumerate(lines, 1) if line.strip() and not line.strip().startswith("#")}
    for node in ast.walk(source.tree):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if text or isinstance(node, ast.Import | ast.ImportFrom):
            kept -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return kept


def measure(checkout: Checkout) -> dict[str, object]:
    """The rows of the table."""
    lengths = {place: length(function) for place, function in checkout.functions}
    longest = max(lengths, key=lambda place: lengths[place])
    sizes = {str(s.path.relative_to(PACKAGE)): len(s.text.splitlines()) for s in checkout.package}
    biggest = max(sizes, key=lambda path: sizes[path])
    folders = Counter(
        s.path.parent.relative_to(PACKAGE).as_posix() for s in checkout.package if s.path.stem != "__init__"
    )
    crowded = ", ".join(f"{name} {count}" for name, count in folders.most_common(3))
    return {
        "files": len(sizes),
        "lines": sum(sizes.values()),
        "folders": len(folders),
        "files at the root of the package": folders["."],
        "most files in a folder": crowded,
        "circles at run time": len(circles(checkout, run_time=True)),
        "circles of any kind": len(circles(checkout, run_time=False)),
        "functions": len(lengths),
        "median function, lines": int(statistics.median(lengths.values())),
        "longest function, lines": f"{lengths[longest]} ({longest.rpartition(' ')[2]})",
        "longest file, lines": f"{sizes[biggest]} ({biggest})",
        "files over 400 lines": sum(size > 400 for size in sizes.values()),
        "functions over 60 lines": sum(size > 60 for size in lengths.values()),
        f"signatures with more than {MANY} arguments": len(long_signatures(checkout)),
        "functions that take `fixed_mask`": len(takes_mask(checkout)),
        "imports inside functions": lazy_imports(checkout),
        "files of code a new method touches (its own, and those that name all)": 1
        + len(method_files(checkout)),
        "pages a new method touches": len(method_pages(checkout)),
        f"lines in blocks of {BLOCK} or more that stand twice": duplicates(checkout),
    }


def details(checkout: Checkout) -> str:
    """What was counted, by place."""
    lengths = sorted(((length(f), place) for place, f in checkout.functions), reverse=True)
    folders = Counter(s.path.parent.relative_to(PACKAGE).as_posix() for s in checkout.package)
    parts = {
        "Files per folder": [f"{name} {count}" for name, count in sorted(folders.items())],
        "Circles": [", ".join(group) for group in circles(checkout, run_time=False)],
        "Longest functions": [f"{lines} {place}" for lines, place in lengths[:10]],
        "Long signatures": long_signatures(checkout),
        "Takes fixed_mask": takes_mask(checkout),
        "Files that name every method": method_files(checkout) + method_pages(checkout),
    }
    return "\n".join(f"\n{title} ({len(lines)}):\n  " + "\n  ".join(lines) for title, lines in parts.items())


def main() -> None:
    """Measure the checkouts that are named, this one if none is."""
    parser = argparse.ArgumentParser(description="Measure how checkouts of napari-voxreg are built.")
    parser.add_argument("checkouts", nargs="*", type=Path, default=[Path(__file__).resolve().parents[1]])
    parser.add_argument("--details", action="store_true", help="list what was counted, by place")
    options = parser.parse_args()
    checkouts = [Checkout(path) for path in options.checkouts]
    for checkout in checkouts:
        if not checkout.package:
            sys.exit(f"{checkout.root} holds no {PACKAGE}; give the folder of a checkout.")
    columns = [measure(checkout) for checkout in checkouts]
    head = ["", *(checkout.root.resolve().name for checkout in checkouts)]
    rows = [[name, *(str(column[name]) for column in columns)] for name in columns[0]]
    for row in (head, ["---", *("--:" for _ in columns)], *rows):
        print(f"| {' | '.join(row)} |")
    if options.details:
        for checkout in checkouts:
            print(details(checkout))


if __name__ == "__main__":
    main()
