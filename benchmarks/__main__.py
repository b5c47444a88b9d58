"""Measure, and write docs/benchmarks.md: ``python benchmarks [--only PATTERN] [--quick] [--page]``.

Every cell (a method on a pair) runs in a fresh process. What it found is kept in docs/benchmarks.json, so
that some cells can be measured anew with ``--only real/fundus_*/auto``. The page is made from all that is
there, and a section without results stays as it was. Without ``--only`` everything is made and measured anew.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from case import BUILD, ROOT
from contestants import missing
from figure import draw
from sections import SECTIONS, Cell, Section

PAGE, CELLS = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "benchmarks.json"
FIGURE = ROOT / "docs" / "images" / "accuracy.svg"
LONGEST = 1800  # seconds after which a cell is given up
PACKAGES = ("numpy", "torch", "itk-elastix", "SimpleITK", "opencv-python-headless", "antspyx", "convexAdam")
HEAD = """\
# Benchmarks

Written by `make bench` (benchmarks) on {machine}, with {versions}.

Every method runs at its defaults, in a fresh process, with its libraries loaded and warm; methods on one pair
run one after another. Seconds are from two images in memory to the transform. Memory is the largest resident
size of the process that did the work, and its size before the work ("loaded": libraries and a tiny run). Only
ratios within one run can be compared; machines are noisy."""


def machine() -> str:
    """What this machine is, in words."""
    name = platform.processor() or platform.machine()
    cpus, memory = Path("/proc/cpuinfo"), ""
    if cpus.exists():
        models = (line.split(":", 1)[1] for line in cpus.read_text().splitlines() if "model name" in line)
        name = next(models, name).strip()
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        memory = f" with {pages / 2**30:.0f} GiB of memory"
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores of {name}{memory}, {system}"


def versions() -> str:
    """The libraries that matter."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def name(section: Section, cell: Cell) -> str:
    """Of a cell, on the command line and among those that are kept."""
    return f"{section.name}/{cell.case}/{cell.method}"


def measure(cell: Cell) -> dict[str, Any]:
    """Run one cell; a failure is a result too."""
    out = BUILD / "cell.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    script = str(Path(__file__).with_name(cell.script))
    reason = "it ended without a result"
    try:
        run = subprocess.run(
            [sys.executable, script, *cell.arguments, str(out)],
            timeout=LONGEST,
            capture_output=True,
            text=True,
        )
        reason = (run.stderr.strip().splitlines() or [reason])[-1]
    except subprocess.TimeoutExpired:
        reason = f"no result after {LONGEST} s"
    found: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"failed": reason}
    return found


def page(quick: bool, cells: Mapping[str, Any], before: str) -> str:
    """The page from all cells that are there, and from the page before where none are."""
    parts = [HEAD.format(machine=machine(), versions=versions())]
    if not quick and draw(cells, FIGURE):
        parts.append(
            "Red is `auto`, blue are other methods of this package, grey are peers; up and to the left is "
            f"better.\n\n![Accuracy against seconds on real pairs](images/{FIGURE.name})"
        )
    absent = [f"{name} ({reason})" for name, reason in missing().items()]
    if absent:
        parts.append(f"Missing: {'; '.join(absent)}.")
    for section in SECTIONS:
        results = {
            (cell.case, cell.method): cells[name(section, cell)]
            for cell in section.cells(quick)
            if name(section, cell) in cells
        }
        parts += [f"## {section.title}", section.page(results) if results else part(before, section.title)]
    return "\n\n".join(parts) + "\n"


def part(text: str, title: str) -> str:
    """What stands under a title of a page."""
    found = re.search(rf"^## {re.escape(title)}\n+(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else "Not measured."


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        help="SECTION, SECTION/CASE or SECTION/CASE/METHOD; * and ? match",
    )
    parser.add_argument("--quick", action="store_true", help="a few cells, to build/bench/benchmarks.md")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page anew")
    chosen = parser.parse_args()
    if not (chosen.page or chosen.only):
        shutil.rmtree(BUILD, ignore_errors=True)
    shown, kept = (BUILD / path.name if chosen.quick else path for path in (PAGE, CELLS))
    shown.parent.mkdir(parents=True, exist_ok=True)
    cuda = torch.cuda.is_available()
    cells = json.loads(kept.read_text()) if kept.exists() and (chosen.page or chosen.only) else {}
    for section in SECTIONS if not chosen.page else ():
        for cell in section.cells(chosen.quick):
            of = name(section, cell)
            if cell.gpu and not cuda:
                continue
            if chosen.only and not any(fnmatch(of, p) or fnmatch(of, f"{p}/*") for p in chosen.only):
                continue
            start = time.perf_counter()
            cells[of] = measure(cell)
            kept.write_text(json.dumps(cells, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            took = f"{time.perf_counter() - start:.0f} s"
            print(f"{of}: {cells[of].get('failed', took)}", flush=True)
    before = shown.read_text(encoding="utf-8") if shown.exists() else ""
    shown.write_text(page(chosen.quick, cells, before), encoding="utf-8")
    print(f"Written: {shown}")


if __name__ == "__main__":
    main()
