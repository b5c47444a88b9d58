"""A method that is not installed, in the list of methods: grey, with the command, and a check."""

from dataclasses import replace

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_voxreg import METHODS
from napari_voxreg.core import process
from napari_voxreg.gui.register.compare_button import CompareButton
from napari_voxreg.gui.widgets.method_box import MethodBox
from napari_voxreg.methods.availability import install_command


@pytest.fixture
def absent(monkeypatch, tmp_path):
    """elastix needs a package that is not there; returns what installs it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(METHODS, "elastix", replace(METHODS["elastix"], needs="package_to_come"))
    return lambda: (tmp_path / "package_to_come.py").write_text("")


@pytest.fixture
def box(qtbot, absent):
    box = MethodBox()
    qtbot.addWidget(box)
    box.show()
    return box


def entry(box):
    """The text of elastix in the list, and whether it is grey."""
    place = box.method_box.findData("elastix")
    grey = box.method_box.itemData(place, Qt.ItemDataRole.ForegroundRole)
    return box.method_box.itemText(place), grey is not None


def test_it_is_grey_and_offers_the_command(box):
    assert entry(box) == ("elastix (Install…)", True)
    assert not box.install.isVisible()
    box.choose("elastix")
    assert box.install.isVisible()
    assert box.install.command.text() == install_command(METHODS["elastix"])
    box.install.copy_button.click()
    assert QApplication.clipboard().text() == box.install.command.text()
    box.choose("affine")
    assert not box.install.isVisible()


def test_checking_finds_it_without_a_restart(box, absent, qtbot, monkeypatch):
    warmed = []
    monkeypatch.setattr(process, "warm", lambda *modules: warmed.append(modules))
    box.choose("elastix")
    box.install.check_button.click()
    assert "still not installed" in box.install.sentence.text()
    assert box.install.isVisible() and not warmed
    absent()
    with qtbot.waitSignal(box.changed):
        box.install.check_button.click()
    assert entry(box) == ("elastix", False)
    assert not box.install.isVisible()
    assert warmed == [METHODS["elastix"].loads]


def test_it_can_be_compared_once_it_is_there(qtbot, absent):
    button = CompareButton()
    qtbot.addWidget(button)
    button.offer(2)
    assert "elastix" not in button.methods
    absent()
    button.offer(2)
    assert "elastix" in button.methods
