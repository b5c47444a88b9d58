"""elastix: parametric registration by stochastic gradient descent, through itk-elastix in the child process.

itk-elastix holds the interpreter lock for its whole run and reports nothing meanwhile. So it works in the
child of `core.process`, and its progress is read from the log that it writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...core import process
from ...core.disk import scratch_folder
from ...core.geometry import Grid
from ...core.process import MethodUnavailable
from ...core.progress import Progress
from ...transforms import Affine, BSpline, Displacement, Transform, chain
from ..base import Landmarks, Method, Outcome, Task
from .child import Found, Stage, register
from .log import LogReader, explained
from .parameter_maps import Map, preset_maps, read_map
from .params import FILES, ElastixParams


def run(task: Task, params: ElastixParams, progress: Progress) -> Outcome:
    """Register; see `Run`.

    The outcome's files are ``elastix.log`` and what elastix and transformix need to use the transform again.

    Raises
    ------
    ValueError
        If a parameter file is not one, or if elastix fails, with the end of its log as a note.
    """
    notes: list[str] = []
    stages: Sequence[Map | Path]
    if params.stages == FILES:
        if not params.parameter_files:
            raise ValueError("No parameter files were given; choose at least one, or another preset.")
        maps = [read_map(path, task.fixed.ndim) for path in params.parameter_files]
        stages = [path.resolve() for path in params.parameter_files]
        guided = any("CorrespondingPoints" in " ".join(m["Metric"]) for m in maps)
        if task.landmarks is not None and not guided:
            notes.append(
                "The landmarks are not used: the parameter files contain no CorrespondingPoints metric."
            )
    elif params.parameter_files:
        raise ValueError(
            f"Parameter files were given with the stages {params.stages!r}; choose {FILES!r} or remove them."
        )
    else:
        stages = maps = preset_maps(
            params,
            task.fixed.grid,
            task.seed,
            masked=task.fixed_mask is not None,
            landmarks=task.landmarks is not None,
        )

    with scratch_folder() as temporary:
        folder = temporary.resolve()
        reader = LogReader(folder / "elastix.log", maps, progress)
        try:
            found = process.call(
                register,
                task,
                stages,
                folder,
                _write_landmarks(task.landmarks, folder),
                progress=reader.beat,
            )
        except MethodUnavailable:
            raise
        except RuntimeError as error:
            raise explained(error, folder) from error
        reader.read()
        files = _files(folder)
    transform = _transform(found, task.fixed.grid, notes)
    return Outcome(transform, tuple(notes), tuple(reader.trace), files=files)


def _transform(found: Found, grid: Grid, notes: list[str]) -> Transform:
    """The whole map, from the fixed world to the moving world."""
    if found.field is not None:
        notes.append("elastix's kind of transform is kept as a dense field on the fixed image's pixels.")
        return Displacement(found.field, grid)
    # elastix applies each stage to what the one before gave.
    return chain(*(_stage_transform(stage, grid) for stage in found.stages))


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


def _write_landmarks(landmarks: Landmarks | None, folder: Path) -> tuple[Path, Path] | None:
    """elastix's own point files: the word, the number, then x y z a line."""
    if landmarks is None:
        return None
    files = (folder / "fixed_points.txt", folder / "moving_points.txt")
    for file, coordinates in zip(files, landmarks, strict=True):
        lines = [" ".join(map(repr, row)) for row in np.asarray(coordinates, dtype=float)[:, ::-1].tolist()]
        file.write_text("\n".join(["point", str(len(lines)), *lines, ""]), encoding="utf-8", newline="")
    return files


def _files(folder: Path) -> dict[str, bytes]:
    """The log and the transform files, which name each other without their folder."""
    files = {"elastix.log": (folder / "elastix.log").read_bytes()}
    for path in sorted(folder.glob("*Transform*.*")):
        content = path.read_bytes()
        if path.suffix == ".txt":
            content = re.sub(rb'FileName "[^"]*[/\\]([^"/\\]+)"', rb'FileName "\1"', content)
        files[path.name] = content
    return files


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
    motion="deformable",
    landmarks=True,
    loads=("napari_voxreg.methods.elastix.load",),
    reference="Klein et al., IEEE TMI 29, 2010 (doi:10.1109/TMI.2009.2035616); elastix.dev",
    needs="itk.ElastixPython",
    extra="elastix",
)
