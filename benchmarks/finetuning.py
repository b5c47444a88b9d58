"""What fine-tuning brings, and what it costs elsewhere: ``python benchmarks/finetuning.py [KIND ...]``.

Trains shipped networks on 20 pairs of a kind that is unlike what they learnt from, with the code and the
defaults of the Train panel, in about ten minutes each on two cores. Then registers held-out pairs and other
kinds of images with the weights before and after, and writes docs/finetuning.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage import color, data, transform

from napari_voxreg import register
from napari_voxreg.core.geometry import Array, Grid, Image
from napari_voxreg.io.pairs import open_pairs
from napari_voxreg.train.options import TrainOptions
from napari_voxreg.train.pairs.endpoint_error import error
from napari_voxreg.train.run import resume, train_pairs
from napari_voxreg.train.runs import holds_run, read_history
from napari_voxreg.train.synthetic.recipes import RECIPES
from napari_voxreg.train.synthetic.score import unseen
from tables import table
from tuned_domains import KINDS, SIDE, deformation, pairs_of, shown, write

ROOT = Path(__file__).resolve().parents[1]
PAGE, KEPT = ROOT / "docs" / "finetuning.md", ROOT / "build" / "finetuning"
NETWORKS = ("voxelmorph", "pyramid")
PAIRS = 20
SEED = 5_000_003  # of pairs that nothing was trained or chosen on
ACCURATE = 4  # held-out pairs that are refined, too
PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "gravel", "moon")

Pairs = Sequence[tuple[Image, Image, Array]]


def photographs(count: int) -> Pairs:
    """Photographs and themselves deformed, with another exponent and noise."""
    grid, found = Grid.from_spacing((SIDE, SIDE)), []
    for k in range(count):
        rng = np.random.default_rng((SEED, k))
        photograph = getattr(data, PHOTOGRAPHS[k % len(PHOTOGRAPHS)])()
        grey = color.rgb2gray(photograph) if photograph.ndim == 3 else photograph / 255
        moving = transform.resize(grey, (SIDE, SIDE), anti_aliasing=True)
        truth = deformation(rng, SIDE)
        fixed = shown(moving, truth) ** rng.uniform(0.6, 1.6)
        images = (image + 0.02 * rng.standard_normal(image.shape) for image in (fixed, moving))
        one, other = (Image(image.astype(np.float32), grid) for image in images)
        found.append((one, other, truth.astype(np.float32)))
    return found


def generated(count: int) -> Pairs:
    """Pairs made as for the shipped networks' own training."""
    recipe, grid = RECIPES["pyramid2d"], Grid.from_spacing((SIDE, SIDE))
    batches = unseen(count, (SIDE, SIDE), recipe.motion, SEED, 4, recipe.objects)
    return [
        (Image(fixed[0].numpy(), grid), Image(moving[0].numpy(), grid), truth.numpy())
        for batch in batches
        for fixed, moving, truth in zip(batch.fixed, batch.moving, batch.displacement, strict=True)
    ]


def errors(pairs: Pairs, method: str, weights: Path | None, preset: str = "fast") -> float:
    """The mean error of a method in pixels; raw predictions of shipped weights count, too."""
    params: dict[str, Any] = {"weights": weights, "keep_prediction": "always"}
    return float(np.mean([one_error(pair, method, params, preset) for pair in pairs]))


def one_error(
    pair: tuple[Image, Image, Array], method: str, params: dict[str, Any], preset: str = "fast"
) -> float:
    """The error of one pair, where both images show texture."""
    fixed, moving, truth = pair
    found = register(fixed, moving, method=method, preset=preset, params=params, device="cpu").transform
    places = fixed.grid.nodes()
    field = (found(places) - places).T.reshape(truth.shape).astype(np.float32)
    low, high = np.percentile(fixed.data, (0.1, 99.9))
    image = np.clip((fixed.data - low) / (high - low), 0, 1)
    tensors = {"fixed": torch.from_numpy(image)[None, None], "displacement": torch.from_numpy(truth)[None]}
    counted = error(tensors, torch.from_numpy(field)[None])
    return 0.0 if counted is None else float(counted)


def tune(kind: str, network: str, truth: bool, epochs: int, count: int) -> dict[str, Any]:
    """Fine-tune a network on a folder, or take the run that is there, and measure it on so many pairs."""
    name = f"{kind}-{network}-{'truth' if truth else 'images'}"
    source, run, record = KEPT / f"{kind}-{truth}", KEPT / name, KEPT / f"{name}.json"
    if record.is_file():
        return dict(json.loads(record.read_text(encoding="utf-8")))
    write(kind, source, PAIRS, 1, truth)
    began, busy = time.perf_counter(), time.process_time()
    options = TrainOptions(architecture=network, start="shipped", epochs=epochs, device="cpu", workers=0)
    ended = resume(run) if holds_run(run) else train_pairs(open_pairs(source / "pairs.csv"), options, run)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    choice, held = ended.choice, pairs_of(kind, count, SEED)
    assert choice is not None
    other = next(one for one in KINDS if one != kind)
    sets = {kind: held, other: pairs_of(other, count, SEED)}
    sets |= {"generated": generated(count), "photographs": photographs(count)}
    found = {
        "seconds": seconds,
        "processor seconds": busy,
        "steps": read_history(run)[-1].step,
        "choice": asdict(choice),
        "fast": {name: [errors(some, network, w) for w in (None, ended.best)] for name, some in sets.items()},
        "accurate": [errors(held[:ACCURATE], network, w, "accurate") for w in (None, ended.best)],
    }
    record.write_text(json.dumps(found, indent=1), encoding="utf-8", newline="")
    return found


def change(before: float, after: float) -> str:
    """Two errors and the difference in per cent."""
    return f"{before:.2f} -> {after:.2f} ({100 * (after / before - 1):+.0f} %)"


def page(rows: Sequence[tuple[str, str, bool, dict[str, Any]]], count: int) -> str:
    """The page."""
    head = ("kind", "network", "folder has", "held-out pairs", "refined", "other kind", "generated")
    head = (*head, "photographs", "tuned weights kept", "steps", "minutes of a core")
    lines = []
    for kind, network, truth, found in rows:
        fast = found["fast"]
        other = next(one for one in KINDS if one != kind)
        cells = [change(*fast[kind]), change(*found["accurate"])]
        cells += [change(*fast[one]) for one in (other, "generated", "photographs")]
        share = f"{100 * found['choice']['fraction']:.0f} %"
        what = "images and truth" if truth else "images"
        minutes = f"{found['processor seconds'] / 60:.1f}"
        lines.append([kind, f"`{network}`", what, *cells, share, str(found["steps"]), minutes])
    parts = [
        "# What fine-tuning brings",
        "Written by `python benchmarks/finetuning.py`. "
        f"The shipped networks are trained further on a folder of {PAIRS} pairs of {SIDE} x {SIDE} pixels, a "
        "fifth of them held out, with the code and the defaults of the Train panel.",
        "- **radar:** fields and buildings as two sensors see them, which look from opposite sides. The "
        "contrast of the one is no function of the other's, buildings lean to opposite sides, and speckle "
        "has two looks.\n"
        "- **fundus:** a retina at two visits, once with dark and once with bright vessels. Light and "
        "lesions differ, and the border is black.",
        f"Mean distance from the truth in pixels, shipped -> fine-tuned, on {count} other pairs of the "
        f"kind and on {count} of each other kind. It counts where the fixed image has texture and both show "
        "the place. The preset is `fast`, and predictions count whether they are accepted or not; "
        f"*refined* is `accurate`, on {ACCURATE} of the held-out pairs.",
        table(head, lines),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], help="by default all")
    parser.add_argument("--epochs", type=int, default=TrainOptions().epochs, help="the panel's by default")
    parser.add_argument("--count", type=int, default=20, help="pairs of each kind that are registered")
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--truth", nargs="*", type=int, choices=(0, 1), default=(1, 0), help="in the folder")
    given = parser.parse_args()
    chosen = given.kinds or list(KINDS)
    KEPT.mkdir(parents=True, exist_ok=True)
    rows = []
    for kind in chosen:
        for network in given.networks:
            for truth in map(bool, given.truth):
                rows.append((kind, network, truth, tune(kind, network, truth, given.epochs, given.count)))
                print(kind, network, truth, rows[-1][-1], flush=True)
    PAGE.write_text(page(rows, given.count), encoding="utf-8", newline="")


if __name__ == "__main__":
    main()
