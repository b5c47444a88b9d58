"""Registering pairs with networks whose predictions are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation
from torch import Tensor

from napari_voxreg import Affine, Composite, Grid, Image, StationaryVelocity, warp
from napari_voxreg.images.preprocess import block_mean, unit_range
from napari_voxreg.images.task import Task
from napari_voxreg.metrics.similarity import folded_percentage
from napari_voxreg.nets.architectures.avsm import AVSM
from napari_voxreg.nets.architectures.network import Network, Prediction
from napari_voxreg.nets.inference import predict as module
from napari_voxreg.nets.inference.frame import (
    TensorImage,
    coarsened,
    lattice_grid,
    network_grid,
    sampled,
    vectors,
    with_affine,
)
from napari_voxreg.nets.inference.multipass import _sides
from napari_voxreg.nets.inference.predict import predict
from napari_voxreg.tensor import device as devices
from napari_voxreg.tensor.device import free_memory
from napari_voxreg.tensor.integrate import integrate_batch
from napari_voxreg.tensor.warp import resize, warp_batch
from napari_voxreg.transforms import Displacement, chain, displacement_on

SHAPES = {2: (70, 93), 3: (20, 33, 27)}
CPU = torch.device("cpu")


class Known(Network):
    """Moves every pixel by a smooth field that depends on nothing, and records its inputs."""

    def __init__(self, ndim: int, stride: int = 8, size: float = 2.0) -> None:
        super().__init__(ndim, stride, {})
        self.size = size
        self.seen: list[tuple[Tensor, Tensor]] = []

    def field(self, shape: tuple[int, ...], nodes: int = 4) -> Tensor:
        generator = torch.Generator().manual_seed(3)
        coarse = torch.randn(1, self.ndim, *[nodes] * self.ndim, generator=generator)
        return self.size * resize(coarse, shape)

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        self.seen.append((fixed, moving))
        return Prediction(self.field(tuple(fixed.shape[2:])))


class Flowing(Known):
    """The same as the flow of a velocity at half resolution, with extras of many kinds."""

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        self.seen.append((fixed, moving))
        shape = tuple(fixed.shape[2:])
        half = tuple(n // 2 for n in shape)
        velocity = self.field(half)
        step = torch.tensor([(n - 1) / (m - 1) for n, m in zip(shape, half, strict=True)])
        step = step.view(1, -1, *(1,) * self.ndim)
        displacement = resize(integrate_batch(velocity / step, 7) * step, shape)
        extras = {"saliency": fixed, "momentum": velocity, "three": fixed.expand(-1, self.ndim + 2, *shape)}
        return Prediction(displacement, velocity, extras=extras)


class Centroid(Network):
    """Translates the centroid of bright pixels, by at most `most` pixels along each axis."""

    def __init__(self, ndim: int, most: float = 1e9) -> None:
        super().__init__(ndim, 8, {})
        self.most = most

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        shape = tuple(fixed.shape[2:])
        axes = torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij")
        centroids = [
            torch.stack([(image[0, 0] ** 2 * a).sum() / (image[0, 0] ** 2).sum() for a in axes])
            for image in (fixed, moving)
        ]
        translation = (centroids[1] - centroids[0]).clamp(-self.most, self.most)
        affine = torch.cat([torch.eye(self.ndim), translation[:, None]], 1)[None]
        return Prediction(translation.view(1, -1, *(1,) * self.ndim).expand(1, -1, *shape), affine=affine)


def scene(shape, seed=0):
    return gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2).astype(np.float32)


def rotation(ndim, degrees=20.0):
    if ndim == 3:
        return Rotation.from_rotvec(np.deg2rad(degrees) * np.array([0.6, 0.0, 0.8])).as_matrix()
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s], [s, c]])


def awkward(ndim, seed=0, degrees=20.0):
    """An image on a grid that is anisotropic, translated, rotated and flipped."""
    direction = rotation(ndim, degrees) @ np.diag([-1.0] + [1.0] * (ndim - 1))
    grid = Grid.from_spacing(SHAPES[ndim], (1.4, 0.7, 0.9)[:ndim], (30.0, -5, 8)[:ndim], direction, "mm")
    return Image(scene(SHAPES[ndim], seed), grid)


@pytest.mark.parametrize("d", [2, 3])
def test_a_prediction_goes_on_around_the_image(d):
    # A transform in front may lead there: a displacement that ended at once would fold.
    grid = Grid.from_spacing(SHAPES[d])
    image = Image(np.zeros(grid.shape, np.float32), grid)
    found = predict(Task(image, image), Known(d)).transform
    outside = np.array([np.array(grid.shape) + 1.0, np.full(d, -2.0)])
    assert (np.linalg.norm(found(outside) - outside, axis=1) > 0.1).all()
    assert folded_percentage(chain(Affine.translation([2.0] * d), found), grid) == 0


@pytest.mark.parametrize("ndim", [2, 3])
class TestTheGrid:
    def test_covers_the_fixed_image_with_cubic_pixels(self, ndim):
        fixed = awkward(ndim).grid
        grid = network_grid(fixed, 16, 512)
        assert all(n % 16 == 0 for n in grid.shape)
        assert np.allclose(grid.spacing, 0.7)
        assert np.allclose(grid.direction, fixed.direction)
        edges = fixed.to_world([[-0.5] * ndim, [n - 0.5 for n in fixed.shape]])
        low, high = grid.to_index(edges)
        assert (low >= -0.5 - 1e-9).all()
        assert (high <= np.array(grid.shape) - 0.5 + 1e-9).all()

    def test_falls_on_the_fixed_pixels_where_it_can(self, ndim):
        fixed = Grid.from_spacing(SHAPES[ndim], 0.5, 7.0, rotation(ndim))
        index = network_grid(fixed, 16, 512).to_index([fixed.origin])
        assert np.allclose(index, np.round(index), atol=1e-9)
        exact = Grid.from_spacing((32,) * ndim, 0.5, 7.0)
        assert network_grid(exact, 16, 512).same_as(exact)

    def test_has_at_most_so_many_pixels_and_at_least_the_stride(self, ndim):
        grid = network_grid(Grid.from_spacing((3,) * (ndim - 1) + (2000,), 1.0), 16, 500)
        assert grid.shape == (16,) * (ndim - 1) + (512,)
        assert np.allclose(grid.spacing, 4.0)

    def test_a_lattice_shares_its_outermost_pixels(self, ndim):
        grid = awkward(ndim).grid
        lattice = lattice_grid(grid, (5,) * ndim)
        assert np.allclose(lattice.corners(), grid.corners())
        assert np.allclose(lattice_grid(grid, (1,) * ndim).centre, grid.centre)


@pytest.mark.parametrize("ndim", [2, 3])
def test_pixels_that_need_no_sampling_are_taken_as_they_are(ndim):
    image = awkward(ndim)
    tensor = TensorImage.of(image, CPU)
    shape = tuple(n + 5 for n in image.grid.shape)
    corner, step = image.grid.to_world([[-3] * ndim, [-3 + 1e-4] * ndim])
    affines = [image.grid.affine.copy() for _ in range(2)]
    affines[0][:-1, -1], affines[1][:-1, -1] = corner, step
    cut, interpolated = (
        sampled(tensor, Grid(shape, affine, image.grid.units))[0, 0].numpy() for affine in affines
    )
    pixels = tensor.pixels[0].numpy()
    assert np.array_equal(cut[(slice(3, -2),) * ndim], pixels)
    assert np.abs(cut - interpolated).max() < 1e-3
    assert cut[(0,) * ndim] == pixels[(0,) * ndim]


@pytest.mark.parametrize("ndim", [2, 3])
def test_an_image_is_scaled_and_averaged_as_everywhere_else(ndim):
    image = awkward(ndim)
    tensor = TensorImage.of(image, CPU)
    assert np.array_equal(tensor.pixels[0].numpy(), unit_range(image.data))
    grid = network_grid(image.grid, 1, max(image.grid.shape) // 3)
    coarse = coarsened(tensor, grid)
    steps = [-(-n // m) for n, m in zip(image.grid.shape, coarse.grid.shape, strict=True)]
    assert max(steps) > 1
    whole = block_mean(image.with_data(unit_range(image.data)), steps)
    assert coarse.grid.same_as(whole.grid)
    flat = image.with_data(np.full(image.grid.shape, 5.0))
    assert not TensorImage.of(flat, CPU).pixels.any()
    assert not unit_range(flat.data).any()
    assert np.allclose(coarse.pixels[0].numpy(), whole.data, atol=1e-6)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("deformable", [False, True])
def test_a_displacement_is_applied_before_a_transform_of_any_kind(ndim, deformable):
    image, net = awkward(ndim), Known(ndim)
    grid = network_grid(image.grid, net.stride, 64)
    field = net.field(grid.shape)[0]
    affine = Affine(Grid.from_spacing((2,) * ndim, 1.0, 0.5, rotation(ndim, 4)).affine)
    velocity = StationaryVelocity(np.full((*grid.shape, ndim), 0.4), grid)
    initial = Composite((velocity, affine)) if deformable else affine
    whole = chain(Displacement(vectors(field, grid), grid), initial)
    tensor = TensorImage.of(image, CPU)
    assert torch.allclose(sampled(tensor, grid, initial, field), sampled(tensor, grid, whole), atol=2e-4)
    if not deformable:
        pixels = displacement_on(whole, grid) @ np.linalg.inv(grid.affine[:ndim, :ndim]).T
        assert np.allclose(np.moveaxis(with_affine(field, affine, grid).numpy(), 0, -1), pixels, atol=1e-3)


@pytest.mark.parametrize("size", [20, 48, 128, 256, 700])
def test_passes_go_from_small_to_large_images_and_are_at_least_two(size):
    net = Known(2)
    net.first_side = 128
    sides = _sides(net, size)
    assert sides == sorted(sides)
    assert sides[-1] == size
    assert len(sides) >= 2
    assert sides[0] <= 128
    assert all(b <= 2.4 * a for a, b in pairwise(sides))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("kind", [Known, Flowing])
def test_the_transform_is_what_the_network_did(ndim, kind):
    fixed, moving = awkward(ndim), awkward(ndim, 1, degrees=28.0)
    net = kind(ndim)
    found = predict(Task(fixed, moving), net)
    grid = network_grid(fixed.grid, net.stride, module.SIZES[ndim])
    still, displaced = net.seen[0]
    assert still.shape[2:] == grid.shape
    own = warp_batch(displaced, net(still, displaced).displacement)[0, 0].numpy()
    # The transform warps the network's pixels as the network does.
    warped = warp(Image(displaced[0, 0].numpy(), grid), found.transform, grid).data
    inner = (slice(6, -6),) * ndim
    assert np.abs(warped - own)[inner].max() < 2e-3
    # The same holds for the moving image itself, except that it is interpolated once less.
    direct = warp(moving.with_data(unit_range(moving.data)), found.transform, grid).data
    inside = warp(moving.with_data(np.ones(moving.grid.shape, bool)), found.transform, grid).data[inner]
    assert inside.mean() > 0.5
    assert np.abs(direct - own)[inner][inside].mean() < 0.03
    assert np.abs(still[0, 0].numpy() - own)[inner][inside].mean() > 0.1


def test_a_velocity_is_kept_and_extras_are_on_the_network_grid():
    fixed = awkward(2)
    net = Flowing(2)
    found = predict(Task(fixed, fixed), net)
    assert isinstance(found.transform, StationaryVelocity)
    assert set(found.extras) == {"saliency", "momentum", *(f"three {k}" for k in (1, 2, 3, 4)), "velocity"}
    grid = network_grid(fixed.grid, net.stride, 512)
    assert found.extras["saliency"].grid.same_as(grid)
    assert found.extras["saliency"].channels is None
    velocity = found.extras["velocity"]
    assert velocity.data.shape == (*(n // 2 for n in grid.shape), 2)
    assert np.allclose(velocity.grid.corners(), grid.corners())
    pixels = net.field(tuple(n // 2 for n in grid.shape))[0].numpy()
    assert np.allclose(velocity.data, np.moveaxis(pixels, 0, -1) @ grid.affine[:2, :2].T, atol=1e-5)


def blob(grid, world, width):
    distance = np.linalg.norm(grid.nodes() - world, axis=1) / width
    return Image(np.exp(-(distance**2)).reshape(grid.shape).astype(np.float32), grid)


@pytest.mark.parametrize("ndim", [2, 3])
def test_every_affine_pass_resamples_the_original_moving_image(ndim):
    fixed = awkward(ndim)
    place = fixed.grid.centre + 1.0
    # A large moving image on other axes, whose blob lies outside the fixed image.
    grid = Grid.from_spacing((90,) * ndim, 1.0, fixed.grid.centre - 45.0, rotation(ndim, 10), "mm")
    away = fixed.grid.direction[:, -1] * (0.62 * fixed.grid.shape[-1] * fixed.grid.spacing[-1])
    still, displaced = blob(fixed.grid, place, 6.0), blob(grid, place + away, 6.0)
    one = predict(Task(still, displaced), Centroid(ndim, most=6.0), steps=1)
    many = predict(Task(still, displaced), Centroid(ndim, most=6.0), steps=16)
    misses = [np.linalg.norm(p.transform([place])[0] - place - away) for p in (one, many)]
    assert isinstance(many.transform, Affine)
    assert misses[0] > 4
    assert misses[1] < 0.3
    assert set(many.extras) == {f"step {k}" for k in range(1, 16)}


@pytest.mark.parametrize("ndim", [2, 3])
def test_avsm_applies_its_affine_network_first_and_deforms_from_there(ndim):
    torch.manual_seed(2)
    net = AVSM(ndim, width=4, affine_width=4, steps=3)
    torch.nn.init.normal_(net.affine.step.head.out.weight, std=0.02)
    torch.nn.init.normal_(net.momentum.out.weight, std=0.2)
    fixed, moving = awkward(ndim), awkward(ndim, 1, degrees=24.0)
    found = predict(Task(fixed, moving), net, steps=2)
    assert set(found.extras) == {"step 1", "step 2", "affine part", "momentum", "velocity"}
    deformation, pose = found.transform.members
    assert isinstance(pose, Affine)
    assert np.allclose(pose.matrix, found.extras["step 2"].matrix)
    assert not np.allclose(pose.matrix, np.eye(ndim + 1), atol=0.02)
    # The deformation is the network's own prediction for the moving image after the affine steps.
    grid = network_grid(fixed.grid, net.stride, module.SIZES[ndim])
    still, displaced = (
        sampled(coarsened(TensorImage.of(i, CPU), grid), grid, t) for i, t in ((fixed, None), (moving, pose))
    )
    with torch.inference_mode():
        own = net(still, displaced).displacement[0].movedim(0, -1).numpy()
    pixels = displacement_on(deformation, grid) @ np.linalg.inv(grid.affine[:-1, :-1]).T
    assert np.abs(own).max() > 0.5
    assert np.abs(pixels - own).max() < 1e-3


def test_a_network_finds_the_motion_that_an_initial_transform_leaves():
    fixed = awkward(2)
    place = fixed.grid.centre
    still, displaced = blob(fixed.grid, place, 6.0), blob(fixed.grid, place + np.array([5.0, -3.0]), 6.0)
    # An initial transform that is not affine and moves the blob's neighbourhood by 300.
    far = Affine.translation([300.0, 0.0])
    field = np.full((*fixed.grid.shape, 2), 0.5)
    initial = Composite((StationaryVelocity(field, fixed.grid), far))
    moved = displaced.with_grid(displaced.grid.moved(far.matrix))
    found = chain(predict(Task(still, moved).placed(initial), Centroid(2)).transform, initial)
    assert np.allclose(found([place])[0], place + np.array([305.0, -3.0]), atol=0.2)


@pytest.mark.parametrize("shape", [(1, 9), (5, 5), (3, 200), (2, 4, 3)])
def test_images_smaller_than_the_stride_are_padded(shape):
    image = Image(np.random.default_rng(0).random(shape), Grid.from_spacing(shape))
    found = predict(Task(image, image), Known(len(shape), stride=16, size=0.5))
    assert np.isfinite(found.transform(image.grid.nodes())).all()


class Greedy(Known):
    """Raises the given errors on its first calls."""

    def __init__(self, errors: list[Exception]) -> None:
        super().__init__(2)
        self.errors = errors

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        prediction = super().forward(fixed, moving)
        if self.errors:
            raise self.errors.pop(0)
        return prediction


def test_too_little_memory_makes_pixels_larger_and_adds_a_note():
    image = awkward(2)
    net = Greedy([RuntimeError("can't allocate memory"), MemoryError()])
    found = predict(Task(image, image), net)
    sides = [max(still.shape[2:]) for still, _ in net.seen]
    assert sides[0] > sides[1] > sides[2]
    assert found.notes == ("Memory is short: the network used 35 pixels along the longest side.",)
    with pytest.raises(ValueError, match="too little memory"):
        predict(Task(image, image), Greedy([MemoryError()] * 9))


def test_no_more_memory_is_used_than_the_cpu_has(monkeypatch):
    image, net = awkward(2), Known(2)
    assert free_memory() > 2**26
    monkeypatch.setattr(module, "free_memory", lambda: 64 * 64 * module.NEED[2])
    assert predict(Task(image, image), net).notes[0].startswith("Memory is short: ")
    assert net.seen[0][0].numel() <= 64 * 64


def test_the_cpu_takes_over_from_a_gpu_without_memory(monkeypatch):
    # "meta" stands for the GPU: tensors may go there, and nothing can be computed.
    monkeypatch.setattr(devices, "device_named", lambda name: torch.device("meta"))
    image, seen = awkward(2), []

    def fill(images: Tensor, *rest: object) -> Tensor:
        seen.append(images.device.type)
        if images.device.type == "meta":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(images, *rest)

    from napari_voxreg.nets.inference import frame

    real = frame.sample
    monkeypatch.setattr(frame, "sample", fill)
    found = predict(Task(image, image, device="cuda"), Known(2))
    assert set(seen) == {"meta", "cpu"}
    assert found.notes == ("The META device has too little memory; the CPU did the work.",)
    assert found.device == "cpu"
    assert np.array_equal(found.transform.field, predict(Task(image, image), Known(2)).transform.field)


def test_other_errors_are_not_mistaken_for_a_lack_of_memory():
    with pytest.raises(RuntimeError, match="sizes of tensors"):
        predict(Task(awkward(2), awkward(2)), Greedy([RuntimeError("sizes of tensors must match")]))


@pytest.mark.parametrize("name", ["cuda", "mps", "cuda:1"])
def test_an_absent_device_is_refused(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"no {name[:4].strip(':').upper()} device"):
        predict(Task(awkward(2), awkward(2), device=name), Known(2))


def test_invalid_devices_weights_and_dimensions_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="no device 'tpu'; choose from: auto, cpu, cuda, mps"):
        predict(Task(awkward(2), awkward(2), device="tpu"), Known(2))
    with pytest.raises(ValueError, match="for 3D images and the pair is 2D"):
        predict(Task(awkward(2), awkward(2)), Known(3))
    with pytest.raises(ValueError, match="damaged"):
        predict(Task(awkward(2), awkward(2)), Known(2, size=float("nan")))


class NearSighted(Centroid):
    """Finds at most `most` of its own pixels of motion, and predicts a displacement."""

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        return Prediction(super().forward(fixed, moving).displacement)


@pytest.mark.parametrize("ndim", (2, 3))
def test_passes_from_coarse_to_fine_find_motion_that_one_pass_does_not(ndim: int) -> None:
    side, translation = 96, np.array([14.0, -9.0, 6.0][:ndim])
    grid = Grid.from_spacing((side,) * ndim, 0.5, units="mm")
    index = np.indices(grid.shape)
    middle = side / 2 + np.zeros(ndim)

    def blob(centre: np.ndarray) -> Image:
        far = sum((i - c) ** 2 for i, c in zip(index, centre, strict=True))
        return Image(np.exp(-far / 200).astype(np.float32), grid)

    fixed, moving = blob(middle), blob(middle + translation)
    net = NearSighted(ndim, most=2.0)
    point = grid.to_world([middle])
    once = predict(Task(fixed, moving), net).transform(point) - point
    assert np.abs(once).max() < 2.1 * 0.5
    net.first_side = 12
    found = predict(Task(fixed, moving), net).transform(point) - point
    assert found[0] == pytest.approx(0.5 * translation, abs=0.3)
    # After an initial transform, only the remaining motion is found.
    matrix = np.eye(ndim + 1)
    matrix[:ndim, ndim] = 0.4 * translation
    task = Task(fixed, moving).placed(Affine(matrix))
    again = chain(predict(task, net).transform, Affine(matrix))(point) - point
    assert again[0] == pytest.approx(0.5 * translation, abs=0.3)


@pytest.mark.parametrize("ndim", (2, 3))
def test_an_affine_network_can_run_first(ndim: int) -> None:
    place = np.full(ndim, 24.0)
    away = np.array([11.0, -7.0, 5.0][:ndim])
    grid = Grid.from_spacing((96,) * ndim, 0.5)
    still, displaced = blob(grid, place, 4.0), blob(grid, place + away, 4.0)
    net, lead = NearSighted(ndim, most=2.0), Centroid(ndim)
    alone = predict(Task(still, displaced), net)
    led = predict(Task(still, displaced), net, lead=lead)
    misses = [np.linalg.norm(p.transform([place])[0] - place - away) for p in (alone, led)]
    assert misses[0] > 8
    assert misses[1] < 0.3
    first = led.extras["affine first"]
    assert isinstance(first, Affine)
    assert led.transform.members[-1] is first
    assert "affine first" not in alone.extras
    # It starts from the initial transform, and its damage is reported as that of any network.
    initial = Affine.translation(away)
    again = predict(Task(still, displaced).placed(initial), net, lead=lead)
    assert chain(again.transform, initial)([place])[0] == pytest.approx(place + away, abs=0.3)
    with pytest.raises(ValueError, match="not a number"):
        predict(Task(still, displaced), net, lead=Centroid(ndim, most=float("nan")))


def test_a_network_never_sees_more_pixels_than_its_last_side() -> None:
    image = Image(np.random.default_rng(0).random((96, 64), dtype=np.float32), Grid.from_spacing((96, 64)))
    net = Seeing(2)
    net.last_side = 48
    for size, side in ((None, 48), (64, 48), (32, 32)):
        predict(Task(image, image), net, size=size)
        assert net.seen[-1] == side


class Seeing(Network):
    """Records the longest side of its inputs, and moves nothing."""

    def __init__(self, ndim: int) -> None:
        super().__init__(ndim, 8, {})
        self.seen: list[int] = []

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        self.seen.append(max(fixed.shape))
        return Prediction(fixed.new_zeros(1, self.ndim, *fixed.shape[2:]))


class Led(Network):
    """Translates as a `Centroid` does, and by a hundredth of the side more in every later pass."""

    def __init__(self, ndim: int) -> None:
        super().__init__(ndim, 8, {})
        self.affine = Centroid(ndim)
        self.first_side, self.last_side = 24, 96
        self.whole: list[int] = []
        self.later: list[int] = []

    @property
    def affine_part(self) -> Network:
        return self.affine

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        self.whole.append(max(fixed.shape))
        found = self.affine(fixed, moving)
        return Prediction(found.displacement, affine=found.affine, extras={"momentum": fixed})

    def later_pass(self, fixed: Tensor, moving: Tensor) -> Prediction:
        self.later.append(max(fixed.shape))
        shape = tuple(fixed.shape[2:])
        return Prediction(torch.full((1, self.ndim, *shape), 0.01 * max(shape)), extras={"momentum": moving})


@pytest.mark.parametrize("ndim", (2, 3))
def test_an_affine_part_runs_once_at_the_size_it_was_trained_for(ndim: int) -> None:
    side, translation = 96, np.array([14.0, -9.0, 6.0][:ndim])
    grid = Grid.from_spacing((side,) * ndim, 0.5, units="mm")
    index, middle = np.indices(grid.shape), side / 2 + np.zeros(ndim)
    fixed, moving = (
        Image(np.exp(-sum((i - c) ** 2 for i, c in zip(index, at, strict=True)) / 200).astype("f4"), grid)
        for at in (middle, middle + translation)
    )
    net = Led(ndim)
    found = predict(Task(fixed, moving), net, steps=2)
    assert (net.whole, net.later) == ([24], [48, 96])
    # Each later pass adds a hundredth of the side.
    point = grid.to_world([middle])
    assert found.transform(point)[0] - point[0] == pytest.approx(0.5 * (translation + 2 * 0.96), abs=0.3)
    assert set(found.extras) == {"step 1", "step 2", "affine part", "momentum"}
    assert max(found.extras["momentum"].data.shape) == 24
