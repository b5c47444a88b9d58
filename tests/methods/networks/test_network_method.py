"""Network methods, with weights whose prediction is known: none are trained here."""

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
from napari_voxreg.methods.networks.network_method import NetworkParams, describe_checkpoint, run
from napari_voxreg.metrics import significance as _judge
from napari_voxreg.metrics.consistency import TRUST
from napari_voxreg.metrics.pair import PairMetrics
from napari_voxreg.metrics.significance import Judge
from napari_voxreg.nets.architectures.affine import STN
from napari_voxreg.nets.architectures.avsm import AVSM
from napari_voxreg.nets.architectures.voxelmorph import VoxelMorph
from napari_voxreg.nets.checkpoints.checkpoint import save_weights, shipped
from napari_voxreg.nets.inference.predict import Predicted
from napari_voxreg.tensor import device as devices

MODULES = (pyramid, voxelmorph, avsm, jsm, affinenet)
TRANSLATION = (3.0, -2.0, 1.5)  # pixels, fixed to moving


def constant(translation, **arguments) -> VoxelMorph:
    """A VoxelMorph that predicts the same translation for all images."""
    net = VoxelMorph(len(translation), (4, 4), (4, 4), (4,), **arguments)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.flow.bias.copy_(torch.tensor(translation))
    return net


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Checkpoints by name: the right translation, a wrong one, for 3D, of another architecture."""
    folder = tmp_path_factory.mktemp("weights")
    nets = {
        "right2": constant(TRANSLATION[:2], int_steps=0),
        "right3": constant(TRANSLATION, int_steps=0),
        "flow2": constant(TRANSLATION[:2], int_downsize=1),
        "wrong2": constant((-8.0, 9.0), int_steps=0),
        "far2": constant((-13.0, 15.0), int_steps=0),
        "still2": constant((0.0, 0.0), int_steps=0),
        "stn2": STN(2),
    }
    return {name: save_weights(folder / f"{name}.safetensors", net, {}) for name, net in nets.items()}


@pytest.fixture(autouse=True)
def accepted(monkeypatch):
    """A constant prediction is not consistent: its backward prediction is the same translation."""
    monkeypatch.setattr(_network, "TRUST", 0.0)


def pair(ndim=2, translation=None, size=None, seed=0):
    """An image and the same moved by a number of pixels, 0.5 mm each."""
    size = {2: 80, 3: 32}[ndim] if size is None else size
    translation = TRANSLATION[:ndim] if translation is None else translation
    data = gaussian_filter(np.random.default_rng(seed).normal(size=(size + 24,) * ndim), 2).astype(np.float32)
    grid = Grid.from_spacing((size,) * ndim, 0.5, (4.0, -7.0, 9.0)[:ndim], units="mm")
    axes = [np.arange(size) + 12 - s for s in translation]
    from scipy.ndimage import map_coordinates

    moved = map_coordinates(data, np.meshgrid(*axes, indexing="ij"), order=1)
    return Image(data[(slice(12, 12 + size),) * ndim], grid), Image(moved.astype(np.float32), grid)


def predict(fixed, moving, params, landmarks=None):
    """One run in this process."""
    return run(Task(fixed, moving, landmarks=landmarks, device="cpu"), params, silent)


def deformed(fixed, moving):
    """What the optimiser alone finds."""
    return diffeo.METHOD.run(Task(fixed, moving, device="cpu"), diffeo.METHOD.parameters(), silent).transform


def parameters(preset, path, **rest):
    """VoxelMorph without the affine network: a constant prediction must not follow one."""
    params = {"weights": path, "affine_first": False, "keep_prediction": "if better", **rest}
    return voxelmorph.METHOD.parameters(preset, params)


def fast(path):
    return parameters("fast", path)


def error(transform, fixed, translation=TRANSLATION):
    """Mean distance from the translation, pixels, well inside."""
    inner = tuple(slice(10, -10) for _ in fixed.grid.shape)
    nodes = fixed.grid.nodes().reshape(*fixed.grid.shape, -1)[inner].reshape(-1, fixed.ndim)
    truth = nodes + 0.5 * np.array(translation[: fixed.ndim])
    return np.linalg.norm(transform(nodes) - truth, axis=1).mean() / 0.5


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_prediction_is_kept_where_it_helps(ndim, weights):
    fixed, moving = pair(ndim)
    found = predict(fixed, moving, fast(weights[f"right{ndim}"]))
    assert error(found.transform, fixed) < 0.01
    assert found.notes[0].startswith("Weights: voxelmorph of napari-voxreg, ")
    again = predict(fixed, moving, fast(weights[f"right{ndim}"]))
    assert np.array_equal(again.transform.field, found.transform.field)
    assert found.notes[1].startswith("Loading took ")
    assert again.notes[1].startswith("The network was loaded already; its pass ")


def test_the_shipped_affine_network_runs_first_unless_switched_off(weights, monkeypatch):
    monkeypatch.setattr(_network, "TRUST", TRUST)
    translation = (-12.0, 11.0)
    fixed, moving = pair(translation=translation, size=128)
    led = predict(fixed, moving, parameters("fast", weights["still2"], affine_first=True))
    assert error(led.transform, fixed, translation) < 1
    assert led.confidence > 0.9
    assert isinstance(led.extras["affine first"], Affine)
    alone = predict(fixed, moving, parameters("fast", weights["still2"]))
    assert error(alone.transform, fixed, (0, 0)) == 0
    assert "affine first" not in alone.extras


def test_a_prediction_that_does_not_help_is_rejected_with_a_note(weights):
    fixed, moving = pair()
    found = predict(fixed, moving, fast(weights["wrong2"]))
    assert error(found.transform, fixed, (0, 0)) == 0
    assert found.notes[-1] == "Prediction rejected: it does not raise the similarity of the images."


@pytest.mark.parametrize(("trust", "doubt"), [(0.0, "it does not raise the"), (TRUST, "disagree at 100 %")])
def test_weights_of_ones_own_are_shown_as_they_predict(weights, monkeypatch, trust, doubt):
    monkeypatch.setattr(_network, "TRUST", trust)
    fixed, moving = pair()
    found = predict(fixed, moving, parameters("fast", weights["wrong2"], keep_prediction="auto"))
    assert error(found.transform, fixed, (-8, 9)) < 0.01
    assert found.notes[-1].startswith("Prediction kept, although ") and doubt in found.notes[-1]
    assert not found.rejected
    # A refinement continues from it, never from elsewhere.
    accurate = predict(fixed, moving, parameters("accurate", weights["wrong2"], keep_prediction="auto"))
    assert accurate.notes[-1] != "Refined from the current positions."
    assert predict(fixed, moving, fast(weights["wrong2"])).rejected


@pytest.mark.parametrize(("size", "seen"), [(0, 32), (64, 64)])
def test_a_network_sees_the_size_of_its_training_unless_told_otherwise(tmp_path, size, seen):
    path = save_weights(tmp_path / "small.safetensors", AVSM(2, width=2, affine_width=4), {"shape": [24, 32]})
    params = avsm.METHOD.parameters("fast", {"weights": path, "affine_first": False, "size": size})
    assert params.passes == 7 and avsm.METHOD.parameters("fast").passes == 1
    found = predict(*pair(), params)
    assert f"on {seen} x {seen} pixels" in found.notes[1]
    assert max(found.extras["momentum"].data.shape) == seen


def test_shipped_weights_are_shown_as_they_predict_if_asked(monkeypatch):
    monkeypatch.setattr(_network, "TRUST", TRUST)
    fixed, moving = noise(1, (64, 64)), noise(2, (64, 64))
    gated, raw = (
        predict(fixed, moving, pyramid.METHOD.parameters("fast", {"keep_prediction": keep}))
        for keep in ("auto", "always")
    )
    assert gated.rejected and error(gated.transform, fixed, (0, 0)) == 0
    assert not raw.rejected and error(raw.transform, fixed, (0, 0)) > 1


def test_an_inconsistent_prediction_is_rejected_with_a_note(weights, monkeypatch):
    monkeypatch.setattr(_network, "TRUST", TRUST)
    fixed, moving = pair()
    found = predict(fixed, moving, fast(weights["right2"]))
    assert error(found.transform, fixed, (0, 0)) == 0
    assert found.confidence == 0
    assert "disagree at 100 % of the points" in found.notes[-1]
    # Landmarks know better.
    points = fixed.grid.centre + np.array([[0.0, 0], [5, 3], [-4, 6]])
    guided = predict(
        fixed, moving, fast(weights["right2"]), landmarks=(points, points + 0.5 * np.array(TRANSLATION[:2]))
    )
    assert error(guided.transform, fixed) < 0.01


def test_an_affine_prediction_consistent_beyond_chance_needs_no_similarity():
    far = Affine.translation([12.0, -9.0])

    class Blind:
        """A judge who sees no difference, or takes all others for clearly better than one transform."""

        def __init__(self, worse: Affine | None = None) -> None:
            self.worse = worse

        def prefers(self, new: Affine, old: Affine, chances: float = 1.0) -> bool:
            return old is self.worse

    assert _network._accepted(far, 0.7, Blind(), False, agreed=True)[0] is far
    for judge, agreed in ((Blind(), False), (Blind(worse=far), True)):
        kept = _network._accepted(far, 0.7, judge, False, agreed=agreed)[0]
        assert np.array_equal(kept.matrix, np.eye(3))


def test_refinement_continues_from_the_prediction(weights):
    # Half of the motion is the network's, the rest is left to the optimiser.
    fixed, moving = pair(translation=(4.0, -4.0))
    params = parameters("accurate", weights["right2"])
    before = error(predict(fixed, moving, fast(weights["right2"])).transform, fixed, (4, -4))
    found = predict(fixed, moving, params)
    assert before > 2
    assert error(found.transform, fixed, (4, -4)) < 0.15
    assert isinstance(found.transform, Composite)
    assert len(found.trace) > 5
    assert "Refined from the prediction." in found.notes
    # Where the network is of no use, it starts from the images as they lie.
    alone = predict(fixed, moving, parameters("accurate", weights["wrong2"]))
    assert error(alone.transform, fixed, (4, -4)) < 0.15
    assert isinstance(alone.transform, StationaryVelocity)


def test_landmarks_overrule_similarity(weights):
    fixed, moving = pair()
    points = fixed.grid.centre + np.array([[0.0, 0], [5, 3], [-4, 6]])
    still = predict(fixed, moving, fast(weights["right2"]), landmarks=(points, points))
    assert error(still.transform, fixed, (0, 0)) == 0
    apart = predict(
        fixed, moving, fast(weights["wrong2"]), landmarks=(points, points + np.array([-4.0, 4.5]))
    )
    assert error(apart.transform, fixed, (-8, 9)) < 0.01


def test_a_larger_overlap_is_preferred(weights):
    fixed, moving = pair(translation=(0, 0))
    # A rim is left of the overlap; the network translates by 4 mm up and 4.5 mm to the right.
    left, right = (
        moving.with_grid(moving.grid.moved(Affine.translation([0.0, way * 38.5]).matrix)) for way in (-1, 1)
    )
    assert error(predict(fixed, left, fast(weights["wrong2"])).transform, fixed, (0, 0)) == 0
    assert error(predict(fixed, right, fast(weights["wrong2"])).transform, fixed, (-8, 9)) < 0.01


def test_refinement_from_the_current_positions_is_kept_if_better(tmp_path, weights):
    # The network aligns one region of the image and misaligns the rest.
    fixed, moving = pair(translation=(2.0, -2.0), size=120)
    rows = np.clip((np.arange(120) - 40) / 8, 0, 1)[:, None, None]
    field = 0.5 * np.array([2.0, -2.0]) * (1 - rows) + 0.5 * np.array([30.0, 25.0]) * rows
    torn = Displacement(np.broadcast_to(field, (120, 120, 2)), fixed.grid)
    predicted = Predicted(torn, device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_voxreg.nets.inference.predict.predict", lambda *images, **rest: predicted)
        params = parameters("accurate", weights["right2"])
        found = predict(fixed, moving, params)
        left = predict(fixed, moving, fast(weights["right2"]))
    assert left.transform is torn
    assert error(found.transform, fixed, (2, -2)) < 0.15
    assert "Refined from the current positions." in found.notes


def noise(seed, shape=(128, 128), grain=1.5):
    """A texture, which has nothing to do with one of another seed."""
    data = gaussian_filter(np.random.default_rng(seed).normal(size=shape), grain)
    return Image(data.astype(np.float32), Grid.from_spacing(shape, 0.5, units="mm"))


@pytest.mark.parametrize("trust", [0.0, TRUST])
def test_unrelated_images_are_not_deformed_into_each_other(weights, monkeypatch, trust):
    monkeypatch.setattr(_network, "TRUST", trust)
    fixed, moving = noise(1), noise(2)
    params = parameters("accurate", weights["wrong2"])
    found = predict(fixed, moving, params)
    assert error(found.transform, fixed, (0, 0)) == 0
    assert found.notes[-1] == "Refinement rejected: no clear gain."
    # The optimiser alone raises the similarity a little: by no more than chance.
    result = deformed(fixed, moving)
    judge = Judge(PairMetrics(fixed, moving))
    assert judge.prefers(result, Affine.identity(2), chances=0)
    assert not judge.prefers(result, Affine.identity(2))


def test_smooth_textures_gain_more_by_chance(monkeypatch):
    fixed, moving = (noise(seed, (272, 188), 5.0) for seed in (66, 67))
    result = deformed(fixed, moving)
    assert not Judge(PairMetrics(fixed, moving)).prefers(result, Affine.identity(2))
    # As much as fine grain gains would not do.
    monkeypatch.setattr(_judge, "SMOOTH", 0.0)
    assert Judge(PairMetrics(fixed, moving)).prefers(result, Affine.identity(2))


def test_a_rejected_prediction_may_be_refined(weights, monkeypatch):
    monkeypatch.setattr(_network, "TRUST", TRUST)
    # Further than the optimiser finds by itself, and the network knows half of what is right.
    fixed, moving = pair(translation=(-16.0, 18.0), size=128)
    params = parameters("accurate", weights["far2"])
    found = predict(fixed, moving, params)
    assert "disagree at 100 %" in found.notes[2]
    assert found.notes[3] == "Refined from the rejected prediction."
    assert error(found.transform, fixed, (-16, 18)) < 0.5


def test_refinement_does_not_start_where_nothing_overlaps(weights):
    fixed, moving = pair(translation=(0, 0))
    apart = moving.with_grid(moving.grid.moved(Affine.translation([0.0, 40.0]).matrix))
    params = parameters("accurate", weights["wrong2"])
    found = predict(fixed, apart, params)
    assert found.notes[2].startswith("Refine")  # the prediction was kept


@pytest.mark.parametrize("ndim", [2])
def test_affine_predictions_are_refined_as_affine_maps(ndim, tmp_path):
    net = STN(ndim)
    with torch.no_grad():
        net.head.out.weight.zero_()
        net.head.out.bias.copy_(torch.tensor([0.0, 0.0, 0.06, 0.0, 0.0, -0.06]))  # of half a side
    path = save_weights(tmp_path / "s.safetensors", net, {})
    fixed, moving = pair()
    params = {"weights": path, "steps": 1, "keep_prediction": "if better"}
    found = predict(fixed, moving, affinenet.METHOD.parameters("accurate", params))
    assert isinstance(found.transform, Affine)
    assert error(found.transform, fixed) < 0.1
    assert isinstance(predict(fixed, moving, affinenet.METHOD.parameters("fast", params)).transform, Affine)


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

    def test_an_affine_initial_transform_is_shown(self, weights):
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
        predict(*pair(), Nothing())


def test_a_checkpoint_is_described(weights):
    said = describe_checkpoint(voxelmorph.VoxelMorphParams, weights["flow2"], progress=silent)
    assert "2D" in said
    with pytest.raises(ValueError, match="takes 'jsm'"):
        describe_checkpoint(jsm.JSMParams, weights["flow2"], progress=silent)
