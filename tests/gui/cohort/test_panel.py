"""The Cohort panel in a real viewer: a series and a cohort; cancel, failures, rows, files."""

import time

import numpy as np
import pytest
from qtpy.QtCore import Qt
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as displaced

from napari_voxreg import Grid, Image, load_series
from napari_voxreg.cohort.group import tasks
from napari_voxreg.gui.cohort.inputs_box import COHORT, FILES, ONE, SERIES, SEVERAL
from napari_voxreg.gui.cohort.job import ROLE
from napari_voxreg.gui.cohort.panel import CohortWidget
from napari_voxreg.gui.doors import open_panel
from napari_voxreg.io.images import read_image, write_image

pytestmark = pytest.mark.usefixtures("warm_child")

WAYS = np.array([(0, 0), (2, -1), (4, 3), (-3, 1), (1, 2), (0, -4)], dtype=float)
WAIT = 60_000


@pytest.fixture(scope="module")
def scene():
    """A texture that is wider than the images taken from it."""
    texture = gaussian_filter(np.random.default_rng(0).standard_normal((88, 96)), 2.5)
    return (texture / texture.std()).astype(np.float32)


@pytest.fixture(scope="module")
def movie(scene):
    """Six frames of a moving scene, the fourth of them blank."""
    frames = np.stack([displaced(scene, way, order=3)[12:-12, 12:-12] for way in WAYS])
    frames[3] = 0
    return frames


@pytest.fixture
def visits(scene, tmp_path):
    """Four visits of one eye, of which the second cannot be read; and another patient's."""
    for k, way in enumerate(WAYS[:4]):
        image = Image(displaced(scene, way, order=3)[12:-12, 12:-12], Grid.from_spacing((64, 72), 0.5))
        write_image(image, tmp_path / "visits" / f"p01_L_2020-0{k + 1}-01.tif")
    (tmp_path / "visits" / "p01_L_2020-02-01.tif").write_bytes(b"II*\0 rubbish")
    return tmp_path / "visits"


@pytest.fixture
def panel(viewer):
    return open_panel(viewer, "Cohort")


def run(panel, qtbot):
    with qtbot.waitSignal(panel.finished, timeout=WAIT) as blocker:
        panel.bar.button.click()
    return blocker.args[0]


def choose(panel, qtbot, folder, **options):
    """A cohort of files, quickly."""
    panel.inputs.choose(COHORT, FILES, folder)
    qtbot.waitUntil(lambda: not panel.reason(), timeout=20_000)
    for name, value in {"linear": "rigid", "deform": "none", "template": "best", **options}.items():
        panel.options.group.editors[name].value = value


def column(table, title):
    """The texts under a heading, top to bottom."""
    (found,) = (column for column in table.contents.columns if column.name == title)
    return [found.text(row) for row in table.contents.rows]


def test_a_movie_is_aligned_with_all_its_channels_where_it_lies(panel, viewer, qtbot, movie):
    two = np.stack([movie, 100 - movie], axis=1)  # (t, c, y, x)
    units = ("second", "pixel", "micrometer", "micrometer")
    source = viewer.add_image(
        two, name="movie", scale=(2, 1, 0.5, 0.5), translate=(0, 0, 7, 9), units=units, axis_labels="tcyx"
    )
    viewer.dims.set_current_step(1, 0)
    assert panel.inputs.kind.currentText() == SERIES and panel.inputs.place.currentText() == ONE
    assert panel.inputs.layer.layer is source and panel.inputs.axis.currentText() == "t (6 frames)"
    assert panel.inputs.sentence.text() == "The channel of the slider drives; all are aligned."
    panel.options.series.editors["reference"].value = "frame"
    done = run(panel, qtbot)
    found = (done.result.translations / 0.5)[[0, 1, 2, 4, 5]]
    assert np.abs(found - WAYS[[0, 1, 2, 4, 5]]).max() < 0.15
    aligned = viewer.layers["movie aligned"]
    assert not isinstance(aligned.data, np.ndarray) and aligned.data.shape == two.shape
    for name in ("scale", "translate", "units", "axis_labels"):
        assert np.array_equal(getattr(aligned, name), getattr(source, name)), name
    inner = np.asarray(aligned.data)[:, :, 8:-8, 8:-8]
    good = inner[[1, 2, 4, 5]] - inner[0]
    assert np.abs(good).mean() < 0.1
    assert np.array_equal(source.data, two) and not source.visible
    assert "1 of 6 frames shows nothing; its motion is interpolated: 3." in panel.notes.text()
    assert panel.said.text().startswith("6 frames aligned in ")
    assert panel.series.isVisible() and "crosses" in panel.series.titles[0].text()

    qtbot.waitUntil(lambda: panel.series.plots[0].value_at(10) is not None, timeout=20_000)
    panel.series.plots[0].clicked.emit(3.8)
    assert viewer.dims.current_step[0] == 4


def test_a_stack_of_files_with_a_method_is_saved(panel, viewer, qtbot, movie, tmp_path):
    for k, frame in enumerate(movie[:3]):
        image = Image(frame, Grid.from_spacing(frame.shape))
        write_image(image, tmp_path / "stack" / f"section {k}.tif")
    panel.inputs.choose(SERIES, FILES, tmp_path / "stack")
    qtbot.waitUntil(lambda: panel.inputs.sentence.text() == "3 frames, 2D.", timeout=20_000)
    panel.options.series.editors["reference"].value = "previous"
    panel.options.run_method.setChecked(True)
    panel.options.method.choose("rigid")
    panel.folder.choose(tmp_path / "out")
    done = run(panel, qtbot)
    assert done.result.options["method"] == "rigid"
    assert len(load_series(tmp_path / "out")) == 3
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "series.json",
        "series.csv",
        "motion.png",
        "aligned",
    }
    written = read_image(tmp_path / "out" / "aligned" / "section 2.tif").data
    layer = viewer.layers["aligned"]
    assert layer.data.shape == (3, 64, 72) and tuple(layer.axis_labels) == ("t", "y", "x")
    assert np.allclose(written[8:-8, 8:-8], np.asarray(layer.data[2])[8:-8, 8:-8], atol=1e-4)


def test_layers_are_a_series_and_saving_comes_later(panel, viewer, qtbot, movie, tmp_path):
    for k, frame in enumerate(movie[:3]):
        viewer.add_image(frame, name=f"round {k}", scale=(0.5, 0.5))
    panel.inputs.choose(SERIES, SEVERAL)
    assert panel.bar.reason.text() == "Check two layers or more."
    panel.inputs.list.check(viewer.layers)
    panel.inputs.changed.emit()
    done = run(panel, qtbot)
    assert [frame.name for frame in done.result.frames] == ["round 0", "round 1", "round 2"]
    panel.save(tmp_path / "out")
    qtbot.waitUntil(lambda: panel.notes.text().startswith("Saved the motion"), timeout=WAIT)
    assert (tmp_path / "out" / "aligned" / "round 1.tif").is_file()


def test_a_cohort_fills_its_table_and_a_click_opens_an_image(panel, viewer, qtbot, visits, tmp_path):
    choose(panel, qtbot, visits)
    panel.folder.choose(tmp_path / "out")
    done = run(panel, qtbot)
    table = panel.cohort.table
    names = [f"p01_L_2020-0{k}-01.tif" for k in (1, 2, 3, 4)]
    assert column(table, "image") == names
    assert column(table, "verdict")[1] == "unusable" and "p01_L_2020-02-01" in column(table, "problem")[1]
    assert column(table, "date")[2] == "2020-03-01" and column(table, "patient")[0] == "p01"
    before, after = (column(table, f"LNCC {side}") for side in ("before", "after"))
    assert all(float(a) >= float(b) for k, (b, a) in enumerate(zip(before, after, strict=True)) if k != 1)
    assert before[1] == ""
    assert "1 of 4 images are unusable" in panel.notes.text()
    out = tmp_path / "out"
    assert (out / "report.html").is_file() and (out / "images" / "p01_L_2020-03-01" / "warped.tif").is_file()

    table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    numbers = [float(text) for text in column(table, "LNCC after")[:-1]]
    assert numbers == sorted(numbers) and column(table, "LNCC after")[-1] == ""
    panel.cohort.filter_line.setText("unusable")
    assert column(table, "image") == [names[1]]
    panel.cohort.filter_line.setText("")

    template = viewer.layers["cohort template"]
    for number in (2, 3):
        line = column(table, "image").index(names[number])
        with qtbot.waitSignal(panel.opened, timeout=20_000):
            table.clicked.emit(table.contents.index(line, 0))
        assert viewer.layers[-1].name == f"{names[number]} aligned"
        assert np.allclose(viewer.layers[-1].scale, template.scale)
        assert panel.look.layers == (template, viewer.layers[-1])
    assert f"{names[2]} aligned" not in viewer.layers
    inner = (slice(8, -8), slice(8, -8))
    assert np.abs(viewer.layers[-1].data[inner] - template.data[inner]).mean() < 0.1
    assert table.selected.number == 3 and panel.cohort.look_row.isVisible()

    panel.open(1)  # which cannot be read
    qtbot.waitUntil(lambda: names[1] in panel.said.text(), timeout=20_000)

    panel.save_csv(tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == (out / "cohort.csv").read_text()
    assert panel.cohort.resemblance.isVisible()
    assert panel.cohort.about.text().endswith("agrees best with the others.")
    assert done.result.dissimilarities.shape == (4, 4)


def test_layers_are_a_cohort_whose_mean_is_shown(panel, viewer, qtbot, movie):
    for k in (0, 1, 2):
        viewer.add_image(movie[k], name=f"day {k}", scale=(0.5, 0.5))
    panel.inputs.choose(COHORT, SEVERAL)
    panel.inputs.list.check(viewer.layers)
    panel.inputs.changed.emit()
    panel.options.group.editors["linear"].value = "rigid"
    panel.options.group.editors["deform"].value = "none"
    panel.options.merge.setChecked(True)
    done = run(panel, qtbot)
    assert done.result.mean_displacement < 0.1
    roles = [layer.metadata.get(ROLE) for layer in viewer.layers]
    assert roles == [None] * 3 + ["channel"] * 3 + ["template"]
    assert viewer.layers[4].name == "day 1 channel 0" and not viewer.layers[4].visible
    assert panel.inputs.list.count() == 3  # what a cohort made is no input
    assert column(panel.cohort.table, "image") == ["day 0", "day 1", "day 2"]


def test_a_template_of_ones_own(panel, viewer, qtbot, visits, movie, tmp_path):
    atlas = Image(movie[5], Grid.from_spacing((64, 72), 0.5))
    write_image(atlas, tmp_path / "atlas.tif")
    choose(panel, qtbot, visits)
    panel.options.onto.choose(tmp_path / "atlas.tif")
    done = run(panel, qtbot)
    assert np.allclose(viewer.layers["cohort template"].data, movie[5])
    assert "cohort mean" in viewer.layers and done.result.dissimilarities is None
    assert not panel.cohort.resemblance.isVisible()
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    assert "<h1>4 images onto atlas</h1>" in page


def test_cancel_is_at_once_and_the_folder_goes_on(panel, viewer, qtbot, visits, tmp_path, monkeypatch):
    original = tasks.register

    def slow(template, image, **words):
        if image.name.startswith("p01_L_2020-04"):
            for _ in range(3000):
                words["progress"](0.5, "going on")
                time.sleep(0.01)
        return original(template, image, **words)

    monkeypatch.setattr(tasks, "register", slow)
    choose(panel, qtbot, visits)
    panel.folder.choose(tmp_path / "out")
    panel.bar.button.click()
    assert panel.bar.stage.text() == "Starting…"
    table = panel.cohort.table
    qtbot.waitUntil(lambda: "aligning p01_L_2020-04" in panel.bar.stage.text(), timeout=WAIT)
    qtbot.waitUntil(lambda: "aligned" in column(table, "verdict"), timeout=WAIT)
    assert column(table, "verdict")[1] == "unusable" and column(table, "verdict")[3] == "waiting"
    table.clicked.emit(table.contents.index(0, 0))
    assert panel.notes.text() == "p01_L_2020-01-01.tif: It can be opened when the run has ended."
    table.clicked.emit(table.contents.index(1, 0))
    assert "p01_L_2020-02-01.tif" in panel.notes.text() and "opened when" not in panel.notes.text()
    worker = panel._runner._worker
    panel.bar.cancel_button.click()
    assert not panel.busy and panel.bar.button.isEnabled() and worker.abort_requested
    assert panel.said.text() == "Cancelled; the folder keeps what is registered."
    assert column(table, "verdict")[3] == "–" and panel.notes.isHidden()
    table.clicked.emit(table.contents.index(0, 0))
    assert panel.notes.text().endswith("It can be opened after a run that has ended; run it again.")
    monkeypatch.setattr(tasks, "register", original)
    run(panel, qtbot)
    assert "registrations were taken from an earlier run" in panel.notes.text()


def test_an_early_cancel_leaves_no_filter_without_a_table(panel, viewer, qtbot, visits):
    choose(panel, qtbot, visits)
    panel.bar.button.click()
    panel.cancel()
    assert panel.said.text() == "Cancelled."
    assert not panel.cohort.filter_line.isVisible() and not panel.cohort.table.isVisible()


def test_a_run_before_the_images_are_found_leaves_no_sentence(panel, viewer, qtbot, visits):
    panel.inputs.choose(COHORT, FILES, visits)
    with qtbot.waitSignal(panel.failed) as blocker:
        panel.run()
    assert blocker.args == ["Looking for images…"]
    qtbot.waitUntil(lambda: not panel.reason(), timeout=20_000)
    assert panel.said.isHidden() and panel.bar.reason.isHidden()


def test_only_options_that_matter_are_shown(panel, viewer, qtbot):
    panel.inputs.choose(COHORT, SEVERAL)
    editors = panel.options.group.editors

    def shown(name):
        return not editors[name].native.isHidden()

    assert shown("rounds") and not shown("image")
    editors["deform"].value = "elastix"
    assert not shown("rounds")
    editors["deform"].value, editors["template"].value = "diffeo", "image"
    assert shown("image") and not shown("rounds")


def test_problems_are_one_sentence(panel, viewer, qtbot, visits, tmp_path):
    assert panel.bar.reason.text() == "Choose the layer of the movie or stack."
    panel.inputs.choose(COHORT, FILES, tmp_path / "nowhere")
    qtbot.waitUntil(lambda: "nowhere" in panel.bar.reason.text(), timeout=20_000)
    choose(panel, qtbot, visits)
    panel.inputs.pattern.setText("absent")
    panel.inputs.search()
    qtbot.waitUntil(lambda: "is found in 0 of 4 names" in panel.bar.reason.text(), timeout=20_000)
    panel.inputs.pattern.setText("")
    panel.inputs.search()
    qtbot.waitUntil(lambda: not panel.reason(), timeout=20_000)
    panel.options.where.setCurrentText("cluster")
    with qtbot.waitSignal(panel.failed, timeout=WAIT):
        panel.bar.button.click()
    assert "is not a scheduler" in panel.said.text() and not panel.busy
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("mine")
    panel.options.where.setCurrentText("serial")
    panel.folder.choose(tmp_path / "out")
    with qtbot.waitSignal(panel.failed, timeout=WAIT):
        panel.bar.button.click()
    assert "holds something else" in panel.said.text()


def test_the_choices_are_there_when_it_is_opened_again(panel, viewer, qtbot, visits):
    choose(panel, qtbot, visits, template="image", image=2)
    panel.options.channel.setText("1")
    viewer.window.remove_dock_widget(panel)
    qtbot.wait(50)
    again = open_panel(viewer, "Cohort")
    assert isinstance(again, CohortWidget) and again is not panel
    assert again.inputs.cohort and again.inputs.path.path == visits
    assert again.options.cohort_options().image == 2 and again.options.driving == 1
    qtbot.waitUntil(lambda: not again.reason(), timeout=20_000)
