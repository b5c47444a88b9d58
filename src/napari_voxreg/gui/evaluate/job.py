"""Jobs of the Evaluate panel and the summary of their rows; no widget is touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ... import figures
from ...core.params import Params
from ...core.progress import Progress
from ...evaluation import (
    FIELDS,
    TITLE,
    Evaluation,
    Row,
    evaluate,
    folder_name,
    markdown,
    open_row,
    summaries,
    write_fields,
)
from ...io.files import check_replaceable, replace_file
from ...io.pairs import Pair
from ...registration.result import Result
from ..layers.placement import LayerData
from ..layers.readers import image_layers, labels_layers


@dataclass(frozen=True)
class EvaluateJob:
    """Evaluates a method on pairs and passes each row on as it finishes."""

    pairs: tuple[Pair, ...]
    method: str
    params: Params
    device: str
    folder: Path
    arrived: Callable[[Row], None]

    def __call__(self, progress: Progress) -> Evaluation:
        """Run the job; see `evaluate` for the errors."""
        return evaluate(
            self.pairs,
            method=self.method,
            params=self.params,
            device=self.device,
            folder=self.folder,
            progress=progress,
            arrived=self.arrived,
        )


def files_of(pairs: Sequence[Pair]) -> tuple[list[Path], bool]:
    """The image files of pairs, each once; and whether all have the same fixed image, which is the first."""
    fixed = list(dict.fromkeys(pair.fixed for pair in pairs if isinstance(pair.fixed, Path)))
    moving = dict.fromkeys(pair.moving for pair in pairs if isinstance(pair.moving, Path))
    if len(fixed) == 1:
        return list(dict.fromkeys([*fixed, *moving])), True
    both = [one for pair in pairs for one in (pair.fixed, pair.moving) if isinstance(one, Path)]
    return list(dict.fromkeys(both)), False


def opened(row: Row) -> tuple[Result, list[LayerData]]:
    """A row's result, and the layers of its pair."""
    pair, result = open_row(row)
    data: list[LayerData] = []
    for role in ("fixed", "moving"):
        labels = getattr(pair, f"{role}_labels")
        if labels is not None:
            data += labels_layers(labels, name=f"{row.name}: {role} labels", visible=False)
        data += image_layers(
            getattr(pair, role), name=f"{row.name}: {role}", metadata={"voxreg role": role}, visible=True
        )
    return result, data


def save(rows: Sequence[Row], folder: Path) -> Path:
    """Write the summary, before and after of every pair, the best and the worst into a folder."""
    check_replaceable(folder / "summary.md", TITLE)
    page = markdown(summaries(rows))
    replace_file(folder / "summary.md", partial(Path.write_text, data=page, encoding="utf-8", newline=""))
    figures.save(figures.before_after(rows), folder / "before-after.png")
    figures.save(figures.gallery(rows), folder / "gallery.png")
    return folder


def save_fields(rows: Sequence[Row], folder: Path, progress: Progress) -> Path:
    """Write the displacement, the flow picture and the matches of each pair into folders of a folder."""
    done = [row for row in rows if not row.failed]
    for k, row in enumerate(done):
        progress(k / len(done), f"writing the field of {row.name}")
        write_fields(row, folder / FIELDS / folder_name(row))
    return folder / FIELDS


def in_short(rows: list[Row]) -> tuple[str, str]:
    """A summary of the rows, and its tone."""
    (found,) = summaries(rows)
    parts = [f"{found.pairs} pairs" + (f", {found.failed} without a result" if found.failed else "")]
    for line in found.lines:
        improved = f"{100 * line.improved:.0f}\N{NO-BREAK SPACE}% improved"
        if line.measure.key in ("end_point_error", "landmark_error", "dice"):
            means = " -> ".join(format(side.mean, line.measure.form) for side in (line.before, line.after))
            parts.append(f"{line.measure.title} {means}, {improved}")
        elif line.measure.key == "ssim_common":
            parts.append(f"{improved} in SSIM")
    text = f"{'; '.join(parts)}. {found.interpolation}".strip()
    smooth = found.interpolation.endswith(("not from registration.", "no gain.", "the rest from smoothing."))
    return text, "quiet" if not found.lines else "unclear" if smooth else "better"
