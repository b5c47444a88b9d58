"""A group deformed together by elastix: in 2D and 3D, its direction, what is kept, cancel, refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import Grid, Image, register_cohort
from napari_voxreg.cohort.group import CohortResult
from napari_voxreg.cohort.group import elastix_group as module
from napari_voxreg.core import process
from napari_voxreg.core.process import MethodUnavailable
from napari_voxreg.core.progress import Cancelled, silent
from napari_voxreg.methods import METHODS
from napari_voxreg.methods.availability import install_command, installed
from napari_voxreg.methods.elastix.group import register_group
from napari_voxreg.methods.elastix.params import ElastixParams
from napari_voxreg.transforms import Displacement, Transform, warp

pytestmark = pytest.mark.skipif(not installed(METHODS["elastix"]), reason="needs the extra elastix")

LINEAR = {"linear": "rigid", "rounds": 1}
ELASTIX = {**LINEAR, "deform": "elastix"}


@pytest.fixture(scope="module", autouse=True)
def child(children: Callable[[], set[psutil.Process]]) -> Iterator[None]:
    process.warm("napari_voxreg.methods.elastix.load")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ElastixParams", partial(ElastixParams, iterations=80))
        yield
    process.shutdown()
    assert not children()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cohort")


@pytest.fixture(scope="module")
def group(cohort: Any, folder: Path) -> CohortResult:
    return register_cohort(cohort.images, options=ELASTIX, folder=folder)


def spread(transforms: Sequence[Transform | None], places: np.ndarray, grid: Grid) -> float:
    """Mean distance of corresponding points of all images from their mean, on the template."""
    common = np.array([t.inverse(grid)(p) for t, p in zip(transforms, places, strict=True) if t is not None])
    return float(np.linalg.norm(common - common.mean(axis=0), axis=2).mean())


@pytest.mark.slow
def test_a_group_agrees_as_well_as_by_diffeo_and_is_drawn_to_no_image(
    cohort: Any, group: CohortResult, folder: Path
) -> None:
    linear = register_cohort(cohort.images, options={**LINEAR, "deform": "none"}, folder=folder)
    grid = group.template.grid
    before = np.linalg.norm(cohort.places - cohort.places.mean(axis=0), axis=2).mean()
    found = spread(group.transforms, cohort.places, grid)
    assert found < 0.2 * before  # the bound of diffeo's group
    assert found < 0.3 * spread(linear.transforms, cohort.places, grid)
    assert group.mean_displacement < 0.1
    assert group.sharpness > 1.05 * linear.sharpness
    assert [member.verdict.outcome for member in group.members if member.verdict] == ["better"] * 5
    assert all(member.seconds > 0 for member in group.members)


@pytest.mark.slow
def test_a_repeated_run_takes_what_is_kept_and_a_changed_one_does_not(
    cohort: Any, group: CohortResult, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def called(*_: Any) -> None:
        raise RuntimeError("elastix was called")

    monkeypatch.setattr(module, "register_group", called)
    again = register_cohort(cohort.images, options=ELASTIX, folder=folder)
    points = group.template.grid.nodes()
    for one, other in zip(group.transforms, again.transforms, strict=True):
        assert one is not None
        assert other is not None
        assert np.array_equal(one(points), other(points))
    assert "taken from an earlier run" in again.notes[0]
    with pytest.raises(RuntimeError, match="elastix was called"):
        register_cohort(cohort.images, options=ELASTIX, folder=folder, seed=1)


def pair(grid: Grid, pixels: float) -> tuple[Image, Image, np.ndarray]:
    """An image, the same with its middle moved along axis 0, and the displacement of that, world units."""
    texture = gaussian_filter(np.random.default_rng(2).standard_normal(grid.shape), 2).astype(np.float32)
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    sides = np.array(grid.shape)
    bump = np.exp(-np.sum(((index - sides // 2) / (sides / 4)) ** 2, axis=-1))
    field = bump[..., None] * pixels * grid.affine[:-1, 0]
    image = Image(texture, grid)
    # The second image shows at x what the first one shows at x + field(x).
    return image, warp(image, Displacement(field, grid), grid, fill=None), field


OBLIQUE = np.array([[0.8, 0.6], [0.6, -0.8]])  # rotated and flipped


@pytest.mark.parametrize(
    ("grid", "iterations"),
    [
        (Grid.from_spacing((64, 80), (0.02, 0.03), (5, -3), OBLIQUE, "millimeter"), 60),
        (Grid.from_spacing((28, 30, 32), (3.0, 2.0, 2.0), units="micrometer"), 30),
    ],
    ids=["2D", "3D"],
)
def test_transforms_go_from_the_middle_to_the_images(grid: Grid, iterations: int) -> None:
    one, other, field = pair(grid, 3.0)
    params = ElastixParams(iterations=iterations, resolutions=3, samples=1000)
    first, second = register_group([one, other], params, 0, 1, silent)
    middle = grid.to_world(np.array(grid.shape)[None] // 2)
    apart = first(second.inverse(grid)(middle)) - middle
    truth = field.reshape(-1, grid.ndim)[[np.argmax(np.linalg.norm(field, axis=-1))]]
    assert np.linalg.norm(apart - truth) < 0.35 * np.linalg.norm(truth)
    assert np.allclose(first.coefficients, -second.coefficients, atol=1e-6 * np.abs(truth).max())
    assert first.grid.units == grid.units


@pytest.mark.slow
def test_an_image_that_is_left_alone_is_its_own_mean(cohort: Any) -> None:
    rng = np.random.default_rng(8)
    other = cohort.images[0].with_data(gaussian_filter(rng.standard_normal((96, 96)), 3).astype(np.float32))
    images = [cohort.images[0], replace(other, name="other.tif")]
    result = register_cohort(images, options={**ELASTIX, "linear": "pose"})
    assert [member.usable for member in result.members].count(True) == 1
    assert result.mean_displacement < 0.1


def test_cancel_stops_elastix(cohort: Any) -> None:
    metrics: list[float] = []

    def stop(fraction: float | None, message: str, metric: float | None = None) -> None:
        if message == "deforming all images together" and metric is not None:
            metrics.append(metric)
            raise Cancelled

    with pytest.raises(Cancelled):
        register_cohort(cohort.images[:3], options={**ELASTIX, "linear": "none"}, progress=stop)
    assert len(metrics) == 1


def test_what_is_refused(cohort: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for template in ("best", "image", "all pairs"):
        with pytest.raises(ValueError, match="choose the template group or mean of the best"):
            register_cohort(cohort.images, options={**ELASTIX, "template": template})
    with pytest.raises(ValueError, match="deforms a whole group"):
        register_cohort(cohort.images, options=ELASTIX, template=cohort.images[0])
    monkeypatch.setitem(METHODS, "elastix", replace(METHODS["elastix"], needs="no_such_package"))
    with pytest.raises(MethodUnavailable, match="not installed") as caught:
        register_cohort(cohort.images, options=ELASTIX)
    assert install_command(METHODS["elastix"]) in str(caught.value)
