"""How long does it take to apply a transform?

    .venv/bin/python benchmarks/apply.py

Prints a Markdown table of seconds, the median of some repetitions: 10,000 points through a dense field in
3D, forwards and inverted, and an RGB image of 2,048 x 2,048 pixels warped beside SimpleITK's Resample, which
is given the same pixels and the same transform and is run in turn with ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import SimpleITK as sitk

from napari_voxreg import Affine, BSpline, Displacement, Grid, Image, Transform, apply
from napari_voxreg.registration.pair_transform import PairTransform
from napari_voxreg.transforms.itk import image_to_itk

SIDE, VOLUME, POINTS = 2048, 256, 10_000
REPEATS = 5


def seconds(*works: Callable[[], object]) -> list[float]:
    """Median seconds of each, run in turn, after one run of each that does not count."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(REPEATS + 1):
        for work, own in zip(works, times, strict=True):
            began = time.perf_counter()
            work()
            own.append(time.perf_counter() - began)
    return [median(own[1:]) for own in times]


def points() -> list[str]:
    """Rows of points through a field."""
    grid = Grid.from_spacing((VOLUME,) * 3, (1.5, 1.0, 0.8), units="millimeter")
    places = np.indices(grid.shape, dtype=np.float32)
    field = np.stack(
        [5 * np.sin(places[(k + 1) % 3] / 20 + k) * np.cos(places[k] / 25) for k in range(3)], axis=-1
    )
    pair = PairTransform(Displacement(field, grid), grid, grid)
    inner = np.random.default_rng(0).uniform(10, VOLUME - 10, (POINTS, 3))
    given = grid.to_world(inner)
    rows = []
    for direction in ("fixed -> moving", "moving -> fixed"):
        (ours,) = seconds(lambda direction=direction: apply(pair, given, direction=direction))
        rows.append(f"| {POINTS} points, field of {VOLUME}^3 | {direction} | {ours:.3f} | |")
    return rows


def images() -> list[str]:
    """Rows of an RGB image."""
    rng = np.random.default_rng(0)
    grid = Grid.from_spacing((SIDE, SIDE))
    image = Image(rng.integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8), grid)
    rows = []
    for name, transform in transforms(grid).items():
        itk = transform.to_itk(grid)
        ours, theirs = seconds(
            lambda transform=transform: apply(transform, image, grid=grid), lambda itk=itk: in_itk(image, itk)
        )
        rows.append(f"| RGB, {SIDE}^2 | {name} | {ours:.3f} | {theirs:.3f} |")
    return rows


def in_itk(image: Image, transform: sitk.Transform) -> np.ndarray:
    """The pixels that SimpleITK's Resample makes of an image."""
    pixels = image_to_itk(image)
    return sitk.GetArrayFromImage(sitk.Resample(pixels, pixels, transform, sitk.sitkLinear, 0.0))


def transforms(grid: Grid) -> dict[str, Transform]:
    """A transform of each kind that SimpleITK has."""
    matrix = np.eye(3)
    matrix[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    matrix[:2, 2] = 100, -50
    control = Grid.from_spacing((20, 20), SIDE / 16, -SIDE / 16)
    waves = 5 * np.sin(np.indices(grid.shape) / 100)
    return {
        "affine": Affine(matrix),
        "displacement": Displacement(np.moveaxis(waves, 0, -1), grid),
        "B-spline": BSpline(np.random.default_rng(1).normal(0, 3, (2, *control.shape)), control),
    }


def main() -> None:
    """Print the table."""
    print("| what | transform | apply, s | SimpleITK, s |\n| --- | --- | --- | --- |")
    for row in [*points(), *images()]:
        print(row)


if __name__ == "__main__":
    main()
