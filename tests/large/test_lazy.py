"""A warped image is at hand at once, and computed piece by piece as it is read."""

from __future__ import annotations

from dataclasses import replace

import dask.array as da
import numpy as np

from napari_voxreg import Grid, Image, warp
from napari_voxreg.large import open_large, warp_lazily


def test_pieces_are_those_of_the_whole(moving, fixed_grid, deformation) -> None:
    made = warp_lazily(deformation, moving, fixed=fixed_grid)
    expected = warp(moving, deformation, fixed_grid).data
    np.testing.assert_array_equal(made.levels[0].data[500:530, 490:560], expected[500:530, 490:560])
    np.testing.assert_array_equal(made.levels[0].data, expected)


def test_nothing_is_read_before_it_is_looked_at(moving, fixed_grid, deformation) -> None:
    read = []

    def seen(block: np.ndarray) -> np.ndarray:
        read.append(block.shape)
        return block

    stored = da.from_array(moving.data, chunks=(100, 100, 3))
    data = stored.map_blocks(seen, dtype=np.uint8, meta=moving.data)
    made = warp_lazily(deformation, replace(moving, data=data), fixed=fixed_grid)
    assert read == []
    np.asarray(made.levels[0].data[0, 0])
    assert read


def test_coarse_levels_are_read_for_coarse_ones(deformation) -> None:
    image = open_large(da.ones((3000, 2500), chunks=500))
    made = warp_lazily(deformation, image, fixed=Grid.from_spacing((2100, 2050)))
    assert [level.data.shape for level in made.levels] == [(2100, 2050), (1050, 1025), (525, 513)]
    np.testing.assert_allclose(made.levels[2].data[200:210, 200:210], 1)


def test_a_series_keeps_its_time_axis(moving, fixed_grid, deformation) -> None:
    grey = moving.data[..., 0]
    affine = np.eye(4)
    affine[1:, 1:] = moving.grid.affine
    grid = Grid((2, *grey.shape), affine, ("second", *moving.grid.units))
    made = warp_lazily(deformation, Image(np.stack([grey, 255 - grey]), grid), fixed=fixed_grid)
    assert made.times == 2
    expected = warp(moving.with_data(255 - grey), deformation, fixed_grid).data
    np.testing.assert_array_equal(made.frames(1)[0].data, expected)
