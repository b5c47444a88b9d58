"""A method whose package is not installed: it says so, with the command that installs it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import replace

import pytest

from napari_voxreg import METHODS, MethodUnavailable, register
from napari_voxreg.methods.availability import install_command, installed, require
from napari_voxreg.registration.compare import usual_methods
from napari_voxreg.samples import make_sample

# In a fresh interpreter: no package named itk can be found.
HIDDEN = """
import sys
from importlib.abc import MetaPathFinder

class Hidden(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "itk":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

hidden = Hidden()
sys.meta_path.insert(0, hidden)
"""


def without_itk(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run code where itk cannot be found."""
    command = [sys.executable, "-c", HIDDEN + code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def run(code: str) -> str:
    """What code prints where itk cannot be found."""
    done = without_itk(code)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_method_that_needs_nothing_more_is_installed():
    assert installed(METHODS["translation"])
    require(METHODS["translation"])


@pytest.mark.parametrize("needs", ["no_such_package", "no_such_package.inner", "itk.NoSuchPart", "json.none"])
def test_what_is_not_there_is_not_installed(needs):
    assert not installed(replace(METHODS["elastix"], needs=needs))


@pytest.mark.parametrize("needs", ["json", "json.decoder", "xml.etree.ElementTree"])
def test_what_is_there_is_installed(needs):
    assert installed(replace(METHODS["elastix"], needs=needs))


def test_availability_follows_an_installation_without_a_restart(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    method = replace(METHODS["elastix"], needs="fresh_package.part")
    assert not installed(method)
    (tmp_path / "fresh_package").mkdir()
    (tmp_path / "fresh_package" / "__init__.py").write_text("raise SystemExit('it was imported')")
    assert not installed(method)
    (tmp_path / "fresh_package" / "part.py").write_text("")
    assert installed(method)


def test_register_refuses_with_the_command(monkeypatch):
    monkeypatch.setitem(METHODS, "elastix", replace(METHODS["elastix"], needs="no_such_package"))
    pair = make_sample("fundus")
    with pytest.raises(MethodUnavailable, match="not installed") as caught:
        register(pair.fixed, pair.moving, method="elastix")
    assert install_command(METHODS["elastix"]) in str(caught.value)


def test_without_itk_elastix_stays_in_the_list_and_out_of_what_is_compared():
    code = (
        "from napari_voxreg import METHODS\n"
        "from napari_voxreg.registration.compare import usual_methods\n"
        "print('elastix' in METHODS, 'elastix' in usual_methods(2), len(usual_methods(2)))"
    )
    assert run(code) == f"True False {len(set(usual_methods(2)) - {'elastix'})}"


def test_without_itk_the_command_line_tells_how_to_install_it(tmp_path):
    code = "from napari_voxreg.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    command = install_command(METHODS["elastix"])
    listed = without_itk(code, "methods")
    assert [line.split()[0] for line in listed.stdout.splitlines() if "(not installed)" in line] == [
        "elastix"
    ]
    assert command in without_itk(code, "methods", "elastix").stdout
    assert without_itk(code, "samples", "fundus", "-o", tmp_path).returncode == 0
    images = [tmp_path / f"fundus_{which}.png" for which in ("fixed", "moving")]
    refused = without_itk(code, "register", *images, "-o", tmp_path / "out", "--method", "elastix")
    assert refused.returncode == 1
    assert command in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_is_for_this_python():
    words = shlex.split(install_command(METHODS["elastix"]))
    assert words == [sys.executable, "-m", "pip", "install", "napari-voxreg[elastix]"]


@pytest.mark.parametrize(
    ("platform", "python", "begins"),
    [
        ("linux", "/home/an eye/bin/python", "'/home/an eye/bin/python' -m pip "),
        ("linux", "/usr/bin/python3", "/usr/bin/python3 -m pip "),
        ("win32", "C:/Program Files/Python/python.exe", '"C:/Program Files/Python/python.exe" -m pip '),
        ("win32", "C:/Python/pythonw.exe", "C:/Python/python.exe -m pip "),
    ],
)
def test_the_path_is_quoted_where_the_shell_needs_it(monkeypatch, platform, python, begins):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(sys, "executable", python)
    command = install_command(METHODS["elastix"])
    assert command.startswith(begins)
    assert command.endswith('"napari-voxreg[elastix]"')


@pytest.mark.skipif(not installed(METHODS["elastix"]), reason="needs the extra elastix")
def test_with_elastix_it_is_among_what_is_compared():
    assert "elastix" in usual_methods(2)
