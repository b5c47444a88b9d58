"""What a registration gave: shown, saved and loaded."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.geometry import Grid, Image, as_image
from ..core.params import Params
from ..io.files import replace_file
from ..io.images import can_write, read_image, write_image
from ..io.transforms import check_record, load_record, load_transform, save_transform, software
from ..methods import KNOWN_METHODS
from ..metrics.pair import Scores
from ..metrics.verdict import Verdict
from ..transforms import Transform, warp
from ..transforms.records import grid_from_record, grid_to_record
from .notebook import before_and_after, score_table

TRANSFORM = "transform.h5"
EXTRAS = "extras"
LARGEST = 64 * 2**20  # bytes: extras above that are not worth the disk
OUTCOMES = ("better", "worse", "unchanged", "unclear")


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What a registration gave.

    A notebook shows the images before and after, the verdict and the scores.

    Parameters
    ----------
    transform : Transform
        From world points of the fixed image to world points of the moving image, in the fixed image's units.
    notes, trace, confidence, extras, files, device, weights, rejected
        As in `Outcome`; `device` is empty for a result that was saved before it was recorded.
    fixed, moving : Grid
        The grids of the two images (without axes of one pixel; the moving one in the fixed units); `moving`
        is None for a result that was saved before it was recorded.
    method : str
        The method's name.
    params : Params
        All its parameters.
    seconds : float
        Time of the method itself, without checks and scores.
    before, after : Scores
        Measured at the layer positions and with the transform.
    verdict : Verdict
        Whether the alignment improved, in one sentence.
    names, hashes : tuple of str
        Of the fixed and the moving image; hashes are SHA-256 of shape, type and pixels.
    software : mapping
        Versions of Python and of the packages that made it.
    fixed_image, moving_image : Image or None
        The images themselves, as they were given, if they are at hand (see `with_images`). They are neither
        saved nor pickled.
    """

    transform: Transform
    fixed: Grid
    moving: Grid | None
    method: str
    params: Params
    seconds: float
    before: Scores
    after: Scores
    verdict: Verdict
    names: tuple[str, str] = ("", "")
    hashes: tuple[str, str] = ("", "")
    notes: tuple[str, ...] = ()
    trace: tuple[float, ...] = ()
    confidence: float | None = None
    extras: Mapping[str, Image | Transform] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    device: str = "cpu"
    weights: tuple[tuple[str, str], ...] = ()
    rejected: bool = False
    software: Mapping[str, str] = field(default_factory=software)
    fixed_image: Image | None = None
    moving_image: Image | None = None

    @property
    def warped(self) -> Image:
        """The moving image on the fixed grid, computed anew at each access.

        Raises
        ------
        ValueError
            If the images are not at hand: the result was loaded from a folder or another process.
        """
        if self.moving_image is None:
            raise ValueError(
                "The result has no images at hand; use warp(moving, result.transform, result.fixed)."
            )
        return warp(self.moving_image, self.transform, self.fixed)

    def with_images(self, fixed: Image | npt.ArrayLike, moving: Image | npt.ArrayLike) -> Result:
        """The same result with its images at hand, to be shown and warped.

        Parameters
        ----------
        fixed, moving : Image or array_like
            As they were given to `register`; they are kept by reference.

        Raises
        ------
        ValueError
            If the fixed image is not on the result's fixed grid.
        """
        first, second = (_flat(as_image(image), self.transform.ndim) for image in (fixed, moving))
        if not first.grid.same_as(self.fixed):
            raise ValueError(
                f"The fixed image, {first.grid.shape} pixels, is not on the result's fixed grid, "
                f"{self.fixed.shape} pixels; give the image that was registered."
            )
        second = second.with_grid(second.grid.in_world_of(self.fixed))
        grid = second.grid if self.moving is None else self.moving
        return replace(self, moving=grid, fixed_image=first, moving_image=second)

    def to_dict(self) -> dict[str, Any]:
        """All but the pixels and the transform as plain values, which JSON can hold; nan becomes None."""
        return {
            "method": self.method,
            "parameters": self.params.as_dict(),
            "seconds": self.seconds,
            "device": self.device,
            "weights": [{"file": name, "sha256": digest} for name, digest in self.weights],
            "inputs": {
                which: {"name": name, "sha256": digest}
                for which, name, digest in zip(("fixed", "moving"), self.names, self.hashes, strict=True)
            },
            "fixed grid": grid_to_record(self.fixed),
            "moving grid": None if self.moving is None else grid_to_record(self.moving),
            "scores": {"before": _scores_to_dict(self.before), "after": _scores_to_dict(self.after)},
            "verdict": _verdict_to_dict(self.verdict),
            "confidence": _plain(self.confidence),
            "prediction rejected": self.rejected,
            "notes": list(self.notes),
            "trace": [_plain(value) for value in self.trace],
            "software": dict(self.software),
        }

    def save(self, folder: Path | str) -> Path:
        """Write all but the images into a folder; `load_result` reads it.

        ``transform.h5`` is the transform, which any program that uses ITK can read; ``transform.json`` is the
        record. The method's own files are beside them, the extras in ``extras``: images as
        .mha, transforms as .h5 with .json. Extras of more than 64 MiB, and images that .mha cannot hold, are
        not written; the record names them. Each file is complete or not there at all.

        Returns
        -------
        Path
            Of ``transform.h5``.

        Raises
        ------
        ValueError
            If the folder holds files of such names that belong to no result.
        OSError
            If it cannot be written, or its disk is full.
        """
        folder = Path(folder)
        check_folder(folder)
        for name, content in self.files.items():
            replace_file(folder / name, partial(Path.write_bytes, data=content))
        extras = _save_extras(self.extras, folder / EXTRAS, self.fixed)
        record = {**self.to_dict(), "files": list(self.files), "extras": extras}
        return save_transform(self.transform, folder / TRANSFORM, self.fixed, record)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: not the images, which may be large and are the caller's."""
        return {**self.__dict__, "fixed_image": None, "moving_image": None}

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.fixed.shape))
        verdict = self.verdict
        figures = f"{verdict.measure} {verdict.before:.3g} -> {verdict.after:.3g}"
        return (
            f"<Result of {self.method[:40]}, {shape} pixels: {verdict.outcome}, {figures}; "
            f"{self.seconds:.3g} s{f' on {self.device}' if self.device else ''}>"
        )

    def _repr_html_(self) -> str:
        """The images before and after, if they are at hand, the verdict and the scores, for a notebook."""
        title = KNOWN_METHODS[self.method].title if self.method in KNOWN_METHODS else self.method
        fixed, moving = (name or which for name, which in zip(self.names, ("fixed", "moving"), strict=True))
        heading = f"{title}: {moving} onto {fixed}"
        images = ""
        if self.fixed_image is not None and self.moving_image is not None:
            images = before_and_after(self.fixed_image, self.moving_image, self.transform)
        text = "".join(
            f"<p>{html.escape(line)}</p>" for line in (heading, self.verdict.sentence.replace("->", "→"))
        )
        return f"<div>{text}{images}{score_table(self.before, self.after, self.verdict)}</div>"


def check_folder(folder: Path, *others: str) -> None:
    """Refuse to save a result over files that belong to none.

    Parameters
    ----------
    folder : Path
        Need not be there.
    *others : str
        Names of files that are written beside what `Result.save` writes.

    Raises
    ------
    ValueError
        In one sentence that names the file.
    """
    check_record(folder / TRANSFORM)
    if (folder / TRANSFORM).with_suffix(".json").exists():
        return
    for pattern in (TRANSFORM, "elastix.log", "TransformParameters.*", *others):
        for path in folder.glob(pattern):
            raise ValueError(f"{path} is there and belongs to no result; choose another folder.")


def load_result(folder: Path | str) -> Result:
    """Read a result that `Result.save` wrote.

    Of a result that an earlier version saved, what was not recorded then is empty: the moving grid is None,
    the device is an empty text, and the two values of the verdict are nan. Extras and files of the method
    that are no longer there are skipped.

    Parameters
    ----------
    folder : path
        Where it was saved; its transform.h5 or .json will do, too.

    Returns
    -------
    Result
        All that was saved; the images come back by `Result.with_images`.

    Raises
    ------
    ValueError
        If the record is missing, damaged, or of a method or parameters that this version does not have. In
        one sentence that names the file.
    """
    path = Path(folder)
    side = (path / TRANSFORM if path.is_dir() else path).with_suffix(".json")
    record = load_record(path)
    if record is None:
        raise ValueError(
            f"{side} is not there or no record of napari-voxreg; use load_transform for the transform alone."
        )
    try:
        return _from_record(record, side)
    except Exception as error:  # a damaged record fails in many ways
        said = " ".join(str(error).split())[:300]
        why = said.rstrip(".") if isinstance(error, ValueError) else f"{type(error).__name__}, {said}"
        raise ValueError(f"{side} cannot be read as a result: {why}.") from error


def _from_record(record: dict[str, Any], side: Path) -> Result:
    """A result from its record and the files beside that."""
    if isinstance(record.get("verdict"), str):
        record = {**record, **_not_yet_recorded(record["verdict"])}
    method = _get(record, "method", str)
    if method not in KNOWN_METHODS:
        raise ValueError(f"this version has no method {method!r}; load_transform reads the transform alone")
    scores, inputs = _get(record, "scores", dict), _get(record, "inputs", dict)
    fixed, moving = _get(inputs, "fixed", dict), _get(inputs, "moving", dict)
    grid = _get(record, "moving grid", dict, NoneType)
    return Result(
        transform=load_transform(side),
        fixed=grid_from_record(_get(record, "fixed grid", dict)),
        moving=None if grid is None else grid_from_record(grid),
        method=method,
        params=KNOWN_METHODS[method].params.from_dict(_get(record, "parameters", dict)),
        seconds=_number(_get(record, "seconds")),
        before=_scores_from_dict(_get(scores, "before", dict)),
        after=_scores_from_dict(_get(scores, "after", dict)),
        verdict=_verdict_from_dict(_get(record, "verdict", dict)),
        names=(_get(fixed, "name", str), _get(moving, "name", str)),
        hashes=(_get(fixed, "sha256", str), _get(moving, "sha256", str)),
        notes=tuple(map(str, _get(record, "notes", list))),
        trace=tuple(map(_number, _get(record, "trace", list))),
        confidence=_number_or_none(_get(record, "confidence")),
        extras=_load_extras(_get(record, "extras", list), side.parent / EXTRAS),
        files={
            name: (side.parent / name).read_bytes()
            for name in map(_plain_name, _get(record, "files", list))
            if (side.parent / name).is_file()
        },
        device=_get(record, "device", str),
        weights=tuple((_get(w, "file", str), _get(w, "sha256", str)) for w in _get(record, "weights", list)),
        rejected=record.get("prediction rejected") is True,  # earlier versions did not record it
        software={name: str(version) for name, version in _get(record, "software", dict).items()},
    )


def _not_yet_recorded(sentence: str) -> dict[str, Any]:
    """What the record of an earlier version lacks; its verdict was no more than the sentence."""
    verdict = {
        "outcome": re.split(r"\W", sentence, maxsplit=1)[0].lower(),
        "sentence": sentence,
        "measure": "landmark error" if "landmark error" in sentence else "local correlation",
        "before": None,
        "after": None,
    }
    nothing: dict[str, Any] = {key: [] for key in ("weights", "trace", "extras", "files")}
    return {**nothing, "verdict": verdict, "moving grid": None, "device": ""}


def _verdict_to_dict(verdict: Verdict) -> dict[str, Any]:
    return {
        "outcome": verdict.outcome,
        "sentence": verdict.sentence,
        "measure": verdict.measure,
        "before": _plain(verdict.before),
        "after": _plain(verdict.after),
    }


def _verdict_from_dict(values: dict[str, Any]) -> Verdict:
    outcome = _get(values, "outcome", str)
    if outcome not in OUTCOMES:
        raise ValueError(f"a verdict cannot be {outcome!r}")
    return Verdict(
        outcome,
        _get(values, "sentence", str),
        _get(values, "measure", str),
        _number(_get(values, "before")),
        _number(_get(values, "after")),
    )


def _scores_to_dict(scores: Scores) -> dict[str, Any]:
    return {
        "whole": {name: _plain(value) for name, value in scores.whole.items()},
        "overlap": {name: _plain(value) for name, value in scores.overlap.items()},
        "overlap fraction": _plain(scores.overlap_fraction),
        "folded percent": _plain(scores.folded),
        "landmark error": _plain(scores.landmark_error),
    }


def _scores_from_dict(values: dict[str, Any]) -> Scores:
    return Scores(
        {name: _number(value) for name, value in _get(values, "whole", dict).items()},
        {name: _number(value) for name, value in _get(values, "overlap", dict).items()},
        _number(_get(values, "overlap fraction")),
        _number(_get(values, "folded percent")),
        _number_or_none(_get(values, "landmark error")),
    )


def _save_extras(extras: Mapping[str, Image | Transform], folder: Path, fixed: Grid) -> list[dict[str, Any]]:
    """Write the extras, and describe them; "file" is None for one that is not written."""
    entries = []
    for k, (name, extra) in enumerate(extras.items(), start=1):
        stem = f"{k}-{re.sub(r'[^A-Za-z0-9]+', '_', name)[:40]}"
        image = isinstance(extra, Image)
        path = folder / f"{stem}{'.mha' if image else '.h5'}"
        entry: dict[str, Any] = {"name": name, "kind": "image" if image else "transform", "file": path.name}
        if isinstance(extra, Image):
            pixels = {"shape": list(extra.data.shape), "type": extra.data.dtype.str, "title": extra.name}
            entry |= {**pixels, "grid": grid_to_record(extra.grid)}
            # The grid is in the record; the file's own, in millimetres, is for other programs.
            if extra.data.nbytes > LARGEST or not can_write(extra, path):
                entry["file"] = None
            else:
                write_image(extra, path)
        elif not extra.linear and 8 * fixed.ndim * math.prod(fixed.shape) > LARGEST:
            entry["file"] = None
        else:
            save_transform(extra, path, fixed)
        entries.append(entry)
    return entries


def _load_extras(entries: list[Any], folder: Path) -> dict[str, Image | Transform]:
    """The extras that are there."""
    extras: dict[str, Image | Transform] = {}
    for entry in entries:
        name, file = _get(entry, "name", str), _get(entry, "file", str, NoneType)
        if file is None or not (path := folder / _plain_name(file)).is_file():
            continue
        if _get(entry, "kind", str) == "transform":
            extras[name] = load_transform(path)
            continue
        pixels = read_image(path).data.reshape(_get(entry, "shape", list))
        kind = np.dtype(_get(entry, "type", str))
        if kind.kind not in "biuf":
            raise ValueError(f"the pixels of an image cannot be of the type {kind.str!r}")
        grid = grid_from_record(_get(entry, "grid", dict))
        extras[name] = Image(pixels.astype(kind, copy=False), grid, _get(entry, "title", str))
    return extras


def _plain_name(name: Any) -> str:
    """The name of a file in a folder; nothing that leads out of it."""
    if not isinstance(name, str) or name in ("", ".", "..") or set(name) & set("/\\:"):
        raise ValueError(f"{str(name)[:40]!r} is not the name of a file")
    return name


def _get(values: Any, key: str, *kinds: type) -> Any:
    """A value of a record that must be there, of one of some types."""
    if not isinstance(values, dict) or key not in values:
        raise ValueError(f"{key!r} is missing")
    if kinds and not isinstance(values[key], kinds):
        raise ValueError(f"{key!r} cannot be {str(values[key])[:40]!r}")
    return values[key]


def _plain(value: float | None) -> float | None:
    """A number for JSON, which has no nan and no infinity."""
    return None if value is None or not math.isfinite(value) else float(value)


def _number(value: Any) -> float:
    """A number of a record; None stands for nan."""
    if value is not None and type(value) not in (int, float):
        raise ValueError(f"{str(value)[:40]!r} is not a number")
    return math.nan if value is None else float(value)


def _number_or_none(value: Any) -> float | None:
    """A number of a record that need not be there."""
    return None if value is None else _number(value)


def _flat(image: Image, ndim: int) -> Image:
    """An image without the axes of one pixel that `register` removed."""
    return image.without(image.grid.thin_axes()) if image.ndim > ndim else image
