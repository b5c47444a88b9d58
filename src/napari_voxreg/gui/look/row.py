"""The row of buttons that choose how fixed and warped are compared."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from .look import ABSOLUTE, CHECKERBOARD, FLICKERING, OVERLAY, SIGNED, SWIPED, Look

TEXTS = {
    OVERLAY: ("Overlay", "Fixed red, warped cyan: where both are equal, the overlay is grey"),
    CHECKERBOARD: (
        "Checker",
        "Tiles of fixed and warped in turn: lines go on across the tiles where they match",
    ),
    SWIPED: ("Swipe", "Fixed at the left of a line, warped at its right; drag the line in the image"),
    FLICKERING: ("Flicker", "Fixed and warped in turn: whatever jumps does not match"),
    SIGNED: (
        "± Diff",
        "Fixed minus warped, in contrast ranges: red where fixed is brighter, blue where warped is; in "
        "volumes the largest of either along the line of sight",
    ),
    ABSOLUTE: ("| Diff |", "How much fixed and warped differ, in contrast ranges"),
}
STYLE = (
    "QPushButton {padding: 3px 2px;} "
    "QPushButton:checked {background-color: #2a6f97; color: white; font-weight: bold;}"
)
COLUMNS = 3
RATES = (0.5, 1.0, 2.0, 4.0, 8.0)  # images a second
MOST = 40  # tiles along the longer side
FINE = 1000  # steps of the line


class LookRow(QWidget):
    """Buttons of which at most one is down, and a slider for what the chosen comparison can vary.

    Parameters
    ----------
    look : Look
        Gets what is chosen with the slider.

    Signals
    -------
    chosen(mode)
        A way to compare, or none (an empty text), was chosen.
    """

    chosen = Signal(str)

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self.mode = ""
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        for k, (mode, (title, tip)) in enumerate(TEXTS.items()):
            button = self.buttons[mode] = QPushButton(title)
            button.setCheckable(True)
            button.setStyleSheet(STYLE)
            button.setToolTip(f"{tip}; once more shows the layers as they are")
            button.setAccessibleName(mode)
            button.clicked.connect(lambda on, mode=mode: self._clicked(mode if on else ""))
            grid.addWidget(button, k // COLUMNS, k % COLUMNS)
        self.label = QLabel()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Tile size, rate or line")
        self.slider.setToolTip("Size of the tiles, rate of the flicker or place of the line")
        self.slider.valueChanged.connect(self._slid)
        self._varied = QWidget()
        row = QHBoxLayout(self._varied)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.label)
        row.addWidget(self.slider, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        layout.addWidget(self._varied)
        self.choose("")
        look.dragged.connect(lambda: self.choose(self.mode))

    def choose(self, mode: str) -> None:
        """Show a mode as chosen."""
        self.mode = mode
        for name, button in self.buttons.items():
            button.setChecked(name == mode)
        self._varied.setVisible(mode in (CHECKERBOARD, SWIPED, FLICKERING))
        low, high, value = {
            CHECKERBOARD: (2, MOST, MOST + 2 - self._look.tiles),
            SWIPED: (0, FINE, round(FINE * self._look.line)),
            FLICKERING: (0, len(RATES) - 1, RATES.index(self._look.rate)),
        }.get(mode, (0, 1, 0))
        self.slider.blockSignals(True)
        self.slider.setRange(low, high)
        self.slider.setValue(value)
        self.slider.blockSignals(False)
        self._describe()

    def _clicked(self, mode: str) -> None:
        self.choose(mode)
        self.chosen.emit(mode)

    def _slid(self, value: int) -> None:
        if self.mode == CHECKERBOARD:
            self._look.set(tiles=MOST + 2 - value)  # to the right they grow
        elif self.mode == SWIPED:
            self._look.set(line=value / FINE)
        elif self.mode == FLICKERING:
            self._look.set(rate=RATES[value])
        self._describe()

    def _describe(self) -> None:
        look = self._look
        self.label.setText(
            {
                CHECKERBOARD: f"Tiles: {look.tiles} across",
                SWIPED: "Line",
                FLICKERING: f"Rate: {look.rate:g} / s",
            }.get(self.mode, "")
        )
