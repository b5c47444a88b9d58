"""Single slices in any orientation: registered in their planes, with transforms of the whole world."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..transforms import Affine, Displacement, Transform, chain, displacement_on
from .result import Result

STEEP = 45.0  # degrees between two planes, from which slices show different sections


def across(fixed: Grid, moving: Grid) -> tuple[str, ...]:
    """A note on two single slices whose planes cross, as a coronal and an axial one."""
    thin = fixed.thin_axes(), moving.thin_axes()
    if any(grid.ndim != 3 or len(axes) != 1 for grid, axes in zip((fixed, moving), thin, strict=True)):
        return ()
    normals = [grid.plane(axes[0])[:3, 2] for grid, axes in zip((fixed, moving), thin, strict=True)]
    angle = float(np.degrees(np.arccos(min(1.0, abs(float(normals[0] @ normals[1]))))))
    if angle <= STEEP:
        return ()
    return (
        f"The planes of the two slices cross at {angle:.0f} degrees, and they are registered as if they were "
        "one; choose slices of one orientation.",
    )


@dataclass(frozen=True, eq=False)
class Slices:
    """Two single slices, at least one of them oblique to the axes of its array.

    Parameters
    ----------
    fixed, moving : Grid
        3D, one pixel thick, in the same units.
    """

    fixed: Grid
    moving: Grid

    @classmethod
    def of(cls, fixed: Grid, moving: Grid) -> Slices | None:
        """The slices of two grids; None if either is none, or if both simply lose a world axis."""
        thin = fixed.thin_axes(), moving.thin_axes()
        if any(grid.ndim != 3 or len(axes) != 1 for grid, axes in zip((fixed, moving), thin, strict=True)):
            return None
        return cls(fixed, moving) if fixed.oblique(thin[0]) or moving.oblique(thin[1]) else None

    @property
    def _planes(self) -> tuple[Array, Array]:
        fixed, moving = (grid.plane(grid.thin_axes()[0]) for grid in (self.fixed, self.moving))
        return fixed, moving

    def lifted(self, transform: Transform) -> Transform:
        """A transform from plane to plane as one of the world, which keeps the distance from the plane.

        One that is not linear becomes a displacement field on the fixed slice, exact at its pixels.
        """
        fixed, moving = self._planes
        whole = np.eye(4)
        if transform.linear and transform.matrix is not None:
            whole[np.ix_([0, 1, 3], [0, 1, 3])] = transform.matrix
            return Affine(moving @ whole @ np.linalg.inv(fixed))
        thin = self.fixed.thin_axes()
        flat = displacement_on(transform, self.fixed.without(thin))
        field = Displacement(np.expand_dims(flat @ fixed[:3, :2].T, thin), self.fixed)
        onward = moving @ np.linalg.inv(fixed)
        return field if np.allclose(onward, whole, rtol=0, atol=1e-12) else chain(field, Affine(onward))

    def flat(self, transform: Transform) -> Transform:
        """A transform of the world as one from plane to plane, without what leads out of the plane."""
        fixed, moving = self._planes
        back = np.linalg.inv(moving)
        if transform.linear and transform.matrix is not None:
            return Affine((back @ transform.matrix @ fixed)[np.ix_([0, 1, 3], [0, 1, 3])])
        grid = self.fixed.without(self.fixed.thin_axes())
        there = transform(self.fixed.nodes()) @ back[:3, :3].T + back[:3, 3]
        return Displacement((there[:, :2] - grid.nodes()).reshape(*grid.shape, 2), grid)

    def result(self, result: Result) -> Result:
        """A result in the planes as one in the world."""
        extras = {
            name: self._image(value) if isinstance(value, Image) else self.lifted(value)
            for name, value in result.extras.items()
        }
        return replace(
            result,
            transform=self.lifted(result.transform),
            fixed=self.fixed,
            moving=self.moving,
            extras=extras,
        )

    def _image(self, image: Image) -> Image:
        """An image in the plane of the fixed slice, one pixel thick in the world."""
        thin = self.fixed.thin_axes()[0]
        kept = [k for k in range(3) if k != thin]
        affine = np.zeros((4, 4))
        affine[np.ix_([0, 1, 3], [*kept, 3])] = image.grid.affine
        affine[2, thin] = self.fixed.spacing[thin]
        shape = np.insert(image.grid.shape, thin, 1)
        grid = Grid(tuple(shape), self._planes[0] @ affine, self.fixed.units)
        return Image(np.expand_dims(image.data, thin), grid, image.name)
