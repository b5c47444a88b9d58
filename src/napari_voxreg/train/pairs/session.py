"""A training run under way: its steps, its validation, its saves."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
import torch._dynamo  # which the first optimiser loads, for seconds in which no request to stop is heard

from ...io.pairs import Pair, PairNotes, PairSet, content_hash
from ...nets.architectures.network import Network
from ...tensor.device import reason_to_leave
from .. import runs
from ..card import save_with_card
from ..distributed import Processes
from ..events import (
    Began,
    Control,
    Ended,
    EpochDone,
    Event,
    Losses,
    Paused,
    Preparing,
    Report,
    Request,
    Row,
    Said,
    Stepped,
)
from ..optim import averaging, descend
from ..options import TrainOptions
from ..state import Place, Sums, load_optimizer, save_state
from ..tensorboard import EventsFile
from .choosing import with_choice
from .data import Batch, Draw, Feed, PairData, Plan, Store, in_order, seed_of
from .example import example
from .pair_losses import Cost
from .prepare import LABELS, members
from .rehearsal import Rehearsal

SAVE_EVERY = 300.0  # seconds between two saves within an epoch
REPORT_EVERY = 0.1  # seconds between two reports of a step
CACHE = ".napari-voxreg-pairs"  # of prepared pairs while it runs; a name that nobody else has
AVERAGED = 0.99  # how much of the averaged weights, which are judged and saved, stays at each step


def go() -> Request:
    """The request to go on, for a run that nobody controls."""
    return "go"


def quiet(event: Event) -> None:
    """A report that nobody reads."""


class _Stop(Exception):
    """The user requested a stop."""


class _NotANumber(Exception):
    """The loss is none."""


class Session:
    """A run under way in a folder; see `run.train_pairs` for most of what it is made of.

    Parameters
    ----------
    shape : tuple of int
        Of the training images.
    net : Network
        To begin with.
    place : Place
        Where to begin.
    """

    def __init__(
        self,
        folder: Path,
        pairs: PairSet,
        options: TrainOptions,
        shape: tuple[int, ...],
        net: Network,
        place: Place,
        processes: Processes,
        report: Report,
        control: Control,
    ) -> None:
        self.folder, self.pairs, self.options, self.shape = folder, pairs, options, shape
        self.processes, self.control = processes, control
        self.report = report if processes.rank == 0 else quiet
        self.device = processes.device(options.device)
        self.net, self.place = net.to(self.device), place
        self.averages = averaging(self.net, AVERAGED)
        self.averaged = cast(Network, self.averages.module).eval()
        self.cost = Cost(options)
        rehearsed = options.rehearse and options.start == "shipped"
        self.rehearsal = Rehearsal(options, len(shape)) if rehearsed else None
        wanted = members(pairs.all)
        if not options.dice and options.dissimilarity != "Dice":
            wanted -= {LABELS}
        many = options.pairs_a_step(len(shape))
        self.plan = Plan(
            len(pairs.training),
            many * processes.size,
            options.steps,
            options.seed,
            processes.size,
            processes.rank,
        )
        self.training, self.validation = (
            PairData(some, shape, wanted, options, Store.within(folder / CACHE / name, shape, wanted))
            for name, some in (("training", pairs.training), ("validation", pairs.validation))
        )
        self.judged = in_order(len(pairs.validation), many)
        self.optimizer = self._optimizer()
        self.events: EventsFile | None = None
        self.saved = self.reported = time.perf_counter()
        self.notes = PairNotes()
        self.steps_here = 0
        self.waited = self.worked = 0.0

    def run(self, state: Mapping[str, Any] | None) -> Ended:
        """Train from the current place to the end."""
        if state is not None:
            self.net.load_state_dict(state["net"])
            self.averaged.load_state_dict(state["averaged"])
            self.averages.n_averaged.fill_(self._steps_done() + 1)
            with runs.damaged(self.folder / runs.STATE, f"start another run from {self.folder}'s weights"):
                load_optimizer(self.optimizer, state["optimizer"])
        place, options = self.place, self.options
        self._began()
        try:
            if self.processes.rank == 0:
                self.events = EventsFile(self.folder, self._steps_done())
            ended = self._loop()
            if options.start == "shipped" and self.processes.rank == 0:
                ended = with_choice(ended, self.pairs, options, self.shape, place, self._comparing)
        except _Stop:
            self._save()
            ended = self._ended("stopped", f"Stopped in epoch {place.epoch} of {options.epochs}.")
        except _NotANumber:
            ended = self._ended(
                "not a number",
                f"The loss is not a number any more in epoch {place.epoch}, so training stopped; "
                "choose a smaller learning rate. The weights saved before are kept.",
            )
        except (RuntimeError, MemoryError) as error:
            self._too_little(error)
        finally:
            if self.events is not None:
                self.events.close()
        if self.processes.rank == 0:
            for data in (self.training, self.validation):
                data.forget()
            with suppress(OSError):  # something else is in it
                (self.folder / CACHE).rmdir()
        self.report(ended)
        return ended

    def _loop(self) -> Ended:
        """All epochs that are left."""
        place, options = self.place, self.options
        # Begun before the first validation, which takes about as long as readers take to start.
        feed = Feed(self.training, self._draws(), options.workers, self._heed_alone)
        try:
            if not place.rows:
                self._judge_start()
            self._show()
            batches = iter(feed)
            while place.epoch <= options.epochs and not self._patience_is_over():
                self.waited = self.worked = 0.0
                while place.step < self.plan.length:
                    began = time.perf_counter()
                    batch = next(batches)
                    self.waited += time.perf_counter() - began
                    self._step(batch)
                    self._heed()
                    if time.perf_counter() - self.saved > SAVE_EVERY:
                        self._save()
                self._epoch_is_over()
        finally:
            feed.close()
        if place.epoch <= options.epochs:
            return self._ended("early", f"No better validation for {options.patience} epochs, so it ended.")
        return self._ended("done", f"All {options.epochs} epochs are done.")

    def _judge_start(self) -> None:
        """Weights that were given are the best until an epoch betters them: training must not harm."""
        found = self._judge()
        row = Row(0, 0, None, found, self.place.spent())
        if self.options.start != "scratch" and found is not None and found.total < self.place.best:
            self.place.best = found.total
            self._save_weights([runs.BEST], row)
        self._history(row)

    def _draws(self) -> Iterator[list[Draw]]:
        """The steps from here to the end."""
        first = self.place.step
        for epoch in range(self.place.epoch, self.options.epochs + 1):
            yield from self.plan.epoch(epoch, first)
            first = 0

    def _step(self, batch: Batch) -> None:
        """Learn from a batch."""
        began = time.perf_counter()
        place = self.place
        self._note(batch, self.pairs.training)
        if not batch.names:
            raise ValueError(
                f"None of the {len(self.training)} training pairs can be read any more; "
                f"the error of the first one: {next(iter(place.unreadable.values()))}"
            )
        # What networks draw themselves is a function of the step, too.
        torch.manual_seed(seed_of(self.options.seed, place.epoch, place.step, self.processes.rank))
        self.net.train()
        terms, _ = self.cost(self.net, batch.to(self.device), place.epoch)
        values = torch.stack([terms.total, terms.similarity, terms.smoothness]).detach()
        total, similarity, smoothness = self.processes.mean(values).tolist()
        if not math.isfinite(total):
            raise _NotANumber
        learning = self.cost.learning(self.net, place.epoch)
        beside = None
        if self.rehearsal is not None:
            part = self.cost.stage(self.net, place.epoch)
            beside = self.rehearsal.loss(part, self.device, place.epoch, place.step, self.processes.rank)
        if not descend(terms.total, self.optimizer, learning, self.processes, beside):
            raise _NotANumber
        self.averages.update_parameters(self.net)
        error = None if terms.error is None else float(terms.error.detach())
        losses = Losses(total, similarity, smoothness, error)
        place.step += 1
        place.sums.add(losses, len(batch.names))
        self.steps_here += 1
        self.worked += time.perf_counter() - began
        self._report_step(losses)

    def _report_step(self, losses: Losses) -> None:
        """Report a step."""
        place, now = self.place, time.perf_counter()
        step = self._steps_done()
        if self.events is not None:
            self.events.add("step", losses, step)
        if now - self.reported >= REPORT_EVERY or place.step == self.plan.length:
            self.reported = now
            everything = self.options.epochs * self.plan.length
            left = (now - place.clock) / self.steps_here * (everything - step)
            memory = torch.cuda.memory_reserved(self.device) if self.device.type == "cuda" else None
            waited = self.waited / max(self.waited + self.worked, 1e-9)
            self.report(
                Stepped(place.epoch, self.options.epochs, step, everything, losses, left, memory, waited)
            )
        if self.options.show_every and step % self.options.show_every == 0:
            self._show()

    def _epoch_is_over(self) -> None:
        """Validate, and save all there is."""
        place, options = self.place, self.options
        found, trained = self._judge(), place.sums.means()
        judged = found or trained
        if judged is None or not math.isfinite(judged.total):
            raise _NotANumber
        best = judged.total < place.best
        if best:
            place.best, place.best_epoch = judged.total, place.epoch
        row = Row(place.epoch, self._steps_done(), trained, found, place.spent())
        names = [runs.BEST] if best else []
        names += [runs.LAST]
        names += [f"epoch-{place.epoch:05d}.safetensors"] * bool(
            options.every and place.epoch % options.every == 0
        )
        self._save_weights(names, row)
        stage = self._stage()
        place.epoch, place.step, place.sums = place.epoch + 1, 0, Sums()
        if place.epoch <= options.epochs and self._stage() != stage:
            self.optimizer = self._optimizer()
            place.best, place.best_epoch = math.inf, place.epoch - 1
        self._history(row)
        self.report(EpochDone(row, best))

    def _patience_is_over(self) -> bool:
        patience = self.options.patience
        return bool(patience) and self.place.epoch - 1 - self.place.best_epoch >= patience

    def _judge(self) -> Losses | None:
        """The losses of the validation pairs; None where there are none."""
        sums = Sums()
        feed = Feed(self.validation, self.judged, 0, self._heed_alone)
        try:
            for k, batch in enumerate(feed if self.judged else ()):
                if not self.place.rows:
                    self.report(Preparing(f"first validation, step {k + 1} of {len(self.judged)}"))
                self._note(batch, self.pairs.validation)
                if batch.names:
                    epoch = min(self.place.epoch, self.options.epochs)
                    with torch.no_grad():
                        terms, _ = self.cost(self.averaged, batch.to(self.device), epoch, judging=True)
                    sums.add(terms.values(), len(batch.names))
                self._heed()
        finally:
            feed.close()
        return sums.means()

    def _note(self, batch: Batch, pairs: tuple[Pair, ...]) -> None:
        """Remember fingerprints, and report pairs that cannot be read and notes on images, each kind once."""
        for index, sha in batch.hashes.items():
            self.place.hashes[pairs[index].name] = sha
        for index, why in batch.unreadable.items():
            name = pairs[index].name
            if name not in self.place.unreadable:
                self.place.unreadable[name] = why
                count = len(self.place.unreadable)
                self.report(Said(f"The pair {name} is skipped ({count} so far): {why}"))
        for index, notes in batch.notes.items():
            for note in self.notes.add(pairs[index], notes):
                self.report(Said(f"{note} If it applies to other pairs, that is not repeated."))

    def _show(self) -> None:
        """Report the example pair."""
        if not self.options.show_every or self.processes.rank:
            return
        data = self.validation if len(self.validation) else self.training
        for k in range(len(data)):
            item = data[Draw(k, None)]
            if item[1] is not None:
                net = self.cost.stage(self.averaged, min(self.place.epoch, self.options.epochs))
                self.report(example(net, item[1], self.device, self._steps_done()))
                return

    def _heed(self) -> None:
        """Follow the user's request, in all processes."""
        request = self.processes.agree(self.control())
        if request == "pause":
            self._save()
            self.report(Paused(self._steps_done()))
            began = time.perf_counter()
            while (request := self.processes.agree(self.control())) == "pause":
                time.sleep(REPORT_EVERY)
            self.place.clock += time.perf_counter() - began
        if request == "stop":
            raise _Stop

    def _heed_alone(self) -> None:
        """The same while waiting for pairs, which others do at other times."""
        if self.processes.size == 1:
            self._heed()

    def _optimizer(self) -> torch.optim.Optimizer:
        """For the parameters that the present stage is about."""
        epoch = min(self.place.epoch, self.options.epochs)
        learning = self.cost.learning(self.net, epoch)
        chosen = set(map(id, learning))
        for parameter in self.net.parameters():
            parameter.requires_grad_(id(parameter) in chosen)
        rate = self.cost.rate(epoch)
        if self.options.descent == "SGD":
            return torch.optim.SGD(learning, lr=rate)
        return torch.optim.Adam(learning, lr=rate)

    def _stage(self) -> tuple[bool, bool]:
        """What changes where another optimiser, and another loss to judge by, begin."""
        epoch = min(self.place.epoch, self.options.epochs)
        return self.cost.stage(self.net, epoch) is self.net, self.options.single_step(epoch)

    def _steps_done(self) -> int:
        return (self.place.epoch - 1) * self.plan.length + self.place.step

    def _history(self, row: Row) -> None:
        """One more line, saved with everything else."""
        self.place.rows.append(row)
        if self.events is not None:
            for prefix, losses in (("train", row.training), ("val", row.validation)):
                if losses is not None:
                    self.events.add(prefix, losses, row.step)
        self._save()

    def _save(self) -> None:
        """Write the state, the history and the list of pairs."""
        if self.processes.rank == 0:
            save_state(self.folder / runs.STATE, self.place, self.net, self.averaged, self.optimizer)
            runs.write_history(self.folder, self.place.rows)
            runs.write_pairs(self.folder, self.pairs, self.place.hashes)
        if self.events is not None:
            self.events.flush()
        self.saved = time.perf_counter()

    def _save_weights(self, names: list[str], row: Row) -> None:
        if self.processes.rank:
            return
        if self.processes.size > 1:
            # What the other processes have read by now.
            for pair in self.pairs.training:
                if pair.name not in self.place.hashes:
                    with suppress(ValueError):
                        self.place.hashes[pair.name] = content_hash(pair)
        for name in names:
            save_with_card(
                self.folder / name, self.averaged, self.options, self.shape, self.pairs, self.place, row
            )

    def _began(self) -> None:
        place, options = self.place, self.options
        place.clock = time.perf_counter()
        self.report(
            Began(
                self.folder,
                len(self.pairs.training),
                len(self.pairs.validation),
                self.shape,
                self.device.type,
                sum(p.numel() for p in self.net.parameters()),
                options.epochs,
                options.epochs * self.plan.length,
                tuple(place.rows),
            )
        )
        for note in self.pairs.notes:
            self.report(Said(note))

    def _comparing(self, text: str) -> None:
        """Before each step of the comparison with the shipped weights."""
        self.report(Preparing(text))
        self._heed_alone()

    def _ended(self, reason: Any, text: str) -> Ended:
        best, last = (
            file if (file := self.folder / name).is_file() else None for name in (runs.BEST, runs.LAST)
        )
        return Ended(reason, text, min(self.place.epoch, self.options.epochs), best, last)

    def _too_little(self, error: Exception) -> NoReturn:
        """Say in one sentence that memory is short; any other error is raised as it is."""
        why = reason_to_leave(error)
        if why is None:
            raise error
        raise ValueError(
            f"The device {self.device.type} {why}; choose fewer pairs a step, a smaller size or another "
            "device, and start again."
        ) from error
