"""One model for all pairs and one for each cluster, from the same weights with the same number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.progress import Cancelled, Progress, silent, subprogress
from ..io.guards import user_path
from ..io.pairs import PairSet
from . import runs
from .events import Ended, Event, Request, Said, Stepped
from .options import LATER, TrainOptions
from .run import resume, train_pairs

FIRST, EVERYONE, OWN = "first", "all", "cluster-{}"  # folders of the runs


@dataclass(frozen=True)
class Models:
    """Weights that were trained for as many steps each.

    Parameters
    ----------
    everyone : Path
        Of the one model for all pairs.
    own : tuple of Path
        Of each cluster's model.
    steps : int
        Of each model's training after the common initial weights.
    before : int
        Steps on all pairs that led to these weights; 0 if they were given.
    notes : tuple of str
        Pairs that were skipped.
    """

    everyone: Path
    own: tuple[Path, ...]
    steps: int
    before: int
    notes: tuple[str, ...]


def train_each(
    pairs: PairSet,
    groups: Sequence[PairSet],
    options: TrainOptions,
    folder: Path | str,
    progress: Progress = silent,
) -> Models:
    """Train one model for all pairs and one for each group of them, so that they can be compared.

    All models begin with the same weights: the given ones or, from scratch, those of a first model trained
    on all pairs for all epochs. Each model then has a new optimizer. The one for all takes all pairs for as
    many epochs again, each group's takes its own pairs for exactly as many steps. The weights of the last
    epoch count, so that no validation pair has chosen any.

    Parameters
    ----------
    pairs : PairSet
        All of them.
    groups : sequence of PairSet
        Two or more, each with pairs to train on; without pairs for validation is allowed.
    options : TrainOptions
        Without patience, which would end the runs at different steps.
    folder : path
        Gets a run for each model, in the folders first, all, cluster-1, cluster-2, ...; what is there of
        them is resumed, not trained again.
    progress : Progress
        May raise `Cancelled`.

    Raises
    ------
    ValueError
        If there are fewer than two groups, a folder holds a run of other pairs or options, a loss is not a
        number any more; else as `train_pairs`.
    Cancelled
        If `progress` raised it; everything is saved, and the same call goes on from there.
    """
    if len(groups) < 2:
        raise ValueError("The model of a single cluster is the one for all; choose 2 clusters or more.")
    if options.patience:
        raise ValueError("With patience the models would be trained for different steps; leave it out.")
    folder = user_path(folder).absolute()
    scratch = options.start == "scratch"
    screen = _Screen(progress, 1 + scratch + len(groups))
    before = 0
    if scratch:
        start = _trained("the first model", pairs, options, folder / FIRST, screen)
        before = _steps(folder / FIRST)
        options = replace(options, start="weights", weights=start)
    everyone = _trained("one for all", pairs, options, folder / EVERYONE, screen)
    steps = _steps(folder / EVERYONE)
    same = replace(options, steps=steps // options.epochs)
    own = []
    for number, group in enumerate(groups, 1):
        place = folder / OWN.format(number)
        own.append(_trained(f"cluster {number} of {len(groups)}", group, same, place, screen))
    return Models(everyone, tuple(own), steps, before, tuple(dict.fromkeys(screen.said)))


def _trained(name: str, pairs: PairSet, options: TrainOptions, folder: Path, screen: _Screen) -> Path:
    """The last weights of a run, which is begun, resumed, or done already."""
    screen.next(name)
    rest: dict[str, Any] = {"report": screen.report, "control": screen.control}
    if runs.holds_run(folder):
        info = runs.read_run(folder)
        _check_same(info, pairs, options)
        if info.last is not None and info.history and info.history[-1].epoch >= options.epochs:
            return info.last
        ended = resume(folder, **rest)
    else:
        ended = train_pairs(pairs, options, folder, **rest)
    return _last(name, ended, folder)


def _last(name: str, ended: Ended, folder: Path) -> Path:
    """The last weights of a run that has come to its end."""
    if ended.reason == "stopped":
        raise Cancelled(
            f"cancelled while {name} was trained; all is saved, the same command goes on from there"
        )
    if ended.reason == "not a number" or ended.last is None:
        raise ValueError(f"Training {name} in {folder}: {ended.text}")
    return ended.last


def _check_same(info: runs.RunInfo, pairs: PairSet, options: TrainOptions) -> None:
    """Refuse to resume a run of other pairs or options."""
    free = set(LATER) - {"epochs"}
    requested, there = (
        {name: value for name, value in chosen.as_dict().items() if name not in free}
        for chosen in (options.settled(pairs.known), info.options)
    )
    other = [name for name, value in requested.items() if value != there[name]]
    if other:
        raise ValueError(f"{info.folder} holds a run with another {other[0]}; choose another folder.")
    kept = runs.read_pairs(info.folder)
    for mine, theirs in ((pairs.training, kept.training), (pairs.validation, kept.validation)):
        if [pair.name for pair in mine] != [pair.name for pair in theirs]:
            raise ValueError(f"{info.folder} holds a run of other pairs; choose another folder.")


def _steps(folder: Path) -> int:
    """Steps that a finished run has taken."""
    return runs.read_history(folder)[-1].step


class _Screen:
    """The events of one run after another as progress of all of them."""

    def __init__(self, progress: Progress, count: int) -> None:
        self.said: list[str] = []
        self._whole, self._count, self._number = progress, count, -1
        self._progress, self._fraction, self._name, self._words = progress, 0.0, "", ""

    def next(self, name: str) -> None:
        """Another run begins."""
        self._number += 1
        self._progress = subprogress(
            self._whole, self._number / self._count, (self._number + 1) / self._count
        )
        self._fraction, self._name, self._words = 0.0, name, "reading the first pairs"
        self._progress(0.0, f"training {name}: {self._words}")

    def report(self, event: Event) -> None:
        """Remember what there is to show."""
        if isinstance(event, Said):
            self.said.append(event.text)
        elif isinstance(event, Stepped):
            self._fraction = event.step / event.steps
            self._words = f"epoch {event.epoch} of {event.epochs}, loss {event.losses.total:.4g}"

    def control(self) -> Request:
        """Whether the user has cancelled."""
        try:
            self._progress(self._fraction, f"training {self._name}: {self._words}")
        except Cancelled:
            self._progress = silent  # cancelled once; the run saves
            return "stop"
        return "go"
