"""What the registration of a cohort gave: the template, and a row and a transform for each image."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...core.geometry import Array, Image
from ...core.progress import Progress, silent
from ...io.files import check_replaceable
from ...io.images import WRITTEN, ending_of, write_like
from ...io.transforms import save_transform, software
from ...metrics.pair import Scores
from ...metrics.verdict import Verdict
from ...transforms import Transform, warp
from ..earlier import FILES, IMAGES, add_files, listed, remove_outdated
from ..files import folder_names, write_csv, write_record
from ..series.frames import Frames

RECORD, TABLE, MERGED, WORK = "cohort.json", "cohort.csv", "merged.csv", "work"
FORMAT = "napari-voxreg cohort"
BEGINNING = f'{{\n "format": "{FORMAT}"'
COLUMNS = (
    "image",
    "verdict",
    "problem",
    "LNCC before",
    "LNCC after",
    "SSIM before",
    "SSIM after",
    "SSIM before, overlap",
    "SSIM after, overlap",
    "overlap %",
    "folding %",
    "seconds",
)
NAMED = ("patient", "side", "date")  # columns where the names say these


@dataclass(frozen=True, eq=False)
class Member:
    """One image of a cohort.

    Parameters
    ----------
    name : str
    transform : Transform or None
        From world points of the template to world points of the image; None where there is none.
    before, after : Scores or None
        Against the template, where the image lies and aligned.
    verdict : Verdict or None
    seconds : float
        Of all its registrations.
    problem : str
        Why it is unusable, in one sentence; empty where it is not.
    patient, side, date : str
        What its name says, as it is written there; empty where it does not.
    """

    name: str
    transform: Transform | None = None
    before: Scores | None = None
    after: Scores | None = None
    verdict: Verdict | None = None
    seconds: float = 0.0
    problem: str = ""
    patient: str = ""
    side: str = ""
    date: str = ""

    @property
    def usable(self) -> bool:
        """Whether it takes part in means."""
        return not self.problem

    @property
    def numbers(self) -> tuple[float, ...]:
        """The numbers of its row of the table, `COLUMNS` from the fourth on; NaN where there are none."""
        if self.before is None or self.after is None or self.verdict is None:
            return (*[math.nan] * 8, self.seconds)
        return (
            self.verdict.before,
            self.verdict.after,
            self.before.whole["ssim"],
            self.after.whole["ssim"],
            self.before.overlap["ssim"],
            self.after.overlap["ssim"],
            100 * self.after.overlap_fraction,
            self.after.folded,
            self.seconds,
        )

    def cells(self) -> list[str]:
        """Its row of the table, see `COLUMNS`."""
        verdict = "" if self.verdict is None else self.verdict.outcome
        return [self.name, verdict, self.problem, *(f"{number:.4g}" for number in self.numbers)]


@dataclass(frozen=True, eq=False)
class CohortResult:
    """What the registration of a cohort gave.

    Parameters
    ----------
    template : Image
        What all images are aligned to, one channel.
    members : tuple of Member
        In the order of the images.
    options : mapping
        The `CohortOptions`, seed and channel.
    dissimilarities : ndarray, shape (n, n), or None
        How little each image resembles each other one, if that was asked; see `choice.dissimilarities`.
    mean : Image
        The mean of all usable images once they are aligned, each in [0, 1].
    mean_displacement : float
        The mean length of the mean displacement, in pixels of the template: 0 for a template that is drawn
        to no image.
    sharpness : float
        Of the mean, see `unbiased.sharpness`.
    seconds : float
    notes : tuple of str
    disagreement : ndarray, shape (n, n), or None
        Of all pairs: by how many pixels each disagrees with the ways by a third image; see `graph.Agreed`.
    software : mapping
    sources : tuple of Path
        The files of the images; empty where there are none.
    """

    template: Image
    members: tuple[Member, ...]
    options: Mapping[str, Any]
    mean: Image
    dissimilarities: Array | None = None
    mean_displacement: float = 0.0
    sharpness: float = 0.0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    disagreement: Array | None = None
    software: Mapping[str, str] = field(default_factory=software)
    sources: tuple[Path, ...] = ()

    @property
    def transforms(self) -> tuple[Transform | None, ...]:
        """One an image, from the template to it."""
        return tuple(member.transform for member in self.members)

    @property
    def sentence(self) -> str:
        """How many images were aligned, and how well they match the template before and after."""
        judged = [one.verdict for one in self.members if one.verdict is not None]
        text = f"{len(judged)} of {len(self.members)} images aligned in {self.seconds:.1f} s"
        if not judged:
            return f"{text}."
        counts = Counter(verdict.outcome for verdict in judged)
        outcomes = ", ".join(f"{number} {outcome}" for outcome, number in counts.most_common())
        before = np.nanmedian([verdict.before for verdict in judged])
        after = np.nanmedian([verdict.after for verdict in judged])
        return f"{text}: {outcomes}; median {judged[0].measure} {before:.3f} -> {after:.3f}."

    def table(self) -> list[list[str]]:
        """A row an image, after one of headings."""
        rows = [list(COLUMNS), *(member.cells() for member in self.members)]
        if any(member.patient or member.side or member.date for member in self.members):
            said = [NAMED, *((one.patient, one.side, one.date) for one in self.members)]
            rows = [[*row, *more] for row, more in zip(rows, said, strict=True)]
        return rows

    def save(self, folder: Path | str) -> Path:
        """Write the template, the mean, the table, the record, and the transform of each image.

        Files of an earlier run in this folder that do not belong to this one are removed; no others are.

        Returns
        -------
        Path
            The folder. It holds ``template.*``, ``mean.*``, ``cohort.csv``, ``cohort.json`` and
            ``images/NAME/transform.h5``.

        Raises
        ------
        ValueError
            If another program's file of that name is there.
        OSError
            If it cannot be written.
        """
        folder = Path(folder)
        check_folder(folder)
        written = [
            write_like(image, folder / name, _usual(image))
            for name, image in (("template", self.template), ("mean", self.mean))
        ]
        names = folder_names([member.name for member in self.members])
        for member, name in zip(self.members, names, strict=True):
            if member.transform is not None:
                path = folder / IMAGES / name / "transform.h5"
                save_transform(member.transform, path, self.template.grid)
                written += [path, path.with_suffix(".json")]
        remove_outdated(folder / RECORD, written, self.sources)
        write_csv(folder / TABLE, self.table())
        record = {
            "format": FORMAT,
            "version": 1,
            "maps": "world points of the template to world points of each image",
            "options": dict(self.options),
            "images": [
                {"name": member.name, "folder": name, "problem": member.problem, "seconds": member.seconds}
                for member, name in zip(self.members, names, strict=True)
            ],
            FILES: listed(written, folder),
            "mean displacement, px": self.mean_displacement,
            "sharpness of the mean": self.sharpness,
            "dissimilarities": _listed(self.dissimilarities),
            "disagreement of pairs, px": _listed(self.disagreement),
            "seconds": self.seconds,
            "notes": list(self.notes),
            "software": dict(self.software),
        }
        write_record(folder / RECORD, record)
        return folder

    def save_images(self, images: Frames, folder: Path | str, progress: Progress = silent) -> None:
        """Write the aligned images, all channels, each beside its transform: ``images/NAME/warped.*``.

        Parameters
        ----------
        images : Frames
            Those that were registered.
        folder : path
            As of `save`.
        progress : Progress, optional

        Raises
        ------
        OSError
            If one cannot be written.
        """
        folder, written = Path(folder), []
        names = folder_names([member.name for member in self.members])
        try:
            for k, (member, name) in enumerate(zip(self.members, names, strict=True)):
                progress(k / len(names), f"writing {member.name}")
                if member.transform is None:
                    continue
                image = warp(images.read(k), member.transform, self.template.grid)
                like = member.name if ending_of(Path(member.name)) in WRITTEN else _usual(image)
                written.append(write_like(image, folder / IMAGES / name / "warped", like))
        finally:
            add_files(folder / RECORD, written)

    def merged(self, images: Frames, progress: Progress = silent) -> Image:
        """One image with the channels of all aligned images, such as the rounds of cyclic staining.

        Parameters
        ----------
        images : Frames
            Those that were registered.
        progress : Progress, optional

        Returns
        -------
        Image
            On the template's grid, channels last, in the order of the images; 0 where an image shows nothing.
        """
        parts = []
        for k, member in enumerate(self.members):
            progress(k / len(self.members), f"merging {member.name}")
            if member.transform is not None:
                data = np.asarray(warp(images.read(k), member.transform, self.template.grid).data)
                parts.append(data if data.ndim > self.template.ndim else data[..., None])
        return Image(np.concatenate(parts, axis=-1), self.template.grid, "merged")

    def channels(self, images: Frames) -> list[list[str]]:
        """A row for each channel of `merged`, after one of headings: its number, image and channel there."""
        rows = [["channel", "image", "channel of the image"]]
        for k, member in enumerate(self.members):
            if member.transform is not None:
                count = images.read(k).channels or 1
                rows += [[str(len(rows) - 1 + c), member.name, str(c)] for c in range(count)]
        return rows

    def save_merged(self, images: Frames, folder: Path | str, progress: Progress = silent) -> Path:
        """Write `merged` as ``merged.*``, and which channel is which as ``merged.csv``.

        Raises
        ------
        ValueError
            If another program's file of that name is there.
        OSError
            If it cannot be written.
        """
        table, folder = self.channels(images), Path(folder)
        check_replaceable(folder / MERGED, ",".join(table[0]))
        image = self.merged(images, progress)
        path = write_like(image, folder / "merged", _usual(image))
        write_csv(folder / MERGED, table)
        add_files(folder / RECORD, [path, folder / MERGED])
        return path


def check_folder(folder: Path) -> None:
    """Refuse a folder in which `CohortResult.save` would write over something else.

    Raises
    ------
    ValueError
        In one sentence that names the file.
    """
    check_replaceable(folder / RECORD, BEGINNING)
    check_replaceable(folder / TABLE, ",".join(COLUMNS[:2]))
    if (folder / RECORD).exists() or (folder / WORK).is_dir():
        return  # a cohort is there
    for name in ("template", "mean", "merged"):
        for path in sorted(folder.glob(f"{name}.*")):
            raise ValueError(f"{path} is there and not of a cohort; choose another folder.")


def _listed(matrix: Array | None) -> list[list[float | None]] | None:
    """A matrix for JSON, which has no NaN."""
    if matrix is None:
        return None
    return [[float(x) if np.isfinite(x) else None for x in row] for row in matrix]


def _usual(image: Image) -> str:
    """A file of the kind in which an image is written that comes from none."""
    return "image.nii.gz" if image.ndim == 3 else "image.tif"
