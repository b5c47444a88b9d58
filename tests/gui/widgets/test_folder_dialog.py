"""The dialog for a folder to write into, as it is used."""

import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QLineEdit, QWidget

from napari_voxreg.gui.widgets.folder_dialog import new_folder


@pytest.mark.parametrize("name", ["saved 1", None], ids=["a new name", "what is suggested"])
def test_a_folder_that_is_not_there_can_be_named(qtbot, tmp_path, name):
    parent = QWidget()
    qtbot.addWidget(parent)
    left = []

    def answer():
        dialog = QApplication.activeModalWidget()
        assert isinstance(dialog, QFileDialog)
        if name is not None:
            dialog.findChild(QLineEdit, "fileNameEdit").setText(str(tmp_path / name))
        QTest.keyClick(dialog.findChild(QLineEdit, "fileNameEdit"), Qt.Key.Key_Return)
        refused = QApplication.activeModalWidget()
        if refused is not None and refused.isVisible():  # else the test would never end
            left.append(refused)
            refused.close()
            dialog.reject()

    QTimer.singleShot(300, answer)
    assert new_folder(parent, "Save", tmp_path / "suggested") == tmp_path / (name or "suggested")
    assert not left and list(tmp_path.iterdir()) == []
