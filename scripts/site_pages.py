"""Pages of the documentation's site that are written from the code: a page a method, and the command line.

mkdocs calls `on_files` when it collects the pages, see mkdocs.yml. Nothing is written to docs/.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from napari_voxreg import METHODS
from napari_voxreg.cli import describe
from napari_voxreg.cli.main import COMMANDS
from napari_voxreg.cli.terminal import markdown_table, parser_of

BENCHMARK = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.json"
GROUPS = {
    "real": "Real pairs",
    "samples": "Simulated samples",
}  # of the benchmark, in which methods run on pairs
METHOD_PAGES = "reference/methods"
COMMAND_PAGE = "reference/command-line.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    cells = json.loads(BENCHMARK.read_text(encoding="utf-8"))
    for name in METHODS:
        files.append(File.generated(config, f"{METHOD_PAGES}/{name}.md", content=method_page(name, cells)))
    files.append(File.generated(config, COMMAND_PAGE, content=command_page()))
    return files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put a page for each method where mkdocs.yml has the folder of the methods."""
    for section in config.nav or []:
        for pages in section.values() if isinstance(section, dict) else ():
            for entry in pages if isinstance(pages, list) else ():
                if isinstance(entry, dict) and METHOD_PAGES in (entry.get("Methods") or []):
                    own = [{name: f"{METHOD_PAGES}/{name}.md"} for name in METHODS]
                    entry["Methods"] = [page for page in entry["Methods"] if page != METHOD_PAGES] + own
    return config


def method_page(name: str, cells: Mapping[str, Any]) -> str:
    """What a method is, its presets and parameters, and how it did on the benchmark.

    Parameters
    ----------
    name : str
        In ``METHODS``.
    cells : mapping
        Of docs/benchmarks.json.
    """
    method = METHODS[name]
    parts = [f"# {method.title}\n", f'`{name}`, in Python `register(fixed, moving, method="{name}")`.\n']
    parts.append(describe.markdown_of(method))
    tables = [table for group, title in GROUPS.items() for table in _accuracy(name, group, title, cells)]
    parts.append("## Accuracy and speed\n")
    link = "[Benchmarks](../../benchmarks.md)"
    said = "says how this was measured, beside other programs" if tables else "has no row of this method"
    parts += [*tables, f"{link} {said}.\n"]
    return "\n".join(parts)


def _accuracy(name: str, group: str, title: str, cells: Mapping[str, Any]) -> Iterator[str]:
    """A table of one group of pairs, if the method was run on any."""
    rows: list[Sequence[str]] = []
    seconds = []
    for key, cell in sorted(cells.items()):
        kind, pair, *who = key.split("/")
        if kind == group and who == [name] and "after" in cell:
            seconds.append(cell["seconds"])
            measure = "error" if "error" in cell["after"] else "dice"
            unit = cell["unit"] if measure == "error" else "Dice"
            numbers = (cell[when].get(measure) for when in ("before", "after"))
            shown = ["–" if number is None else f"{number:.3g} {unit}" for number in numbers]
            rows.append((pair.replace("_", " "), *shown, f"{cell['seconds']:.1f}"))
    if rows:
        head = ("pair", "before", "after", "seconds")
        yield f"### {title}\n\n{markdown_table([head, *rows], numbers=1)}"
        yield f"\nMedian {statistics.median(seconds):.1f} s.\n"


def command_page() -> str:
    """The help of every command."""
    parts = [
        "# Command line\n",
        "`napari-voxreg COMMAND --help` prints the same. With `-m METHOD`, `register` and others also list",
        "that method's parameters as options. The exit code is 0 when the work was done, 1 when it failed,",
        "2 when the input was refused, and 130 when it was cancelled.\n",
    ]
    for name, sentence in COMMANDS.items():
        subparsers = parser_of([name], COMMANDS)._subparsers
        assert subparsers is not None
        (choices,) = (action.choices for action in subparsers._group_actions)
        parts += [f"## {name}\n", f"{sentence}\n", "```text", choices[name].format_help().strip(), "```\n"]
    return "\n".join(parts)
