"""A matrix in a text file, from the fixed to the moving world, in one of two orders of the axes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ....core.geometry import Array
from ....transforms import Affine, Transform
from ..base import Found, Grids
from ..rows import MATRICES, comments_of, flipped, read_matrix, shape_of, write_matrix

AFNI = "DICOM"  # in the comments of its matrices
MARK = "napari-voxreg: maps the fixed to the moving world, axes "


@dataclass(frozen=True)
class Order:
    """The order of the axes of a matrix.

    Parameters
    ----------
    axes : tuple of str
        Their names in 2D and 3D, as a comment in the file states them.
    reverse : bool
        Whether it is the reverse of the array-axis order.
    """

    axes: tuple[str, str]
    reverse: bool

    def recognises(self, head: bytes) -> bool:
        """Whether it is a matrix in 2D or 3D whose comment states no other order."""
        said = comments_of(head)
        return (
            shape_of(head) in MATRICES
            and AFNI not in said
            and (MARK not in said or any(MARK + axes in said for axes in self.axes))
        )

    def read(self, path: Path, grids: Grids) -> Found:
        """The affine map."""
        return Found(Affine(self._turned(read_matrix(path))))

    def write(self, transform: Transform, path: Path, grids: Grids) -> tuple[str, ...]:
        """Write the matrix of an affine map, under a line that states its meaning.

        Raises
        ------
        ValueError
            If the transform is not affine.
        """
        if not transform.linear or transform.matrix is None:
            raise ValueError(
                f"{path.name} cannot hold this transform, which is not affine; write it as a field, "
                "with the format nifti or itk."
            )
        write_matrix(self._turned(transform.matrix), path, [MARK + self.axes[transform.ndim - 2]])
        return ()

    def _turned(self, matrix: Array) -> Array:
        return flipped(matrix) if self.reverse else matrix


ARRAY = Order(("(row, column)", "(plane, row, column)"), reverse=False)
XYZ = Order(("(x, y)", "(x, y, z)"), reverse=True)
