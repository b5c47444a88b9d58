"""Asking for an output folder."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget


def new_folder(parent: QWidget, title: str, suggested: Path | str) -> Path | None:
    """Ask for an output folder, which need not exist.

    Qt's folder dialog accepts existing folders only, so this is a save dialog with a suggested name. Qt's
    own dialog opens an existing folder instead of choosing it.

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
