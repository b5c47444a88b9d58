"""elastix: parametric registration by stochastic gradient descent, through itk-elastix in the child process.

itk-elastix holds the interpreter lock for its whole run and tells nothing meanwhile, so it works in the child
of `core.process` and its progress is read from the log that it writes.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...core import process
from ...core.geometry import Grid, Image
from ...core.params import Params, param
from ...core.process import MethodUnavailable
from ...core.progress import Progress
from ...transforms import Affine, BSpline, Composite, Displacement, Transform, chain
from ..base import Method, Outcome
from ..options import GRID_HELP, METRIC_HELP, Metric
from .child import Found, Stage, register
from .log import LogReader, failure
from .parameter_maps import Map, preset_maps, read_map

FILES = "parameter files"


@dataclass(frozen=True, kw_only=True)
class ElastixParams(Params):
    """What to ask of elastix; parameter files are run as they are and leave the other parameters aside."""

    stages: Literal[
        "affine + B-spline", "translation", "rigid", "similarity", "affine", "parameter files"
    ] = param("affine + B-spline", "The kinds of motion to find, one after the other.")
    metric: Metric = param("mutual information", METRIC_HELP)
    resolutions: int = param(4, "Levels from smoothed to full detail.", range=(1, 10))
    iterations: int = param(256, "Steps at each level.", range=(1, 100_000))
    samples: int = param(2048, "Pixels compared at each step, drawn anew.", range=(100, 10_000_000))
    grid_spacing: float = param(0.0, GRID_HELP, range=(0, 1000), special="auto")
    bending: float = param(
        0.0,
        "Weight of the B-spline's bending energy, in voxels: more keeps it smooth, and takes twice as long.",
        range=(0, 1e6),
        special="off",
    )
    parameter_files: tuple[Path, ...] = param(
        (), "elastix's own parameter files (.txt, .toml), one a stage, in order."
    )
    points_weight: float = param(
        0.05,
        "Weight of the distance between corresponding points, in voxels, against the metric.",
        range=(0, 1e6),
        advanced=True,
    )
    bins: int = param(32, "Histogram bins of the mutual information.", range=(4, 256), advanced=True)


def run(
    fixed: Image,
    moving: Image,
    params: ElastixParams,
    *,
    initial: Transform | None,
    fixed_mask: Image | None,
    moving_mask: Image | None,
    points: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None,
    seed: int,
    device: str,
    progress: Progress,
) -> Outcome:
    """Register; see `Run`.

    The outcome's files are ``elastix.log`` and what elastix and transformix need to use the transform again.

    Raises
    ------
    ValueError
        If a parameter file is not one, or if elastix fails, with the end of its log as a note.
    """
    notes: list[str] = []
    dense = initial is not None and not all(isinstance(m, Affine | BSpline) for m in _members(initial))
    stages: Many[Map | Path]
    if params.stages == FILES:
        if not params.parameter_files:
            raise ValueError("No parameter files were given; choose at least one, or another preset.")
        maps = [read_map(path, fixed.ndim) for path in params.parameter_files]
        stages = [path.resolve() for path in params.parameter_files]
        if points is not None and not any("CorrespondingPoints" in " ".join(m["Metric"]) for m in maps):
            notes.append(
                "The points are not used: the parameter files ask for no CorrespondingPoints metric."
            )
    elif params.parameter_files:
        raise ValueError(
            f"Parameter files were given with the stages {params.stages!r}; choose {FILES!r} or remove them."
        )
    else:
        stages = maps = preset_maps(
            params,
            fixed.grid,
            seed,
            masked=fixed_mask is not None,
            points=points is not None,
            bending=not dense,
        )
        if dense and "B-spline" in params.stages and params.bending > 0:
            notes.append("After a dense start transform elastix cannot weigh bending: it is free.")

    with tempfile.TemporaryDirectory(prefix="napari-voxreg-elastix-") as name:
        folder = Path(name).resolve()
        reader = LogReader(folder / "elastix.log", maps, progress)
        try:
            found = process.call(
                register,
                fixed,
                moving,
                stages,
                folder,
                fixed_mask=fixed_mask,
                moving_mask=moving_mask,
                points=_write_points(points, folder),
                start=_write_start(initial, fixed.grid, folder, dense),
                progress=reader.beat,
            )
        except MethodUnavailable:
            raise
        except RuntimeError as error:
            raise _explained(error, folder) from error
        reader.read()
        files = _files(folder)
    return Outcome(
        _transform(found, initial, fixed.grid, notes), tuple(notes), tuple(reader.trace), files=files
    )


def _transform(found: Found, initial: Transform | None, grid: Grid, notes: list[str]) -> Transform:
    """The whole map, from the fixed world to the moving world."""
    if found.field is not None:
        notes.append("elastix's kind of transform is kept as a dense field on the fixed image's pixels.")
        return Displacement(found.field, grid)
    stages = [_stage_transform(stage, grid) for stage in found.stages]
    # elastix applies what it started from first, and each stage to what the one before gave.
    return chain(*([] if initial is None else [initial]), *stages)


def _stage_transform(stage: Stage, grid: Grid) -> Transform:
    """One stage as a transform of ours."""
    import SimpleITK as sitk

    from ...transforms.itk import affine_from_itk, bspline_from_itk

    d = grid.ndim
    if stage.kind == "BSplineTransform":
        native: sitk.Transform = sitk.BSplineTransform(d, 3)
    elif stage.kind in ("TranslationTransform", "AffineTransform"):
        native = getattr(sitk, stage.kind)(d)
    else:  # Euler and similarity transforms have their dimension in their name
        native = getattr(sitk, stage.kind)()
    native.SetFixedParameters(stage.fixed_parameters.tolist())
    native.SetParameters(stage.parameters.tolist())
    if stage.kind == "BSplineTransform":
        coefficients, control = bspline_from_itk(native)
        return BSpline(coefficients, Grid(control.shape, control.affine, grid.units))
    return Affine(affine_from_itk(native))


def _members(transform: Transform) -> tuple[Transform, ...]:
    """The links of a chain."""
    return transform.members if isinstance(transform, Composite) else (transform,)


def _write_points(
    points: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None, folder: Path
) -> tuple[Path, Path] | None:
    """elastix's own point files: the word, the number, then x y z a line."""
    if points is None:
        return None
    files = (folder / "fixed_points.txt", folder / "moving_points.txt")
    for file, coordinates in zip(files, points, strict=True):
        lines = [" ".join(map(repr, row)) for row in np.asarray(coordinates, dtype=float)[:, ::-1].tolist()]
        file.write_text("\n".join(["point", str(len(lines)), *lines, ""]))
    return files


def _write_start(initial: Transform | None, grid: Grid, folder: Path, dense: bool) -> Path | None:
    """The transform to start from, in a file that elastix can read without resampling it."""
    if initial is None:
        return None
    import SimpleITK as sitk

    if dense:
        # elastix reads fields through ITK only, and writes InitialTransform.0 for transformix by itself.
        path = folder / "start.h5"
        sitk.WriteTransform(initial.to_itk(grid), str(path))
        return path
    previous = "NoInitialTransform"
    for n, member in enumerate(_members(initial)):
        sitk.WriteTransform(member.to_itk(grid), str(folder / f"InitialTransform.{n}.h5"))
        path = folder / f"InitialTransformParameters.{n}.txt"
        path.write_text(
            f'(Transform "File")\n(TransformFileName "InitialTransform.{n}.h5")\n'
            f'(InitialTransformParameterFileName "{previous}")\n(HowToCombineTransforms "Compose")\n'
        )
        previous = path.name
    return path


def _files(folder: Path) -> dict[str, bytes]:
    """The log and the transform files, which name each other without their folder."""
    files = {"elastix.log": (folder / "elastix.log").read_bytes()}
    for path in sorted(folder.glob("*Transform*.*")):
        content = path.read_bytes()
        if path.suffix == ".txt":
            content = re.sub(rb'FileName "[^"]*[/\\]([^"/\\]+)"', rb'FileName "\1"', content)
        files[path.name] = content
    return files


def _explained(error: RuntimeError, folder: Path) -> ValueError:
    """What elastix's failure means, with the end of its log as a note."""
    path = folder / "elastix.log"
    log = path.read_text(errors="replace") if path.exists() else ""
    explained = ValueError(failure(log, str(error)))
    explained.add_note("The end of elastix.log:\n" + log[-4000:])
    return explained


METHOD = Method(
    name="elastix",
    title="elastix",
    params=ElastixParams,
    run=run,
    presets={
        "affine + B-spline": {},
        "translation": {"stages": "translation"},
        "rigid": {"stages": "rigid"},
        "similarity": {"stages": "similarity"},
        "affine": {"stages": "affine"},
        "parameter files": {"stages": FILES},
    },
    landmarks=True,
    loads=("napari_voxreg.methods.elastix.load",),
    reference="Klein et al., IEEE TMI 29, 2010 (doi:10.1109/TMI.2009.2035616); elastix.dev",
)
