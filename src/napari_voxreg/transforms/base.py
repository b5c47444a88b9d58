"""What every transform can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid

if TYPE_CHECKING:
    import SimpleITK as sitk

# The JSON description of a transform that is not a chain; its "kind" names the class that reads it.
Record = Mapping[str, Any]


@runtime_checkable
class Transform(Protocol):
    """A map from world points of the fixed image to world points of the moving image.

    This is the direction of ITK: a warped image takes its pixel at x from the moving image at T(x).
    Coordinates follow array-axis order, (row, column) or (plane, row, column), in world units; a
    displacement is T(x) - x in the same units.

    Each kind, a frozen dataclass, describes itself to its users. To add one, write its file
    and its test, and name its class and its reader in ``transforms/__init__.py``; a kind that has nothing
    better uses `invert`, `dense_to_itk` and `conjugated` of ``composite.py``.
    """

    @property
    def ndim(self) -> int:
        """Number of world axes."""

    @property
    def linear(self) -> bool:
        """Whether the map is x -> A x + b everywhere."""

    @property
    def matrix(self) -> Array | None:
        """Homogeneous matrix (d + 1, d + 1) of a map that is nothing else, as a field; None for others.

        Neighbours in a chain that have one are multiplied.
        """

    @property
    def native(self) -> bool:
        """Whether ITK has this very kind, so that an ITK file holds all its numbers."""

    @property
    def exact_in_itk(self) -> bool:
        """Whether ITK's version is the same map everywhere, be it of another kind."""

    @property
    def closed_inverse(self) -> bool:
        """Whether the inverse needs no iteration."""

    def __call__(self, points: npt.ArrayLike) -> Array:
        """Map world points, (N, d) to (N, d)."""

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """Derivative of the map at world points (N, d); entry [n, i, j] is dT_i / dx_j, shape (N, d, d)."""

    def inverse(self, grid: Grid, tolerance: float | None = None) -> Transform:
        """The map back, from world points of the moving image to those of the fixed image.

        Parameters
        ----------
        grid : Grid
            Where the inverse is wanted (the moving image's grid); closed inverses do not need it.
        tolerance : float, optional
            World units; a numerical inverse stops when T(inverse(y)) is this close to y. Default: a hundredth
            of the finest spacing.
        """

    def moved(self, matrix: npt.ArrayLike) -> Transform:
        """The same map after both images' worlds are mapped by a homogeneous matrix M: M T M^-1.

        Parameters
        ----------
        matrix : array_like, shape (d + 1, d + 1)
            From the present world to the new one; affine and invertible.
        """

    def to_itk(self, grid: Grid) -> sitk.Transform:
        """As a SimpleITK transform.

        A kind that ITK has not becomes a dense field, exact at the nodes of `grid`.
        """

    def to_records(self, inline: bool) -> list[dict[str, Any]]:
        """What a JSON needs to make the transform again, one record for each link of a chain.

        Parameters
        ----------
        inline : bool
            Also the large arrays of native kinds, which are otherwise left to the ITK file beside the JSON.
        """


def world_points(points: npt.ArrayLike, ndim: int) -> Array:
    """The points that a transform is called with, as floats; the array itself if it holds floats.

    Parameters
    ----------
    points : array_like, shape (N, d)
        World coordinates, a row for each point.
    ndim : int
        Number d of axes of the transform's world.

    Raises
    ------
    ValueError
        If they have another shape, or are no numbers.
    """
    expected = f"give an array of shape (N, {ndim}), a row of {ndim} world coordinates for each point"
    try:
        found = np.asarray(points, dtype=float)
    except (ValueError, TypeError) as error:
        raise ValueError(f"The points are no array of numbers; {expected}.") from error
    if found.ndim != 2 or found.shape[1] != ndim:
        raise ValueError(f"The points have the shape {found.shape}; {expected}.")
    return found
