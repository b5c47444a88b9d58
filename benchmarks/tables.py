"""Results as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Results = Mapping[tuple[str, str], Mapping[str, Any]]  # (case, method) -> what cell.py wrote
NONE = "–"


def table(head: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    return rows([head, ["---"] * len(head), *body])


def rows(lines: Iterable[Iterable[str]]) -> str:
    """Rows of a Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def matrix(
    results: Results, cases: Iterable[str], methods: Iterable[str], show: Callable[[Mapping[str, Any]], str]
) -> str:
    """One row a case, one column a method."""
    methods = [m for m in methods if any(method == m for _, method in results)]
    found = []
    for case in cases:
        cells = [results.get((case, method)) for method in methods]
        if any(cells):
            found.append([case, *(shown(cell, show) for cell in cells)])
    return table(["pair", *methods], found)


def shown(cell: Mapping[str, Any] | None, show: Callable[[Mapping[str, Any]], str]) -> str:
    """One cell, with a word where there is no number."""
    if cell is None:
        return NONE
    return "failed" if "failed" in cell else show(cell)


def error(cell: Mapping[str, Any]) -> str:
    """The error, bold if within the limit; the Dice where there are no points."""
    after = cell["after"]
    if "error" in after:
        text = f"{after['error']:.2f}"
        return f"**{text}**" if after["error"] <= cell["limit"] else text
    return f"{after['dice']:.3f} (Dice)" if "dice" in after else NONE


def seconds(cell: Mapping[str, Any]) -> str:
    """The seconds."""
    return f"{cell['seconds']:.1f}"


def summary(results: Results, cases: Iterable[str], methods: Iterable[str]) -> str:
    """One row a method: successes, made worse, folding, seconds and memory over all cases."""
    cases = list(cases)
    found = []
    for method in methods:
        cells = [results[case, method] for case in cases if (case, method) in results]
        if not cells:
            continue
        good = [c for c in cells if "failed" not in c]
        measured = [c for c in good if "error" in c["after"]]
        fits = sum(c["after"]["error"] <= c["limit"] for c in measured)
        failures = sum("failed" in c for c in cells)
        worse = sum(c["after"]["error"] > c["before"]["error"] + 0.1 for c in measured)
        found.append(
            [
                method,
                f"{fits} of {len(measured) + failures}",
                str(worse),
                f"{max((c['folds'] for c in good), default=0):.2g}",
                f"{statistics.median([c['seconds'] for c in good]) if good else 0:.1f}",
                _of_elastix(results, [case for case in cases if (case, method) in results], method),
                f"{max((c['peak'] for c in good), default=0):.0f}",
                f"{max((c['loaded'] for c in good), default=0):.0f}",
            ]
        )
    head = (
        "method",
        "within 1 %",
        "made worse",
        "folding %, worst",
        "s, median",
        "of elastix's time",
        "MB, worst",
        "MB loaded",
    )
    return table(head, found)


def _of_elastix(results: Results, cases: Iterable[str], method: str) -> str:
    """Seconds as a fraction of elastix's on the same case: median and largest."""
    pairs = [(results[case, method], results.get((case, "elastix"), {})) for case in cases]
    ratios = [a["seconds"] / b["seconds"] for a, b in pairs if "seconds" in a and "seconds" in b]
    return f"{statistics.median(ratios):.2f}, {max(ratios):.2f} at most" if any(ratios) else NONE


def against(results: Results, cases: Iterable[str], method: str, others: Iterable[str]) -> str:
    """One row a case: a method, the best of the others, and by how much it is better (+) or worse (-).

    Errors are compared as logarithms of base 2: 1 is half the error, -1 is twice the error. Dice is compared
    as it is.
    """
    found = []
    for case in cases:
        own = results.get((case, method))
        names = [m for m in others if m.partition(", ")[0] != method and (case, m) in results]
        rivals = {m: results[case, m] for m in names}
        rivals = {m: cell for m, cell in rivals.items() if "failed" not in cell and cell["after"]}
        if own is None or "failed" in own or not own["after"] or not rivals:
            continue
        if "error" in own["after"]:
            best = min(rivals, key=lambda m: rivals[m]["after"]["error"])
            gain = math.log2(rivals[best]["after"]["error"] / own["after"]["error"])
        else:
            best = max(rivals, key=lambda m: rivals[m]["after"]["dice"])
            gain = own["after"]["dice"] - rivals[best]["after"]["dice"]
        found.append(
            [case, error(own), best, error(rivals[best]), f"{gain:+.2f}", seconds(own), seconds(rivals[best])]
        )
    return table(("pair", method, "best other", "its result", "gain", f"s, {method}", "s, other"), found)
