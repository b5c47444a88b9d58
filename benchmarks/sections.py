"""The sections of the benchmark: their cells and how they appear on the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import ablation
import calibration
import installed
import network_page
import unrelated
from case import ALIGNED, pairs_module
from contestants import ORDER, missing, refuses
from napari_voxreg.methods import METHODS
from napari_voxreg.samples import SAMPLES
from tables import NONE, Results, against, error, matrix, rows, seconds, shown, summary, table

FLOWS = ("identity", "ilk", "tvl1", "flow")
HEADS = ("head-people", "head-warped")


@dataclass(frozen=True)
class Cell:
    """One measurement in a process of its own: ``python SCRIPT ARGUMENTS OUT.json``, perhaps on a GPU."""

    case: str
    method: str
    script: str
    arguments: tuple[str, ...]
    gpu: bool = False


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Parameters
    ----------
    name, title : str
        On the command line and on the page.
    cells : callable
        From "quick or not" to the cells, those of one case one after another.
    page : callable
        From the results to Markdown.
    """

    name: str
    title: str
    cells: Callable[[bool], list[Cell]]
    page: Callable[[Results], str]


def _crossed(sources: Mapping[str, tuple[str, int]], methods: tuple[str, ...]) -> list[Cell]:
    """Every method on every source (case -> source and number of axes)."""
    absent = missing()
    return [
        Cell(case, method, "cell.py", (source, method))
        for case, (source, ndim) in sources.items()
        for method in methods
        if method not in absent and not refuses(method, ndim)
    ]


def _real(quick: bool) -> list[Cell]:
    module = pairs_module()
    if module is None:
        return []
    sources = {
        pair["name"]: (f"real:{pair['name']}", pair["ndim"]) for pair in module.pairs() if pair["truth"]
    }
    chosen = dict(list(sources.items())[::5]) if quick else sources
    return _crossed(chosen, ORDER)


def _real_page(results: Results) -> str:
    if not results:
        return "Skipped: the real pairs are not there; name their folder in `VOXREG_PAIRS`."
    cases = sorted({case for case, _ in results})
    marked = [c for c in cases if "error" in results.get((c, "identity"), {}).get("after", {})]
    return "\n\n".join(
        [
            "Mean landmark error in px (2D) or mm (3D), bold within 1 % of the fixed image's diagonal, or "
            'mean Dice. "Made worse" counts errors that rose by more than 0.1.',
            summary(results, marked, ORDER),
            matrix(results, cases, ORDER, error),
            "`auto` against the best other on each pair. *Gain*: of errors, how often they are halved (-1 is "
            "twice the error); of Dice, the difference.",
            against(results, cases, "auto", ORDER),
            "Seconds:",
            matrix(results, cases, ORDER, seconds),
        ]
    )


def _aligned(quick: bool) -> list[Cell]:
    if pairs_module() is None:
        return []
    sources = {name: (f"aligned:{name}", 3) for name in json.loads(ALIGNED.read_text())}
    return [] if quick else _crossed(sources, ORDER)


def _slices(quick: bool) -> list[Cell]:
    if pairs_module() is None:
        return []
    names = [f"{name}-{axis}" for name in json.loads(ALIGNED.read_text()) for axis in range(3)]
    return _crossed({name: (f"middle:{name}", 2) for name in names[: 1 if quick else None]}, ORDER)


def _people_page(results: Results) -> str:
    cases = sorted({case for case, _ in results})
    mean = [["mean", *(_mean_dice(results, cases, m) for m in ORDER if any(m == k for _, k in results))]]
    return "\n\n".join(
        [
            "Two people after one affine map, the same for all; mean Dice of the labelled structures.",
            f"{matrix(results, cases, ORDER, error)}\n{rows(mean)}",
            against(results, cases, "auto", ORDER),
        ]
    )


def _mean_dice(results: Results, cases: list[str], method: str) -> str:
    cells = [results.get((case, method), {}) for case in cases]
    found = [cell["after"]["dice"] for cell in cells if cell.get("after")]
    return f"{np.mean(found):.3f}" if len(found) == len(cases) else NONE


def _samples(quick: bool) -> list[Cell]:
    names = ["brain2d", "fundus"] if quick else list(SAMPLES)
    return _crossed({name: (f"made:sample-{name}", SAMPLES[name].ndim) for name in names}, ORDER)


def _samples_page(results: Results) -> str:
    cases = list(SAMPLES)
    return "\n\n".join(
        [
            "Mean distance from the known map in px, µm or mm, over the labelled pixels of the fixed image "
            "or, without labels, all of it.",
            summary(results, cases, ORDER),
            matrix(results, cases, ORDER, error),
            "Seconds:",
            matrix(results, cases, ORDER, seconds),
        ]
    )


def _heads(quick: bool) -> list[Cell]:
    cells = _crossed({name: (f"made:{name}", 3) for name in HEADS}, ORDER)
    return [c for c in cells if c.method in ("identity", "diffeo")] if quick else cells


def _heads_page(results: Results) -> str:
    head = ("method", "Dice", "error, voxels", "folding %", "s", "MB", "MB loaded")
    parts = []
    words = {
        "head-people": "Two anatomies of the head phantom, 160x192x224, T1; mean Dice of six structures:",
        "head-warped": "One head and the same under a smooth diffeomorphism (mean 4.9 voxels) with changed "
        "contrast and noise, 160x192x224; the error is over the head:",
    }
    for case, text in words.items():
        rows = []
        for method in ORDER:
            cell = results.get((case, method))
            if cell is None:
                continue
            if "failed" in cell:
                rows.append([method, "failed", *[NONE] * 5])
                continue
            after = cell["after"]
            numbers = [f"{after['dice']:.3f}", f"{after['error']:.2f}" if "error" in after else NONE]
            numbers += [f"{cell['folds']:.2g}", seconds(cell), f"{cell['peak']:.0f}", f"{cell['loaded']:.0f}"]
            rows.append([method, *numbers])
        parts += [text, table(head, rows)]
    return "\n\n".join(parts)


def _linear(quick: bool) -> list[Cell]:
    sizes = (64, 96) if quick else (64, 96, 128, 192, 256)
    return _crossed({f"{n}³": (f"made:size-{n}", 3) for n in sizes}, ("diffeo",))


def _linear_page(results: Results) -> str:
    rows = []
    for (case, _), cell in sorted(results.items(), key=lambda item: int(item[0][0][:-1])):
        if "failed" in cell:
            rows.append([case, "failed", *[NONE] * 5])
            continue
        millions, grown = cell["pixels"] / 1e6, cell["peak"] - cell["loaded"]
        rows.append(
            [
                case,
                f"{cell['before']['error']:.2f} -> {cell['after']['error']:.2f}",
                f"{cell['folds']:.2g}",
                f"{cell['seconds']:.1f}",
                f"{cell['seconds'] / millions:.2f}",
                f"{cell['peak']:.0f}",
                f"{grown / millions:.0f}",
            ]
        )
    head = (
        "voxels",
        "error, mm",
        "folding %",
        "s",
        "s / million voxels",
        "MB",
        "MB above loaded / million voxels",
    )
    return "\n\n".join(["The deformed head at several sizes, by `diffeo`.", table(head, rows)])


def _flows(quick: bool) -> list[Cell]:
    names = [f"{kind}-{seed}" for seed in range(3) for kind in ("smooth", "layers", "large", "light")]
    names = [*(f"stereo-{divisor}" for divisor in (4, 2, 1)), *names]
    sources = {name: (f"made:flow-{name}", 2) for name in (names[:4] if quick else names)}
    return _crossed(sources, tuple(m for m in FLOWS if m in METHODS or m == "identity"))


def _flows_page(results: Results) -> str:
    cases = sorted({case for case, _ in results})
    words = (
        "Mean end-point error in px.\n\n"
        "- stereo: scikit-image's motorcycle, reduced 4, 2 and 1 times (points seen by both cameras)\n"
        "- smooth: photographs under a smooth flow\n"
        "- layers: objects that move over a background; hidden pixels count\n"
        "- large: the same at 436x1024 with motions to 15 px and more\n"
        "- light: layers, with changed illumination"
    )

    def plain(cell: Mapping[str, Any]) -> str:
        return f"{cell['after']['error']:.2f}"

    return "\n\n".join(
        [words, matrix(results, cases, FLOWS, plain), "Seconds:", matrix(results, cases, FLOWS, seconds)]
    )


def _variations(quick: bool) -> list[Cell]:
    absent = missing()
    cells = []
    for name in ["brain2d", "unrelated"] if quick else [*SAMPLES, "unrelated"]:
        volume = name in SAMPLES and SAMPLES[name].ndim == 3
        count = 1 if quick else 16 if name == "unrelated" else 2 if volume else 6
        cells += [
            Cell(name, method, "variations.py", (name, method, str(count)))
            for method in ("pose", "auto")
            if method not in absent
        ]
    return cells


def _variations_page(results: Results) -> str:
    kinds = ("turned", "scaled", "cropped", "inverted", "all")
    rows, unrelated = [], []
    for (name, method), cell in sorted(results.items()):
        if "failed" in cell:
            rows.append([name, method, shown(cell, str), *[NONE] * 6])
            continue
        if name == "unrelated":
            wrong = sum(trial["reliable"] for trial in cell["unrelated"])
            unrelated.append(f"`{method}` accepted {wrong} of {len(cell['unrelated'])} unrelated pairs.")
            continue
        trials = [trial for kind in kinds for trial in cell[kind]]
        good = {kind: [_within(trial) for trial in cell[kind]] for kind in kinds}
        accepted = [trial for trial in trials if trial["reliable"]]
        false = sum(not _within(trial, 3) for trial in accepted)
        mean = sum(trial["seconds"] for trial in trials) / len(trials)
        shares = [f"{sum(good[kind])} of {len(good[kind])}" for kind in kinds]
        rows.append([name, method, *shares, f"{false} of {len(accepted)}", f"{mean:.1f}"])
    words = (
        "Samples with other seeds. The moving image is rotated by any angle (3D: up to 45 degrees), scaled "
        "by 0.5 to 2 (3D: 0.7 to 1.4), cropped until it shows 35 to 60 % of the fixed one, inverted in "
        "contrast, and all of that together. The numbers are trials that end within 1 % of the diagonal; for "
        '`pose` the truth is its affine part. "Wrong" counts results beyond 3 % that the method reports as '
        "reliable."
    )
    head = ("sample", "method", "rotated", *kinds[1:], "wrong, though reliable", "s, mean")
    return "\n\n".join([words, table(head, rows), " ".join(unrelated)])


def _within(trial: Mapping[str, Any], limits: float = 1) -> bool:
    return trial["error"] is not None and trial["error"] <= limits * trial["limit"]


def _networks(quick: bool) -> list[Cell]:
    """All weights in the package, and untrained networks where weights do not matter."""
    weights = network_page.shipped()
    plans: list[tuple[str, str, tuple[str, ...]]] = []  # case, network, kind with its arguments
    for d, pairs in ((2, 4 if quick else 64), (3, 1 if quick else 8)):
        mine = [w for w in weights if w.ndim == d]
        given = (str(d), str(pairs))
        many = str(4 if quick else 192)  # a few pairs that an object makes fail weigh much among fewer
        deformable = [w for w in mine if not w.affine]
        if deformable:
            alone = network_page.OPTIMISER
            plans += [(f"unseen-{d}d", alone, ("unseen", alone, *given))]
        plans += [(f"unseen-{d}d", w.name, ("unseen", str(w.path), *given)) for w in deformable]
        plans += [("objects", w.name, ("objects", str(w.path), many)) for w in deformable if d == 2]
        plans += [(f"far-{d}d", w.name, ("far", str(w.path), *given)) for w in mine if w.affine]
        heads = HEADS if d == 3 and not quick else ()
        plans += [(case, w.name, ("head", str(w.path), f"made:{case}")) for case in heads for w in mine]
        own = {w.name: str(w.path) for w in mine}
        bare = {name: name for name in network_page.UNTRAINED if f"{d}d" in name}
        sides = [str(n) for n in network_page.WHOLE[d]]
        timed = own | bare if d == 2 or not quick else {}
        for case, device in (("speed", "cpu"), (network_page.GPU, "cuda")):
            plans += [(case, name, ("speed", what, device, *sides)) for name, what in timed.items()]
        flows = {w.name: str(w.path) for w in mine if w.architecture == "avsm"}
        flows = flows or {name: name for name in bare if "avsm" in name}
        plans += [(f"vsvf-{d}d", name, ("vsvf", what, *given)) for name, what in flows.items()]
    return [
        Cell(case, name, "networks.py", arguments, gpu=case == network_page.GPU)
        for case, name, arguments in plans
    ]


def _unrelated(quick: bool) -> list[Cell]:
    """All methods in 2D, the fast ones in 3D."""
    chosen = {2: METHODS, 3: unrelated.VOLUMES}
    return [
        Cell(f"{ndim}D", method, "unrelated.py", (method, str(ndim), str(20 if quick else count)))
        for ndim, count in unrelated.COUNTS.items()
        for method in chosen[ndim]
        if not refuses(method, ndim)
    ]


def _limits(quick: bool) -> list[Cell]:
    return [Cell("2D", "auto", "calibration.py", (str(1 if quick else calibration.COUNT),))]


def _ablation(quick: bool) -> list[Cell]:
    return [] if quick else [Cell("2D", part, "ablation.py", (part,)) for part in ablation.WITHOUT]


def _installed(quick: bool) -> list[Cell]:
    return [
        Cell(python, binding, "installed.py", (binding, python))
        for python in installed.pythons()[: 1 if quick else None]
        for binding in installed.check_wheel.BINDINGS
    ]


def _direct(quick: bool) -> list[Cell]:
    return [] if quick else [Cell("all", "elastix", "elastix_direct.py", ())]


def _direct_page(results: Results) -> str:
    return "\n\n".join(cell.get("page", cell.get("failed", "")) for cell in results.values())


SECTIONS = (
    Section("real", "Real pairs", _real, _real_page),
    Section("aligned", "Brains of two people, aligned", _aligned, _people_page),
    Section("slices", "Brain slices of two people, aligned", _slices, _people_page),
    Section("samples", "Simulated samples with a known map", _samples, _samples_page),
    Section("heads", "Brains", _heads, _heads_page),
    Section("linear", "Cost against size", _linear, _linear_page),
    Section("variations", "Simulated changes of pose", _variations, _variations_page),
    Section("unrelated", "Unrelated images", _unrelated, unrelated.page),
    Section("limits", "Limits of auto and of the verdict", _limits, calibration.page),
    Section("ablation", "What each part of auto brings", _ablation, ablation.page),
    Section("flow", "Optical flow", _flows, _flows_page),
    Section("networks", "Networks", _networks, network_page.page),
    Section("installed", "Installation", _installed, installed.page),
    Section("direct", "elastix here against itk-elastix alone", _direct, _direct_page),
)
