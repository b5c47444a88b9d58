"""ANTs' result: several files whose names begin alike, which are applied in a fixed order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from ....core.geometry import Grid
from ....transforms import Affine, Composite, Displacement, Transform, chain, displacement_on
from ....transforms.affine import fit_points
from ... import itk_files
from ...files import replace_file
from ...images import write_image
from ..base import Found, Grids, head_of
from . import itk_hdf5, itk_matlab, itk_text, vector_image

AFFINE, WARP = "0GenericAffine.mat", "1Warp.nii.gz"
OLD_AFFINE = "Affine.txt"  # of ANTs before version 2
STAGE = re.compile(r"(\d+)(?!Inverse|VelocityField)[A-Za-z]+\.(?:mat|nii|nii\.gz)")
LEFT = re.compile(r"\d+[A-Za-z]+\.(?:mat|nii|nii\.gz)")  # the maps back included
NODES = 16  # along each axis, to which an affine map is fitted


def recognises(head: bytes) -> bool:
    """No: what is given is no file, but the beginning of the names of several."""
    return False


def read(path: Path, grids: Grids) -> Found:
    """The chain of the files whose names begin so, see `files_with_prefix`.

    Raises
    ------
    ValueError
        If there are none, or one cannot be read.
    """
    files = files_with_prefix(path)
    if not files:
        raise ValueError(
            f"There are no files {path.name}{AFFINE} and {path.name}{WARP}; give the beginning of the names "
            "that antsRegistration was given."
        )
    found = []
    for file in files:
        head = head_of(file)
        kind = next((one for one in (itk_matlab, itk_text, itk_hdf5) if one.recognises(head)), vector_image)
        found.append(kind.read(file, grids))
    notes = (note for one in found for note in one.notes)
    return Found(chain(*(one.transform for one in found)), tuple(notes))


def files_with_prefix(prefix: Path) -> list[Path]:
    """The files of ANTs whose names begin so, in the order in which they map points of the fixed image.

    Parameters
    ----------
    prefix : Path
        What ``antsRegistration --output`` was given; a folder stands for names that begin with nothing.

    Returns
    -------
    list of Path
        The last stage first, as in the list for ``antsApplyTransforms``; empty where there are none.

    Raises
    ------
    ValueError
        If two are of one stage, and so of different runs.
    """
    try:
        beginning, folder = ("", prefix) if prefix.is_dir() else (prefix.name, prefix.parent)
        beside = [path for path in sorted(folder.iterdir()) if path.name.startswith(beginning)]
    except OSError:  # no such folder
        return []
    for stages in (_numbered, _of_old, _composite):
        placed = [(stages(path.name[len(beginning) :]), path) for path in beside]
        found = sorted(((stage, path) for stage, path in placed if stage is not None), reverse=True)
        for (stage, one), (other_stage, other) in pairwise(found):
            if stage == other_stage:
                raise ValueError(
                    f"{other.name} and {one.name} are of different runs of ANTs, with one beginning of their "
                    "names; give the files of one run instead, the last stage first."
                )
        if found:
            return [path for _, path in found]
    return []


def _numbered(rest: str) -> int | None:
    """The stage of a file by what follows the beginning of its name; None of what is none."""
    stage = STAGE.fullmatch(rest)
    return None if stage is None else int(stage[1])


def _of_old(rest: str) -> int | None:
    """`_numbered` of ANTs before version 2, which wrote an affine map and a warp without numbers."""
    return {OLD_AFFINE: 0, "Warp.nii": 1, "Warp.nii.gz": 1}.get(rest)


def _composite(rest: str) -> int | None:
    """`_numbered` of the single file that ``--write-composite-transform`` leaves."""
    return 0 if rest == "Composite.h5" else None


def left_out(path: Path, given: Sequence[Path]) -> tuple[str, ...]:
    """A note where a warp is given without the affine map that ANTs has written beside it.

    Parameters
    ----------
    path : Path
        Any transform file.
    given : sequence of Path
        All files of the chain that it is in.
    """
    found = re.fullmatch(f"(.*?){STAGE.pattern}", path.name)
    old = re.fullmatch(r"(.*)(?<!Inverse)Warp\.nii(?:\.gz)?", path.name)
    name = found[1] + AFFINE if found is not None else None if old is None else old[1] + OLD_AFFINE
    affine = None if name is None else path.with_name(name)
    if affine is None or affine == path or affine in given or not affine.exists():
        return ()
    return (
        f"{affine.name}, which is beside {path.name}, is not applied; give both, the warp first, or the "
        "beginning of their names.",
    )


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Files as they are given; those of one registration of ANTs in the order in which they are applied."""
    stages = [re.fullmatch(f"(.*?){STAGE.pattern}", path.name) for path in paths]
    found = {path: stage for path, stage in zip(paths, stages, strict=True) if stage is not None}
    if len(found) < len(paths) or len({(path.parent, stage[1]) for path, stage in found.items()}) > 1:
        return list(paths)
    return sorted(paths, key=lambda path: -int(found[path][2]))


def written(transform: Transform, path: Path) -> tuple[Path, ...]:
    """The one or two files that `write` writes for a prefix, or for one of the two names."""
    beginning = _beginning(path)
    affine = path.with_name(beginning + AFFINE)
    return (affine,) if _is_affine(transform) else (affine, path.with_name(beginning + WARP))


def _beginning(path: Path) -> str:
    return path.name.removesuffix(AFFINE).removesuffix(WARP)


def _is_affine(transform: Transform) -> bool:
    return transform.linear and transform.matrix is not None


def _check_alone(targets: Sequence[Path], beginning: str) -> None:
    """Refuse a prefix of files that would stay and be taken as a part of what is written.

    Raises
    ------
    ValueError
        In one sentence that names one of them.
    """
    folder = targets[0].parent
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    written_names = {target.name for target in targets}
    for name in names:
        rest = name.removeprefix(beginning)
        if name.startswith(beginning) and LEFT.fullmatch(rest) and name not in written_names:
            raise ValueError(
                f"{name} is there already, and would be taken as a part of the transform that is written; "
                "move it away, or choose another beginning of the names."
            )


def write(transform: Transform, path: Path, grids: Grids) -> tuple[str, ...]:
    """Write PREFIX0GenericAffine.mat and, for what is not affine, PREFIX1Warp.nii.gz.

    Raises
    ------
    ValueError
        If the fixed image's grid is needed and not known, or the warp cannot be written on it.
    """
    targets = written(transform, path)
    _check_alone(targets, _beginning(path))
    if transform.linear and transform.matrix is not None:
        _write_affine(Affine(transform.matrix), targets[0])
        return ()
    affine_file, warp_file = targets
    grid = grids.fixed
    if grid is None:
        raise ValueError(
            f"A warp needs the grid of the fixed image; give it (--fixed) to write {warp_file.name}."
        )
    affine = _last_affine(transform, grid)
    nodes = grid.nodes()
    there = nodes + displacement_on(transform, grid).reshape(nodes.shape)
    field = (affine.inverse()(there) - nodes).reshape(*grid.shape, grid.ndim)
    write_image(vector_image.field_image(field, grid), warp_file)
    _write_affine(affine, affine_file)
    return (f"{warp_file.name} is exact at the pixels of the fixed image, and zero outside it.",)


def _last_affine(transform: Transform, grid: Grid) -> Affine:
    """What follows the warp: the last member if that is affine, else the affine map that fits best."""
    last = transform.members[-1] if isinstance(transform, Composite) else transform
    if isinstance(last, Affine):
        return last
    if isinstance(last, Displacement) and last is transform:
        return Affine.identity(grid.ndim)
    points = grid.coarsened([max(1, n // NODES) for n in grid.shape]).nodes()
    return fit_points(points, transform(points))


def _write_affine(affine: Affine, path: Path) -> None:
    native = affine.to_itk()
    replace_file(path, lambda target: itk_files.write_transform(native, target))
