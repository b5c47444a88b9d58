"""The frames of a layer, some of which cannot be read."""

import dask
import dask.array as da
import numpy as np
from napari.layers import Image
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as displaced

from napari_voxreg import register_series
from napari_voxreg.gui.cohort.sources import OneLayer
from napari_voxreg.gui.layers.applied import take


def test_a_frame_of_a_lazy_layer_that_cannot_be_read_is_empty():
    scene = gaussian_filter(np.random.default_rng(0).standard_normal((48, 56)), 2).astype(np.float32)

    def read(number):
        if number == 2:
            raise OSError("t2.tif is damaged.")
        return displaced(scene, (number, -number), mode="nearest")

    frames = [da.from_delayed(dask.delayed(read)(k), scene.shape, scene.dtype) for k in range(5)]
    source = OneLayer(take(Image(da.stack(frames), contrast_limits=(-1, 1))), 0, (0, 0, 0))
    result = register_series(source.frames(), options={"motion": "translation", "reference": "frame"})
    assert [frame.problem for frame in result.frames] == ["", "", "unreadable", "", ""]
    assert np.allclose(result.translations[2], (2, -2), atol=0.2)
    ((aligned, _, _),) = source.layers(result, source.frames())
    assert np.isnan(aligned[2]).all() and np.isfinite(aligned[3, 8:-8, 8:-8]).all()
