"""Train on 64 pairs of simulated radar chips, judged by the true map on 16 others.

    xvfb-run -a -s "-screen 0 1600x1000x24" .venv/bin/python scripts/training_sar.py viewer -o sar
    OMP_NUM_THREADS=1 .venv/bin/python scripts/training_sar.py networks -o sar
    OMP_NUM_THREADS=1 .venv/bin/python scripts/training_sar.py losses -o sar
    OMP_NUM_THREADS=1 .venv/bin/python scripts/training_sar.py smoothness -o sar

`viewer` drives the Train panel of a real napari and takes screenshots of its window. `networks` gives every
network, from scratch and from the shipped weights, the same time of one core; `smoothness` does so for every
loss with three weights of smoothness. `losses` evaluates each loss on the true map and on the results of
`networks`.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import psutil
from matplotlib.figure import Figure
from training_examples import TABLE, chips, mean_truth, true_error, write_table

from napari_voxreg import figures
from napari_voxreg.io.pairs import open_pairs
from napari_voxreg.train.events import Began, EpochDone, Event, Request
from napari_voxreg.train.options import TrainOptions
from napari_voxreg.train.runs import BEST, read_history

PAIRS, VALIDATION = 80, 0.2
TIMES = "times.csv"
# Time ends a run, not the number of epochs; 32 steps take the pairs twice.
COMMON = {
    "loss": "MSE",
    "smoothness_weight": 0.1,
    "learning_rate": 5e-4,
    "precision": "bfloat16",
    "batch_size": 4,
    "size": 128,
    "flips": True,
    "epochs": 10_000,
    "steps": 32,
}
SUPERVISED = {
    "loss": "end-point error",
    "smoothness_weight": 0.0,
    "learning_rate": 1e-3,
    "epochs": 60,
    "show_every": 32,
}
FINE = {"start": "shipped", "learning_rate": 1e-4}
CASES: dict[str, dict[str, Any]] = {
    "pyramid": {},
    "pyramid, shipped": FINE,
    "voxelmorph": {},
    "voxelmorph, shipped": FINE,
    "voxelmorph, shipped, NCC": FINE | {"loss": "NCC", "smoothness_weight": 1.0},
    "sar-voxelmorph": {"learning_rate": 1e-3},
    "avsm": {"learning_rate": 1e-3, "epochs": 60, "affine_epochs": 4},
    "avsm, shipped": FINE | {"affine_epochs": 4},
    "jsm": {"learning_rate": 1e-4},
    "jsm, shipped": FINE,
    "stn": {"learning_rate": 1e-3},
    "stn, shipped": FINE,
}
# Of every loss; from the shipped weights, since what a loss is worth shows where it ends and not on the way.
WEIGHTS = {
    "NCC": (0.1, 1.0, 10.0),
    "LNCC": (0.1, 1.0, 10.0),
    "MIND": (0.01, 0.1, 1.0),
    "NMI": (0.01, 0.1, 1.0),
    "MSE": (0.01, 0.1, 1.0),
}
CANVAS, PANEL = (336, 132, 964, 760), (978, 290, 1318, 860)  # what is kept of a screenshot
GAP = 12
MOMENTS = (0.0, 0.5, 2.0)  # minutes at which screenshots are taken, beside the end

Times = list[tuple[float, float]]
"""Minutes of a core and true error in pixels, an epoch each."""


def pairs_in(folder: Path) -> Path:
    """The table of pairs, made if need be; nobody's scene is on both sides."""
    table = folder / "pairs" / TABLE
    if not table.is_file():
        write_table(open_pairs(list(chips(PAIRS)), validation=VALIDATION), table.parent)
    return table


# In the viewer -------------------------------------------------------------------------------------------


def in_viewer(folder: Path, minutes: float) -> None:
    """Press Start, wait, press Stop; screenshots meanwhile, and the result.

    Minutes are those that two cores take if nothing else is on: half of the time that the processes had.
    """
    import napari
    from qtpy.QtWidgets import QApplication

    table = pairs_in(folder)
    viewer = napari.Viewer()
    viewer.window.resize(1320, 900)
    _, panel = viewer.window.add_plugin_dock_widget("napari-voxreg", "Train")

    def until(true: Callable[[], bool], seconds: float = 3600.0) -> None:
        end = time.monotonic() + seconds
        while not true() and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.05)

    def screenshot(name: str) -> None:
        until(lambda: False, 1.5)  # until everything is drawn
        viewer.window.screenshot(str(folder / f"window-{name}.png"), flash=False, canvas_only=False)

    panel.folder.choose(folder / "runs")
    panel.source.choose(table)
    panel.options.choose(**COMMON | SUPERVISED)
    until(lambda: panel.source.pairs is not None)
    screenshot("chosen")
    began = time.monotonic()
    panel.bar.start.click()
    until(lambda: len(panel._example.layers) == 4)
    moments = [*(minute for minute in MOMENTS if minute < minutes), minutes]
    for minute in moments:
        while (spent := trained()) < minute:
            until(lambda: False, 1.0)
        screenshot(f"{minute:g}")
    ended: list[object] = []
    panel.finished.connect(ended.append)
    panel.bar.stop.click()
    until(lambda: bool(ended))
    screenshot("end")
    run = panel.runner.folder
    result = {
        "minutes of two cores": spent,
        "minutes on the clock": (time.monotonic() - began) / 60,
        "epochs": read_history(run)[-1].epoch,
        "before": true_error(table, run, None),
        "best weights": true_error(table, run, run / BEST),
    }
    (folder / "viewer.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    record(folder, [f"window-{name:g}.png" for name in moments])
    viewer.close()


def record(folder: Path, names: Sequence[str]) -> None:
    """One sheet of the screenshots, two beside each other: the example pair and the curves."""
    wide, high = CANVAS[2] - CANVAS[0] + PANEL[2] - PANEL[0], CANVAS[3] - CANVAS[1]
    rows = -(-len(names) // 2)
    sheet = PIL.Image.new("RGB", (2 * wide + GAP, rows * (high + GAP) - GAP), "white")
    for k, name in enumerate(names):
        window = PIL.Image.open(folder / name).convert("RGB")
        left, top = k % 2 * (wide + GAP), k // 2 * (high + GAP)
        sheet.paste(window.getpixel((PANEL[2] - 9, PANEL[3] - 9)), (left, top, left + wide, top + high))
        sheet.paste(window.crop(CANVAS), (left, top))
        sheet.paste(window.crop(PANEL), (left + CANVAS[2] - CANVAS[0], top))
    small = sheet.resize((sheet.width * 2 // 3, sheet.height * 2 // 3), PIL.Image.Resampling.LANCZOS)
    small.quantize(256).save(folder / "window.png", optimize=True)


def trained() -> float:
    """Minutes of two cores that the training of this process and its readers have had."""
    trainers = [p for p in psutil.Process().children() if "napari_voxreg.train.child" in p.cmdline()]
    times = [q.cpu_times() for p in trainers for q in (p, *p.children(recursive=True))]
    return sum(t.user + t.system for t in times) / 120


# Without it ----------------------------------------------------------------------------------------------


def compare(cases: Mapping[str, Mapping[str, Any]], folder: Path, minutes: float) -> dict[str, Times]:
    """Give every case the same time of one core, and print a table; what has run before is not run again."""
    import torch

    from napari_voxreg.train.run import train_pairs

    table = pairs_in(folder)
    torch.set_num_threads(1)
    results: dict[str, Times] = {}
    print("| | epochs | unregistered | first weights | best weights | |", "| --- " * 6 + "|", sep="\n")
    for name, chosen in cases.items():
        run = folder / "runs" / name.replace(",", "").replace(" ", "-")
        if not (run / TIMES).is_file():
            options = TrainOptions(**{"architecture": name.partition(",")[0], **COMMON, **chosen})
            clock = Clock(60 * minutes)
            train_pairs(open_pairs(table), options, run, report=clock.report, control=clock.control)
            clock.write(run / TIMES)
        with (run / TIMES).open() as file:
            results[name] = [(float(minute), float(error)) for minute, error in csv.reader(file)]
        before, best = true_error(table, run, None), true_error(table, run, run / BEST)
        first = read_history(run)[0].validation.error
        numbers = f"{before:.2f} | {first:.2f} | {best:.2f} | {100 * (best / before - 1):+.0f} %"
        print(f"| {name} | {len(results[name])} | {numbers} |", flush=True)
    return results


class Clock:
    """Stops a training after some seconds of this process's own time, and keeps the time of each epoch."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.began = seconds, time.process_time()
        self.rows: list[tuple[float, float]] = []

    @property
    def spent(self) -> float:
        """Seconds of a core so far."""
        return time.process_time() - self.began

    def control(self) -> Request:
        """Whether there is time left; the first epoch is finished in any case."""
        return "stop" if self.rows and self.spent > self.seconds else "go"

    def report(self, event: Event) -> None:
        """Note the true error after each epoch."""
        if isinstance(event, Began):
            self.began = time.process_time()
        elif isinstance(event, EpochDone):
            self.rows.append((self.spent / 60, event.row.validation.error))

    def write(self, path: Path) -> None:
        """Minutes of a core and true error in pixels, a line an epoch."""
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(self.rows)


def draw(results: Mapping[str, Times], path: Path) -> Path:
    """True errors by time, of training from scratch and from shipped weights."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    sides = figure.subplots(1, 2, sharey=True)
    networks = list(dict.fromkeys(name.partition(",")[0] for name in results))
    for name, times in results.items():
        network, *chosen = name.split(", ")
        minutes, errors = zip(*times, strict=True)
        other = [what for what in chosen if what != "shipped"]
        style = {"color": f"C{networks.index(network)}", "ls": "--" if other else "-", "lw": 1.4}
        sides[int("shipped" in chosen)].plot(minutes, errors, label=", ".join([network, *other]), **style)
    for axes, title in zip(sides, ("from scratch", "from the shipped weights"), strict=True):
        axes.set_title(title, fontsize=10)
        axes.set(xlabel="minutes of one core", ylim=(0, 2.5))
        axes.grid(alpha=0.25)
    sides[0].set_ylabel("true error of validation, pixels")
    shown = {
        label: line for axes in sides for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(shown.values(), shown, frameon=False, fontsize=8, loc="outside right")
    return figures.save(figure, path)


def weighed() -> dict[str, dict[str, Any]]:
    """Losses with less, as much and more weight of smoothness, to tune what `networks` tunes with MSE."""
    return {
        f"voxelmorph, {loss} {weight:g}": FINE | {"loss": loss, "smoothness_weight": weight, "workers": 0}
        for loss, weights in WEIGHTS.items()
        for weight in weights
    }


def blind(table: Path, shape: tuple[int, int]) -> dict[str, Any]:
    """The mean displacement of the training pairs, which takes no looking; also of mirrored pairs."""
    mirrored = mean = mean_truth(table, shape)
    for axis in (0, 1):
        other = mirrored.flip(axis + 1)
        other[axis] *= -1
        mirrored = (mirrored + other) / 2
    return {"the mean": mean[None], "the mean, mirrored": mirrored[None]}


def losses(folder: Path) -> None:
    """Print each loss on the validation pairs: of the true map, of none, of networks' predictions."""
    import torch

    from napari_voxreg.nets.architectures.network import Prediction
    from napari_voxreg.nets.checkpoints.checkpoint import load_weights, open_checkpoint, shipped
    from napari_voxreg.train.pairs.data import PairData, in_order, together
    from napari_voxreg.train.pairs.pair_losses import Cost
    from napari_voxreg.train.pairs.prepare import TRUTH

    pairs, options = open_pairs(pairs_in(folder)).validation, TrainOptions(size=COMMON["size"])
    shape = (options.size,) * 2
    data = PairData(pairs, shape, frozenset({TRUTH}), options)
    (draws,) = in_order(len(data), len(data))
    batch = together([data[draw] for draw in draws])
    images, truth = [batch.tensors[side] for side in ("fixed", "moving")], batch.tensors[TRUTH]
    fields = {"nothing": 0 * truth, "the true map": truth}
    fields |= {name: mean.expand_as(truth) for name, mean in blind(pairs_in(folder), shape).items()}
    with torch.no_grad():
        for name in ("voxelmorph", "pyramid"):
            tuned = load_weights(folder / "runs" / f"{name}-shipped" / BEST).net.eval()
            fields[f"{name}, shipped"] = (
                open_checkpoint(shipped(f"{name}2d")).net.eval()(*images).displacement
            )
            fields[f"{name}, trained on"] = tuned(*images).displacement
        print("| |", *(f"{loss} |" for loss in WEIGHTS), "slopes | error |")
        print("| --- " * (len(WEIGHTS) + 3) + "|")
        for name, field in fields.items():
            terms = [
                Cost(TrainOptions(loss=loss))(lambda *_, u=field: Prediction(u), batch, 1)[0]
                for loss in WEIGHTS
            ]
            numbers = [float(term.similarity) for term in terms]
            numbers += [float(terms[0].smoothness), float(terms[0].error)]
            print(f"| {name} |", *(f"{number:.4g} |" for number in numbers))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("viewer", "networks", "losses", "smoothness"))
    parser.add_argument("-o", "--output", type=Path, default=Path("sar"), metavar="DIR")
    parser.add_argument(
        "--minutes", type=float, metavar="N", help="5 in the viewer, 2 for a network, 0.5 for a loss"
    )
    chosen = parser.parse_args()
    if chosen.what == "viewer":
        in_viewer(chosen.output, chosen.minutes or 5.0)
    elif chosen.what == "networks":
        print(draw(compare(CASES, chosen.output, chosen.minutes or 2.0), chosen.output / "compared.png"))
    elif chosen.what == "losses":
        losses(chosen.output)
    else:
        compare(weighed(), chosen.output, chosen.minutes or 0.5)


if __name__ == "__main__":
    main()
