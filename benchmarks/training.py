"""Does reading keep training waiting, and does memory grow with the number of pairs?

    .venv/bin/python benchmarks/training.py [FOLDER]

Prints a Markdown table: for some networks at 128 x 128, batch 16, the fraction of the step time spent in the
network, and the most memory that training and its readers took together, with 10, 100 and 1,000 pairs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import psutil
from scipy import ndimage

from napari_voxreg import Grid, Image
from napari_voxreg.io.images import write_image
from napari_voxreg.io.pairs import open_pairs
from napari_voxreg.train.events import Stepped
from napari_voxreg.train.options import TrainOptions

SIDE = 128
NETWORKS = ("stn", "voxelmorph")
STEPS = 10
COUNTS = (10, 100, 1000)


def make(folder: Path, count: int) -> None:
    """Pairs of 16-bit TIFF files."""
    grid = Grid.from_spacing((SIDE, SIDE))
    for k in range(count):
        rng = np.random.default_rng(k)
        image = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 2)
        image = (60000 * (image - image.min()) / np.ptp(image)).astype(np.uint16)
        for side, offset in (("fixed", 0), ("moving", 2)):
            write_image(Image(np.roll(image, offset, 0), grid), folder / side / f"{k:04d}.tif")


def measure(source: Path, run: Path, network: str) -> dict[str, float]:
    """Train for some steps; the peak is of this process and its children, pages they share once."""
    from napari_voxreg.train.run import train_pairs

    peak, over = [0], threading.Event()

    def watch() -> None:
        me = psutil.Process()
        while not over.wait(1.0):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except psutil.NoSuchProcess:
                    continue
            peak[0] = max(peak[0], total)

    threading.Thread(target=watch, daemon=True).start()
    waited = {}

    def report(event: object) -> None:
        if isinstance(event, Stepped):
            waited[event.epoch] = event.waited

    options = TrainOptions(architecture=network, batch_size=16, epochs=3, steps=STEPS, show_every=0)
    train_pairs(open_pairs(source), options, run, report=report)
    over.set()
    # The first epoch starts the readers, which takes as long as importing torch.
    return {"first": 1 - waited[1], "later": 1 - waited[3], "peak": peak[0] / 1e6}


def main() -> None:
    """The table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        for count in COUNTS:
            if not (folder / str(count)).is_dir():
                make(folder / str(count), count)
        # As in the process that the panel starts: threads that wait sleep.
        env = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
        print("| network | pairs | in the network, first epoch, % | third epoch, % | peak, MB |")
        print("| --- | --- | --- | --- | --- |")
        for network in NETWORKS:
            for count in COUNTS:
                run = Path(tempfile.mkdtemp(dir=temporary)) / "run"
                words = [sys.executable, __file__, "--one", str(folder / str(count)), str(run), network]
                done = subprocess.run(words, stdout=subprocess.PIPE, check=True, env=env)
                found = json.loads(done.stdout)
                parts = (100 * found["first"], 100 * found["later"], found["peak"])
                print(
                    f"| {network} | {count} | {parts[0]:.1f} | {parts[1]:.1f} | {parts[2]:.0f} |", flush=True
                )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])))
    else:
        main()
