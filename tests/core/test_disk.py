"""Temporary folders of our own: gone in the end, also those of a killed process; nobody else's is touched."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from napari_voxreg.core.disk import (
    MARK,
    DiskFull,
    check_utf8,
    full_disk_named,
    remove_leftovers,
    scratch_folder,
)

MAKES = (
    "import sys, time; from pathlib import Path; from napari_voxreg.core.disk import scratch_folder\n"
    "with scratch_folder(Path(sys.argv[1])) as folder:\n"
    "    (folder / 'pixels').write_bytes(bytes(100)); print(folder, flush=True); time.sleep(60)\n"
)


def owner(place):
    """A process that has a temporary folder, and the folder."""
    process = subprocess.Popen([sys.executable, "-c", MAKES, str(place)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_it_goes_in_the_end_with_all_that_is_in_it(tmp_path):
    with pytest.raises(KeyboardInterrupt), scratch_folder(tmp_path) as folder:
        (folder / "deeper").mkdir()
        (folder / "deeper" / "pixels").write_bytes(b"1")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_living_process_stays_and_that_of_a_killed_one_goes(tmp_path):
    process, folder = owner(tmp_path)
    try:
        remove_leftovers(tmp_path)
        assert (folder / "pixels").exists(), "its owner is alive"
    finally:
        end(process)
    assert (folder / "pixels").exists()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_not_ours_stay(tmp_path):
    for name in ("napari-voxreg-thesis", ".napari-voxreg-notes", "napari-voxreg-"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "years of work").write_text("precious")
    (tmp_path / "napari-voxreg-file").write_text("precious")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / MARK).touch()
    (tmp_path / "napari-voxreg-link").symlink_to(elsewhere)
    before = sorted(tmp_path.rglob("*"))
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_next_temporary_folder_in_a_place_removes_what_was_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    process, left = owner(tmp_path)
    end(process)
    with scratch_folder() as folder:
        assert [path for path in tmp_path.iterdir() if path != folder] == []
    assert not left.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_named(number, tmp_path):
    words = rf"^The disk of {tmp_path} is full; free some space there, and start again\.$"
    with pytest.raises(DiskFull, match=words), full_disk_named(tmp_path):
        raise OSError(number, os.strerror(number), "/dev/shm/something")
    with pytest.raises(DiskFull, match="TMPDIR"), full_disk_named(Path(tempfile.gettempdir())):
        raise OSError(number, os.strerror(number))


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), full_disk_named(tmp_path):
        raise PermissionError(errno.EACCES, "no")


@pytest.mark.parametrize("name", [b"n\xff", b"a/\xc3(/b.png", b"\xe9t\xe9.nii.gz"])
def test_names_that_are_not_utf8_are_refused_in_one_sentence(name):
    with pytest.raises(
        ValueError, match=r"^The name .*\\x[0-9a-f]{2}.* is not UTF-8; rename the file"
    ) as said:
        check_utf8(Path(os.fsdecode(name)))
    assert str(said.value).isprintable()
    check_utf8(Path("é/ß/漢字.png"))
