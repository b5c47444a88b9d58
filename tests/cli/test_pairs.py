"""`napari-voxreg pairs`: what it prints, writes and refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_voxreg import Grid, Image
from napari_voxreg.cli.main import main
from napari_voxreg.io.images import write_image
from napari_voxreg.io.pairs import open_pairs, read_pair


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    for who in (1, 2, 3):
        for year in (2019, 2020):
            image = Image(np.full((4, 5), who, np.uint8), Grid.from_spacing((4, 5)))
            write_image(image, tmp_path / "in" / f"P{who}_OD_{year}-05-06.png")
    return tmp_path / "in"


def test_list_shows_names_pairs_and_split(visits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (visits / "held.txt").write_text("P2\n")
    assert main(["pairs", "list", str(visits), "--validation", str(visits / "held.txt")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["P2_OD_2020-05-06.png", "P2", "OD", "2020-05-06"] in lines
    assert ["val", "P2_OD_2020-05-06", "to", "P2_OD_2019-05-06"] in lines
    assert ["train", "P3_OD_2020-05-06", "to", "P3_OD_2019-05-06"] in lines
    assert lines[-1] == ["2", "for", "training,", "1", "for", "validation."]


def test_augmented_pairs_are_files_that_training_takes(visits: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for file in visits.iterdir():
        data = rng.integers(0, 255, (24, 32)).astype(np.uint8)
        write_image(Image(data, Grid.from_spacing((24, 32))), file)
    out = tmp_path / "out"
    words = [
        "pairs",
        "augment",
        str(visits),
        "-o",
        str(out),
        "--copies",
        "2",
        "--crop",
        "0.4",
        "--size",
        "32",
    ]
    assert main(words) == 0
    pairs = open_pairs(out / "pairs.csv")
    assert (len(pairs.training), len(pairs.validation)) == (4, 1)
    one, other = (read_pair(pair).fixed for pair in pairs.training[:2])
    assert one.data.shape == other.data.shape == (24, 32)
    assert one.data.dtype == np.float32 and not np.array_equal(one.data, other.data)
    assert main(words) == 2  # what is there is not replaced


def test_pack_writes_what_list_shows(
    visits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "set.h5"
    words = ["--pairing", "all", "--validation", "0", "-o", str(target)]
    assert main(["pairs", "pack", str(visits), *words]) == 0
    assert "15 for training, 0 for validation." in capsys.readouterr().out
    assert len(open_pairs(target, validation=0).training) == 15
    assert main(["pairs", "list", str(target), "--validation", "0.2"]) == 0


def test_refusals_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", "list", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["pairs"]) == 2
    assert main(["pairs", "--help"]) == 0
