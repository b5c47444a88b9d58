"""The report on a cohort: one page with its pictures inside."""

from __future__ import annotations

import base64
import html
import math
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.geometry import Image
from ...core.progress import Progress, silent, subprogress
from ...io.files import check_replaceable, replace_file
from ...registration.notebook import before_and_after, picture
from ...registration.report import STYLE, beginning, page, values_table
from ..series.frames import Frames
from .drawings import draw_errors, draw_matrix, errors_between
from .result import CohortResult, Member

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORT = "report.html"
TITLE = "Cohort report by napari-voxreg"
SHOWN = 3  # of the best and of the worst images
MARKS = {"better": "#2e7d4f", "worse": "#b3372a", "unusable": "#b3372a"}
WIDE = (
    " body {max-width: 80em} .row {display: flex; flex-wrap: wrap; gap: 0 1.5em}"
    " .row > div {max-width: 36em} .row table + p {display: none}"  # said once above
)


def write_report(
    result: CohortResult, images: Frames, path: Path | str, *, progress: Progress = silent
) -> Path:
    """Write the report on a cohort as one HTML file: template, gallery, table, matrix, options, versions.

    Parameters
    ----------
    result : CohortResult
    images : Frames
        Those that were registered, for the gallery of the best and the worst.
    path : path
        Ending in .html.
    progress : Progress, optional

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    ValueError
        If a file of that name is there that is no report.
    OSError
        If it cannot be written.
    """
    path = Path(path)
    check_report(path)
    head = f"{len(result.members)} images onto {_template_words(result)}"
    parts = [
        f"<h1>{html.escape(head)}</h1><p><b>{html.escape(result.sentence)}</b></p>",
        *(f"<p>{html.escape(note)}</p>" for note in result.notes),
        '<h2>Template</h2><div class="row">',
        _named("template", result.template),
        _named("mean of the aligned images", result.mean),
        "</div>",
        f"<p>Mean displacement {result.mean_displacement:.3g} px, sharpness of the mean "
        f"{result.sharpness:.3g}.</p>",
        _gallery(result, images, subprogress(progress, 0.0, 0.9)),
        "<h2>Images</h2>",
        _members(result),
        _errors(result),
        "<h2>Options</h2>",
        values_table(result.options),
        "<h2>Software</h2>",
        values_table(result.software),
    ]
    text = page(TITLE, head, STYLE + WIDE, "".join(parts))
    replace_file(path, partial(Path.write_text, data=text, encoding="utf-8", newline=""))
    progress(1.0, "the report is written")
    return path


def check_report(path: Path) -> None:
    """Refuse, with a `ValueError`, to replace a file that is no report on a cohort."""
    check_replaceable(path, beginning(TITLE))


def _template_words(result: CohortResult) -> str:
    if result.options["onto"] is not None:
        return result.options["onto"] or "a given template"
    return {
        "group": "the unbiased mean of the group",
        "best": "the image that resembles the others most",
        "mean of the best": "the mean of the best images",
        "all pairs": "the image from which all are reached best",
    }.get(str(result.options["template"]), result.template.name or "one image")


def _named(name: str, image: Image) -> str:
    """A picture under its name."""
    return f"<div><p>{html.escape(name)}</p>{picture(image)}</div>"


def _gallery(result: CohortResult, images: Frames, progress: Progress) -> str:
    """The best and the worst images, before and after, by LNCC after; not the template itself."""
    judged = [
        (member.verdict.after, k)
        for k, member in enumerate(result.members)
        if member.verdict is not None
        and member.name != result.template.name
        and math.isfinite(member.verdict.after)
    ]
    order = [k for _, k in sorted(judged, reverse=True)]
    best = order[: min(SHOWN, -(-len(order) // 2))]
    worst = order[len(best) :][::-1][:SHOWN]
    parts: list[str] = []
    for title, numbers in (("Best", best), ("Worst", worst)):
        cells: list[str] = []
        for k in numbers:
            member = result.members[k]
            progress((len(parts) * SHOWN + len(cells)) / (2 * SHOWN), f"drawing {member.name}")
            cells.append(_pair(result.template, images.read(k), member))
        if cells:
            parts.append(f'<h2>{title}</h2><div class="row">{"".join(cells)}</div>')
    if parts:
        parts.append("<p>Template magenta, image green; grey where they are equal.</p>")
    return "".join(parts)


def _pair(template: Image, image: Image, member: Member) -> str:
    """An image before and after on the template."""
    assert member.transform is not None and member.verdict is not None  # the caller chose such
    drawn = before_and_after(template, image, member.transform)
    said = html.escape(f"{member.name}: {member.verdict.sentence}")
    return f"<div><p>{said}</p>{drawn}</div>"


def _members(result: CohortResult) -> str:
    """The table of all images."""
    head, *rows = result.table()
    lines = ["".join(f"<th>{html.escape(cell)}</th>" for cell in head)]
    for row, member in zip(rows, result.members, strict=True):
        state = "unusable" if member.problem else row[1]
        cells = [cell if cell != "nan" else "" for cell in row]
        cells[1] = state
        mark = f' style="color: {MARKS[state]}"' if state in MARKS else ""
        cells = [f"<td{mark if k == 1 else ''}>{html.escape(cell)}</td>" for k, cell in enumerate(cells)]
        lines.append("".join(cells))
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _errors(result: CohortResult) -> str:
    """Matrix and histogram of the errors between the images, where they are known."""
    found = errors_between(result)
    if found is None:
        return ""
    matrix, row, words = found
    from matplotlib.figure import Figure

    figure = Figure((9, 4), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    figure.colorbar(draw_matrix(left, matrix, row, "#d9593d"), ax=left)
    draw_errors(right, matrix, row, "#2a6f97", "#d9593d")
    left.set_title("error between every two images", fontsize=9)
    right.set_title("pairs by their error", fontsize=9)
    best = html.escape(result.members[row].name)
    text = (
        f"An error is {words}. {best}, number {row}, agrees best with the others; the line is at its median."
    )
    return f"<h2>Errors between the images</h2><p>{text}</p>{_inside(figure)}"


def _inside(figure: Figure) -> str:
    """A figure as an HTML image."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode("ascii")}">'
