"""Small matrices in text files, one row a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...core.geometry import Array
from ...transforms import Affine
from ..files import replace_file
from ..guards import read_text
from .base import HEAD

LONGEST = 20_000  # characters of a text that holds nothing but a matrix
MATRICES = ((3, 3), (4, 4), (2, 3), (3, 4))  # the last row may be left out


def rows_of(text: str) -> list[list[float]] | None:
    """The numbers in the lines of a text, without empty lines and comments; None if there is anything else.

    Numbers stand between blanks, commas, semicolons or tabs; brackets do not matter.
    """
    if len(text) > LONGEST:
        return None
    lines = (re.split(r"#|//|%", line)[0] for line in text.splitlines())
    cells = [re.sub(r"[][(){},;]", " ", line).split() for line in lines]
    try:
        rows = [[float(cell) for cell in row] for row in cells if row]
    except ValueError:
        return None
    return rows or None


def shape_of(head: bytes) -> tuple[int, int] | None:
    """The numbers of rows and columns of a file that holds nothing but one matrix; None for any other."""
    if len(head) >= HEAD:
        return None
    try:
        rows = rows_of(head.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return None
    if rows is None or len({len(row) for row in rows}) != 1:
        return None
    return len(rows), len(rows[0])


def comments_of(head: bytes) -> str:
    """The lines of a text that begin with a hash."""
    return "\n".join(re.findall(r"^\s*#.*", head[:LONGEST].decode("utf-8", "replace"), re.MULTILINE))


def read_matrix(path: Path, shapes: Sequence[tuple[int, int]] = MATRICES) -> Array:
    """The homogeneous matrix in a text file.

    Raises
    ------
    ValueError
        If it holds anything else, or a matrix that is no affine map.
    """
    rows = rows_of(read_text(path))
    matrix = np.array(rows) if rows and len({len(row) for row in rows}) == 1 else np.empty(0)
    if matrix.shape not in shapes:
        wanted = " or ".join(f"{a} x {b}" for a, b in shapes)
        raise ValueError(f"{path.name} does not hold a matrix of {wanted} numbers; choose another file.")
    if len(matrix) == matrix.shape[1] - 1:
        matrix = np.vstack([matrix, np.eye(matrix.shape[1])[-1]])
    return checked(matrix, path)


def checked(matrix: Array, path: Path) -> Array:
    """A homogeneous matrix, once its last row is that of an affine map, which is made exact.

    Raises
    ------
    ValueError
        If it is not, or the matrix cannot be inverted.
    """
    try:
        matrix = np.array(Affine(matrix).matrix)
    except ValueError as error:
        raise ValueError(
            f"{path.name} holds a matrix that is not finite and invertible; save it again."
        ) from error
    last = np.eye(len(matrix))[-1]
    if not np.allclose(matrix[-1], last, rtol=0, atol=1e-5):
        raise ValueError(
            f"{path.name} holds a matrix whose last row is not {' '.join(f'{x:g}' for x in last)}; "
            "only affine maps are read."
        )
    matrix[-1] = last
    return matrix


def write_matrix(matrix: Array, path: Path, comments: Sequence[str]) -> None:
    """Write a homogeneous matrix with all its digits, under lines that say what it means."""
    between = "," if path.suffix.lower() == ".csv" else " "
    lines = [f"# {line}" for line in comments]
    lines += [between.join(repr(float(x)) for x in row) for row in matrix]
    replace_file(
        path, lambda target: target.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    )


def flipped(matrix: Array) -> Array:
    """A matrix between array-axis order and (x, y, z)."""
    order = [*range(len(matrix) - 1)[::-1], len(matrix) - 1]
    result: Array = matrix[np.ix_(order, order)]
    return result


def ras_to_ours(matrix: Array) -> Array:
    """A matrix between worlds towards right, anterior, superior in ours: array-axis order of ITK's world."""
    signs = np.diag([-1.0, -1.0, 1.0, 1.0])
    return flipped(signs @ matrix @ signs)
