"""Print docs/api.md: the public names, the commands, and the files that are written, read from the code."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
from collections.abc import Iterator

import napari_voxreg
from napari_voxreg import Transform
from napari_voxreg.cli import main as cli
from napari_voxreg.cli import terminal
from napari_voxreg.evaluation import TABLE, Evaluation
from napari_voxreg.metrics.pair import Scores
from napari_voxreg.metrics.verdict import Verdict
from napari_voxreg.registration.apply import Applied
from napari_voxreg.registration.compare import Row
from napari_voxreg.registration.result import EXTRAS, TRANSFORM
from napari_voxreg.train import runs

WIDTH = 100
RETURNED = (Applied, Evaluation, Row, Scores, Verdict)
HEAD = """\
# Public surface

Written by `make docs` from the code; a test fails where the two differ. What is not listed here may change
without notice.

## Python

Import the names from `napari_voxreg`; nothing heavy is loaded before a name is used. What each does in detail
is in its docstring: `help(napari_voxreg.register)`. The parameters of a class are also its attributes.
"""
RECORD = TRANSFORM.replace(".h5", ".json")
FILES = {
    "`Result.save(folder)`, `register -o DIR`": (
        (TRANSFORM, "the transform, in ITK's format"),
        (RECORD, "the record: method, parameters, grids, inputs, scores, verdict, device, weights, versions"),
        (
            f"{EXTRAS}/N-NAME.mha, .h5, .json",
            "what else a method found: images, and transforms with their records",
        ),
        ("NAME.txt, elastix.log", "of elastix alone: its parameter files and its log"),
    ),
    "`register -o DIR`, also": (
        ("warped.*", "the moving image on the fixed grid, in the moving file's format"),
    ),
    "`save_transform(transform, NAME.h5, grid)`": (("NAME.h5, NAME.json", "the transform and its record"),),
    "`compare -o DIR`": (
        ("table.csv, table.md", "the scores of all methods"),
        (f"METHOD/{TRANSFORM}, ...", "each result, as `Result.save` writes it"),
    ),
    "`evaluate(folder=DIR)`, `evaluate -o DIR`": (
        (TABLE, "a row for each pair and method"),
        (f"transforms/NAME/{TRANSFORM}, ...", "each result, as `Result.save` writes it"),
    ),
    "`evaluate -o DIR`, also": (
        ("summary.md", "means, medians and fractions that improved"),
        ("before-after-METHOD.*, gallery-METHOD.*", "figures"),
    ),
    "`train_pairs(folder=DIR)`, `train -o DIR`": (
        (f"{runs.OPTIONS}, {runs.PAIRS}", "what was trained on which pairs"),
        (runs.HISTORY, "the losses of each epoch"),
        (f"{runs.BEST}, {runs.LAST}", "weights, each with a card, .json"),
        (runs.STATE, "all that resuming needs"),
    ),
}


def main() -> None:
    print(page(), end="")


def page() -> str:
    """The whole page in Markdown."""
    names = [name for name in napari_voxreg.__all__ if not name.startswith("__")]
    parts = [HEAD, *(_entry(name, getattr(napari_voxreg, name)) for name in sorted(names, key=str.lower))]
    parts += ["### \\_\\_version\\_\\_\n\nThe version of the package, a text.\n", "## What they return\n"]
    parts += [*(_entry(value.__name__, value) for value in RETURNED), *_commands(), *_files()]
    return "\n".join(parts)


def _entry(name: str, value: object) -> str:
    """A public name: what it is, its signature, and the members of a class."""
    if not callable(value):
        return f"### {name}\n\n{type(value).__name__}: {', '.join(f'`{key}`' for key in value)}.\n"  # type: ignore[attr-defined]
    kind = (
        "function" if not inspect.isclass(value) else "exception" if issubclass(value, Exception) else "class"
    )
    lines = [f"### {name}", "", f"{kind.capitalize()}. {_summary(value)}", ""]
    if kind == "function" or dataclasses.is_dataclass(value):
        lines += ["```text", _signature(name, value), "```", ""]
    if kind == "class":
        lines += [*_members(value), ""]
    return "\n".join(lines)


def _members(value: object) -> Iterator[str]:
    """The public methods and properties of a class; those of the protocol are listed there alone."""
    fields = {field.name for field in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else set()
    transform = value is not Transform and set(_public(Transform)) <= {*dir(value), *fields}
    shared = set(_public(Transform)) if transform else set()
    if shared:
        yield "- is a `Transform`"
    for name in _public(value):
        if name in shared:
            continue
        if isinstance(inspect.getattr_static(value, name), property):
            head = f".{name}"
        else:
            head = f"{'' if name == '__call__' else '.'}{_signature(name, getattr(value, name), wrap=False)}"
        yield f"- `{head}`: {_summary(getattr(value, name))}"


def _public(value: object) -> list[str]:
    """The names of the methods and properties that a class has by itself."""
    return [
        name
        for name, member in vars(value).items()
        if (not name.startswith("_") or name in ("__call__", "__array__"))
        and isinstance(member, property | classmethod | staticmethod | type(_public))
    ]


def _summary(value: object) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(value) or "").partition("\n")[0]


def _signature(name: str, value: object, wrap: bool = True) -> str:
    """A signature as it is written in the code, one parameter a line where it is long."""
    signature = inspect.signature(value)  # type: ignore[arg-type]
    words, star = [], False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            words.append("*")
            star = True
        text = (
            parameter.name
            if parameter.annotation is parameter.empty
            else f"{parameter.name}: {_type(parameter.annotation)}"
        )
        if parameter.default is not parameter.empty:
            text += f" = {_default(parameter.default)}"
        words.append(text)
    back = (
        ""
        if signature.return_annotation is signature.empty or inspect.isclass(value)
        else f" -> {_type(signature.return_annotation)}"
    )
    line = f"{name}({', '.join(words)}){back}"
    if not wrap or len(line) <= WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {word}," for word in words), f"){back}"])


def _type(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _default(value: object) -> str:
    return "..." if not isinstance(value, str | int | float | tuple | type(None)) else repr(value)


def _commands() -> Iterator[str]:
    """Each command with its options, and the exit codes."""
    top = terminal.parser_of([], cli.COMMANDS)
    yield f"## Command line\n\n`{terminal.PROGRAM} COMMAND ...`, or `python -m napari_voxreg COMMAND ...`\n"
    yield _options(top)
    for name in _subparsers(top):
        # No method's own parameters, which docs/methods.md lists.
        parser = _subparsers(terminal.parser_of([name, "--method", "none"], cli.COMMANDS))[name]
        yield from _command(parser, f"{terminal.PROGRAM} {name}")
    yield "A method's parameters are options, too: `--levels 5`, `--no-refine`; see [Methods](methods.md).\n"
    codes = re.search(r"Exit codes: (.*?)\.$", cli.__doc__ or "", re.DOTALL | re.MULTILINE)
    assert codes is not None
    yield f"### Exit codes\n\n{' '.join(codes[1].split())}.\n"


def _command(parser: argparse.ArgumentParser, title: str) -> Iterator[str]:
    yield f"### {title}\n\n{parser.description or ''}\n"
    if table := _options(parser):
        yield table
    for name, inner in _subparsers(parser).items():
        yield from _command(inner, f"{title} {name}")


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


def _options(parser: argparse.ArgumentParser) -> str:
    """The options of a command as a table."""
    formatter = argparse.HelpFormatter("")
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        values = (
            formatter._format_args(action, (action.metavar or action.dest.upper()))
            if action.nargs != 0
            else ""
        )
        if action.choices is not None:
            values = " / ".join(map(str, action.choices))
        if isinstance(action, argparse.BooleanOptionalAction):
            values = ""
        names = ", ".join(f"`{option}`" for option in action.option_strings)
        text = formatter._expand_help(action) if action.help else ""
        cells = (" ".join(filter(None, (names, f"`{values}`" if values else ""))), " ".join(text.split()))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(["| option | meaning |", "| --- | --- |", *rows, ""]) if rows else ""


def _files() -> Iterator[str]:
    """What is written where."""
    yield "## Files\n\nEach file is complete or not there at all; no other file is changed or removed.\n"
    lines = ["| written by | file | content |", "| --- | --- | --- |"]
    for command, files in FILES.items():
        for k, (name, content) in enumerate(files):
            lines.append(f"| {'' if k else command} | `{name}` | {content} |")
    yield "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
