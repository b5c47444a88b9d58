"""The work of Apply, off the interface thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...core.geometry import Grid
from ...core.progress import Progress, subprogress
from ...registration.apply_files import ApplyOptions, apply_to_folder
from ...registration.pair_transform import PairTransform, open_transform
from ...registration.result import Result
from ..layers.applied import LayerOptions, TakenLayer, applied_layer
from ..layers.placement import LayerData

MOST = 6  # layers that are named in one sentence


@dataclass(frozen=True)
class Done:
    """What came of it.

    Parameters
    ----------
    layers : tuple of LayerData
        To be added to the viewer.
    notes : tuple of str
        Sentences for the user.
    """

    layers: tuple[LayerData, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ApplyJob:
    """Transforms on layers, or on a folder.

    Parameters
    ----------
    transforms : sequence of Result or Path
        Composed in order.
    title : str
        Theirs, for the names of layers.
    options : LayerOptions
        How they are applied.
    grid : TakenLayer or None
        The layer whose grid is taken.
    layers : sequence of TakenLayer
        To which they are applied; none for a folder.
    folders : tuple of Path or None
        With the inputs and for the outputs.
    fixed, moving : Path or None
        The images of a transform file of another program.
    format : str or None
        Of that file, where its content does not show it.
    """

    transforms: Sequence[Result | Path]
    title: str
    options: LayerOptions
    grid: TakenLayer | None = None
    layers: Sequence[TakenLayer] = ()
    folders: tuple[Path, Path] | None = None
    fixed: Path | None = None
    moving: Path | None = None
    format: str | None = None

    def __call__(self, progress: Progress) -> Done:
        """Do it.

        Raises
        ------
        ValueError
            In one sentence, if nothing came of it.
        Cancelled
            If `progress` raised it.
        """
        progress(0.0, "reading the transform")
        pair = open_transform(self.transforms, self.fixed, self.moving, self.format)
        said_of_transform, pair = pair.notes, replace(pair, notes=())  # once, not with each layer
        options = self.options
        if self.grid is not None:
            options = replace(options, grid=self._grid_of(self.grid, pair))
        if self.folders is not None:
            written = apply_to_folder(pair, *self.folders, _for_files(options), progress)
            return Done((), (*written, *said_of_transform))
        done: list[LayerData] = []
        notes: dict[str, list[str]] = {}
        failures: dict[str, list[str]] = {}
        for k, taken in enumerate(self.layers):
            part = subprogress(progress, k / len(self.layers), (k + 1) / len(self.layers))
            try:
                layer, said = applied_layer(taken, pair, options, self.title, part)
            except ValueError as error:
                reason = str(error).removeprefix(f"{taken.name}: ")
                failures.setdefault(reason, []).append(taken.name)
                continue
            done.append(layer)
            for note in said:
                notes.setdefault(note, []).append(taken.name)
        left_out = [f"{_listed(names)}: {reason}" for reason, names in failures.items()]
        if not done:
            raise ValueError(" ".join(left_out))
        left_out = [f"Left out {line}" for line in left_out]
        return Done(tuple(done), (*said_of_transform, *left_out, *self._named(notes)))

    def _named(self, notes: Mapping[str, Sequence[str]]) -> list[str]:
        """Each note once, with the names of the layers that it is about where it could be about others."""
        alike = len(notes) == 1 or len({tuple(names) for names in notes.values()}) == 1
        if alike:
            return list(notes)
        return [f"{_listed(names)}: {note}" for note, names in notes.items()]

    def _grid_of(self, taken: TakenLayer, pair: PairTransform) -> Grid:
        try:
            return taken.grid(taken.spatial(pair.transform.ndim))
        except ValueError as error:
            raise ValueError(f"{taken.name}: {error}") from error


def _listed(names: Sequence[str]) -> str:
    """Names of layers in a sentence, the first ones of many."""
    if len(names) <= MOST:
        return ", ".join(names)
    return f"{', '.join(names[:MOST])} and {len(names) - MOST} more"


def _for_files(options: LayerOptions) -> ApplyOptions:
    """The same choices for files."""
    return ApplyOptions(
        options.direction, options.grid, options.pixel_size, options.images, options.background
    )
