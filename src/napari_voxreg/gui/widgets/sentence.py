"""A sentence with a coloured bar, and the colours that panels share."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QLabel, QSizePolicy

COLOURS = {
    "better": "#4ba56f",
    "unchanged": "#c7a13c",
    "unclear": "#c7a13c",
    "worse": "#cf6a5d",
    "failed": "#cf6a5d",
    "quiet": "#808890",
}
BUTTON = (
    "QPushButton:enabled {background-color: #2a6f97; color: white; font-weight: bold; padding: 6px;}"
    "QPushButton:enabled:hover {background-color: #3382ae;}"
    "QPushButton:disabled {padding: 6px;}"
)


class Sentence(QLabel):
    """A wrapped sentence with a coloured bar at its left."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        # So that its longest word does not widen the panel.
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def say(self, text: str, tone: str) -> None:
        """Show a sentence in one of the tones of `COLOURS`."""
        red, green, blue, _ = QColor(COLOURS[tone]).getRgb()
        self.setText(text.replace("->", "→"))
        self.setStyleSheet(
            f"QLabel {{border-left: 3px solid {COLOURS[tone]}; padding: 5px 4px 5px 8px;"
            f" background-color: rgba({red}, {green}, {blue}, 36);}}"
        )
        self.setVisible(bool(text))
