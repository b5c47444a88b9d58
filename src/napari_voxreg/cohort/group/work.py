"""What is known of the images of a cohort while they are registered, and what runs for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ...core.geometry import Array, Grid, Image
from ...core.progress import Progress
from ...registration.prepare import method_named
from ...transforms import Transform, warp
from ..running import Distributed, Serial
from ..series.frames import Frames, driving
from ..series.quality import look, of_looks
from .options import CohortOptions
from .result import Member
from .store import Found, Store, digest, key
from .tasks import Measured, Outcome, registration

log = logging.getLogger(__name__)

ALIKE = 0.05  # logarithm of the ratio of pixel sizes that makes no difference

Arrived = Callable[[int, Member], None]


@dataclass(eq=False)
class Work:
    """What is known of each image while a cohort is registered."""

    frames: Frames
    options: CohortOptions
    channel: int | str | None
    seed: int
    device: str
    store: Store
    problems: list[str]
    seconds: list[float]
    digests: list[str]
    runner: Serial | Distributed
    threads: int
    arrived: Arrived
    grids: list[Grid] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    disagreement: Array | None = None

    @property
    def usable(self) -> list[int]:
        return [k for k, problem in enumerate(self.problems) if not problem]

    def member(self, number: int, transform: Transform | None, scores: Measured | None = None) -> Member:
        """The row of an image, as far as it is known."""
        before, after, verdict = scores or (None, None, None)
        about = self.seconds[number], self.problems[number]
        parts = self.frames.parts[number] if self.frames.parts else None
        said = (parts.patient, parts.laterality, parts.date) if parts is not None and parts.read else ()
        return Member(self.frames.name(number), transform, before, after, verdict, *about, *said)

    def image(self, number: int) -> Image:
        """An image, its driving channel."""
        return replace(self.frames.image(number, self.channel), name=self.frames.name(number))

    def run(
        self,
        template: Image,
        numbers: list[int],
        method: str,
        initial: Mapping[int, Transform],
        verb: str,
        progress: Progress,
    ) -> tuple[dict[int, Found], dict[int, str]]:
        """What a method finds for images, and why it fails for others; all that is known is not run again."""
        params = method_named(method).parameters(None, None).as_dict()
        about = {"template": digest(template), "method": method, "params": params, "seed": self.seed}
        keys = {
            k: key(image=self.digests[k], initial=initial.get(k), threads=self.threads, **about)
            for k in numbers
        }
        found = {k: kept for k in numbers if (kept := self.store.find(keys[k])) is not None}
        for k, (transform, _) in found.items():
            self.arrived(k, self.member(k, transform))
        missing = [k for k in numbers if k not in found]
        failures: dict[int, str] = {}

        def done(place: int, outcome: Outcome) -> None:
            number = missing[place]
            self.seconds[number] += outcome.seconds
            if outcome.transform is None:
                failures[number] = outcome.failure
            else:
                kept = outcome.transform, outcome.notes
                found[number] = self.store.keep(keys[number], template.grid, kept)
            self.arrived(number, self.member(number, outcome.transform))

        arguments = (
            (template, self.image(k), method, initial.get(k), self.seed, self.device, self.threads)
            for k in missing
        )
        names = [f"{verb} {self.frames.name(k)}" for k in missing]
        self.runner.each(registration, arguments, names, progress, done)
        return found, failures

    def each(
        self,
        template: Image,
        numbers: list[int],
        method: str,
        initial: Mapping[int, Transform],
        verb: str,
        progress: Progress,
    ) -> dict[int, Transform]:
        """What a method finds for each image, from its initial transform on; that stays where it fails."""
        found, failures = self.run(template, numbers, method, initial, verb, progress)
        for k, failure in failures.items():
            log.warning("%s: %s", self.frames.name(k), failure)
        return {k: found[k][0] if k in found else initial[k] for k in numbers}

    def look(self, progress: Progress) -> None:
        """Read every image once: which cannot be read, or shows nothing, or hardly any detail."""
        looks, kinds = [], []
        for k in range(self.frames.count):
            progress(k / self.frames.count, f"reading {self.frames.name(k)}")
            try:
                stored = self.frames.read(k)
                image = replace(driving(stored, self.channel), name=self.frames.name(k))
            except (ValueError, OSError) as error:
                self.problems.append(str(error))
                self.digests.append("")
                self.grids.append(self.frames.grid)
                looks.append(look(np.zeros((2, 2), np.float32)))
                kinds.append("")
                continue
            self.problems.append("")
            self.digests.append(digest(image))
            self.grids.append(image.grid)
            looks.append(look(as_fine(image, self.frames.grid)))
            kinds.append(str(stored.data.dtype))
        # Images of 8 and of 16 bits show as much at another contrast.
        for kind in set(kinds):
            usual = np.median([one.contrast for one, own in zip(looks, kinds, strict=True) if own == kind])
            looks = [
                replace(one, contrast=one.contrast / (usual or 1.0)) if own == kind else one
                for one, own in zip(looks, kinds, strict=True)
            ]
        sentences = {
            "blank": "It shows nothing.",
            "blurred": "It is far less sharp than the others.",
        }
        for k, problem in enumerate(of_looks(looks)):
            self.problems[k] = self.problems[k] or sentences.get(problem, "")
            self.arrived(k, self.member(k, None))
        if len(self.usable) < 2:
            raise ValueError(
                f"Only {len(self.usable)} of {self.frames.count} images are usable; give others."
            )


def as_fine(image: Image, other: Grid) -> Array:
    """The pixels of an image where it lies, as large as those of another, so that both can be compared.

    Images of a cohort may lie far from each other, and rotated.
    """
    grid, d = image.grid, image.ndim
    ratio = float(np.prod(other.spacing / grid.spacing) ** (1 / d))
    if abs(np.log(ratio)) > ALIKE:
        affine = grid.affine.copy()
        affine[:d, :d] *= ratio
        shape = tuple(max(2, round(n / ratio)) for n in grid.shape)
        image = warp(image, None, Grid(shape, affine, grid.units), fill=None)
    return np.ascontiguousarray(image.data, dtype=np.float32)
