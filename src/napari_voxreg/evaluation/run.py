"""Run a method on many pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.params import Params
from ..core.progress import Cancelled, Progress, silent, subprogress
from ..io.pairs import Pair, PairNotes, PairSet, content_hash, read_pair
from ..methods.availability import require
from ..methods.base import WeightsParams
from ..registration.prepare import check_device, method_named, prepare
from ..registration.register import DEFAULT_METHOD
from .measure import measure
from .rows import COLUMNS, FAILED, Row
from .summary import rejections
from .table import Table, settings_digest

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a method did on a set of pairs.

    Parameters
    ----------
    rows : tuple of Row
        One a pair, in the set's order.
    notes : tuple of str
        Sentences for the user: what was skipped and why, what was taken from an earlier run.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def to_dataframe(self) -> pandas.DataFrame:
        """The rows as a table: pair, method, weights, outcome, sentence and all numbers, by their keys.

        Returns
        -------
        pandas.DataFrame
            One row a pair; nan where there is no number. `rejected` says whether a network's prediction was.
        """
        import pandas

        keys = ("method", "weights", "outcome", "sentence", "rejected")
        texts = {"pair": "name", **{key: key for key in keys}}
        return pandas.DataFrame(
            {
                **{title: [getattr(row, key) for row in self.rows] for title, key in texts.items()},
                **{column.key: [column.value(row) for row in self.rows] for column in COLUMNS},
            }
        )


def evaluate(
    pairs: PairSet | Sequence[Pair],
    *,
    method: str = DEFAULT_METHOD,
    preset: str | None = None,
    params: Params | Mapping[str, Any] | None = None,
    channel: int | str | None = None,
    seed: int = 0,
    device: str = "auto",
    folder: Path | str | None = None,
    progress: Progress | None = None,
    arrived: Callable[[Row], None] | None = None,
) -> Evaluation:
    """Run a method on every pair and measure each before and after.

    A pair that cannot be read or registered is a row with its sentence, and the others go on.

    Parameters
    ----------
    pairs : PairSet or sequence of Pair
        Of a set, both training and validation pairs; give one of the two to judge on it alone.
    folder : path, optional
        Where the table and the transforms are written, pair by pair. Pairs whose content was already
        evaluated there by the same method with the same parameters are not run again. Without it the results
        stay in memory.
    arrived : callable, optional
        Called with each row as soon as it is there; so rows outlive a `Cancelled`.
    method, preset, params, channel, seed, device, progress
        As in `register`.

    Returns
    -------
    Evaluation
        Each row can be opened again with `open_row`.

    Raises
    ------
    ValueError
        With one plain sentence, for an unknown method or parameter, or weights or a device that are not
        there.
    Cancelled
        If `progress` raised it.
    """
    report = silent if progress is None else progress
    chosen = method_named(method)
    require(chosen)
    values = chosen.parameters(preset, params)
    check_device(device, [chosen], report)
    settings = settings_digest(method, values, channel, seed, device)
    table = None if folder is None else Table(Path(folder))
    members = pairs.all if isinstance(pairs, PairSet) else tuple(pairs)
    run = _Run(method, values, settings, channel, seed, device)
    rows: list[Row] = []
    kept = 0
    for k, pair in enumerate(members):
        here = _counted(subprogress(report, k / len(members), (k + 1) / len(members)), pair, k, len(members))
        here(0.0, "reading")
        content, why = _content(pair)
        row = table.find(pair, content, settings) if table is not None and content else None
        kept += row is not None
        known = row is not None and row.name == pair.name
        if row is None:
            row = run.failed(pair, content, why) if why else run(pair, content, here)
        if table is not None and not known:
            row = table.save(replace(row, name=pair.name))
        rows.append(row)
        if arrived is not None:
            arrived(row)
    notes = pairs.notes if isinstance(pairs, PairSet) else ()
    return Evaluation(tuple(rows), (*notes, *_notes(rows, kept), *run.notes.sentences))


@dataclass(frozen=True)
class _Run:
    """A method with all that was chosen, ready for pair after pair."""

    method: str
    params: Params
    settings: str
    channel: int | str | None
    seed: int
    device: str
    notes: PairNotes = field(default_factory=PairNotes)  # on the images

    def __call__(self, pair: Pair, content: str, progress: Progress) -> Row:
        """Read, register and measure a pair; whatever goes wrong becomes its row."""
        try:
            return self._row(pair, content, progress)
        except Cancelled:
            raise
        except (ValueError, RuntimeError, OSError) as error:
            # Refusals, missing libraries, a full disk of temporary files, ITK's own errors.
            return self.failed(pair, content, str(error))
        except Exception as error:  # noqa: BLE001 - a defect on one pair must not lose the others' rows
            return self.failed(pair, content, f"{type(error).__name__}: {error}")

    def failed(self, pair: Pair, content: str, why: str) -> Row:
        """The row of a pair that has no result."""
        return self._named(pair, content, FAILED, why.split("\n")[0])

    def _row(self, pair: Pair, content: str, progress: Progress) -> Row:
        loaded = read_pair(pair)
        landmarks = None
        if loaded.fixed_landmarks is not None and loaded.moving_landmarks is not None:
            landmarks = (loaded.fixed_landmarks, loaded.moving_landmarks)
        prepared = prepare(
            loaded.fixed,
            loaded.moving,
            fixed_mask=loaded.fixed_mask,
            moving_mask=loaded.moving_mask,
            landmarks=landmarks,
            channel=self.channel,
            seed=self.seed,
            device=self.device,
        )
        self.notes.add(pair, prepared.notes)
        result = prepared.run(self.method, self.params, subprogress(progress, 0.02, 0.9))
        found = measure(prepared, loaded, result, subprogress(progress, 0.9, 1.0))
        return self._named(
            pair,
            content,
            result.verdict.outcome,
            result.verdict.sentence,
            before=found.before,
            after=found.after,
            interpolated=found.interpolated,
            overlap=100 * result.after.overlap_fraction,
            folding=result.after.folded,
            seconds=result.seconds,
            result=result,
            rejected=result.rejected,
        )

    def _named(self, pair: Pair, content: str, outcome: str, sentence: str, **more: Any) -> Row:
        own = self.params.weights if isinstance(self.params, WeightsParams) else None
        name = "" if own is None else own.name
        return Row(pair.name, self.method, name, content, self.settings, outcome, sentence, pair=pair, **more)


def _content(pair: Pair) -> tuple[str, str]:
    """The pair's fingerprint, or why it has none."""
    try:
        return content_hash(pair), ""
    except ValueError as error:
        return "", str(error)


def _notes(rows: Sequence[Row], kept: int) -> list[str]:
    """What was not run, and what could not be."""
    notes = []
    if kept:
        notes.append(f"{kept} of {len(rows)} pairs were already in the table and were not run again.")
    failed = [row for row in rows if row.failed]
    if failed:
        first = f"{failed[0].name}: {failed[0].sentence}"
        others = ", ".join(row.name for row in failed[1:6]) + (", ..." if len(failed) > 6 else "")
        rest = f" Also skipped: {others}." if others else ""
        notes.append(f"{len(failed)} of {len(rows)} pairs could not be evaluated; {first}{rest}")
    if sentence := rejections(rows):
        notes.append(sentence)
    return notes


def _counted(progress: Progress, pair: Pair, number: int, total: int) -> Progress:
    """Progress that names the current pair, without metrics, which form no curve over different pairs."""

    def report(fraction: float | None, message: str, metric: float | None = None) -> None:
        progress(fraction, f"{number + 1} of {total}, {pair.name}: {message}")

    return report
