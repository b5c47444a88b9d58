"""`napari-voxreg samples`: the list and the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from napari_voxreg.cli.main import main


def test_samples_are_listed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Callable[..., str]
) -> None:
    assert main(["samples"]) == 0
    listing = capsys.readouterr().out
    for name in ("fundus", "sar", "brain2d", "brain3d", "microscopy"):
        assert name in listing
    assert main(["samples", "fundus", "-o", str(tmp_path)]) == 0
    files = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert len(files) >= 2
    assert all(file.is_file() for file in files)
    assert "choose from" in refused("samples", "moon")
