"""Layers with pixels without data, and single slices in any orientation, through a whole run of the panel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.layers import Image as ImageLayer
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from napari_voxreg import METHODS, Grid, Image
from napari_voxreg.core.progress import silent
from napari_voxreg.gui.layers.readers import image_layers, read_layers
from napari_voxreg.gui.layers.result_layers import Show
from napari_voxreg.gui.layers.snapshots import grid_kwargs, image_from_layer, mask_from_layer, snapshot
from napari_voxreg.gui.register.job import Job
from napari_voxreg.gui.session.chosen import Chosen
from napari_voxreg.images.preprocess import driving_channel

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")

SHIFT = [3.0, -4.0]
KNOWN = np.ones((90, 100), bool)
KNOWN[:15, 20:] = False


def pair() -> list[np.ndarray]:
    scene = 50 * gaussian_filter(np.random.default_rng(0).standard_normal((110, 120)), 3)
    return [scene[8:98, 10:110].astype("f4"), scene[5:95, 14:114].astype("f4")]


def run(fixed: ImageLayer, moving: ImageLayer, method: str = "translation") -> tuple:
    """What the panel's worker does for two layers."""
    chosen = Chosen(snapshot(fixed), snapshot(moving), None, None, None, None, None, (0, 0))
    everything = Show(magnitude=True, jacobian=True, grid=True)
    return Job(chosen, method, METHODS[method].parameters(), "cpu", everything, 1)(silent)


def layer(path: Path) -> ImageLayer:
    (data, kwargs, _) = read_layers([path])[0]
    return ImageLayer(data, **kwargs)


@pytest.mark.parametrize(("dtype", "nodata"), [("f4", -9999), ("i2", -32768), ("u1", 255)])
def test_nodata_is_nan_in_a_layer_and_no_pixel_of_a_run(tmp_path: Path, dtype: str, nodata: float) -> None:
    layers = []
    for k, data in enumerate(pair()):
        pixels = np.where(KNOWN, np.clip(data * 4 + 100, 0, 254), nodata).astype(dtype)
        extra = [(42113, "s", 0, str(nodata), True)]
        tifffile.imwrite(tmp_path / f"{k}.tif", pixels, extratags=extra, metadata=None)
        layers.append(layer(tmp_path / f"{k}.tif"))
    assert np.array_equal(np.isfinite(layers[0].data), KNOWN)
    assert max(layers[0].contrast_limits) < 255
    result, shown = run(*layers)
    assert result.transform([[0.0, 0.0]])[0] == pytest.approx(SHIFT, abs=0.2)
    assert sum("without data" in note for note in result.notes) == 1
    assert len(shown) >= 5
    for data, kwargs, kind in shown:
        if kind == "image" and "SSIM" in kwargs["name"]:
            assert np.isfinite(data).all()


def test_colours_without_data_are_transparent(tmp_path: Path) -> None:
    colours = np.repeat(np.random.default_rng(1).integers(1, 255, (90, 100, 1)), 3, axis=-1).astype("u1")
    colours[~KNOWN] = 0
    extra = [(42113, "s", 0, "0", True)]
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb", extratags=extra, metadata=None)
    shown = layer(tmp_path / "a.tif")
    assert shown.rgb and np.array_equal(shown.data[..., 3] > 0, KNOWN)
    assert np.array_equal(np.isfinite(driving_channel(image_from_layer(shown)).data), KNOWN)
    other = ImageLayer(np.roll(shown.data, 3, axis=0), rgb=True)
    result, layers = run(shown, other)
    assert any("without data" in note for note in result.notes)
    warped = next(data for data, kwargs, _ in layers if kwargs.get("rgb"))
    assert warped.shape == shown.data.shape and type(warped) is np.ndarray


def test_masked_arrays_of_all_kinds_become_layers() -> None:
    data = np.ma.array(np.full((20, 30), 7, "i4"), mask=False)
    data[2, 3] = np.ma.masked
    grid = Grid.from_spacing((20, 30))
    ((pixels, _, _),) = image_layers(Image(data, grid))
    assert np.argwhere(np.isnan(pixels)).tolist() == [[2, 3]] and type(pixels) is np.ndarray
    two = np.ma.stack([data, data], axis=-1)
    assert all(np.isnan(pixels).sum() == 1 for pixels, _, _ in image_layers(Image(two, grid)))


def test_a_transparent_pixel_of_a_mask_layer_does_not_count() -> None:
    colours = np.full((20, 30, 4), 200, "u1")
    colours[:5, :, 3] = 0
    shown = ImageLayer(colours, rgb=True)
    mask = mask_from_layer(shown, Grid.from_spacing((20, 30)))
    assert not mask.data[:5].any() and mask.data[5:].all()


@pytest.mark.parametrize("axes", ["sagittal", "oblique"])
def test_layers_of_single_slices_in_any_orientation(axes: str) -> None:
    turn = {
        "sagittal": np.array([[0, -1, 0], [0, 0, 1], [1, 0, 0.0]]),
        "oblique": Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix(),
    }[axes]
    grid = Grid.from_spacing((1, 90, 100), (3.0, 1.0, 1.0), (10, 20, 30), turn, "millimeter")
    layers = [ImageLayer(data[None], **grid_kwargs(grid)) for data in pair()]
    result, shown = run(*layers, method="rigid")
    assert result.verdict.outcome == "better"
    warped = next(data for data, _, kind in shown if kind == "image")
    assert warped.shape == (1, 90, 100)
    assert np.abs(warped - layers[0].data)[0, 10:-10, 10:-10].mean() < 0.05 * np.ptp(layers[0].data)
    from_file = [image_layers(Image(data[None], grid))[0] for data in pair()]
    result, _ = run(*(ImageLayer(data, **kwargs) for data, kwargs, _ in from_file), method="rigid")
    assert result.verdict.outcome == "better"
