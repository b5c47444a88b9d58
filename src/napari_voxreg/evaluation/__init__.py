"""A method on many pairs: scores before and after, a table that can be resumed, a summary, best and worst.

`evaluate` runs it; `docs/evaluation.md` explains each number.
"""

from .fields import FIELDS, write_fields
from .rows import COLUMNS, FAILED, MEASURES, Column, Measure, Row, columns, open_row
from .run import Evaluation, evaluate
from .summary import TITLE, Summary, interpolation, markdown, ranked, summaries, text
from .table import TABLE, Table, folder_name

__all__ = [
    "COLUMNS",
    "FAILED",
    "FIELDS",
    "MEASURES",
    "TABLE",
    "TITLE",
    "Column",
    "Evaluation",
    "Measure",
    "Row",
    "Summary",
    "Table",
    "columns",
    "evaluate",
    "folder_name",
    "interpolation",
    "markdown",
    "open_row",
    "ranked",
    "summaries",
    "text",
    "write_fields",
]
