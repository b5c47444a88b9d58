"""The methods and their parameters as text: for the command line, and for the page docs/methods.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..core.params import Param
from ..methods import METHODS
from ..methods.availability import install_command, installed
from ..methods.base import Method
from .terminal import markdown_table, text_table

MARKDOWN_HEAD = """\
# Methods

Written by `make docs` from the declarations in `napari_voxreg.METHODS`; the panel, the command line and
Python take the same names and values.
"""


def method_list() -> str:
    """One line a method: its name, the numbers of axes it works on, its title, whether it is missing."""
    return text_table(
        (name, _dimensions(method), method.title + ("" if installed(method) else " (not installed)"))
        for name, method in METHODS.items()
    )


def method_details(method: Method) -> str:
    """A method's presets and parameters, several lines."""
    lines = [f"{method.name}: {method.title}, {_dimensions(method)}", _abilities(method), ""]
    lines.append("Presets (the first is the default) and what they change:")
    lines.append(text_table((f"  {name}", _changes(values)) for name, values in method.presets.items()))
    infos = method.params.infos()
    for heading, advanced in (("Parameters:", False), ("Advanced:", True)):
        chosen = [info for info in infos if info.advanced == advanced]
        if chosen:
            rows = ((f"  {i.name}", kind(i), default(i), i.help) for i in chosen)
            lines += ["", heading, text_table(rows)]
    if not installed(method):
        lines += ["", f"Not installed; to install it: {install_command(method)}"]
    if method.reference:
        lines += ["", f"Reference: {method.reference}"]
    return "\n".join(lines)


def markdown() -> str:
    """The documentation page of all methods."""
    parts = [MARKDOWN_HEAD, markdown_table([("name", "method", "images"), *_overview()])]
    for method in METHODS.values():
        parts.append(f"## {method.name}\n\n{markdown_of(method)}")
    return "\n".join(parts)


def markdown_of(method: Method) -> str:
    """What a method finds, its presets and its parameters, without a heading."""
    rows = [
        (f"`{i.name}`" + (" (advanced)" if i.advanced else ""), kind(i), default(i), i.help)
        for i in method.params.infos()
    ]
    presets = [(f"`{name}`", _changes(values)) for name, values in method.presets.items()]
    parts = [f"{method.title}. Works on {_dimensions(method)} images. {_abilities(method)}\n"]
    if method.extra:
        parts.append(f'Install it with `pip install "napari-voxreg[{method.extra}]"`.\n')
    parts.append(markdown_table([("preset", "differs from the defaults by"), *presets]))
    parts.append(markdown_table([("parameter", "values", "default", "meaning"), *rows]))
    if method.reference:
        parts.append(f"Reference: {method.reference}\n")
    return "\n".join(parts)


def kind(info: Param) -> str:
    """The values a parameter takes, in a few words."""
    if info.choices:
        return ", ".join(info.choices)
    words = {bool: "yes or no", int: "whole number", float: "number", tuple: "files, in order"}
    text = words.get(info.kind, "file")
    return text if info.range is None else f"{text}, {info.range[0]:.10g} to {info.range[1]:.10g}"


def default(info: Param) -> str:
    """A parameter's default, as one would type it."""
    if info.default in (None, ()):
        return "none"
    if info.kind is bool:
        return "yes" if info.default else "no"
    return f"{info.default:g}" if info.kind is float else str(info.default)


def _overview() -> Iterable[tuple[str, ...]]:
    return ((f"[`{name}`](#{name})", m.title, _dimensions(m)) for name, m in METHODS.items())


def _dimensions(method: Method) -> str:
    return " and ".join(f"{d}D" for d in method.ndims) or "with weights of your own"


def _abilities(method: Method) -> str:
    """What motion it finds and what it can use, in short sentences."""
    sentences = [
        f"Finds {method.motion} motion.",
        "Guided by landmarks." * method.landmarks,
        "Images need not overlap to start with." * method.anywhere,
        "Computes on a GPU where there is one." * method.device,
        "Takes weights of your own." * bool(method.architectures),
    ]
    return " ".join(filter(None, sentences))


def _changes(values: Any) -> str:
    """A preset's values, or that there are none."""
    return ", ".join(f"{name} = {value}" for name, value in values.items()) or "nothing"
