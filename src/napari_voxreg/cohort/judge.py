"""One model for each cluster against one model for all, judged on validation pairs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.progress import Progress, silent, subprogress
from ..evaluation import MEASURES, Row, evaluate
from ..io.guards import read_json, reading
from ..methods import method_for
from .clusters import Cluster

CERTAIN = 0.95  # confidence at which a difference is reported
KNOWN = MEASURES[:3]  # scores that rest on known correspondence
CAVEAT = (
    "The standard error is over pairs, for one training: another seed may change more than that, so train "
    "with others before you rely on a difference."
)
BEYOND = "beyond"  # the gain in SSIM beyond smoothing


@dataclass(frozen=True)
class Judging:
    """Two models on the same pairs.

    Parameters
    ----------
    pairs : int
        On which both have a result.
    score : str
        What is compared: the title of a measure, or "SSIM beyond smoothing".
    higher : bool
        Whether more of it is better.
    gain, error : float
        Mean over pairs by which the clusters' models are better, and its standard error; nan where there are
        fewer pairs than 1 and 2.
    before, everyone, own : float
        Means of the score before registration, under the one model for all, and under the clusters' models;
        nan without pairs.
    ssim_before, ssim_everyone, ssim_own : float
        The same of SSIM.
    """

    pairs: int
    score: str
    higher: bool
    gain: float
    error: float
    before: float
    everyone: float
    own: float
    ssim_before: float
    ssim_everyone: float
    ssim_own: float

    @property
    def better(self) -> str:
        """Which are better, "own" or "all", if beyond chance by Student's t (95 %, two-sided); else empty."""
        if self.pairs < 2 or not self.gain:
            return ""
        from scipy.stats import t

        limit = float(t.ppf((1 + CERTAIN) / 2, self.pairs - 1)) * self.error
        return "" if abs(self.gain) <= limit else "own" if self.gain > 0 else "all"

    @property
    def sentence(self) -> str:
        """Which is better and by how much, never within chance."""
        if not self.pairs:
            return "No validation pair has a result under both, so the models cannot be compared."
        if self.pairs < 2:
            return "One validation pair cannot tell a difference from chance; keep more for validation."
        values = (
            f"{self.score} {self.everyone:.3f} with one model for all, {self.own:.3f} with one per cluster"
        )
        measured = (
            f"{values}; {abs(self.gain):.3f} ± {self.error:.3f} (standard error) "
            f"{'better' if self.gain >= 0 else 'worse'} over {self.pairs} validation pairs"
        )
        verdicts = {
            "own": "One model per cluster did better in this training",
            "all": "One model for all did better in this training",
            "": "No difference that could not be chance",
        }
        return f"{verdicts[self.better]}: {measured}."


@dataclass(frozen=True)
class Judgement:
    """Models of clusters against the one for all.

    Parameters
    ----------
    training : tuple of int
        Pairs that each cluster's model was trained on, cluster by cluster.
    clusters : tuple of Judging
        Cluster by cluster.
    whole : Judging
        All clusters together.
    notes : tuple of str
        On predictions that the method rejected, and pairs without a result.
    """

    training: tuple[int, ...]
    clusters: tuple[Judging, ...]
    whole: Judging
    notes: tuple[str, ...] = ()


def judge(
    clusters: Sequence[Cluster],
    everyone: Path,
    own: Sequence[Path],
    folder: Path,
    *,
    device: str = "auto",
    progress: Progress = silent,
) -> Judgement:
    """Register every validation pair with the model of its cluster and with the one for all.

    Networks predict once, without refinement, which would hide what they have learnt.

    Parameters
    ----------
    clusters : sequence of Cluster
    everyone : Path
        Weights of the one model, with their card.
    own : sequence of Path
        Weights of each cluster's model.
    folder : Path
        For the evaluations; pairs that are in its table are not run again.
    device : str
        As in `register`.
    progress : Progress
        May raise `Cancelled`; what is done is kept.

    Raises
    ------
    ValueError
        If there are no validation pairs, or no method can use the weights.
    """
    validation = [cluster.pairs.validation for cluster in clusters]
    if not any(validation):
        raise ValueError("There are no validation pairs to judge the models on; keep some.")
    method = _method(everyone)
    jobs = [(everyone, [pair for pairs in validation for pair in pairs]), *zip(own, validation, strict=True)]
    total = sum(len(pairs) for _, pairs in jobs)
    found, notes, done = [], [], 0
    for weights, pairs in jobs:
        found.append(
            evaluate(
                pairs,
                method=method,
                preset="fast",
                params={"weights": weights},
                device=device,
                folder=folder,
                progress=subprogress(progress, done / total, (done + len(pairs)) / total),
            ).rows
        )
        done += len(pairs)
        notes += [
            f"{row.name} under {weights.parent.name}: {row.sentence}" for row in found[-1] if row.failed
        ]
    first, rest = found[0], found[1:]
    score = _score([row for rows in found for row in rows if not row.failed])
    sides = []
    for rows in rest:
        sides.append((first[: len(rows)], rows))
        first = first[len(rows) :]
    whole = compared(found[0], [row for rows in rest for row in rows], score)
    return Judgement(
        tuple(len(cluster.pairs.training) for cluster in clusters),
        tuple(compared(*side, score) for side in sides),
        whole,
        (*_rejected(*found), *notes),
    )


def compared(everyone: Sequence[Row], own: Sequence[Row], score: str | None = None) -> Judging:
    """The same pairs under two models, pair by pair.

    Parameters
    ----------
    everyone, own : sequence of Row
        The same pairs in the same order; those that failed under either are skipped.
    score : str, optional
        Key of the measure; by default the first one with known correspondence that all rows have, else the
        gain in SSIM beyond smoothing.
    """
    both = [(a, b) for a, b in zip(everyone, own, strict=True) if not (a.failed or b.failed)]
    score = _score([row for rows in both for row in rows]) if score is None else score
    measure = next((m for m in KNOWN if m.key == score), None)
    higher = measure is None or measure.higher
    values = np.array([(*_values(a, b, score), *_values(a, b, "ssim")) for a, b in both]).reshape(-1, 6)
    values = values[np.isfinite(values).all(axis=1)]
    gains = (values[:, 2] - values[:, 1]) * (1 if higher else -1)
    count = len(values)
    means = values.mean(axis=0) if count else np.full(6, math.nan)
    gain = float(gains.mean()) if count else math.nan
    error = float(gains.std(ddof=1) / math.sqrt(count)) if count > 1 else math.nan
    title = "SSIM beyond smoothing" if measure is None else measure.title
    return Judging(count, title, higher, gain, error, *means.tolist())


def table_text(found: Judgement) -> str:
    """The judgement as CSV: a line a cluster, then one for all of them together."""
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    key = found.whole.score
    writer.writerow(
        (
            "cluster",
            "training pairs",
            "validation pairs",
            *(f"{what}, {which}" for what in (key, "SSIM") for which in ("before", "one for all", "own")),
            "gain of own",
            "standard error",
            "better",
        )
    )
    for name, training, one in _lines(found):
        scores = (one.before, one.everyone, one.own, one.ssim_before, one.ssim_everyone, one.ssim_own)
        numbers = ("" if math.isnan(v) else f"{v:.6g}" for v in (*scores, one.gain, one.error))
        writer.writerow((name, training, one.pairs, *numbers, one.better))
    return table.getvalue()


def markdown(found: Judgement) -> str:
    """The judgement as a table and sentences."""
    key = found.whole.score
    head = (
        "cluster",
        "training",
        "validation",
        f"{key} before",
        "one for all",
        "own",
        "gain of own",
        "SSIM before",
        "one for all",
        "own",
        "better",
    )
    lines = [head, ("---", *("--:" for _ in head[1:]))]
    for name, training, one in _lines(found):
        scores = [f"{v:.3f}" for v in (one.before, one.everyone, one.own)]
        gain = "–" if math.isnan(one.error) else f"{one.gain:+.3f} ± {one.error:.3f}"
        ssim = [f"{v:.3f}" for v in (one.ssim_before, one.ssim_everyone, one.ssim_own)]
        cells = (name, str(training), str(one.pairs), *scores, gain, *ssim, one.better or "–")
        lines.append(tuple(cell.replace("nan", "–") for cell in cells))
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([found.whole.sentence, table, CAVEAT, *found.notes]) + "\n"


def _lines(found: Judgement) -> list[tuple[str, int, Judging]]:
    """Name, training pairs and judging of each line."""
    each = zip(found.training, found.clusters, strict=True)
    lines = [(str(number), count, one) for number, (count, one) in enumerate(each, 1)]
    return [*lines, ("all", sum(found.training), found.whole)]


def _score(rows: Sequence[Row]) -> str:
    """The key of the first measure with known correspondence that all rows have, else `BEYOND`."""
    for measure in KNOWN:
        if rows and all(not math.isnan(row.after.get(measure.key, math.nan)) for row in rows):
            return measure.key
    return BEYOND


def _values(everyone: Row, own: Row, score: str) -> tuple[float, float, float]:
    """A score before registration, under the one model, and under the cluster's."""
    if score == BEYOND:
        return 0.0, everyone.beyond, own.beyond  # before registration nothing goes beyond smoothing
    before, one, other = (row.get(score, math.nan) for row in (everyone.before, everyone.after, own.after))
    return before, one, other


def _rejected(everyone: Sequence[Row], *own: Sequence[Row]) -> list[str]:
    """A sentence on the pairs left at their current positions; none if there are none."""
    counts = [
        sum(
            not row.failed and all(row.before.get(m.key) == row.after.get(m.key) for m in MEASURES)
            for row in some
        )
        for some in (everyone, [row for rows in own for row in rows])
    ]
    if not any(counts):
        return []
    return [
        f"{counts[0]} of {len(everyone)} pairs stayed at their current positions with one model for "
        f"all, {counts[1]} with one per cluster: predictions that contradict themselves or do not raise the "
        "similarity are rejected."
    ]


def _method(weights: Path) -> str:
    """The method that can use weights with a card."""
    card = weights.with_suffix(".json")
    content = read_json(card)
    with reading(card, "it is no card of weights; copy it again"):
        architecture = str(content["architecture"])
    method = method_for(architecture)
    if method is None:
        raise ValueError(f"No method can use weights for {architecture!r}; train another network.")
    return method
