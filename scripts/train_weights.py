"""Train the shipped weights anew: ``python scripts/train_weights.py -o FOLDER [--device cuda]``.

Recipes that need nothing run side by side, then those that begin with their results. What the folder holds of
an earlier run is gone on from; the weights, ready to be put into the package, and their cards lie there.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time
from pathlib import Path

from napari_voxreg.train.synthetic.recipes import RECIPES


def waves(names: list[str]) -> list[list[str]]:
    """Recipes in the order in which they can be followed, those that can run side by side together."""
    first = [name for name in names if RECIPES[name].start not in names]
    later = [name for name in names if name not in first]
    return [first, *waves(later)] if later else [first]


def follow(names: list[str], folder: Path, device: str, minutes: float) -> bool:
    """Run recipes side by side, each in a process with a log of its own; whether all came to their end."""
    running = []
    for name in names:
        command = [sys.executable, "-m", "napari_voxreg.train", "recipe", name, "--out", str(folder)]
        command += ["--device", device, "--threads", "1", "--minutes", str(minutes)]
        with (folder / f"{name}.log").open("w") as log:
            running.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
    ended = [process.wait() for process in running]
    return not any(ended)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*RECIPES, []], help="recipes; all by default")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--minutes", type=float, nargs="*", default=[], help="of each wave, at most; run again to go on"
    )
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for k, names in enumerate(waves(chosen.names or list(RECIPES))):
        began = time.perf_counter()
        limit = chosen.minutes[k] if k < len(chosen.minutes) else math.inf
        if not follow(names, chosen.out, chosen.device, limit):
            sys.exit(f"One of {', '.join(names)} failed; its log is in {chosen.out}.")
        print(f"{', '.join(names)}: {(time.perf_counter() - began) / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
