"""Images larger than memory as layers: multiscale, lazy, and where they lie in the world."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_voxreg import Affine, Grid, Image
from napari_voxreg.gui.large_layers import add_large
from napari_voxreg.large import open_large, warp_lazily

GRID = Grid.from_spacing((1500, 1200), 0.5, (3.0, -2.0), units="micrometer")


@pytest.fixture
def colours() -> Image:
    rows, columns = np.indices(GRID.shape)
    data = np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=-1).astype(np.uint8)
    return Image(data, GRID, "colours")


def test_a_warped_image_is_a_lazy_multiscale_layer(colours: Image) -> None:
    warped = warp_lazily(Affine.translation([5.0, 10.0]), colours, fixed=GRID)
    (layer,) = add_large(ViewerModel(), warped, "warped")
    assert layer.multiscale
    assert layer.rgb
    assert [level.shape for level in layer.data] == [(1500, 1200, 3), (750, 600, 3)]
    assert all(isinstance(level, da.Array) for level in layer.data)
    np.testing.assert_allclose(layer.scale, 0.5)
    np.testing.assert_allclose(layer.translate, [3.0, -2.0])
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    np.testing.assert_array_equal(layer.data[0][100, 200], colours.data[110, 220])


def test_channels_are_layers_and_time_is_an_axis() -> None:
    affine = np.diag([2.0, 0.5, 0.5, 1.0])
    grid = Grid((3, 1300, 700), affine, ("second", "micrometer", "micrometer"))
    layers = add_large(ViewerModel(), open_large(Image(da.zeros((*grid.shape, 2), chunks=700), grid)))
    assert len(layers) == 2
    np.testing.assert_allclose(layers[0].scale, [2.0, 0.5, 0.5])
    assert layers[0].data[0].shape == (3, 1300, 700)


def test_a_viewer_draws_only_what_is_seen(viewer, qtbot, colours: Image) -> None:
    warped = warp_lazily(Affine.translation([5.0, 10.0]), colours, fixed=GRID)
    (layer,) = add_large(viewer, warped)
    qtbot.waitUntil(lambda: layer.loaded, timeout=20_000)
    viewer.camera.zoom *= 8
    qtbot.waitUntil(lambda: layer.data_level == 0, timeout=20_000)
    assert viewer.screenshot(flash=False).std() > 5
