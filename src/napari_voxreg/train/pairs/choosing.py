"""Which weights a fine-tuning keeps: the shipped ones, the tuned ones or a mean of both."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch

from ...images.preprocess import unit_range
from ...io.pairs import LoadedPair, Pair, PairSet, read_pair
from ...methods import METHODS, method_for
from ...methods.networks.network_method import NetworkParams, predicted
from ...metrics.similarity import dice
from ...nets.architectures.network import Network
from ...nets.checkpoints.checkpoint import Loaded, load_weights
from ...registration.prepare import PreparedPair, prepare
from ...transforms import Transform, warp
from ..card import save_with_card
from ..events import Choice, Ended
from ..options import TrainOptions
from ..state import Place
from .endpoint_error import error
from .networks import first_network
from .prepare import TRUTH
from .rehearsal import Rehearsal

FRACTIONS = (1.0, 0.8, 0.6, 0.4, 0.2)  # of the tuned weights, the rest shipped: means forget less
FORGOTTEN = 0.03  # rise of the error on generated pairs that is still accepted
GAIN = 0.02  # fall of the held-out measure below which tuned weights are no better
MOST = {2: 16, 3: 4}  # held-out pairs that are registered


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """A held-out pair, and how its transforms are measured; less is better."""

    prepared: PreparedPair
    measure: str
    of: Callable[[Transform, Transform], float]  # a transform, and that of the shipped weights


def choose(
    shipped: Network,
    tuned: Network,
    pairs: Sequence[Pair],
    options: TrainOptions,
    shape: tuple[int, ...],
    tell: Callable[[str], None],
) -> tuple[Network, Choice] | None:
    """The weights that register held-out pairs best, without getting worse at generated ones.

    The pairs are registered as the method of the network does with its preset "fast". They are measured by
    their true displacements, else by landmarks, labels or, where they are images alone, LNCC.

    Parameters
    ----------
    shipped, tuned : Network
        On the CPU.
    pairs : sequence of Pair
        Held out from training.
    options : TrainOptions
    shape : tuple of int
        Of the training images.
    tell : callable
        Called with a few words before every step; whatever it raises ends the choice.

    Returns
    -------
    (Network, Choice) or None
        None if no pair can be read.
    """
    held = _comparable(list(_held_out(pairs, options, shipped.ndim)))
    if not held:
        return None
    nets = {0.0: shipped} | {fraction: mean_of(shipped, tuned, fraction) for fraction in FRACTIONS}
    generated = _elsewhere(nets, Rehearsal(options, shipped.ndim), tell)
    found: dict[float, list[Transform]] = {}
    for fraction in generated:
        size, found[fraction] = shape if fraction else (), []
        for pair in held:
            tell(f"comparing {100 * fraction:.0f} % of the tuned weights with the shipped ones")
            found[fraction].append(_registered(nets[fraction], size, pair.prepared, options.architecture))
    values = {
        fraction: [pair.of(one, first) for pair, one, first in zip(held, some, found[0.0], strict=True)]
        for fraction, some in found.items()
    }
    best = min(values, key=lambda fraction: statistics.fmean(values[fraction]))
    best = best if _better(values[best], values[0.0]) else 0.0
    before, after = (statistics.fmean(values[fraction]) for fraction in (0.0, best))
    rise = generated[best] / generated[0.0] - 1
    return nets[best], Choice(held[0].measure, len(held), before, after, best, rise)


def _elsewhere(
    nets: Mapping[float, Network], rehearsal: Rehearsal, tell: Callable[[str], None]
) -> dict[float, float]:
    """The errors on generated pairs of the networks that are not much worse there than the shipped one."""
    errors = {}
    for fraction, net in nets.items():
        tell("comparing on generated pairs")
        errors[fraction] = rehearsal.error(net)
    most = (1 + FORGOTTEN) * errors[0.0]
    return {fraction: value for fraction, value in errors.items() if value <= most}


def with_choice(
    ended: Ended,
    pairs: PairSet,
    options: TrainOptions,
    shape: tuple[int, ...],
    place: Place,
    tell: Callable[[str], None],
) -> Ended:
    """The end of a run from shipped weights, whose best weights become those that are chosen."""
    if ended.best is None:
        return ended
    nets = first_network(options, len(shape)), load_weights(ended.best).net
    found = choose(*nets, pairs.validation, options, shape, tell)
    if found is None:
        return ended
    net, choice = found
    row = next(row for row in place.rows if row.epoch == place.best_epoch)
    known = shape if choice.fraction else ()  # shipped weights keep the size of their method
    save_with_card(ended.best, net, options, known, pairs, place, row, choice)
    return replace(ended, text=f"{ended.text} {choice.describe()}", choice=choice)


def mean_of(one: Network, other: Network, fraction: float) -> Network:
    """A network whose weights lie that far from one network's to another's."""
    net, target = deepcopy(one), other.state_dict()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            value.lerp_(target[name], fraction)
    return net


def _better(new: Sequence[float], old: Sequence[float]) -> bool:
    """Whether the means differ by more than the least gain, and than the spread over the pairs explains."""
    gains = [before - after for before, after in zip(old, new, strict=True)]
    doubt = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    return statistics.fmean(gains) > max(GAIN * statistics.fmean(old), doubt)


def _registered(net: Network, shape: tuple[int, ...], pair: PreparedPair, architecture: str) -> Transform:
    """The transform that Register gives with a network's weights and the preset fast.

    The shape is that of training, which the card of tuned weights has and that of shipped ones has not.
    """
    name = method_for(architecture)
    assert name is not None  # all networks with shipped weights have a method
    params = METHODS[name].parameters("fast")
    assert isinstance(params, NetworkParams)
    return predicted(pair.task, params, Loaded(net, {"shape": list(shape)}, "")).transform


def _comparable(pairs: Sequence[_HeldOut]) -> list[_HeldOut]:
    """Those that are measured as the first one is."""
    return [pair for pair in pairs if pair.measure == pairs[0].measure]


def _held_out(pairs: Sequence[Pair], options: TrainOptions, ndim: int) -> Iterator[_HeldOut]:
    """The pairs that can be read, at most `MOST`."""
    for pair in pairs[: MOST[ndim]]:
        try:
            loaded = read_pair(pair)
            points = loaded.fixed_landmarks, loaded.moving_landmarks
            prepared = prepare(
                loaded.fixed,
                loaded.moving,
                fixed_mask=loaded.fixed_mask,
                moving_mask=loaded.moving_mask,
                landmarks=None if points[0] is None or points[1] is None else (points[0], points[1]),
                device=options.device,
            )
        except (ValueError, OSError):
            continue  # the session has named it
        yield _measured(loaded, prepared)


def _measured(loaded: LoadedPair, prepared: PreparedPair) -> _HeldOut:
    """A pair with the best measure that it allows."""
    metrics = prepared.metrics
    if loaded.displacement is not None:
        return _HeldOut(prepared, "error in pixels", lambda one, _: true_error(loaded, prepared, one))
    if prepared.task.landmarks is not None:
        return _HeldOut(prepared, "landmark error", lambda one, _: metrics.landmark_error(one) or 0.0)
    if loaded.fixed_labels is not None and loaded.moving_labels is not None:
        fixed, moving = loaded.fixed_labels, loaded.moving_labels

        def labels(one: Transform, _: Transform) -> float:
            return 1 - dice(fixed.data, warp(moving, one, fixed.grid, order=0).data)

        return _HeldOut(prepared, "1 - Dice", labels)
    return _HeldOut(prepared, "1 - LNCC", lambda one, first: 1 - metrics.lncc(one, first))


def true_error(loaded: LoadedPair, prepared: PreparedPair, transform: Transform) -> float:
    """The error of a transform in pixels of the fixed image; see `endpoint_error.error`."""
    assert loaded.displacement is not None
    fixed, moving = prepared.task.fixed, prepared.task.moving
    places = moving.grid.to_index(transform(fixed.grid.nodes())).T.reshape(loaded.displacement.shape)
    tensors = {
        "fixed": torch.from_numpy(unit_range(fixed.data))[None, None],
        TRUTH: torch.from_numpy(loaded.displacement)[None],
    }
    moved = torch.from_numpy((places - np.indices(fixed.grid.shape)).astype(np.float32))[None]
    found = error(tensors, moved)
    return 0.0 if found is None else float(found)
