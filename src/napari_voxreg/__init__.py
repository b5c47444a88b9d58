"""napari-voxreg: register two images, see what happened, keep the transform.

The public names are loaded on first use, so that importing the package loads no torch, ITK, Qt or napari.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing takes as long to load as the rest of this module and of the command line's
if TYPE_CHECKING:
    from typing import Any

    from .cohort.group import register_cohort
    from .cohort.series import load_series, register_series
    from .core.geometry import Grid, Image
    from .core.process import MethodUnavailable
    from .core.progress import Cancelled
    from .evaluation import evaluate
    from .images.task import Task
    from .io.pairs import open_pairs
    from .io.transforms import load_transform, save_transform
    from .large import LargeImage, apply_large, open_large, register_large, warp_lazily
    from .methods import METHODS
    from .methods.base import Method, Outcome
    from .registration.apply import apply
    from .registration.compare import compare
    from .registration.register import register
    from .registration.result import Result, load_result
    from .train.options import TrainOptions
    from .train.run import train_pairs
    from .transforms import (
        Affine,
        BSpline,
        Composite,
        Displacement,
        Homography,
        Quadratic,
        StationaryVelocity,
        ThinPlate,
        Transform,
        warp,
    )

    __version__: str

_HOMES = {
    "cohort.group": ("register_cohort",),
    "cohort.series": ("load_series", "register_series"),
    "core.geometry": ("Grid", "Image"),
    "core.process": ("MethodUnavailable",),
    "core.progress": ("Cancelled",),
    "evaluation": ("evaluate",),
    "images.task": ("Task",),
    "io.pairs": ("open_pairs",),
    "io.transforms": ("load_transform", "save_transform"),
    "large": ("LargeImage", "apply_large", "open_large", "register_large", "warp_lazily"),
    "methods": ("METHODS",),
    "methods.base": ("Method", "Outcome"),
    "registration.apply": ("apply",),
    "registration.compare": ("compare",),
    "registration.register": ("register",),
    "registration.result": ("Result", "load_result"),
    "train.options": ("TrainOptions",),
    "train.run": ("train_pairs",),
    "transforms": (
        "Affine",
        "BSpline",
        "Composite",
        "Displacement",
        "Homography",
        "Quadratic",
        "StationaryVelocity",
        "ThinPlate",
        "Transform",
        "warp",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "METHODS",
    "Affine",
    "BSpline",
    "Cancelled",
    "Composite",
    "Displacement",
    "Grid",
    "Homography",
    "Image",
    "LargeImage",
    "Method",
    "MethodUnavailable",
    "Outcome",
    "Quadratic",
    "Result",
    "StationaryVelocity",
    "Task",
    "ThinPlate",
    "TrainOptions",
    "Transform",
    "__version__",
    "apply",
    "apply_large",
    "compare",
    "evaluate",
    "load_result",
    "load_series",
    "load_transform",
    "open_large",
    "open_pairs",
    "register",
    "register_cohort",
    "register_large",
    "register_series",
    "save_transform",
    "train_pairs",
    "warp",
    "warp_lazily",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value = version("napari-voxreg")
    elif name in _HOME_OF:
        value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({name for name in globals() if name.startswith("__")} | set(__all__))
