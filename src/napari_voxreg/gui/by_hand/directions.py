"""Which axes of the world lie up and across on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari.components import ViewerModel

from ..look.look import camera_of


@dataclass(frozen=True)
class Directions:
    """How the axes of a pair lie in the viewer.

    Parameters
    ----------
    down, right, back : int or None
        The axes of the pair along which an image moves down, to the right and away; None where the pair has
        no such axis.
    signs : dict
        +1 or -1 for each of them: the sense in which its coordinate grows.
    """

    down: int | None
    right: int | None
    back: int | None
    signs: dict[int, int]

    @classmethod
    def of(cls, viewer: ViewerModel, world: Sequence[int]) -> Directions:
        """Those of a pair whose axes are these of the viewer, counted from the last."""
        dims, camera = viewer.dims, camera_of(viewer)
        there = {axis + dims.ndim: k for k, axis in enumerate(world)}
        *behind, down, right = (there.get(axis) for axis in dims.displayed)
        rest = [k for axis, k in there.items() if axis not in dims.displayed]
        back = behind[0] if behind else (rest[0] if rest else None)
        vertical, horizontal = (str(one.value) for one in camera.orientation[1:])
        signs = {}
        if down is not None:
            signs[down] = 1 if vertical == "down" else -1
        if right is not None:
            signs[right] = 1 if horizontal == "right" else -1
        if back is not None:
            signs[back] = 1
        return cls(down, right, back, signs)

    def clockwise(self, about: int | None) -> tuple[int, int] | None:
        """The axes of a rotation: the first goes towards the second; None where there is no such plane.

        About the axis that points into the screen, or in 2D (None), it is clockwise on the screen.
        """
        if about in (None, self.back):
            plane = self.right, self.down
        elif about == self.down:
            plane = self.back, self.right
        else:
            plane = self.down, self.back
        first, second = plane
        if first is None or second is None:
            return None
        same = self.signs[first] == self.signs[second]
        return (first, second) if same else (second, first)
