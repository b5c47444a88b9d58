import numpy as np
import pytest
import SimpleITK as sitk

from napari_voxreg import Grid, Image
from napari_voxreg.core.geometry import apply_affine, as_image, short_unit, unit_factor
from napari_voxreg.transforms.itk import grid_from_itk, image_from_itk, image_to_itk


def _oblique(d: int) -> Grid:
    rng = np.random.default_rng(d)
    affine = np.eye(d + 1)
    affine[:d] = rng.normal(size=(d, d + 1))
    affine[:d, 0] *= -1  # a flip
    return Grid((5, 6, 7)[:d], affine, ("millimeter",) * d)


@pytest.mark.parametrize("d", [2, 3])
def test_index_and_world_are_inverse_and_itk_agrees(d):
    grid = _oblique(d)
    image = image_to_itk(Image(np.zeros(grid.shape, np.float32), grid))
    index = np.random.default_rng(0).uniform(-1, 6, (20, d))
    world = grid.to_world(index)
    assert np.allclose(grid.to_index(world), index)
    for i, w in zip(index, world, strict=True):
        assert np.allclose(image.TransformContinuousIndexToPhysicalPoint(i[::-1].tolist())[::-1], w)
    assert grid_from_itk(image).same_as(grid)


def test_spacing_direction_origin_make_the_grid_again():
    grid = _oblique(3)
    again = Grid.from_spacing(grid.shape, grid.spacing, grid.origin, grid.direction, "millimeter")
    assert np.allclose(again.affine, grid.affine)


def test_units_convert_lengths_and_refuse_pixels():
    grid = Grid.from_spacing((4, 4), 2.0, 1.0, units="mm")
    micro = grid.in_units(("um", "um"))
    assert np.allclose(micro.spacing, 2000) and np.allclose(micro.origin, 1000)
    assert unit_factor("nm", "um") == pytest.approx(1e-3)
    with pytest.raises(ValueError, match="cannot be converted from 'pixel' to 'mm'"):
        Grid.from_spacing((4, 4)).in_units(("mm", "mm"))
    with pytest.raises(ValueError, match="cannot be converted"):
        unit_factor("second", "mm")


def test_units_have_short_names():
    assert [short_unit(u) for u in ("pixel", "millimeter", "micrometer", "mm")] == ["px", "mm", "µm", "mm"]
    assert short_unit("US_survey_foot") == "US_survey_foot"


def test_thin_axes_go_in_any_orientation():
    assert Grid.from_spacing((1, 8, 9)).thin_axes() == (0,)
    flat = Grid.from_spacing((1, 8, 9), (5, 2, 3), (7, 1, 2)).without((0,))
    assert flat.shape == (8, 9) and flat.spacing.tolist() == [2, 3] and flat.origin.tolist() == [1, 2]
    tilted = np.eye(4)
    tilted[0, 1] = 0.2
    oblique = Grid((1, 8, 9), tilted, ("pixel",) * 3)
    assert (
        oblique.thin_axes() == (0,)
        and oblique.oblique((0,))
        and not Grid.from_spacing((1, 8, 9)).oblique((0,))
    )
    assert oblique.without((0,)).spacing == pytest.approx([np.sqrt(1.04), 1])
    corners = oblique.without((0,)).corners()
    assert oblique.flat_points(oblique.corners())[:4] == pytest.approx(corners)
    assert apply_affine(oblique.plane(0), np.c_[corners, np.zeros(4)]) == pytest.approx(oblique.corners()[:4])
    assert Grid((1, 8, 9), tilted, ("pixel", "pixel", "mm")).thin_axes() == ()  # a plane mixes its units
    assert Grid.from_spacing((1, 1, 9)).thin_axes() == ()


def test_coarsened_nodes_are_nodes():
    grid = _oblique(3)
    coarse = grid.coarsened(2)
    assert coarse.shape == (3, 3, 4)
    assert np.allclose(coarse.nodes().reshape(3, 3, 4, 3), grid.nodes().reshape(5, 6, 7, 3)[::2, ::2, ::2])


def test_contains_half_a_pixel_beyond_the_outer_centres():
    grid = Grid.from_spacing((4, 4), 2.0)
    assert grid.contains([[-0.9, 0], [-1.1, 0], [6.9, 6.9], [7.1, 0]]).tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid((4, 4), np.zeros((3, 3)), ("mm", "mm")), "invertible"),
        (lambda: Grid((4, 4), np.eye(4), ("mm", "mm")), "3 x 3"),
        (lambda: Grid((4, 0), np.eye(3), ("mm", "mm")), "at least one pixel"),
        (lambda: Grid((4, 4), np.eye(3), ("mm",)), "2 units"),
        (lambda: Image(np.zeros((3, 4)), Grid.from_spacing((4, 4))), "does not fit"),
        (lambda: as_image(np.zeros(5)), "two or three axes"),
        (lambda: as_image(np.zeros((3, 10, 60, 70))), r"Which axis .* \(3, 10, 60, 70\) is time or channels"),
        (lambda: as_image(np.zeros((2, 5, 40, 41))), "Which axis"),
        (lambda: as_image(np.zeros((10, 60, 70, 5))), "Which axis"),
        (lambda: as_image(np.zeros((2, 3, 10, 60, 3))), "Which axis"),
    ],
)
def test_bad_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_plain_arrays_become_images():
    assert as_image(np.zeros((9, 8, 3))).channels == 3
    assert as_image(np.zeros((9, 8, 7))).ndim == 3
    for channels in (1, 2, 3, 4):
        image = as_image(np.zeros((9, 8, 7, channels)))
        assert image.channels == channels and image.grid.shape == (9, 8, 7)


@pytest.mark.parametrize("dtype", [bool, np.float16, np.int16, np.uint8, np.float64, ">f4"])
def test_every_pixel_type_reaches_itk(dtype):
    data = (np.arange(12).reshape(3, 4) % 2).astype(dtype)
    image = image_from_itk(image_to_itk(Image(data, Grid.from_spacing((3, 4)))))
    assert np.array_equal(image.data.astype(float), data.astype(float))


def test_channels_become_vector_pixels():
    image = image_to_itk(Image(np.zeros((3, 4, 2), np.float32), Grid.from_spacing((3, 4))))
    assert image.GetNumberOfComponentsPerPixel() == 2 and image.GetSize() == (4, 3)
    assert isinstance(image, sitk.Image)


def test_numpy_sees_the_pixels_of_an_image():
    data = np.arange(6, dtype=np.uint8).reshape(2, 3)
    image = Image(data, Grid.from_spacing((2, 3)))
    assert np.asarray(image) is data  # shared, as an array is
    assert np.asarray(image, dtype=np.uint8) is data
    copied = np.array(image)
    assert not np.shares_memory(copied, data) and np.array_equal(copied, data)
    real = np.asarray(image, dtype=np.float32)
    assert real.dtype == np.float32 and np.array_equal(real, data)
    assert np.asarray(image, copy=False) is data
    with pytest.raises(ValueError, match="copy"):
        np.asarray(image, dtype=np.float32, copy=False)
    assert np.mean(image) == 2.5 and np.array_equal(np.stack([image, image])[1], data)


@pytest.mark.parametrize("given", ["fixed.png", None, [[object()] * 9] * 9, [["a"] * 9] * 9])
def test_what_holds_no_numbers_is_no_image(given: object) -> None:
    with pytest.raises(ValueError, match=r"is not an image; give an array of numbers") as raised:
        as_image(given)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 200


def test_an_image_shows_what_it_is_and_not_its_pixels() -> None:
    image = as_image(np.zeros((200, 300, 3), np.uint8), "fundus")
    assert repr(image).startswith("Image('fundus', uint8, 3 channels, Grid(") and len(repr(image)) < 400
