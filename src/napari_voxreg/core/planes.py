"""Planes in space, and places in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def plane_frame(first: Array, second: Array, through: Array) -> Array:
    """The frame of a plane: from places in it and the distance from it to the world, (4, 4).

    The places count from the world's origin along two of the world's axes, in their order; in an oblique
    plane after the smallest rotation that brings them into it. So parallel planes have the same places.

    Parameters
    ----------
    first, second : ndarray, shape (3,)
        Directions in the plane.
    through : ndarray, shape (3,)
        A point of the plane.
    """
    normal = np.cross(first, second)
    normal /= np.linalg.norm(normal)
    # Of axes that are equally near the first counts, whatever the last digits are.
    axis = int(np.flatnonzero(np.abs(normal) > np.abs(normal).max() - 1e-3)[0])
    normal *= np.sign(normal[axis])
    cross = np.outer(normal, np.eye(3)[axis])
    cross -= cross.T
    rotation = np.eye(3) + cross + cross @ cross / (1 + normal[axis])
    frame = np.eye(4)
    frame[:3, :3] = np.column_stack([np.delete(rotation, axis, axis=1), normal])
    frame[:3, 3] = normal * (normal @ through)
    return frame
