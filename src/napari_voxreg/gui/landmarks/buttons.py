"""The buttons of the Landmarks panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtpy.QtWidgets import QGridLayout, QPushButton

from ..widgets.sentence import BUTTON
from .pairs import PointPairs
from .placing import Placing

REGISTER = "Show the Register panel with this pair, and "
TIPS = {
    "Add pairs": "Place pairs: click in the fixed image, then in the moving one",
    "Delete": "Delete the pair of the selected row or points (Del in the table)",
    "Undo": "Take the last change back (Ctrl+Z)",
    "Redo": "Bring it back (Ctrl+Shift+Z)",
    "Accept": "Keep the moving point (Enter)",
    "Refine": "Search around the moving point for what looks like the fixed one (R)",
    "Skip": "Take this pair back (Esc)",
    "Use as initial transform": REGISTER + "the fit as its initial transform",
    "Keep as result": "Make the fit a result, to be judged, saved, applied and undone as any other",
    "Use as landmarks": REGISTER + "these landmarks, for methods that take some and for the verdict",
    "Open points…": "Pairs from CSV or BigWarp, or points of each image from Slicer, elastix or CSV",
    "Save points…": "Write all pairs, each in the world of its image: CSV, BigWarp, Slicer or elastix",
}
CHECKED = "QPushButton:checked {background-color: #2a6f97; color: white;} QPushButton {padding: 3px 4px;}"


class Buttons(dict[str, QPushButton]):
    """The buttons by their texts.

    Parameters
    ----------
    acts : mapping
        What each of them does.
    """

    def __init__(self, acts: Mapping[str, Callable[[], object]]) -> None:
        super().__init__()
        for text, tip in TIPS.items():
            button = self[text] = QPushButton(text)
            button.setToolTip(tip)
            button.setStyleSheet("padding: 3px 4px;")
            button.clicked.connect(lambda on, act=acts[text]: act())
        self["Add pairs"].setCheckable(True)
        self["Add pairs"].setStyleSheet(CHECKED)
        self["Use as initial transform"].setStyleSheet(BUTTON.replace("6px", "3px"))

    def row(self, *texts: str) -> QGridLayout:
        """Some of them beside each other."""
        grid = QGridLayout()
        grid.setSpacing(4)
        for k, text in enumerate(texts):
            grid.addWidget(self[text], 0, k)
        return grid

    def show_state(
        self, possible: bool, pairs: PointPairs | None, placing: Placing | None, fitted: bool, count: int
    ) -> None:
        """Enable what can be done.

        Parameters
        ----------
        possible : bool
            Whether landmarks can be placed on the chosen images.
        pairs, placing : PointPairs, Placing or None
        fitted : bool
            Whether there is a fit.
        count : int
            Of complete pairs.
        """
        on = placing is not None and placing.on
        second = on and pairs is not None and pairs.pending is not None
        self["Add pairs"].setChecked(on)
        for text in ("Accept", "Refine", "Skip"):
            self[text].setVisible(on)
        self["Skip"].setText("Skip" if second else "End")
        complete = pairs is not None and not pairs.alone and count > 0
        enabled = {
            "Add pairs": possible,
            "Delete": pairs is not None and bool(len(pairs.fixed.numbers) + len(pairs.moving.numbers)),
            "Undo": pairs is not None and pairs.can_undo,
            "Redo": pairs is not None and pairs.can_redo,
            "Accept": second,
            "Refine": second,
            "Use as initial transform": fitted,
            "Keep as result": fitted,
            "Use as landmarks": complete,
            "Save points…": complete,
            "Open points…": possible,
        }
        for text, there in enabled.items():
            self[text].setEnabled(there)
