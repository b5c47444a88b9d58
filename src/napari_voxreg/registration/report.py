"""A report on one registration: a page with pictures, and the same as JSON."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..core.geometry import Grid, Image, short_unit
from ..io.files import replace_file
from ..methods import KNOWN_METHODS
from .notebook import before_and_after, score_table
from .result import Result

TITLE = "Registration report by napari-voxreg"
STYLE = (
    "body {font: 15px sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222}"
    " table {border-collapse: collapse; margin: 0.5em 0} td, th {padding: 2px 10px; text-align: left;"
    " border-bottom: 1px solid #ddd; vertical-align: top} h2 {margin-top: 1.5em; font-size: 1.2em}"
)


def write_report(result: Result, fixed: Image | None, moving: Image | None, path: Path | str) -> Path:
    """Write a report as one HTML file with its pictures inside, and as JSON beside it.

    Parameters
    ----------
    result : Result
    fixed, moving : Image or None
        The pair, for the pictures; without it there are none.
    path : path
        Ending in .html; the JSON gets the same name with .json.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    ValueError
        If the name has another ending, or belongs to a file that is no report.
    OSError
        If it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".html":
        raise ValueError(f"{path.name} cannot hold a report; give a name that ends in .html.")
    side = path.with_suffix(".json")
    for file in (path, side):
        if file.is_file() and TITLE not in file.read_text(encoding="utf-8", errors="replace")[:500]:
            raise ValueError(f"{file} is there and is no report; choose another name.")
    pictures = ""
    if fixed is not None and moving is not None:
        pictures = before_and_after(fixed, moving, result.transform)
    text = json.dumps({"report": TITLE, **result.to_dict()}, indent=1, allow_nan=False)
    page = partial(Path.write_text, data=_page(result, pictures), encoding="utf-8", newline="")
    replace_file(side, partial(Path.write_text, data=text, encoding="utf-8", newline=""))
    replace_file(path, page)
    return path


def _page(result: Result, pictures: str) -> str:
    """The report as HTML."""
    record = result.to_dict()
    title = KNOWN_METHODS[result.method].title if result.method in KNOWN_METHODS else result.method
    heading = f"{result.names[1] or 'moving'} onto {result.names[0] or 'fixed'}"
    grids = {"fixed": result.fixed, "moving": result.moving}
    about = {
        "Method": f"{title} ({result.method})",
        "Seconds": f"{result.seconds:.2f}",
        "Device": result.device or "not recorded",
        "Weights": ", ".join(f"{name} ({digest[:12]}…)" for name, digest in result.weights) or "none",
        **{
            f"{which.capitalize()} image": f"{_grid(grids[which])}; SHA-256 {digest}"
            for which, digest in zip(grids, result.hashes, strict=True)
        },
    }
    sentences = (result.verdict.sentence, *result.notes)
    sentence, *notes = (html.escape(one.replace("->", "→")) for one in sentences)
    parts = [
        f"<h1>{html.escape(heading)}</h1><p><b>{sentence}</b></p>",
        *(f"<p>{note}</p>" for note in notes),
        pictures,
        "<h2>Scores</h2>",
        score_table(result.before, result.after, result.verdict),
        "<h2>Run</h2>",
        values_table(about),
        "<h2>Parameters</h2>",
        values_table(record["parameters"]) if record["parameters"] else "<p>The method has none.</p>",
        "<h2>Software</h2>",
        values_table(record["software"]),
    ]
    return page(TITLE, heading, STYLE, "".join(parts))


def beginning(title: str) -> str:
    """With what a page of this kind begins."""
    meta = f'<meta charset="utf-8"><meta name="generator" content="{title}">'
    return f'<!DOCTYPE html><html lang="en"><head>{meta}'


def page(title: str, heading: str, style: str, body: str) -> str:
    """A whole page.

    Parameters
    ----------
    title : str
        Of the kind of report, for `beginning`.
    heading : str
        Of the window.
    style, body : str
        CSS and HTML.
    """
    head = f"<title>{html.escape(heading)}</title><style>{style}</style>"
    return f"{beginning(title)}{head}</head><body>{body}</body></html>\n"


def _grid(grid: Grid | None) -> str:
    """A grid in a few words: its shape, pixel size and place."""
    if grid is None:
        return "not recorded"
    unit = " × ".join(dict.fromkeys(map(short_unit, grid.units)))
    size, origin = (" × ".join(f"{x:.4g}" for x in grid.spacing), ", ".join(f"{x:.6g}" for x in grid.origin))
    rotated = "" if np.allclose(grid.direction, np.eye(grid.ndim)) else ", rotated"
    shape = " × ".join(map(str, grid.shape))
    return f"{shape} pixels of {size} {unit}, origin ({origin}){rotated}"


def values_table(values: Mapping[str, Any]) -> str:
    """Names and values as HTML."""
    rows = (
        f"<tr><td>{html.escape(str(name))}</td><td>{html.escape(str(value))}</td></tr>"
        for name, value in values.items()
    )
    return f"<table>{''.join(rows)}</table>"
