"""`napari-voxreg clusters`: kinds of images among pairs, and a model for each."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ... import figures
from ...cohort import IMAGES, MOST, Cluster, Survey, csv_text, judge, markdown, survey, table_text
from ...core.progress import Cancelled, Progress, subprogress
from ...io.files import check_outputs, check_replaceable
from ..options import add_declared, add_verbose, parameters
from ..terminal import progress_bar, write_text
from .pairs import add_source_options, pairs_from

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...train.options import TrainOptions

LIST, ELBOW, GALLERY, TABLE, SUMMARY = "clusters.csv", "elbow.png", "gallery.png", "table.csv", "summary.md"
TITLE = "# Clusters"  # of the summary
MODELS, JUDGED = "models", "judged"  # folders
SURVEYED, TRAINED = 0.05, 0.85  # of the time with training, until clusters and models are there


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options, those of the training from their declaration."""
    from ...train.options import TrainOptions

    parser.usage = "%(prog)s SOURCE [MOVING] -o DIR [-k K] [--train] [options]"
    add_source_options(parser)
    add = parser.add_argument
    text = f"folder for {LIST}, {ELBOW} and {GALLERY}; with --train also for runs, {TABLE} and {SUMMARY}"
    add("-o", "--output", type=Path, required=True, metavar="DIR", help=text)
    text = f"number of clusters (default: the elbow of the curve for 1 to {MOST})"
    add("-k", "--clusters", type=int, dest="count", metavar="K", help=text)
    add(
        "--images",
        choices=IMAGES,
        default=IMAGES[0],
        help="images of a pair that are compared (default fixed)",
    )
    text = (
        "train a model for all pairs and one for each cluster, and evaluate them; existing runs are resumed"
    )
    add("--train", action="store_true", help=text)
    add_verbose(parser)
    add_declared(parser, "training", TrainOptions.infos())


def run(options: argparse.Namespace) -> None:
    """Find the clusters, train and judge their models on request, and print the results.

    Raises
    ------
    ValueError
        With one plain sentence, before anything is trained where that can be known.
    Cancelled
        If the user stopped it; what is done is kept.
    """
    from ...train.options import TrainOptions

    given = parameters(options)
    chosen = TrainOptions.from_dict(given)
    idle = [name for name in given if name != "seed"]
    if idle and not options.train:
        raise ValueError(f"--{idle[0].replace('_', '-')} is about training; give --train, too.")
    if options.count is not None and options.count < 1:
        raise ValueError(f"There cannot be {options.count} clusters; give -k a number from 1 on.")
    check_outputs(*(options.output / name for name in (LIST, ELBOW, GALLERY, TABLE, SUMMARY)))
    check_replaceable(options.output / LIST, "cluster,set,pair,")
    if options.train:
        check_replaceable(options.output / TABLE, "cluster,training pairs,")
        check_replaceable(options.output / SUMMARY, TITLE)
    pairs = pairs_from(options)
    if options.train and not pairs.validation:
        raise ValueError("Models are judged on validation pairs; keep some with --validation.")
    with progress_bar() as progress:
        found = survey(
            pairs,
            images=options.images,
            most=max(MOST, options.count or 0),
            seed=chosen.seed,
            progress=subprogress(progress, 0.0, SURVEYED if options.train else 1.0),
        )
        clusters = found.clusters(options.count)
        blocks = [_listed(found, clusters), *found.pairs.notes]
        surveyed = subprogress(progress, 0.0, SURVEYED if options.train else 1.0)
        written = _write(found, clusters, options.output, surveyed)
        if options.train:
            blocks += _trained(found, clusters, chosen, options.output, progress)
            written += [TABLE, SUMMARY]
    blocks.append(f"Wrote {', '.join(written[:-1])} and {written[-1]} to {options.output}.")
    print("\n\n".join(blocks))


def _write(found: Survey, clusters: Sequence[Cluster], folder: Path, progress: Progress) -> list[str]:
    """Write the list and the figures; returns their names."""
    write_text(folder / LIST, csv_text(clusters))
    written = [LIST]
    drawings: dict[str, Callable[[], Figure]] = {
        ELBOW: lambda: figures.elbow(found.inertias, found.suggested, len(clusters)),
        GALLERY: lambda: figures.members(clusters),
    }
    for name, draw in drawings.items():
        try:
            progress(1.0, f"drawing {name}")
        except Cancelled as stopped:
            raise Cancelled(f"cancelled; {folder} holds {' and '.join(written)} so far") from stopped
        figures.save(draw(), folder / name)
        written.append(name)
    return written


def _trained(
    found: Survey,
    clusters: Sequence[Cluster],
    options: TrainOptions,
    folder: Path,
    progress: Progress,
) -> list[str]:
    """Train, judge, write the table and the summary; returns what there is to say."""
    from ...train.clusters import train_each

    models = train_each(
        found.pairs,
        [cluster.pairs for cluster in clusters],
        options,
        folder / MODELS,
        subprogress(progress, SURVEYED, TRAINED),
    )
    judged = judge(
        clusters,
        models.everyone,
        models.own,
        folder / JUDGED,
        device=options.device,
        progress=subprogress(progress, TRAINED, 1.0),
    )
    start = f"{models.before} steps on all pairs" if models.before else f"{options.start} weights"
    how = (
        f"{options.architecture}, {options.dissimilarity}: every model took {models.steps} steps from the "
        f"same weights ({start}), the one for all on all pairs, each cluster's on its own."
    )
    write_text(folder / TABLE, table_text(judged))
    page = markdown(judged)
    write_text(folder / SUMMARY, f"{TITLE}\n\n{how}\n\n{page}")
    return [*(note for note in models.notes if note not in found.pairs.notes), how, page.strip()]


def _listed(found: Survey, clusters: Sequence[Cluster]) -> str:
    """The clusters in lines, and where the elbow is."""
    lines = []
    for cluster in clusters:
        counts = f"{len(cluster.pairs.training)} training, {len(cluster.pairs.validation)} validation"
        lines.append(f"Cluster {cluster.number}: {counts}; nearest {cluster.members[0].pair.name}.")
    return "\n".join([*lines, f"The elbow is at {found.suggested}."])
