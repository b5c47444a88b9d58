"""`napari-voxreg info`: what a report of a problem needs, and nothing personal."""

from __future__ import annotations

import json
import logging
import os
from importlib.metadata import version
from pathlib import Path

import napari.settings
import pytest
from npe2 import PluginManager

from napari_voxreg.cli.commands import info
from napari_voxreg.cli.main import main
from napari_voxreg.core import last_log
from napari_voxreg.core.progress import Cancelled
from napari_voxreg.gui.preferences import preferences


@pytest.fixture(autouse=True)
def log_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The last log of this test."""
    file = tmp_path / "logs" / "last.log"
    monkeypatch.setattr(last_log, "path", lambda: file)
    return file


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    assert main(["info", "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_versions_devices_and_settings_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    headings = [line.split(" (")[0].rstrip(":") for line in text.splitlines() if line and line[0] != " "]
    assert headings == ["versions", "machine", "devices", "settings", "last log"]
    lines = {tuple(line.split()) for line in text.splitlines()}
    assert {("napari-voxreg", version("napari-voxreg")), ("numpy", version("numpy"))} <= lines
    assert ("There", "is", "none.") in lines
    found = report(capsys)
    assert found["machine"]["cores"] == os.cpu_count()
    assert "cpu" in found["devices"]
    assert found["settings"]["method"] == "auto"


def test_the_last_run_is_told_without_the_users_names(
    images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = logging.getLogger("napari_voxreg").level
    out = tmp_path / "Jane Doe" / "visit 2"
    assert main(["register", *images, "-o", str(out), "-m", "translation"]) == 0
    assert capsys.readouterr().err == ""  # kept, not shown
    assert logging.getLogger("napari_voxreg").level == before
    text = "\n".join(report(capsys)["last log"]["lines"])
    assert "on the command line: register" in text
    assert "running translation on auto, seed 0" in text and "read <path>.nii.gz: 80 x 90 float32" in text
    assert "Jane" not in text and "visit" not in text and str(tmp_path.parent) not in text
    assert report(capsys)["last log"]["lines"] == text.splitlines(), "info is no run"


def test_a_failed_run_leaves_its_traceback(
    log_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", str(tmp_path / "none.png"), "none.png", "-o", "out"]) == 2
    text = "\n".join(report(capsys)["last log"]["lines"])
    assert "Traceback" in text and "napari_voxreg/cli/" in text.replace("\\", "/")
    assert str(tmp_path) in log_file.read_text(encoding="utf-8") and str(tmp_path) not in text


def test_a_cancelled_or_silent_job_keeps_the_log_before_it(log_file: Path) -> None:
    with last_log.kept("first"):
        logging.getLogger("napari_voxreg.any").info("heard")
    with last_log.kept("silent"):
        logging.getLogger("napari_voxreg.any").debug("not kept")
    with pytest.raises(Cancelled), last_log.kept("cancelled"):
        raise Cancelled
    assert [line.split(" ", 2)[-1] for line in log_file.read_text().splitlines()] == ["first", "heard"]


def test_a_log_that_cannot_be_written_stops_nothing(log_file: Path) -> None:
    log_file.parent.write_text("a file where the folder would be")
    with last_log.kept("run"):
        logging.getLogger("napari_voxreg.any").info("heard")


def test_settings_are_those_of_the_panels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(napari.settings, "_CFG_PATH", str(tmp_path / "settings.yaml"))
    napari.settings._clear_plugin_settings_cache()
    PluginManager.instance().discover()
    preferences().method, preferences().cache_folder = "rigid", str(tmp_path / "Jane")
    found = report(capsys)["settings"]
    napari.settings._clear_plugin_settings_cache()
    assert (found["method"], found["cache_folder"]) == ("rigid", "own")
    assert not any("Jane" in str(value) for value in found.values())


def test_what_is_broken_is_said_and_the_rest_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> dict[str, object]:
        raise ImportError("cannot load /home/jane/torch/lib/x.so: wrong version")

    monkeypatch.setitem(info.PARTS, "devices", broken)
    found = report(capsys)
    assert found["devices"] == {"cannot be read": "ImportError: cannot load <path>: wrong version"}
    assert found["versions"]["numpy"] == version("numpy")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("read /home/jane/Eye 1/doe.1980.nii.gz: 80 x 90", "read <path>.nii.gz: 80 x 90"),
        (r"read C:\Users\Jane Doe\a.tif: 80 x 90", "read <path>.tif: 80 x 90"),
        (r"wrote \\server\share\jane\out.h5 and transform.json", "wrote <path>.h5 and <file>.json"),
        ("'~/jane/a.png' is no image.", "'<path>.png' is no image."),
        ("read Doe_Jane.nii: 3 x 4", "read <file>.nii: 3 x 4"),
        (
            'File "/home/jane/venv/site-packages/numpy/x.py", line 3',
            'File "site-packages/numpy/x.py", line 3',
        ),
        ("spacing (1, 1.5), 80 % of 3/4, 12 mm/s", "spacing (1, 1.5), 80 % of 3/4, 12 mm/s"),
    ],
)
def test_paths_are_left_out(text: str, shown: str) -> None:
    assert info.without_paths(text) == shown
