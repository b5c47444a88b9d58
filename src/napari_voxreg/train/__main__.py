"""``python -m napari_voxreg.train recipe NAME``: train a shipped network, or resume its training."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from tqdm import tqdm

from .synthetic.loop import train
from .synthetic.recipes import ABLATION, RECIPES
from .synthetic.score import Score


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m napari_voxreg.train", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="recipe")
    recipe = commands.add_parser(
        "recipe", help="follow one of the recipes of the shipped weights or of the ablation"
    )
    recipes = {**RECIPES, **ABLATION}
    recipe.add_argument("name", choices=sorted(recipes))
    recipe.add_argument(
        "--out",
        type=Path,
        default=Path("training"),
        help="folder of the weights and of what is needed to resume",
    )
    recipe.add_argument(
        "--minutes", type=float, default=math.inf, help="stop after that time; run again to go on"
    )
    recipe.add_argument("--seed", type=int, default=0)
    recipe.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    recipe.add_argument("--threads", type=int, help="processor threads; all by default")
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    followed = recipes[chosen.name]
    with tqdm(total=followed.steps, desc=chosen.name, unit="step", mininterval=1.0) as bar:

        def report(step: int, loss: float, found: Score | None) -> None:
            bar.update(step - bar.n)
            if found is not None:
                share = 100 * (1 - found.after / found.before)
                bar.set_postfix_str(f"error {found.before:.2f} -> {found.after:.2f} px (-{share:.0f} %)")

        train(
            followed,
            chosen.out,
            seed=chosen.seed,
            seconds=60 * chosen.minutes,
            device=chosen.device,
            report=report,
        )


if __name__ == "__main__":
    main()
