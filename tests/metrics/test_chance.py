"""A deformation raises the similarity of unrelated images, too; that is no match."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage import data
from skimage.color import rgb2gray
from skimage.transform import resize

from napari_voxreg import Affine, Displacement, Grid, Image
from napari_voxreg.core.progress import silent
from napari_voxreg.images.preprocess import driving_channel
from napari_voxreg.methods import METHODS
from napari_voxreg.metrics.chance import match
from napari_voxreg.metrics.pair import PairMetrics
from napari_voxreg.metrics.verdict import Verdict, judge
from napari_voxreg.registration.prepare import prepare
from napari_voxreg.samples import make_sample

SHAPE = (104, 120)
GRID = Grid.from_spacing(SHAPE)


def image(pixels):
    return Image(np.ascontiguousarray(pixels, dtype=np.float32), Grid.from_spacing(pixels.shape))


def texture(seed, size, shape=SHAPE):
    pixels = gaussian_filter(np.random.default_rng(seed).normal(size=shape), size)
    return pixels / pixels.std()


def photograph(name):
    pixels = getattr(data, name)()
    return resize(rgb2gray(pixels) if pixels.ndim == 3 else pixels, SHAPE, anti_aliasing=True)


def smooth_motion(seed, length, reach=12.0, shape=SHAPE):
    """Displacements of a mean length in pixels."""
    u = np.stack([texture([seed, k], reach, shape) for k in range(len(shape))], axis=-1)
    return u * length / np.linalg.norm(u, axis=-1).mean()


def moved(pixels, motion):
    """What fixed looks like if T(x) = x + motion(x) leads to these pixels."""
    at = np.indices(pixels.shape) + np.moveaxis(motion, -1, 0)
    return map_coordinates(pixels, at, order=1, mode="reflect")


def verdict_of(fixed, moving, method="diffeo") -> Verdict:
    task = prepare(fixed, moving, device="cpu").task
    found = METHODS[method].run(task, METHODS[method].parameters(), silent).transform
    return verdict(PairMetrics.of(task), found)


def verdict(metrics, transform) -> Verdict:
    return judge(metrics, metrics.scores(None), metrics.scores(transform), transform)


@pytest.mark.parametrize(
    "method, size",
    [*(("diffeo", size) for size in (1, 2, 3, 5, 8)), ("demons", 2), ("demons", 5), ("ilk", 3)],
)
def test_smooth_textures_that_differ_are_not_better(method, size):
    for seed in (10, 20) if method == "diffeo" else (10,):
        found = verdict_of(image(texture(seed + size, size)), image(texture(seed + size + 100, size)), method)
        assert found.outcome != "better"


@pytest.mark.parametrize("method", ["diffeo", "demons", "tvl1"])
def test_noise_is_not_better(method):
    rng = np.random.default_rng(5)
    for _ in range(2):
        assert verdict_of(*(image(rng.normal(size=SHAPE)) for _ in "ab"), method).outcome != "better"


@pytest.mark.parametrize("method", ["diffeo", "flow"])
@pytest.mark.parametrize(
    "names", [("camera", "coins"), ("moon", "astronaut"), ("text", "grass"), ("coffee", "chelsea")]
)
def test_photographs_of_different_things_are_not_better(names, method):
    assert verdict_of(*(image(photograph(name)) for name in names), method).outcome != "better"


@pytest.mark.parametrize("name", ["gravel", "grass", "brick"])
def test_other_places_of_one_texture_are_not_better(name):
    pixels = getattr(data, name)()
    for column in (0, 150):
        one, other = pixels[:112, column : column + 128], pixels[300:412, column + 90 : column + 218]
        assert verdict_of(image(one), image(other)).outcome != "better"


def test_demons_do_not_align_two_places_of_a_brick_wall():
    """A pattern that repeats itself lets a rough deformation match more than any fit to displaced images."""
    pixels = data.brick()
    found = verdict_of(image(pixels[:128, 176:304]), image(pixels[300:428, 176:304]), "demons")
    assert found.outcome == "unclear" and found.after > found.before + 0.1


def test_a_chance_gain_is_said_in_one_sentence():
    found = verdict_of(image(texture(30, 3)), image(texture(31, 3)), "demons")
    assert found.outcome == "unclear" and found.after > found.before + 0.1
    assert found.sentence.startswith("Unclear: a deformation gains as much on unrelated images (LNCC 0.")
    assert f"LNCC {found.before:.3f} -> {found.after:.3f} where both overlap" in found.sentence
    assert "\n" not in found.sentence


@pytest.mark.parametrize("contrast", [lambda x: x, lambda x: -x, np.abs])
@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("size", [2, 5])
def test_a_true_deformation_stays_better(size, noise, contrast):
    rng = np.random.default_rng(size)
    pixels, motion = texture(40 + size, size), smooth_motion(50 + size, 3.0)
    fixed = contrast(moved(pixels, motion)) + noise * rng.normal(size=SHAPE)
    metrics = PairMetrics(image(fixed), image(pixels + noise * rng.normal(size=SHAPE)))
    assert verdict(metrics, Displacement(motion, GRID)).outcome == "better"


@pytest.mark.parametrize("method", ["diffeo", "flow"])
@pytest.mark.parametrize("name", ["camera", "coins", "brick"])
def test_a_deformed_photograph_stays_better(name, method):
    pixels = photograph(name)
    pixels = pixels / pixels.std()
    rng = np.random.default_rng(7)
    fixed = moved(pixels, smooth_motion(8, 2.0)) + 0.1 * rng.normal(size=SHAPE)
    assert verdict_of(image(fixed), image(pixels), method).outcome == "better"


@pytest.mark.parametrize("name", ["fundus", "sar", "brain2d", "microscopy"])
def test_the_truth_of_every_sample_stays_better(name):
    made = make_sample(name)
    metrics = PairMetrics(driving_channel(made.fixed), driving_channel(made.moving))
    assert verdict(metrics, made.truth).outcome == "better"


def test_volumes():
    shape = (40, 44, 48)
    grid = Grid.from_spacing(shape)
    pixels, motion = texture(60, 2, shape), smooth_motion(61, 2.0, shape=shape)
    truth = Displacement(motion, grid)
    related = PairMetrics(image(moved(pixels, motion)), image(pixels))
    assert verdict(related, truth).outcome == "better"
    assert verdict_of(image(texture(62, 2, shape)), image(texture(63, 2, shape))).outcome != "better"


def test_images_apart_need_a_match_too():
    """Without an overlap before, a result that only brings images together is not better."""
    fixed, other = image(texture(70, 3)), image(texture(71, 3))
    apart = Affine.translation([0.0, 130.0])
    for moving, outcome in ((fixed, "better"), (other, "unclear")):
        metrics = PairMetrics(fixed, moving.with_grid(GRID.moved(apart.matrix)))
        assert verdict(metrics, apart).outcome == outcome


def test_the_chance_level_does_not_depend_on_the_match():
    """Displaced by a quarter of the image, a right and a wrong moving image match alike."""
    fixed = image(texture(80, 3))
    levels = [match(PairMetrics(fixed, image(texture(seed, 3))), Affine.identity(2)) for seed in (80, 81)]
    assert levels[0].found > 0.7 and levels[1].found < 0.3
    assert levels[0].unrelated == pytest.approx(levels[1].unrelated, abs=0.06)
    assert not levels[0].by_chance and levels[1].by_chance


@pytest.mark.parametrize("size, count", [(72, 12), (128, 40), (256, 60), (256, 12)])
def test_spots_that_all_look_alike_are_matched_by_chance_only_here_and_there(size, count):
    """Sparse spots on black, as in fluorescence: any one matches any other, but not all of them at once."""

    def spots(seed, away):
        at = np.random.default_rng(seed).uniform(0.15, 0.85, (count, 2)) * size + away
        rows, columns = np.mgrid[:size, :size]
        return image(sum(np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / 30) for r, c in at))

    for seed in range(3):
        metrics = PairMetrics(spots(seed, 0), spots(seed, (3, -2)))
        assert verdict(metrics, Affine.translation([3.0, -2.0])).outcome == "better"
        found = match(PairMetrics(spots(seed, 0), spots(seed + 50, 0)), Affine.identity(2))
        assert found is None or found.by_chance


def an_object(seed, disc=False):
    """A few large parts, or rings around one centre, in the middle of a dark image with noise."""
    rng = np.random.default_rng(seed)
    places = np.full((8, 2), 0.5) if disc else rng.uniform(0.3, 0.7, (8, 2))
    pixels = np.zeros(SHAPE)
    for place, radius in zip(places * SHAPE, np.sort(rng.uniform(6, 21, 8))[::-1], strict=True):
        distance = np.hypot(*(np.indices(SHAPE) - place[:, None, None]))
        part = 1 / (1 + np.exp(2 * (distance - radius)))
        pixels = pixels * (1 - part) + rng.uniform(0.4, 1) * part
    return pixels + 0.03 * rng.normal(size=SHAPE)


@pytest.mark.parametrize("method", ["rigid", "affine", "demons"])
def test_the_outlines_of_two_objects_are_no_match(method):
    for seed in (0, 10, 20):
        found = verdict_of(image(an_object(seed)), image(an_object(seed + 1)), method)
        assert found.outcome != "better", seed


@pytest.mark.parametrize("disc", [False, True])
def test_an_object_in_place_stays_better(disc):
    """A disc looks the same after any rotation; that is no evidence against its translation."""
    pixels, truth = an_object(3, disc), Affine.translation([9.0, -7.0])
    moving = np.roll(pixels, (9, -7), (0, 1)) + 0.03 * np.random.default_rng(4).normal(size=SHAPE)
    assert verdict(PairMetrics(image(pixels), image(1 - moving)), truth).outcome == "better"
