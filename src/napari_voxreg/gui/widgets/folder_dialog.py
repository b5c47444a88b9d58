"""Asking for a folder that need not be there yet."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget


def new_folder(parent: QWidget, title: str, suggested: Path | str) -> Path | None:
    """Ask for the name of a folder to write into.

    Qt's dialog for folders refuses names that are not there, so it is asked for as a file is: the name is
    suggested and can be changed. Qt's own dialog enters a folder that is there.

    Parameters
    ----------
    parent : QWidget
        Of the dialog.
    title : str
        Of its window.
    suggested : path
        The folder's name, relative to the working directory if it has no other.

    Returns
    -------
    Path or None
        None if the user cancelled.
    """
    options = QFileDialog.Option.ShowDirsOnly | QFileDialog.Option.DontConfirmOverwrite
    name, _ = QFileDialog.getSaveFileName(parent, title, str(suggested), "Folders (*)", "", options)
    return Path(name) if name else None
