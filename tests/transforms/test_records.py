"""Grids in JSON."""

import json

import numpy as np
import pytest

from napari_voxreg import Grid
from napari_voxreg.transforms.records import grid_from_record, grid_to_record


def test_a_grid_comes_back_from_plain_values():
    grid = Grid.from_spacing((4, 5, 6), (0.1, 1 / 3, 2), (1, 2, 3), units="micrometer")
    again = grid_from_record(json.loads(json.dumps(grid_to_record(grid))))
    assert (again.shape, again.units) == (grid.shape, grid.units)
    assert np.array_equal(again.affine, grid.affine)


@pytest.mark.parametrize("key", ["shape", "affine", "units"])
@pytest.mark.parametrize("value", [None, "mm", [[None]], 3, []])
def test_a_damaged_grid_is_refused(key, value):
    record = grid_to_record(Grid.from_spacing((4, 5, 6)))
    with pytest.raises(ValueError, match="grid"):
        grid_from_record({**record, key: value})
