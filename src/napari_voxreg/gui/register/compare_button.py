"""The button that compares methods, with the list of methods to compare."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QMenu, QToolButton, QVBoxLayout, QWidget, QWidgetAction

from ...methods import METHODS
from ...methods.availability import installed
from ...registration.compare import usual_methods

# As high as the main button beside it; grey in any theme, since napari's has no style for tool buttons.
STYLE = (
    "QToolButton {padding: 6px 22px 6px 8px; border: 0; border-radius: 2px;"
    " background-color: rgba(128, 136, 144, 80);}"
    "QToolButton:hover {background-color: rgba(128, 136, 144, 120);}"
    "QToolButton:disabled {background-color: rgba(128, 136, 144, 30);}"
    "QToolButton::menu-button {width: 18px; border: 0;}"
)


class CompareButton(QToolButton):
    """Runs the checked methods; its arrow opens the list.

    Until the user checks or unchecks one, the usual methods for the pair's number of axes are checked.

    Signals
    -------
    changed()
        Other methods are checked.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._boxes: dict[str, QCheckBox] = {}
        self._offered: tuple[int, tuple[str, ...]] | None = None
        self._chosen = False
        self.setText("Compare methods")
        self.setStyleSheet(STYLE)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        menu = QMenu(self)
        body = QWidget()
        layout = QVBoxLayout(body)
        layout.setContentsMargins(10, 6, 10, 6)
        for name, method in METHODS.items():
            box = self._boxes[name] = QCheckBox(method.title)
            box.setToolTip(method.reference)
            box.clicked.connect(self._clicked)
            layout.addWidget(box)
        # Check boxes instead of checkable actions: the list stays open while several are clicked.
        action = QWidgetAction(menu)
        action.setDefaultWidget(body)
        menu.addAction(action)
        self.setMenu(menu)
        self.offer(2)

    @property
    def methods(self) -> tuple[str, ...]:
        """The checked methods that work on the pair."""
        return tuple(name for name, box in self._boxes.items() if box.isChecked() and box.isEnabled())

    def choose(self, methods: tuple[str, ...]) -> None:
        """Check these methods only."""
        for name, box in self._boxes.items():
            box.setChecked(name in methods)
        self._clicked()

    def offer(self, ndim: int) -> None:
        """Update for the pair's number of axes and the installed methods."""
        usual = usual_methods(ndim)
        if (ndim, usual) == self._offered:
            return
        self._offered = ndim, usual
        for name, box in self._boxes.items():
            box.setEnabled(ndim in METHODS[name].ndims and installed(METHODS[name]))
            if not self._chosen:
                box.setChecked(name in usual)

    def kept(self) -> tuple[str, ...] | None:
        """The user's choice, for `restore`; None if there is none."""
        return self.methods if self._chosen else None

    def restore(self, kept: tuple[str, ...] | None) -> None:
        """Restore an earlier choice."""
        if kept is not None:
            self.choose(kept)

    def _clicked(self) -> None:
        self._chosen = True
        self.changed.emit()
