"""Methods that ask a network: with weights whose answer is known, for none are trained here."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Affine, Composite, Displacement, Grid, Image, StationaryVelocity, register
from napari_voxreg.core.progress import silent
from napari_voxreg.diffeo import deform
from napari_voxreg.images.task import Task
from napari_voxreg.methods import diffeo
from napari_voxreg.methods.networks import affinenet, avsm, jsm, pyramid, voxelmorph
from napari_voxreg.methods.networks import network_method as _network
from napari_voxreg.methods.networks.network_method import NetworkParams, look_into, run
from napari_voxreg.metrics import significance as _judge
from napari_voxreg.metrics.consistency import TRUST
from napari_voxreg.metrics.pair import PairMetrics
from napari_voxreg.metrics.significance import Judge
from napari_voxreg.nets.architectures.affine import STN
from napari_voxreg.nets.architectures.voxelmorph import VoxelMorph
from napari_voxreg.nets.checkpoints.checkpoint import save_weights, shipped
from napari_voxreg.nets.inference.predict import Predicted
from napari_voxreg.tensor import device as devices

MODULES = (pyramid, voxelmorph, avsm, jsm, affinenet)
SHIFT = (3.0, -2.0, 1.5)  # pixels, fixed to moving


def constant(shift, **arguments) -> VoxelMorph:
    """A VoxelMorph that moves everything alike, whatever it sees."""
    net = VoxelMorph(len(shift), (4, 4), (4, 4), (4,), **arguments)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.flow.bias.copy_(torch.tensor(shift))
    return net


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Checkpoints by name: the right shift, a wrong one, for 3D, of another architecture."""
    folder = tmp_path_factory.mktemp("weights")
    nets = {
        "right2": constant(SHIFT[:2], int_steps=0),
        "right3": constant(SHIFT, int_steps=0),
        "flow2": constant(SHIFT[:2], int_downsize=1),
        "wrong2": constant((-8.0, 9.0), int_steps=0),
        "far2": constant((-13.0, 15.0), int_steps=0),
        "still2": constant((0.0, 0.0), int_steps=0),
        "stn2": STN(2),
    }
    return {name: save_weights(folder / f"{name}.safetensors", net, {}) for name, net in nets.items()}


@pytest.fixture(autouse=True)
def believed(monkeypatch):
    """What moves everything alike whatever it sees contradicts itself when asked the other way round."""
    monkeypatch.setattr(_network, "TRUST", 0.0)


def pair(ndim=2, shift=None, size=None, seed=0):
    """An image and the same moved by a number of pixels, 0.5 mm each."""
    size = {2: 80, 3: 32}[ndim] if size is None else size
    shift = SHIFT[:ndim] if shift is None else shift
    data = gaussian_filter(np.random.default_rng(seed).normal(size=(size + 24,) * ndim), 2).astype(np.float32)
    grid = Grid.from_spacing((size,) * ndim, 0.5, (4.0, -7.0, 9.0)[:ndim], units="mm")
    axes = [np.arange(size) + 12 - s for s in shift]
    from scipy.ndimage import map_coordinates

    moved = map_coordinates(data, np.meshgrid(*axes, indexing="ij"), order=1)
    return Image(data[(slice(12, 12 + size),) * ndim], grid), Image(moved.astype(np.float32), grid)


def ask(fixed, moving, params, landmarks=None):
    """One run in this process."""
    return run(Task(fixed, moving, landmarks=landmarks, device="cpu"), params, silent)


def deformed(fixed, moving):
    """What the optimiser alone finds."""
    return diffeo.METHOD.run(Task(fixed, moving, device="cpu"), diffeo.METHOD.parameters(), silent).transform


def asking(preset, path, **rest):
    """VoxelMorph by its own answer alone: what moves everything alike must not be led."""
    params = {"weights": path, "affine_first": False, **rest}
    return voxelmorph.METHOD.parameters(preset, params)


def fast(path):
    return asking("fast", path)


def error(transform, fixed, shift=SHIFT):
    """Mean distance from the shift, pixels, well inside."""
    inner = tuple(slice(10, -10) for _ in fixed.grid.shape)
    nodes = fixed.grid.nodes().reshape(*fixed.grid.shape, -1)[inner].reshape(-1, fixed.ndim)
    truth = nodes + 0.5 * np.array(shift[: fixed.ndim])
    return np.linalg.norm(transform(nodes) - truth, axis=1).mean() / 0.5


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_network_answer_is_kept_where_it_helps(ndim, weights):
    fixed, moving = pair(ndim)
    found = ask(fixed, moving, fast(weights[f"right{ndim}"]))
    assert error(found.transform, fixed) < 0.01
    assert found.notes[0].startswith("Weights: voxelmorph of napari-voxreg, ")
    again = ask(fixed, moving, fast(weights[f"right{ndim}"]))
    assert np.array_equal(again.transform.field, found.transform.field)
    assert found.notes[1].startswith("Loading took ")
    assert again.notes[1].startswith("The network was loaded already; its pass ")


def test_the_shipped_affine_network_looks_first_unless_told_not_to(weights, monkeypatch):
    monkeypatch.setattr(_network, "TRUST", TRUST)
    shift = (-12.0, 11.0)
    fixed, moving = pair(shift=shift, size=128)
    led = ask(fixed, moving, asking("fast", weights["still2"], affine_first=True))
    assert error(led.transform, fixed, shift) < 1
    assert led.confidence > 0.9
    assert isinstance(led.extras["affine first"], Affine)
    alone = ask(fixed, moving, asking("fast", weights["still2"]))
    assert error(alone.transform, fixed, (0, 0)) == 0
    assert "affine first" not in alone.extras


def test_an_answer_that_does_not_help_is_left_out_and_said(weights):
    fixed, moving = pair()
    found = ask(fixed, moving, fast(weights["wrong2"]))
    assert error(found.transform, fixed, (0, 0)) == 0
    assert found.notes[-1] == "The network's answer made the images no more alike, so it was left out."


def test_an_answer_that_contradicts_itself_is_left_out_and_said(weights, monkeypatch):
    monkeypatch.setattr(_network, "TRUST", TRUST)
    fixed, moving = pair()
    found = ask(fixed, moving, fast(weights["right2"]))
    assert error(found.transform, fixed, (0, 0)) == 0
    assert found.confidence == 0
    assert "contradicts itself at 100 % of the places" in found.notes[-1]
    # Landmarks know better.
    points = fixed.grid.centre + np.array([[0.0, 0], [5, 3], [-4, 6]])
    told = ask(fixed, moving, fast(weights["right2"]), landmarks=(points, points + 0.5 * np.array(SHIFT[:2])))
    assert error(told.transform, fixed) < 0.01


def test_an_affine_answer_that_agrees_beyond_chance_needs_no_likeness():
    far = Affine.translation([12.0, -9.0])

    class Blind:
        """A judge who sees no difference, or takes all others for clearly better than one transform."""

        def __init__(self, worse: Affine | None = None) -> None:
            self.worse = worse

        def prefers(self, new: Affine, old: Affine, chances: float = 1.0) -> bool:
            return old is self.worse

    assert _network._believed(far, 0.7, Blind(), False, agreed=True)[0] is far
    for judge, agreed in ((Blind(), False), (Blind(worse=far), True)):
        kept = _network._believed(far, 0.7, judge, False, agreed=agreed)[0]
        assert np.array_equal(kept.matrix, np.eye(3))


def test_refinement_goes_on_from_the_network(weights):
    # Half of the motion is the network's, the rest is left to the optimiser.
    fixed, moving = pair(shift=(4.0, -4.0))
    params = asking("accurate", weights["right2"])
    before = error(ask(fixed, moving, fast(weights["right2"])).transform, fixed, (4, -4))
    found = ask(fixed, moving, params)
    assert before > 2
    assert error(found.transform, fixed, (4, -4)) < 0.15
    assert isinstance(found.transform, Composite)
    assert len(found.trace) > 5
    assert "Refined from the network's answer." in found.notes
    # Where the network is of no use, it starts from the images as they lie.
    alone = ask(fixed, moving, asking("accurate", weights["wrong2"]))
    assert error(alone.transform, fixed, (4, -4)) < 0.15
    assert isinstance(alone.transform, StationaryVelocity)


def test_landmarks_overrule_likeness(weights):
    fixed, moving = pair()
    points = fixed.grid.centre + np.array([[0.0, 0], [5, 3], [-4, 6]])
    still = ask(fixed, moving, fast(weights["right2"]), landmarks=(points, points))
    assert error(still.transform, fixed, (0, 0)) == 0
    apart = ask(fixed, moving, fast(weights["wrong2"]), landmarks=(points, points + np.array([-4.0, 4.5])))
    assert error(apart.transform, fixed, (-8, 9)) < 0.01


def test_images_that_meet_by_more_than_before_are_preferred(weights):
    fixed, moving = pair(shift=(0, 0))
    # A rim is left of the overlap; the network shifts by 4 mm up and 4.5 mm to the right.
    left, right = (
        moving.with_grid(moving.grid.moved(Affine.translation([0.0, way * 38.5]).matrix)) for way in (-1, 1)
    )
    assert error(ask(fixed, left, fast(weights["wrong2"])).transform, fixed, (0, 0)) == 0
    assert error(ask(fixed, right, fast(weights["wrong2"])).transform, fixed, (-8, 9)) < 0.01


def test_refinement_goes_on_from_the_start_where_that_leads_further(tmp_path, weights):
    # The network brings a part of the picture home and tears the rest apart.
    fixed, moving = pair(shift=(2.0, -2.0), size=120)
    rows = np.clip((np.arange(120) - 40) / 8, 0, 1)[:, None, None]
    field = 0.5 * np.array([2.0, -2.0]) * (1 - rows) + 0.5 * np.array([30.0, 25.0]) * rows
    torn = Displacement(np.broadcast_to(field, (120, 120, 2)), fixed.grid)
    asked = Predicted(torn, device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_voxreg.nets.inference.predict.predict", lambda *images, **rest: asked)
        params = asking("accurate", weights["right2"])
        found = ask(fixed, moving, params)
        left = ask(fixed, moving, fast(weights["right2"]))
    assert left.transform is torn
    assert error(found.transform, fixed, (2, -2)) < 0.15
    assert "Refined from the images as they lay." in found.notes


def noise(seed, shape=(128, 128), grain=1.5):
    """A texture, which has nothing to do with one of another seed."""
    data = gaussian_filter(np.random.default_rng(seed).normal(size=shape), grain)
    return Image(data.astype(np.float32), Grid.from_spacing(shape, 0.5, units="mm"))


@pytest.mark.parametrize("trust", [0.0, TRUST])
def test_unrelated_images_are_not_bent_into_each_other(weights, monkeypatch, trust):
    monkeypatch.setattr(_network, "TRUST", trust)
    fixed, moving = noise(1), noise(2)
    params = asking("accurate", weights["wrong2"])
    found = ask(fixed, moving, params)
    assert error(found.transform, fixed, (0, 0)) == 0
    assert found.notes[-1] == "Refinement brought no clear gain, so it was left out."
    # The optimiser alone makes them a little more alike: by no more than chance.
    bent = deformed(fixed, moving)
    judge = Judge(PairMetrics(fixed, moving))
    assert judge.prefers(bent, Affine.identity(2), chances=0)
    assert not judge.prefers(bent, Affine.identity(2))


def test_smooth_textures_gain_more_by_chance(monkeypatch):
    fixed, moving = (noise(seed, (272, 188), 5.0) for seed in (66, 67))
    bent = deformed(fixed, moving)
    assert not Judge(PairMetrics(fixed, moving)).prefers(bent, Affine.identity(2))
    # As much as fine grain gains would not do.
    monkeypatch.setattr(_judge, "SMOOTH", 0.0)
    assert Judge(PairMetrics(fixed, moving)).prefers(bent, Affine.identity(2))


def test_an_optimiser_may_prove_an_answer_that_was_left_out(weights, monkeypatch):
    monkeypatch.setattr(_network, "TRUST", TRUST)
    # Further than the optimiser finds by itself, and the network knows half of what is right.
    fixed, moving = pair(shift=(-16.0, 18.0), size=128)
    params = asking("accurate", weights["far2"])
    found = ask(fixed, moving, params)
    assert "contradicts itself at 100 %" in found.notes[2]
    assert found.notes[3] == "Refined from the network's answer all the same."
    assert error(found.transform, fixed, (-16, 18)) < 0.5


def test_refinement_does_not_start_where_nothing_overlaps(weights):
    fixed, moving = pair(shift=(0, 0))
    apart = moving.with_grid(moving.grid.moved(Affine.translation([0.0, 40.0]).matrix))
    params = asking("accurate", weights["wrong2"])
    found = ask(fixed, apart, params)
    assert found.notes[2].startswith("Refine")  # the answer was kept


@pytest.mark.parametrize("ndim", [2])
def test_affine_answers_are_refined_as_affine_maps(ndim, tmp_path):
    net = STN(ndim)
    with torch.no_grad():
        net.head.out.weight.zero_()
        net.head.out.bias.copy_(torch.tensor([0.0, 0.0, 0.06, 0.0, 0.0, -0.06]))  # of half a side
    path = save_weights(tmp_path / "s.safetensors", net, {})
    fixed, moving = pair()
    params = {"weights": path, "steps": 1}
    found = ask(fixed, moving, affinenet.METHOD.parameters("accurate", params))
    assert isinstance(found.transform, Affine)
    assert error(found.transform, fixed) < 0.1
    assert isinstance(ask(fixed, moving, affinenet.METHOD.parameters("fast", params)).transform, Affine)


def test_out_of_memory_while_refining_goes_on_on_the_cpu(monkeypatch):
    used = []

    def deform_on(where, task, settings, progress):
        used.append(where.type)
        if where.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(where, task, settings, progress)

    real = deform.deform_on
    monkeypatch.setattr(deform, "deform_on", deform_on)
    monkeypatch.setattr(devices, "device_named", lambda name: torch.device("meta"))
    found = _network._refined(Task(*pair(), device="cuda"), silent)
    assert used == ["meta", "cpu"]
    assert "The META device has too little memory; the CPU did the work." in found.notes
    assert found.device == "cpu"


class TestInTheChild:
    """Through `register`, in the child process, as users do."""

    @pytest.fixture(autouse=True)
    def there(self, monkeypatch):
        for module in MODULES:
            monkeypatch.setitem(METHODS, module.METHOD.name, module.METHOD)

    def test_own_weights_serve_where_none_are_shipped(self, weights, tmp_path):
        fixed, moving = pair()
        own = tmp_path / "mine.safetensors"
        shutil.copy(shipped("pyramid2d"), own)
        shutil.copy(shipped("pyramid2d").with_suffix(".json"), own.with_suffix(".json"))
        result = register(fixed, moving, method="pyramid", preset="fast", params={"weights": own})
        assert error(result.transform, fixed) < 0.7
        assert result.confidence > 0.5
        assert result.verdict.outcome == "better"
        result.save(tmp_path)

    def test_bad_input_ends_in_one_sentence(self, weights, tmp_path):
        fixed, moving = pair()

        def refusal(method="voxelmorph", device="cpu", **params):
            with pytest.raises(ValueError) as caught:
                register(fixed, moving, method=method, params=params, device=device)
            [sentence] = str(caught.value).splitlines()
            return sentence

        assert "for 3D images and the pair is 2D" in refusal(weights=weights["right3"])
        sentence = refusal(weights=weights["stn2"])
        assert sentence == "stn2.safetensors is for the architecture 'stn'; this method takes 'voxelmorph'."
        assert "There are no weights at" in refusal(weights=tmp_path / "nowhere.pt")
        hostile = tmp_path / "hostile.pt"
        torch.save({"net": Path("x")}, hostile)
        assert "refused" in refusal(weights=hostile)
        if not torch.cuda.is_available():
            assert "no CUDA device" in refusal(weights=weights["right2"], device="cuda")

    def test_a_start_that_is_affine_is_part_of_what_is_shown(self, weights):
        fixed, moving = pair()
        away = Affine.translation([500.0, -300.0])
        moving = moving.with_grid(moving.grid.moved(away.matrix))
        params = {"weights": weights["stn2"], "steps": 3, "refine": False}
        result = register(fixed, moving, method="affinenet", params=params, initial=away)
        shown = result.extras["step 1"]
        assert np.allclose(shown([fixed.grid.centre])[0], fixed.grid.centre + np.array([500, -300]), atol=20)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.METHOD.name)
def test_a_method_offers_the_axes_for_which_weights_are_there(module):
    there = tuple(d for d in (2, 3) if _network.shipped(module.METHOD.params.stem, d).is_file())
    assert module.METHOD.ndims == there
    assert (module.METHOD.name in METHODS) == (bool(there) or module.METHOD.name == "voxelmorph")
    own = module.METHOD.parameters(params={"weights": "my.pt"})
    assert not any(module.METHOD.refusal(d, own) for d in (2, 3))
    refused = [module.METHOD.refusal(d, module.METHOD.parameters()) for d in (2, 3)]
    assert [d for d, why in zip((2, 3), refused, strict=True) if not why] == list(there)
    assert all("choose weights of your own" in why for why in refused if why)


def test_weights_that_are_not_shipped_are_named():
    @dataclass(frozen=True, kw_only=True)
    class Nothing(NetworkParams):
        stem: ClassVar[str] = "nothing"
        architectures: ClassVar[tuple[str, ...]] = ("pyramid",)

    with pytest.raises(ValueError, match="There are no weights nothing2d in the package; choose"):
        ask(*pair(), Nothing())


def test_a_checkpoint_is_described(weights):
    said = look_into(voxelmorph.VoxelMorphParams, weights["flow2"], progress=silent)
    assert "2D" in said
    with pytest.raises(ValueError, match="takes 'jsm'"):
        look_into(jsm.JSMParams, weights["flow2"], progress=silent)
