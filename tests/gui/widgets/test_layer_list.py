"""The list of layers with check boxes."""

from napari.layers import Points

from napari_voxreg.gui.widgets.layers.layer_list import ROWS, LayerList


def test_rows_are_whole(qtbot):
    made = LayerList("Layers", "Check some")
    qtbot.addWidget(made)
    made.offer([Points(name=f"points {k}") for k in range(ROWS + 2)])
    made.show()
    seen = made.viewport().height()
    bottoms = [made.visualItemRect(made.item(row)).bottom() + 1 for row in range(made.count())]
    assert bottoms[ROWS - 1] == seen
