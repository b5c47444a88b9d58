"""Tables as text, and texts on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from ..io.files import replace_file


def text_table(rows: Iterable[Sequence[str]], numbers: int | None = None) -> str:
    """Rows of cells in aligned columns.

    Parameters
    ----------
    rows : iterable of sequence of str
        As many cells in each.
    numbers : int, optional
        The column from which on cells are aligned to the right.
    """
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numbers = len(widths) if numbers is None else numbers
    return "\n".join(
        "  ".join(
            cell.ljust(width) if k < numbers else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown_table(rows: Iterable[Sequence[str]], numbers: int | None = None) -> str:
    """Rows of cells, the headings first, as a Markdown table; see `text_table`."""
    head, *body = rows
    numbers = len(head) if numbers is None else numbers
    rule = ["---" if k < numbers else "--:" for k in range(len(head))]
    lines = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in (head, rule, *body))
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; line ends stay as they are."""
    replace_file(path, partial(Path.write_text, data=text, encoding="utf-8", newline=""))
