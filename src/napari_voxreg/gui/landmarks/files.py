"""The landmarks of the panel from files and to files, in the formats of other programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari.viewer
from napari.layers import Layer
from qtpy.QtWidgets import QFileDialog, QWidget

from ...io.points import (
    BIGWARP,
    ENDINGS,
    PAIR_TABLE,
    PairFile,
    PointFile,
    holds_pairs,
    read_landmarks,
    write_point_pairs,
    write_points,
)
from ..layers.point_files import world_of
from ..layers.readers import notes_of, read_layers
from .pairs import PointPairs

OPENED = f"Points (*{' *'.join(ENDINGS)});;All files (*)"
PAIRS = {"CSV by column names (*.csv)": PAIR_TABLE, "BigWarp (*.csv)": BIGWARP}
# These hold the points of one image, so two files are written.
SINGLE = {
    "Slicer markups, one file for each image (*.mrk.json)": ".mrk.json",
    "Slicer fiducials, one file for each image (*.fcsv)": ".fcsv",
    "elastix points, one file for each image (*.txt)": ".txt",
    "CSV of points, one file for each image (*.csv)": ".csv",
}
SAVED = ";;".join([*PAIRS, *SINGLE])


class PairFiles:
    """Opens and saves pairs.

    Parameters
    ----------
    panel : QWidget
        The parent of the dialogs.
    viewer : napari.viewer.Viewer
        Gets layers of files that hold no pairs.
    pairs : callable
        Gives the landmarks that are replaced or saved; None without images.
    say, failed : callable
        Called with a sentence, and with an exception.
    """

    def __init__(
        self,
        panel: QWidget,
        viewer: napari.viewer.Viewer,
        pairs: Callable[[], PointPairs | None],
        say: Callable[[str], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._panel, self._viewer, self._pairs = panel, viewer, pairs
        self._say, self._failed = say, failed

    def ask_open(self) -> None:
        """Ask for a file of pairs, or for two files of points, and open them."""
        first = self._asked("Pairs, or the points of the fixed image")
        try:
            if first is not None and holds_pairs(first):
                self.open(first, first)
            elif first is not None:
                second = self._asked(f"The points of the moving image, for {first.name}")
                if second is not None:
                    self.open(first, second)
        except (OSError, ValueError) as error:
            self._failed(error)

    def open(self, fixed: Path, moving: Path) -> None:
        """Have the pairs of two files, or of one that is given twice; see `read_landmarks`."""
        try:
            pairs = self._pairs()
            if pairs is None:
                return
            found = read_landmarks(fixed, moving, (pairs.fixed.file_grid, pairs.moving.file_grid))
            pairs.replace_by(found)
        except (OSError, ValueError) as error:
            self._failed(error)
        else:
            self._say(" ".join(found.notes))

    def dropped(self, paths: list[Path]) -> None:
        """Have the pairs of files that were dropped on the canvas, or new layers of what is no pair."""
        try:
            paired = len(paths) == 2 or (len(paths) == 1 and holds_pairs(paths[0]))
            if paired and self._pairs() is not None:
                self.open(paths[0], paths[-1])
                return
            found = read_layers(paths, world_of(self._viewer))
        except (OSError, ValueError) as error:
            self._failed(error)
            return
        for data in found:
            self._viewer.add_layer(Layer.create(*data))
        self._say(" ".join(notes_of(found)))

    def ask_save(self) -> None:
        """Ask for a file and its format, and save all pairs."""
        pairs = self._pairs()
        name, kind = QFileDialog.getSaveFileName(self._panel, "Pairs of points", "landmarks.csv", SAVED)
        if not name or pairs is None:
            return
        try:
            self._say(f"Saved: {' and '.join(map(str, save(pairs.for_file(), Path(name), kind)))}")
        except (OSError, ValueError) as error:
            self._failed(error)

    def _asked(self, what: str) -> Path | None:
        name, _ = QFileDialog.getOpenFileName(self._panel, what, "", OPENED)
        return Path(name) if name else None


def save(pairs: PairFile, path: Path, kind: str) -> list[Path]:
    """Write pairs in a format.

    Parameters
    ----------
    pairs : PairFile
        Slicer's files are in millimetres, where the units are lengths.
    path : Path
        For formats of one image, "fixed" and "moving" are added to its name.
    kind : str
        A key of `PAIRS` or `SINGLE`; else the ending decides.
    """
    ending = SINGLE.get(kind, "")
    if not kind and not path.name.lower().endswith(".csv"):
        ending = next((one for one in SINGLE.values() if path.name.lower().endswith(one)), "")
    if not ending:
        return [write_point_pairs(pairs, path, PAIRS.get(kind, PAIR_TABLE))]
    stem = path.name[: -len(ending)] if path.name.lower().endswith(ending) else path.name.removesuffix(".csv")
    labels = pairs.labels or tuple(str(k) for k in range(1, len(pairs.fixed) + 1))
    return [
        write_points(PointFile(points, labels, unit), path.with_name(f"{stem}_{which}{ending}"))
        for points, which, unit in (
            (pairs.fixed, "fixed", pairs.units[0]),
            (pairs.moving, "moving", pairs.units[1]),
        )
    ]
