"""Options that several commands share: a method's parameters, and what all methods take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..core.params import Param

MARK = "parameter "  # tells a method's parameters from our own options


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Channel, seed and device."""
    add = parser.add_argument
    add("--channel", help="the channel that drives: a number or luminance (default luminance)")
    add("--seed", type=int, default=0, help="same seed, same result (default 0)")
    text = "auto, cpu, cuda, cuda:1 or mps, for what computes on tensors (default auto: a GPU, if any)"
    add("--device", default="auto", help=text)


def run_options(options: argparse.Namespace) -> dict[str, Any]:
    """What was given of them, as `register` takes it."""
    channel: int | str | None = options.channel
    with suppress(TypeError, ValueError):  # else it is a word, or was not given
        channel = int(options.channel)
    return {"channel": channel, "seed": options.seed, "device": options.device}


def add_parameters(parser: argparse.ArgumentParser, methods: Sequence[str]) -> None:
    """One option for each parameter of the methods; those of the same name share one.

    Names that are no methods are left to whoever runs them.
    """
    from ..methods import METHODS

    known: set[str] = set()
    for method in (METHODS[name] for name in methods if name in METHODS):
        add_declared(parser, method.title, [i for i in method.params.infos() if i.name not in known])
        known |= {info.name for info in method.params.infos()}


def add_declared(parser: argparse.ArgumentParser, title: str, infos: Sequence[Param]) -> None:
    """One option for each declared parameter, the advanced ones in a group of their own."""
    from ..methods.describe import default, kind

    for heading, advanced in ((title, False), (f"{title}, advanced", True)):
        group = parser.add_argument_group(heading)
        for info in infos:
            if info.advanced != advanced:
                continue
            text = f"{info.help} ({kind(info)}; default {default(info)})".replace("%", "%%")
            shape: dict[str, Any] = {"metavar": "VALUE"}
            if info.kind is bool:
                shape = {"action": argparse.BooleanOptionalAction}
            elif info.kind is tuple:
                shape = {"metavar": "FILE", "nargs": "+"}
            option = f"--{info.name.replace('_', '-')}"
            group.add_argument(option, dest=MARK + info.name, default=argparse.SUPPRESS, help=text, **shape)


def parameters(options: argparse.Namespace) -> dict[str, Any]:
    """The parameters that were given; the method's own declaration checks them."""
    marked = ((key.removeprefix(MARK), value) for key, value in vars(options).items() if key.startswith(MARK))
    return dict(marked)
