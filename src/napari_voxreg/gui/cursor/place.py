"""A place of the fixed image, and where a result takes it from in the moving image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.geometry import Array, short_unit
from ..layers.snapshots import LayerSnapshot
from ..session.state import Run


@dataclass(frozen=True)
class Place:
    """What is known of one place.

    Parameters
    ----------
    displacement : ndarray, shape (d,)
        World units of the fixed image, array-axis order.
    pixels : ndarray, shape (d,)
        The same along the fixed image's axes, in its pixels.
    determinant : float
        Of the Jacobian.
    there : tuple of float
        Index in the moving layer's data, all its axes.
    values : tuple of object
        Of the fixed and the moving image, None where there is none or it would have to be computed.
    unit : str
        Of `displacement`.
    """

    displacement: Array
    pixels: Array
    determinant: float
    there: tuple[float, ...]
    values: tuple[Any, Any]
    unit: str

    @property
    def sentence(self) -> str:
        """For the status bar."""
        world = "" if self.unit == "px" else f"{_listed(self.displacement)} {self.unit} = "
        fixed, moving = (_shown(value) for value in self.values)
        return (
            f"{world}{_listed(self.pixels)} px, Jacobian {self.determinant:.2f}, "
            f"fixed {fixed}, moving {moving}"
        )


def place_at(run: Run, index: npt.ArrayLike) -> Place | None:
    """What a run does at a place of its fixed layer.

    Parameters
    ----------
    run : Run
    index : array_like, shape (n,)
        In the fixed layer's data, all its axes.

    Returns
    -------
    Place or None
        None outside the image, and of a run whose images are not open.
    """
    if run.chosen is None:
        return None
    fixed, moving = run.chosen.fixed, run.chosen.moving
    transform = run.result.transform
    (grid, axes), (other, axes_there) = (layer.flat(transform.ndim) for layer in (fixed, moving))
    at = np.asarray(index, dtype=float)[axes]
    if not _inside(at, grid.shape):
        return None
    point = grid.to_world(at[None])
    displacement = (transform(point) - point)[0]
    there = np.array(moving.current, dtype=float)
    there[axes_there] = other.in_world_of(grid).to_index(point + displacement)[0]
    return Place(
        displacement=displacement,
        pixels=np.linalg.solve(grid.affine[:-1, :-1], displacement),
        determinant=float(np.linalg.det(transform.jacobian(point)[0])),
        there=tuple(there),
        values=(_value(fixed, index), _value(moving, there)),
        unit=short_unit(grid.units[0]),
    )


def _inside(index: Array, shape: Sequence[int]) -> bool:
    return bool(np.all(index >= -0.5) and np.all(index <= np.array(shape) - 0.5))


def _value(layer: LayerSnapshot, index: npt.ArrayLike) -> Any:
    """The nearest pixel of a layer; lazy data is not computed for it."""
    pixels = layer.levels[0]
    if not isinstance(pixels, np.ndarray) or not _inside(np.asarray(index), pixels.shape[: layer.ndim]):
        return None
    nearest = np.clip(np.rint(index).astype(int), 0, np.array(pixels.shape[: layer.ndim]) - 1)
    return pixels[tuple(nearest)]


def _listed(numbers: Array) -> str:
    """Numbers with a decimal, never -0.0."""
    return "(" + ", ".join(f"{round(float(x), 1) + 0.0:.1f}" for x in numbers) + ")"


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return str(value.tolist()) if np.ndim(value) else f"{value:.3g}"
