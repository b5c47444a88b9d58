import numpy as np
import pytest

from napari_voxreg import Affine, Displacement, Grid, Image, warp


def _ramp(dtype=np.float32) -> Image:
    return Image(np.arange(30).reshape(5, 6).astype(dtype), Grid.from_spacing((5, 6)))


def test_a_translation_moves_pixels_as_in_itk():
    image = _ramp()
    moved = warp(image, Affine.translation([1.0, 0.0]), image.grid)
    assert np.array_equal(moved.data[:4], image.data[1:]) and np.all(moved.data[4] == 0)
    assert warp(image, Affine.translation([1.0, 0.0]), image.grid, fill=-1).data[4, 0] == -1


def test_half_a_pixel_beyond_the_rim_is_still_inside():
    image = _ramp()
    moved = warp(image, Affine.translation([0.49, 0.0]), image.grid)
    assert np.array_equal(moved.data[4], image.data[4])


def test_integers_are_rounded_and_clipped_not_truncated():
    image = _ramp(np.uint8)
    moved = warp(image, Affine.translation([0.0, 0.7]), image.grid)
    assert moved.data.dtype == np.uint8 and moved.data[0, 0] == 1
    large = Image(np.full((4, 4), 2**40 + 1, np.int64), Grid.from_spacing((4, 4)))
    assert warp(large, None, large.grid).data[1, 1] == 2**40 + 1


def test_labels_and_booleans_are_nearest():
    labels = Image(np.array([[0, 0, 7, 7], [0, 0, 7, 7]], np.int32), Grid.from_spacing((2, 4)))
    moved = warp(labels, Affine.translation([0.0, 0.4]), labels.grid, order=0)
    assert set(np.unique(moved.data)) <= {0, 7}
    mask = labels.with_data(labels.data > 0)
    assert warp(mask, Affine.translation([0.0, 0.4]), mask.grid).data.dtype == bool


def test_all_channels_complex_and_half_precision_keep_their_type():
    grid = Grid.from_spacing((5, 6))
    rng = np.random.default_rng(0)
    colour = Image(rng.integers(0, 255, (5, 6, 3)).astype(np.uint8), grid)
    moved = warp(colour, Affine.translation([1.0, 0.0]), grid)
    assert moved.data.dtype == np.uint8 and np.array_equal(moved.data[:4], colour.data[1:])
    wave = Image((rng.normal(size=(5, 6)) + 1j * rng.normal(size=(5, 6))).astype(np.complex64), grid)
    moved = warp(wave, Affine.translation([1.0, 0.0]), grid)
    assert moved.data.dtype == np.complex64 and np.allclose(moved.data[:4], wave.data[1:])
    half = Image(np.ones((5, 6), np.float16), grid)
    assert warp(half, None, grid).data.dtype == np.float16


def test_units_are_converted():
    image = Image(_ramp().data, Grid.from_spacing((5, 6), 1.0, units="mm"))
    micro = Grid.from_spacing((5, 6), 1000.0, units="um")
    assert np.array_equal(warp(image, None, micro).data, image.data)


def test_a_thin_stack_takes_a_transform_of_one_dimension_less():
    stack = Image(_ramp().data[None], Grid.from_spacing((1, 5, 6), (9, 1, 1)))
    moved = warp(stack, Affine.translation([1.0, 0.0]), stack.grid)
    assert moved.data.shape == (1, 5, 6) and np.array_equal(moved.data[0, :4], stack.data[0, 1:])


def test_inputs_stay_and_mistakes_are_refused():
    image = _ramp()
    copy = image.data.copy()
    field = np.random.default_rng(0).normal(size=(5, 6, 2))
    warp(image, Displacement(field, image.grid), image.grid)
    assert np.array_equal(image.data, copy)
    with pytest.raises(ValueError, match="order cannot be 3"):
        warp(image, None, image.grid, order=3)
    with pytest.raises(ValueError, match="2D image cannot be warped onto a 3D grid"):
        warp(image, None, Grid.from_spacing((3, 3, 3)))
    with pytest.raises(ValueError, match="3D transform"):
        warp(image, Affine.identity(3), image.grid)


def test_an_image_is_no_grid():
    image = _ramp()
    with pytest.raises(ValueError, match=r"Image is not a grid; give that of the fixed image"):
        warp(image, None, image)
