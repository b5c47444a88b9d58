"""The Train panel under failures, with a real training each."""

import resource
from dataclasses import replace

import pytest
import torch

from napari_voxreg.gui.train.job import stage
from napari_voxreg.nets.checkpoints.checkpoint import load_weights
from napari_voxreg.train.runs import STATE, read_history, read_run

pytestmark = pytest.mark.usefixtures("warm_child")

QUICK = {
    "architecture": "stn",
    "start": "scratch",
    "batch_size": 2,
    "size": 32,
    "workers": 0,
    "show_every": 0,
    "epochs": 100_000,
}


@pytest.fixture
def begin(train_panel, qtbot):
    """Starts a training in the panel."""

    def start(source, **options):
        train_panel.source.choose(source)
        train_panel.options.choose(**{**QUICK, **options})
        qtbot.waitUntil(lambda: train_panel.source.pairs is not None, timeout=10_000)
        train_panel.bar.start.click()
        return train_panel

    return start


@pytest.fixture
def go_on(train_panel, qtbot):
    """Resumes the last run in the panel, for so many epochs more, and waits for its end."""

    def resume(more):
        folder = train_panel.runner.folder
        qtbot.waitUntil(lambda: len(train_panel.runs.runs) == 1, timeout=10_000)
        train_panel.runs.choose(folder)
        train_panel.runs.epochs.setValue(read_history(folder)[-1].epoch + more)
        with qtbot.waitSignal(train_panel.finished, timeout=120_000) as blocker:
            train_panel.runs.resume.click()
        return blocker.args[0]

    return resume


def until(qtbot, signal):
    with qtbot.waitSignal(signal, timeout=120_000) as blocker:
        pass
    return blocker.args


@pytest.mark.slow
def test_volumes_are_trained_on_and_shown(begin, viewer, qtbot, visits):
    panel = begin(
        visits((16, 20, 16), 3), architecture="voxelmorph", batch_size=1, size=16, epochs=2, show_every=2
    )
    assert until(qtbot, panel.finished)[0].reason == "done"
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=10_000)
    fixed, moving, warped, grid = viewer.layers
    assert fixed.data.shape == moving.data.shape == warped.data.shape
    assert fixed.ndim == viewer.dims.ndim == 3 and grid.data.shape[1:] == (2, 3)
    assert str(fixed.units[0]) == str(grid.units[0]) == "millimeter"
    assert load_weights(panel.runner.weights.file).net.ndim == 3
    assert panel.runner.weights.method == "voxelmorph"


@pytest.mark.slow
def test_it_ends_early_and_says_why_and_mentions_a_gpu_only_where_there_is_one(begin, qtbot, visits):
    panel = begin(visits(), learning_rate=0.3, patience=2)
    (step,) = until(qtbot, panel.runner.stepped)
    if not torch.cuda.is_available():
        assert step.memory is None and "GPU" not in panel.bar.stage.text()
    assert "GPU memory 2.5 GB" in stage(replace(step, memory=2_500_000_000))
    (ended,) = until(qtbot, panel.finished)
    assert ended.reason == "early" and not panel.busy
    assert panel.outcome.text().startswith("No better validation for 2 epochs, so it ended.")
    totals = [row.validation.total for row in read_history(panel.runner.folder)[1:]]
    assert min(totals) == totals[-3] and panel.history.curves.rows[-1].epoch == len(totals)
    assert not panel.use_button.isHidden()


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_it_with_the_reason_and_keeps_the_best(begin, go_on, qtbot, visits):
    panel = begin(visits(), epochs=1)
    until(qtbot, panel.finished)
    folder = panel.runner.folder
    before = (folder / "best.safetensors").read_bytes()
    state = torch.load(folder / STATE, weights_only=True)
    state["net"] = {name: value * 1e30 for name, value in state["net"].items()}
    torch.save(state, folder / STATE)
    ended = go_on(2)
    assert ended.reason == "not a number" and not panel.busy
    assert panel.outcome.text().startswith(
        "The loss is not a number any more in epoch 2, so training stopped"
    )
    assert "smaller learning rate" in panel.outcome.text()
    assert (folder / "best.safetensors").read_bytes() == before
    assert panel.runner.weights.file == folder / "best.safetensors" and not panel.use_button.isHidden()


@pytest.mark.slow
def test_an_image_that_is_damaged_in_the_middle_of_an_epoch_is_named_and_skipped(begin, qtbot, visits):
    source = visits(count=200)
    panel = begin(source, batch_size=1, steps=0)
    until(qtbot, panel.runner.stepped)
    panel.bar.pause.click()
    until(qtbot, panel.runner.paused)
    folder = panel.runner.folder
    assert len(read_history(folder)) == 1  # no epoch is over
    read = {int(file.stem) for file in (folder / "cache" / "training").glob("*.npz")}
    pairs = panel.source.pairs.training
    first = next(k for k in range(len(pairs)) if k not in read)
    pairs[first].moving.write_bytes(b"no image")
    panel.bar.pause.click()
    row = until(qtbot, panel.runner.epoch_done)[0].row
    assert row.epoch == 1 and row.step == len(pairs)
    (note,) = [line for line in panel.notes.text().split("\n") if "is skipped" in line]
    assert note.startswith(f"The pair {pairs[first].name} is skipped (1 so far): ")
    assert pairs[first].moving.name in note and not panel.notes.isHidden()
    panel.bar.stop.click()
    assert until(qtbot, panel.finished)[0].reason == "stopped"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits another process")
def test_a_full_disk_is_one_sentence_and_the_run_resumes_with_free_space(begin, go_on, qtbot, visits):
    """A limit on the size of a file acts as a full disk."""
    panel = begin(visits())
    until(qtbot, panel.runner.epoch_done)
    limits = (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    resource.prlimit(panel.runner._training._process.pid, resource.RLIMIT_FSIZE, limits)
    (sentence,) = until(qtbot, panel.failed)
    assert sentence == panel.outcome.text() and not panel.busy and panel.bar.start.isEnabled()
    assert sentence.startswith("The disk of ") and "free space and resume the run" in sentence
    run = read_run(panel.runner.folder)
    assert run.resumable and load_weights(run.best)
    assert go_on(2).reason == "done"
    assert [row.epoch for row in read_history(run.folder)] == list(range(len(run.history) + 2))
