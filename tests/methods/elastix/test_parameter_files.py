"""elastix's parameter files: what is read of one, and how quickly a hostile one is refused."""

import time

import pytest

from napari_voxreg.methods.elastix.parameter_maps import read_map

GOOD = '(Transform "AffineTransform")\n(Metric "AdvancedMeanSquares")\n'


def test_comments_quotes_and_blanks_are_read_as_elastix_reads_them(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(
        f'{GOOD}// (Optimizer "None")\n  ( Samples  12 )  // twelve\n\n'
        '(File "http://x//y" "b c" d) // "quoted"\n'
        "(Size 1 2 3)//at once\n"
    )
    assert read_map(path, 2) == {
        "Transform": ("AffineTransform",),
        "Metric": ("AdvancedMeanSquares",),
        "Samples": ("12",),
        "File": ("http://x//y", "b c", "d"),
        "Size": ("1", "2", "3"),
    }


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        ("txt", "(Transform " + " " * 100_000 + "x\n"),
        ("txt", GOOD + "(A " + '"' * 100_001 + "\n"),
        ("txt", GOOD + '"a/' * 30_000 + "\n"),
        ("txt", GOOD + "/" * 100_000 + "x\n" + "(" * 100_000),
        ("txt", "(" + "a" * 100_000),
        ("toml", "Transform = " + "[" * 100_000),
        ("toml", "Transform = " + "9" * 100_000),
        ("toml", "Transform = 0x" + "f" * 100_000 + "\nMetric = 1"),
        ("toml", "a" + ".a" * 20_000 + " = 1"),
    ],
)
def test_hostile_files_are_refused_at_once(tmp_path, ending, text):
    path = tmp_path / f"a.{ending}"
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(ValueError, match=rf"a\.{ending} is not an elastix parameter file"):
        read_map(path, 2)
    assert time.process_time() - began < 2
