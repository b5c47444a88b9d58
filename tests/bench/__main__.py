"""Measure, and write docs/benchmarks.md: ``python tests/bench [--only PATTERN] [--quick] [--page]``.

Every cell (a method on a pair) runs in a fresh process and leaves a JSON file under build/bench, so that a
part can be measured anew with ``--only real/fundus_*/auto``; the page is made from all that is there. Without
``--only`` everything is made and measured anew.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from case import BUILD, ROOT
from contestants import missing
from sections import SECTIONS, Cell, Section

LONGEST = 1800  # seconds after which a cell is given up
PACKAGES = ("numpy", "torch", "itk-elastix", "SimpleITK", "opencv-python-headless", "antspyx", "convexAdam")
HEAD = """\
# Benchmarks

Written by `make bench` (tests/bench) on {machine}, with {versions}.

Every method runs at its defaults, in a fresh process, with its libraries loaded and warm; methods on one pair
run one after another. Seconds are from two images in memory to the transform. Memory is the largest resident
size of the process that did the work, and that before it began ("loaded": libraries and a tiny run). Only
ratios of one run can be compared; machines are noisy."""


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


def place(section: Section, cell: Cell) -> Path:
    """Where a cell's result lies."""
    return BUILD / "cells" / section.name / cell.case / f"{cell.method}.json"


def measure(section: Section, cell: Cell) -> None:
    """Run one cell; a failure is a result too."""
    out = place(section, cell)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    script = str(Path(__file__).with_name(cell.script))
    start = time.perf_counter()
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
    if not out.exists():
        out.write_text(json.dumps({"failed": reason}))
    failed = json.loads(out.read_text()).get("failed", "")
    took = f"{time.perf_counter() - start:.0f} s"
    print(f"{section.name}/{cell.case}/{cell.method}: {failed or took}", flush=True)


def page(quick: bool) -> str:
    """The page from all cells that are there."""
    parts = [HEAD.format(machine=machine(), versions=versions())]
    absent = [f"{name} ({reason})" for name, reason in missing().items()]
    if absent:
        parts.append(f"Missing: {'; '.join(absent)}.")
    for section in SECTIONS:
        results = {}
        for cell in section.cells(quick):
            path = place(section, cell)
            if path.exists():
                results[cell.case, cell.method] = json.loads(path.read_text())
        parts += [f"## {section.title}", section.page(results) if results else "Not measured."]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tests/bench", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        help="SECTION, SECTION/CASE or SECTION/CASE/METHOD; * and ? match",
    )
    parser.add_argument("--quick", action="store_true", help="a few cells, to build/bench/quick.md")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page anew")
    chosen = parser.parse_args()
    if not (chosen.page or chosen.only):
        shutil.rmtree(BUILD, ignore_errors=True)
    for section in SECTIONS if not chosen.page else ():
        for cell in section.cells(chosen.quick):
            name = f"{section.name}/{cell.case}/{cell.method}"
            if not chosen.only or any(fnmatch(name, p) or fnmatch(name, f"{p}/*") for p in chosen.only):
                measure(section, cell)
    target = BUILD / "quick.md" if chosen.quick else ROOT / "docs" / "benchmarks.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(chosen.quick), encoding="utf-8")
    print(f"Written: {target}")


if __name__ == "__main__":
    main()
