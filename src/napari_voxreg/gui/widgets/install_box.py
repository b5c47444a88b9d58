"""How to install the package that a method needs, and a check for it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QApplication, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from ...core import process
from ...methods.availability import install_command, installed
from ...methods.base import Method
from .sentence import Sentence


class InstallBox(QWidget):
    """The command that installs a method's package, to copy; hidden while the method is installed.

    Signals
    -------
    found(method)
        The missing package of the method is now installed.
    """

    found = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._method: Method | None = None
        self.sentence = Sentence()
        self.command = QLineEdit()
        self.command.setReadOnly(True)
        self.command.setAccessibleName("Command that installs the method")
        self.command.setToolTip("Run it where napari was installed, then check again")
        self.copy_button = QPushButton("Copy command")
        self.check_button = QPushButton("Check again")
        self.copy_button.setToolTip("Copy the command to the clipboard")
        self.check_button.setToolTip("Check whether the package is installed now")
        buttons = QHBoxLayout()
        buttons.addWidget(self.copy_button)
        buttons.addWidget(self.check_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.sentence)
        layout.addWidget(self.command)
        layout.addLayout(buttons)
        self.copy_button.clicked.connect(self._copy)
        self.check_button.clicked.connect(self._check)
        self.hide()

    def offer(self, method: Method) -> None:
        """Show how to install a method's package, or hide if it is installed."""
        self._method = None if installed(method) else method
        self.setVisible(self._method is not None)
        if self._method is not None:
            self.sentence.say(
                f"{method.title} is not installed. Run this command in a terminal, then check again; "
                "napari need not be restarted.",
                "quiet",
            )
            self.command.setText(install_command(method))
            self.command.setCursorPosition(0)

    def _copy(self) -> None:
        QApplication.clipboard().setText(self.command.text())  # type: ignore[union-attr]

    def _check(self) -> None:
        method = self._method
        if method is None:
            return
        self.offer(method)
        if self._method is not None:
            self.sentence.say(f"{method.title} is still not installed. The command reports why.", "unclear")
            return
        process.warm(*method.loads)
        self.found.emit(method)
