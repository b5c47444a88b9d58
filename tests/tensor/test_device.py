"""Which device is taken, which are refused, and what happens where one cannot do the work."""

from __future__ import annotations

import re
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Grid, Image, register
from napari_voxreg.core.params import Params
from napari_voxreg.core.progress import silent
from napari_voxreg.evaluation import evaluate
from napari_voxreg.methods import METHODS
from napari_voxreg.methods.base import Method, Outcome, Task
from napari_voxreg.pose import Pose, plane
from napari_voxreg.registration.compare import compare
from napari_voxreg.tensor import device as devices
from napari_voxreg.tensor.device import (
    available,
    check_device,
    check_name,
    device_named,
    is_memory_short,
    reason_to_leave,
    with_fallback,
)

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB."
NO_CUDA = "There is no CUDA device on this machine; choose auto or cpu."
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


@pytest.fixture
def machine(monkeypatch):
    """Gives this process a number of GPUs, or Apple's."""

    def make(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return make


@pytest.fixture
def elsewhere(monkeypatch):
    """Torch's device "meta" stands for a GPU."""
    monkeypatch.setattr(devices, "device_named", lambda name: torch.device("meta"))


@pytest.fixture
def full(elsewhere, monkeypatch):
    """The same, without memory for anything."""

    def to(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if torch.device("meta") in (*args, *kwargs.values()):
            raise torch.OutOfMemoryError(FULL)
        return real(self, *args, **kwargs)

    real = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", to)


def a_pair(shape: tuple[int, ...]) -> tuple[Image, Image]:
    """An image, and the same a pixel away."""
    noise = np.random.default_rng(0).normal(size=[n + 1 for n in shape])
    data = gaussian_filter(noise, 2).astype(np.float32)
    rim = tuple(slice(n) for n in shape)
    return Image(data[rim], Grid.from_spacing(shape)), Image(data[1:][rim], Grid.from_spacing(shape))


def test_each_device_has_a_name(machine):
    machine()
    assert available() == ("auto", "cpu")
    machine(cuda=1)
    assert available() == ("auto", "cpu", "cuda")
    machine(cuda=3)
    assert available() == ("auto", "cpu", "cuda", "cuda:1", "cuda:2")
    machine(mps=True)
    assert available() == ("auto", "cpu", "mps")


def test_auto_takes_cuda_else_mps_else_the_cpu(machine):
    machine(cuda=2, mps=True)
    assert device_named("auto") == torch.device("cuda")
    machine(mps=True)
    assert device_named("auto") == torch.device("mps")
    machine()
    assert device_named("auto") == torch.device("cpu")


def test_what_is_there_is_taken(machine):
    machine(cuda=2, mps=True)
    for name in ("cpu", "cuda", "cuda:1", "mps"):
        assert device_named(name) == torch.device(name)
    assert device_named("cuda:0") == torch.device("cuda")


@pytest.mark.parametrize("name", ["gpu7", "tpu", "CUDA", "cuda:", "cuda:x", "cpu:0", "meta", ""])
def test_an_unknown_name_is_refused(name, machine):
    machine(cuda=1)
    for refuse in (check_name, check_device, device_named):
        with pytest.raises(ValueError, match=f"^There is no device '{name}'; choose from: auto, cpu"):
            refuse(name)


def test_an_absent_device_is_refused(machine):
    machine()
    for name in ("cuda", "cuda:0", "cuda:3"):
        with pytest.raises(ValueError, match=f"^{NO_CUDA}$"):
            device_named(name)
    with pytest.raises(ValueError, match=re.escape(NO_CUDA.replace("CUDA", "MPS"))):
        device_named("mps")
    machine(cuda=1)
    with pytest.raises(
        ValueError, match=r"^There is no cuda:3 on this machine; choose from: auto, cpu, cuda\.$"
    ):
        device_named("cuda:3")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (torch.OutOfMemoryError(FULL), "memory"),
        (MemoryError(), "memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            "memory",
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"),
            "memory",
        ),
        (NotImplementedError("The operator 'aten::x' is not currently implemented for MPS"), "operation"),
        (
            TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS"),
            "operation",
        ),
        (RuntimeError("sizes of tensors must match"), None),
        (TypeError("unsupported operand"), None),
        (ValueError("out of memory is a film"), None),
    ],
)
def test_why_a_device_is_left(error, why):
    reason = reason_to_leave(error)
    assert why in reason if why else reason is None
    assert is_memory_short(error) == (why == "memory")


def test_work_that_a_device_can_do_stays_there(elsewhere):
    assert with_fallback(lambda where: where.type, "cuda") == ("meta", "meta", None)


def test_convolutions_on_a_gpu_are_not_rounded(elsewhere):
    before = torch.backends.cudnn.allow_tf32
    seen, _, _ = with_fallback(
        lambda where: (torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32), "x"
    )
    assert seen == (True, False)
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (torch.OutOfMemoryError(FULL), "The META device has too little memory; the CPU did the work."),
        (NotImplementedError(), "The META device lacks an operation that is needed; the CPU did the work."),
    ],
)
def test_the_cpu_does_what_a_device_cannot(elsewhere, error, note):
    tried = []

    def work(where: torch.device) -> int:
        tried.append(where.type)
        if where.type != "cpu":
            raise error
        return 7

    assert with_fallback(work, "cuda") == (7, "cpu", note)
    assert tried == ["meta", "cpu"]


def test_what_filled_the_memory_is_let_go_before_the_cpu_begins(elsewhere):
    held: list[weakref.ref[torch.Tensor]] = []

    def work(where: torch.device) -> bool:
        if where.type == "cpu":
            return held[0]() is None
        large = torch.ones(3)
        held.append(weakref.ref(large))
        raise torch.OutOfMemoryError(FULL)

    assert with_fallback(work, "cuda")[0]


def test_other_errors_and_those_of_the_cpu_are_raised(elsewhere, monkeypatch):
    def work(where: torch.device) -> None:
        raise RuntimeError("sizes of tensors must match")

    def short(where: torch.device) -> None:
        raise torch.OutOfMemoryError(FULL)

    with pytest.raises(RuntimeError, match="sizes"):
        with_fallback(work, "cuda")
    with pytest.raises(torch.OutOfMemoryError):
        with_fallback(short, "cuda")
    monkeypatch.undo()
    with pytest.raises(torch.OutOfMemoryError):
        with_fallback(short, "cpu")


@pytest.mark.parametrize(
    ("method", "ndim", "params"),
    [
        ("auto", 2, {"search": False}),
        ("auto", 3, {}),
        ("pose", 3, {}),
        ("diffeo", 2, {}),
        ("diffeo", 3, {}),
        ("pyramid", 2, {}),
        ("pyramid", 3, {}),
    ],
)
def test_a_method_goes_on_on_the_cpu_and_says_so_once(method, ndim, params, full, monkeypatch):
    image, _ = a_pair((64, 72) if ndim == 2 else (24, 28, 32))
    found = run(method, image, "cuda", **params)
    assert found.device == "cpu"
    assert [note for note in found.notes if "the CPU" in note] == [
        "The META device has too little memory; the CPU did the work."
    ]
    monkeypatch.undo()
    plain, nodes = run(method, image, "cpu", **params), image.grid.nodes()
    np.testing.assert_array_equal(found.transform(nodes), plain.transform(nodes))


def test_a_pose_in_2d_says_that_it_is_searched_on_the_cpu(machine, monkeypatch):
    machine(cuda=1)
    monkeypatch.setattr(plane, "_assessed", lambda *given: Pose(Affine.identity(2), 1.0, True))
    image, _ = a_pair((64, 72))
    assert run("pose", image, "cuda").notes == ("The pose in 2D is searched on the CPU.",)
    assert run("pose", image, "auto").notes == run("pose", image, "cpu").notes == ()


def run(method: str, image: Image, device: str, **params: object) -> Outcome:
    chosen = METHODS[method]
    return chosen.run(Task(image, image, device=device), chosen.parameters(params=params), silent)


@pytest.mark.parametrize("name", METHODS)
def test_an_unknown_device_is_refused_by_every_method(name):
    fixed, moving = a_pair((40, 48))
    with pytest.raises(ValueError, match=r"^There is no device 'gpu7'; choose from: "):
        register(fixed, moving, method=name, device="gpu7")


@without_cuda
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.device])
def test_an_absent_device_is_refused_before_any_work(name, ndim):
    fixed, moving = a_pair((40, 48) if ndim == 2 else (12, 14, 16))
    told: list[str] = []
    with pytest.raises(ValueError, match=f"^{NO_CUDA}$"):
        register(
            fixed,
            moving,
            method=name,
            device="cuda",
            progress=lambda fraction, message, metric=None: told.append(message),
        )
    assert set(told) <= {"checking the images", "starting", "looking for GPUs"}


@without_cuda
def test_tables_refuse_an_absent_device_as_a_whole():
    fixed, moving = a_pair((40, 48))
    with pytest.raises(ValueError, match=NO_CUDA):
        compare(fixed, moving, methods=("translation", "pose"), device="cuda")
    with pytest.raises(ValueError, match=NO_CUDA):
        evaluate((), method="diffeo", device="cuda")


def test_what_computes_on_the_cpu_alone_says_so():
    fixed, moving = a_pair((40, 48))
    note = "Translation (phase correlation) runs on the CPU."
    assert note in register(fixed, moving, method="translation", device="cuda").notes
    for device in ("auto", "cpu"):
        assert note not in register(fixed, moving, method="translation", device=device).notes


def test_methods_on_tensors_offer_the_choice_and_no_others():
    tensors = {"auto", "pose", "diffeo", "pyramid", "voxelmorph", "avsm", "jsm", "affinenet"}
    assert {name for name, method in METHODS.items() if method.device} == tensors & set(METHODS)
    assert not Method("a", "A", Params, lambda *a: Outcome(Affine.identity(2)), {"x": {}}, "affine").device


def test_a_name_is_checked_without_torch():
    code = (
        "import sys, numpy as np, napari_voxreg\n"
        "image = np.random.default_rng(0).random((24, 24))\n"
        "try:\n    napari_voxreg.register(image, image, method='translation', device='gpu7')\n"
        "except ValueError as error:\n    print(error)\n"
        "try:\n    napari_voxreg.register(image, image, method='diffeo', device='mps')\n"
        "except ValueError as error:\n    print(error)\n"
        "assert 'torch' not in sys.modules\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.startswith("There is no device 'gpu7'")
