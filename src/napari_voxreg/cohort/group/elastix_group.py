"""The images of a group deformed together by elastix, instead of each onto their mean."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ...core.geometry import Grid, Image
from ...core.progress import Progress, silent
from ...images.preprocess import unit_range
from ...methods.availability import require
from ...methods.elastix.group import group_map, register_group
from ...methods.elastix.params import ElastixParams
from ...registration.prepare import method_named
from ...transforms import BSpline, Transform, chain, warp
from .options import MADE, CohortOptions
from .store import key
from .work import Work


def check(options: CohortOptions, given: Image | None) -> None:
    """Refuse elastix where there is no group, and where it is not installed.

    Parameters
    ----------
    options : CohortOptions
    given : Image or None
        A template of the user's own.

    Raises
    ------
    ValueError
        If the template is not made from a group.
    MethodUnavailable
        If itk-elastix is not installed.
    """
    if options.deform != "elastix":
        return
    if given is not None or options.template not in MADE:
        raise ValueError(
            "elastix deforms a whole group together; choose the template group or mean of the best, "
            "or deform by diffeo."
        )
    require(method_named("elastix"))


def deformed_together(
    work: Work, grid: Grid, linear: Mapping[int, Transform], progress: Progress
) -> dict[int, Transform]:
    """The transform of each image after all have been deformed onto their middle.

    Parameters
    ----------
    work : Work
    grid : Grid
        Of the template.
    linear : mapping
        From world points of the template to those of each image that takes part.
    progress : Progress

    Raises
    ------
    ValueError
        If elastix fails, in one sentence.
    MethodUnavailable
        If elastix's process dies.
    """
    if len(linear) == 1:  # the others were unusable: the image is its own mean
        return dict(linear)
    params = ElastixParams()
    about = {
        "map": {name: " ".join(values) for name, values in group_map(params, grid, work.seed).items()},
        "grid": {"shape": str(grid.shape), "affine": str(grid.affine.tolist())},
        "images": {k: work.digests[k] for k in linear},
        "linear": linear,
        "threads": work.threads,
    }
    keys = {k: key(image=k, **about) for k in linear}
    kept = {k: work.store.find(name) for k, name in keys.items()}
    together: dict[int, Transform] = {}
    if all(kept.values()):
        for k, found in kept.items():
            assert found is not None  # as all are there
            together[k] = found[0]
            work.arrived(k, work.member(k, found[0]))
        return together

    def done(_: int, outcome: tuple[tuple[BSpline, ...], float]) -> None:
        splines, seconds = outcome
        for (k, transform), spline in zip(linear.items(), splines, strict=True):
            whole = chain(spline, transform)
            together[k], _notes = work.store.keep(keys[k], grid, (whole, ()))
            work.seconds[k] += seconds / len(linear)
            work.arrived(k, work.member(k, together[k]))

    images = [_placed(work.image(k), transform, grid) for k, transform in linear.items()]
    arguments = [(images, params, work.seed, work.threads)]
    work.runner.each(_registration, arguments, ["deforming all images together"], progress, done)
    return together


def _placed(image: Image, transform: Transform, grid: Grid) -> Image:
    """An image on the template's grid; its rim is continued, as an edge would be taken for structure."""
    return warp(image.with_data(unit_range(image.data)), transform, grid, fill=None)


def _registration(
    images: list[Image], params: ElastixParams, seed: int, threads: int, progress: Progress = silent
) -> tuple[tuple[BSpline, ...], float]:
    """The B-splines of all images, and the seconds it took."""
    began = time.perf_counter()
    return register_group(images, params, seed, threads, progress), time.perf_counter() - began
