"""Training on synthetic pairs: step by step, saved often, resumed exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from ...io.files import replace_file
from ...nets.architectures.network import Network
from ...nets.checkpoints.checkpoint import build, load_weights, save_weights
from ...tensor.device import device_named
from ..optim import averaging, descend
from .noise import uniform
from .objectives import OBJECTIVES
from .recipes import Recipe
from .score import Score, score, unseen
from .synthetic_pairs import make_batch

AVERAGED = 0.999  # how much of the averaged weights stays at each step
EASIEST = 1 / 3  # of the motion, at the first step
SMALLEST = 0.1  # fraction of the motion that a batch has at least
WATCHED = 64  # pairs of validation in 2D; an eighth of that in 3D
SEEDS = 10_000_000  # of the steps of one run, more than any run takes

Report = Callable[[int, float, Score | None], None]


@dataclass
class State:
    """Everything needed to resume a run as if it had never stopped."""

    net: Network
    averages: AveragedModel
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    seed: int
    step: int = 0
    seconds: float = 0.0

    @classmethod
    def start(cls, recipe: Recipe, seed: int, folder: Path, device: torch.device) -> State:
        """At the first step; `folder` has the weights that the recipe begins with, if it names any."""
        torch.manual_seed(seed)
        net = build(recipe.architecture, recipe.arguments)
        if recipe.start:
            _begin_with(net, folder / f"{recipe.start}.safetensors", recipe.keep)
        net = net.to(device)
        optimizer = torch.optim.Adam(net.parameters(), lr=recipe.rate)
        return cls(net, averaging(net, AVERAGED), optimizer, torch.Generator(device), seed)

    @property
    def averaged(self) -> Network:
        """The network with the averaged weights."""
        return cast(Network, self.averages.module)

    @property
    def device(self) -> torch.device:
        """Where the pairs are made and the network learns."""
        return self.generator.device

    def save(self, path: Path) -> None:
        """Write it, all or nothing."""
        values: dict[str, Any] = {
            "net": self.net.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        replace_file(path, lambda target: torch.save(values, target))

    def load(self, path: Path) -> None:
        """Go on from a file that `save` wrote, on whatever device."""
        values = torch.load(path, map_location="cpu", weights_only=True)
        self.net.load_state_dict(values["net"])
        self.averaged.load_state_dict(values["averaged"])
        self.optimizer.load_state_dict(values["optimizer"])
        self.step, self.seconds = values["step"], values["seconds"]
        self.averages.n_averaged.fill_(self.step + 1)


def train(
    recipe: Recipe,
    folder: Path,
    *,
    seed: int = 0,
    seconds: float = math.inf,
    every: int = 250,
    device: str = "cpu",
    report: Report | None = None,
) -> Network:
    """Follow a recipe; an earlier run in `folder` is resumed.

    Parameters
    ----------
    recipe : Recipe
    folder : Path
        Gets ``NAME.state.pt`` (to resume), and ``NAME.safetensors`` with its card.
    seed : int
        Of the first weights and of the pairs.
    seconds : float
        Stops after that time, to be resumed later.
    every : int
        Steps between two saves and validations.
    device : str
        "auto" (CUDA, else MPS, else the CPU), "cpu", "cuda" or "mps". Each makes other random numbers.
    report : callable
        Called with step, loss and (at each save) the validation score.

    Returns
    -------
    Network
        With the weights averaged over the last steps.

    Raises
    ------
    ValueError
        If the device or the weights that the recipe begins with are not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{recipe.name}.state.pt"
    state = State.start(recipe, seed, folder, device_named(device))
    if path.exists():
        state.load(path)
    count = WATCHED if len(recipe.shape) == 2 else WATCHED // 8
    pairs = unseen(count, recipe.shape, recipe.motion, alike=recipe.alike)
    watched = [batch.to(state.device) for batch in pairs]
    began = time.perf_counter() - state.seconds
    until = time.perf_counter() + seconds
    while state.step < recipe.steps and time.perf_counter() < until:
        loss = _step(state, recipe)
        saving = state.step % every == 0 or state.step == recipe.steps or time.perf_counter() >= until
        found = score(state.averaged, watched) if saving else None
        if report is not None:
            report(state.step, loss, found)
        if found is not None:
            state.seconds = time.perf_counter() - began
            state.save(path)
            save_weights(folder / f"{recipe.name}.safetensors", state.averaged, _card(recipe, state, found))
    return state.averaged


def _begin_with(net: Network, path: Path, keep: bool) -> None:
    """Fill in the layers that another network has too, by the ends of their names, and keep them if wanted.

    Raises
    ------
    ValueError
        If the weights are not there.
    """
    if not path.is_file():
        raise ValueError(f"{path.name} is not in {path.parent}; follow the recipe {path.stem!r} first.")
    known = load_weights(path).net.state_dict()
    own = net.state_dict()
    for name, parameter in net.named_parameters():
        for other, found in known.items():
            if name.endswith(other) and found.shape == parameter.shape:
                own[name] = found
                parameter.requires_grad_(not keep)
    net.load_state_dict(own)


def _step(state: State, recipe: Recipe) -> float:
    """One batch."""
    grown = EASIEST + (1 - EASIEST) * min(1.0, state.step / max(1, recipe.ramp))
    # By its number each step has random numbers of its own, whether the run was stopped before it or not.
    state.generator.manual_seed(state.seed * SEEDS + state.step)
    with state.device:
        # Small motions too: a network trained on large ones alone moves images that are already aligned.
        motion = recipe.motion.times(grown * float(uniform(state.generator, SMALLEST, 1.0, 1)))
        batch = make_batch(
            recipe.batch, recipe.shape, motion, state.generator, recipe.objects, alike=recipe.alike
        )
    for group in state.optimizer.param_groups:
        group["lr"] = recipe.rate_at(state.step)
    state.net.train()
    with torch.autocast(state.device.type, torch.bfloat16):
        loss: Tensor = OBJECTIVES[recipe.loss](state.net, batch)
    descend(loss, state.optimizer, list(state.net.parameters()))
    state.step += 1
    state.averages.update_parameters(state.net)
    return float(loss.detach())


def _card(recipe: Recipe, state: State, found: Score) -> dict[str, Any]:
    """The weights' card, without their architecture."""
    return {
        "recipe": recipe.name,
        "data": "synthetic pairs of napari_voxreg.train.synthetic.synthetic_pairs, no acquired images",
        "licence": "BSD-3-Clause",
        "steps": state.step,
        "minutes": round(state.seconds / 60, 1),
        "scores": {"unseen synthetic pairs": found.as_dict()},
        "torch": torch.__version__,
    }
