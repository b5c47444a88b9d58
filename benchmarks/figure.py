"""Accuracy against seconds, drawn from the results of the real pairs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from contestants import OURS

Cells = Mapping[str, Mapping[str, Any]]  # "real/PAIR/METHOD" -> what cell.py wrote
OFFSET = 4  # points between a mark and its name


def draw(cells: Cells, path: Path) -> bool:
    """Write the figure as SVG; False where the real pairs are not among the results."""
    pairs: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, cell in cells.items():
        section, case, method = name.split("/", 2)
        if section == "real" and method != "identity":
            pairs.setdefault(case, {})[method] = cell
    marked = {
        case: found
        for case, found in pairs.items()
        if any("error" in cell.get("after", {}) and cell["unit"] == "px" for cell in found.values())
    }
    brains = {case: found for case, found in pairs.items() if case.startswith("brain_1")}
    if not (marked and brains and "ct_lung" in pairs):
        return False
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    _panel(axes[0], marked, f"{len(marked)} pairs in 2D", "pairs within 1 %", _within)
    _panel(axes[1], brains, f"{len(brains)} pairs of brains", "mean Dice", _dice)
    _panel(axes[2], {"ct_lung": pairs["ct_lung"]}, "lung CT", "error, mm", _error)
    axes[2].invert_yaxis()
    plt.rcParams["svg.hashsalt"] = path.stem  # the same figure for the same numbers
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return True


def _panel(axes: Axes, pairs: Mapping[str, Mapping[str, Any]], title: str, label: str, measure: Any) -> None:
    """A mark a method that ran on all pairs; up and to the left is better."""
    methods = sorted({method for found in pairs.values() for method in found})
    for method in methods:
        found = [cells[method] for cells in pairs.values() if method in cells]
        if len(found) < len(pairs) or not any("seconds" in cell for cell in found):
            continue
        seconds = statistics.median(cell["seconds"] for cell in found if "seconds" in cell)
        value = measure(found)
        colour = "C3" if method == "auto" else "C0" if method.partition(", ")[0] in OURS else "0.5"
        axes.plot(seconds, value, "o", color=colour, markersize=5)
        axes.annotate(
            method, (seconds, value), (OFFSET, OFFSET), textcoords="offset points", color=colour, fontsize=8
        )
    axes.set(xscale="log", xlabel="seconds, median", ylabel=label, title=title)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.15)
    axes.spines[["top", "right"]].set_visible(False)


def _within(found: list[Mapping[str, Any]]) -> float:
    return sum(c.get("after", {}).get("error", float("inf")) <= c.get("limit", 0) for c in found)


def _dice(found: list[Mapping[str, Any]]) -> float:
    return statistics.mean(cell.get("after", {}).get("dice", 0.0) for cell in found)


def _error(found: list[Mapping[str, Any]]) -> float:
    return float(found[0]["after"]["error"])
