"""The command line as a whole: help, errors and exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_voxreg import METHODS
from napari_voxreg.cli.main import COMMANDS, main
from napari_voxreg.core.params import Params
from napari_voxreg.core.process import MethodUnavailable
from napari_voxreg.core.progress import Cancelled
from napari_voxreg.methods.base import Method, Outcome

HELPS = [[name] for name in COMMANDS] + [["pairs", "list"], ["pairs", "pack"]]


def test_help_loads_nothing_and_lists_the_commands() -> None:
    code = (
        "import sys; from napari_voxreg.cli.main import main; main(['--help']);"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'torch', 'SimpleITK', 'qtpy', 'napari')))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0
    listing = " ".join(shown.stdout.split())
    for command, sentence in COMMANDS.items():
        assert f"{command} {sentence}" in listing


@pytest.mark.parametrize("words", HELPS, ids=" ".join)
def test_each_help_is_narrow_and_begins_with_a_sentence(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main([*words, "--help"]) == 0
    usage, sentence, *rest = capsys.readouterr().out.split("\n\n")
    assert usage.startswith(f"usage: napari-voxreg {' '.join(words)} ")
    assert sentence.endswith(".") and "\n" not in sentence
    assert max(len(line) for text in (usage, sentence, *rest) for line in text.splitlines()) <= 100
    assert words == ["pairs"] or "--verbose" in "".join(rest)


@pytest.mark.parametrize("words", [[], ["dance"], ["--loud"], *HELPS], ids=" ".join)
def test_wrong_options_are_refused_in_one_sentence(words: list[str], refused: Callable[..., str]) -> None:
    assert "see napari-voxreg" in refused(*words, *["--nonsense"] * bool(words))


@pytest.mark.parametrize(
    "words",
    [
        ["samples", "moon"],
        ["methods", "magic"],
        ["register", "none.png", "none.png", "-o", "out"],
        ["register", "none.png", "none.png", "-o", "out", "-m", "affine", "--tightness", "9"],
        ["compare", "none.png", "none.png"],
        ["apply", "none", "none.png", "-o", "out.png"],
        ["pairs", "list", "none"],
        ["pairs", "pack", "none", "-o", "out.h5"],
        ["evaluate", "none", "-o", "out"],
        ["train", "none", "-o", "out"],
        ["clusters", "none", "-o", "out"],
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_refused_and_nothing_is_written(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(*words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ValueError("The pair is odd."), 2, "The pair is odd."),
        (MethodUnavailable("The child died. Last output:\nbad luck"), 1, "The child died. Last output:"),
        (OSError(28, "No space left on device"), 1, "[Errno 28] No space left on device"),
        (ZeroDivisionError("by nothing"), 1, "unexpected ZeroDivisionError: by nothing (-vv shows where)"),
        (Cancelled(), 130, "cancelled; nothing was written"),
        (KeyboardInterrupt(), 130, "cancelled; nothing was written"),
    ],
)
def test_failures_end_in_one_sentence_and_their_exit_code(
    error: BaseException,
    code: int,
    sentence: str,
    images: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*given: object, **rest: object) -> Outcome:
        raise error

    monkeypatch.setitem(METHODS, "broken", Method("broken", "Broken", Params, run, {"x": {}}, "affine"))
    words = ["register", *images, "-o", str(tmp_path / "out"), "-m", "broken"]
    assert main(words) == code
    assert capsys.readouterr().err == f"napari-voxreg: {sentence}\n"
    assert main([*words, "-vv"]) == code
    said = capsys.readouterr().err
    assert said.endswith(f"napari-voxreg: {sentence}\n") and "Traceback" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["register", "apply", "pairs pack", "compare", "samples"])
def test_a_place_that_cannot_be_written_fails_with_1(
    name: str,
    images: list[str],
    registered: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "pairs.csv").write_text("fixed,moving\n" + ",".join(images) + "\n")
    inside = str(tmp_path / "file" / "out.h5")
    words = {
        "register": ["register", *images, "-m", "translation"],
        "compare": ["compare", *images, "-m", "translation"],
        "apply": ["apply", str(registered), images[1]],
        "pairs pack": ["pairs", "pack", str(tmp_path / "pairs.csv"), "--validation", "0"],
        "samples": ["samples", "fundus"],
    }[name]
    inside = inside.replace(".h5", ".nii.gz") if name == "apply" else inside
    assert main([*words, "-o", inside]) == 1
    said = capsys.readouterr().err
    assert said.startswith("napari-voxreg: ") and said.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["apply", "T", "T.nii"], ["apply", "x.nii", "T.csv"], ["register", "T.nii", "x.nii"]]
)
def test_a_name_that_no_file_can_have_is_refused(words: list[str], refused: Callable[..., str]) -> None:
    said = refused(*(word.replace("T", "t" * 300) for word in words), "-o", "out.nii")
    assert said == f"napari-voxreg: The name {'t' * 40}... is too long; shorten it."


def test_a_terminal_that_lacks_a_character_gets_an_escape(tmp_path: Path) -> None:
    """As on Windows, where what is redirected is in the code page of the system."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "napari_voxreg", "samples", "fundus", "-o", str(tmp_path / "Müller")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 0
    assert "M\\xfcller" in done.stdout and (tmp_path / "Müller").is_dir()
