"""What is made small: every loss prefers the truth, and weights are those that were chosen."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch

from napari_voxreg.nets import losses
from napari_voxreg.nets.architectures.network import Network, Prediction
from napari_voxreg.nets.checkpoints.checkpoint import build
from napari_voxreg.tensor.warp import warp_batch
from napari_voxreg.train.options import SMOOTHNESS, Loss, TrainOptions
from napari_voxreg.train.pairs.data import Batch, Draw, PairData, together
from napari_voxreg.train.pairs.networks import first_network
from napari_voxreg.train.pairs.pair_losses import Cost
from napari_voxreg.train.pairs.prepare import LABELS, TRUTH

DOCS = Path(__file__).parents[3] / "docs" / "training.md"


class Told(Network):
    """Answers with a displacement that it was given."""

    def __init__(self, field: torch.Tensor) -> None:
        super().__init__(2, 1, {})
        self.field = torch.nn.Parameter(field)

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> Prediction:
        return Prediction(self.field)


@pytest.fixture
def batch(some_pairs) -> Batch:
    pairs = some_pairs(training=3, shape=(48, 48)).training
    data = PairData(pairs, (48, 48), frozenset((LABELS, TRUTH)), TrainOptions())
    return together([data[Draw(k, None)] for k in range(3)])


def test_every_loss_has_a_weight_of_smoothness() -> None:
    assert set(get_args(Loss)) == {*SMOOTHNESS, "auto"}


@pytest.mark.parametrize("loss", SMOOTHNESS)
def test_every_loss_prefers_the_truth_and_leads_there(batch: Batch, loss: Loss) -> None:
    cost = Cost(TrainOptions(architecture="voxelmorph", loss=loss, smoothness_weight=1e-9))
    truth = batch.tensors[TRUTH]
    still = Told(torch.zeros_like(truth))
    wrong = float(cost(still, batch, 1)[0].total.detach())
    right = float(cost(Told(truth), batch, 1)[0].total.detach())
    assert right < 0.6 * wrong
    cost(still, batch, 1)[0].total.backward()
    assert (still.field.grad * truth).sum() < 0  # downhill is towards the truth


@pytest.mark.parametrize("smoothness", ["diffusion", "bending", "Charbonnier"])
def test_a_velocity_is_as_rough_as_its_displacement_however_coarse(smoothness: str) -> None:
    cost = Cost(TrainOptions(architecture="voxelmorph", smoothness=smoothness))
    n = torch.arange(64.0)
    wave = torch.sin(n / 6)[None, None, :, None].expand(1, 2, 64, 64).contiguous()
    fine = cost._roughness(Prediction(wave), (64, 64))
    coarse = cost._roughness(Prediction(wave, wave[:, :, ::2, ::2].contiguous()), (64, 64))
    assert float(coarse) == pytest.approx(float(fine), rel=0.1)


def test_labels_count_beside_the_loss_if_asked_to(batch: Batch) -> None:
    plain, with_labels = (
        Cost(TrainOptions(architecture="voxelmorph", dice=weight))(
            Told(torch.zeros_like(batch.tensors[TRUTH])), batch, 1
        )[0]
        for weight in (0.0, 2.0)
    )
    assert with_labels.similarity == plain.similarity
    assert 0.05 < float((with_labels.total - plain.total).detach()) < 2


def test_guided_joint_saliency_weights_the_loss(batch: Batch) -> None:
    options = TrainOptions(architecture="jsm", guidance="fill")
    net = first_network(options, 2)
    assert net.arguments["guidance"] == "fill"
    still = torch.zeros_like(batch.tensors[TRUTH])
    guided, plain = (
        Cost(options)._dissimilarity(each, "MSE", batch, still)
        for each in (net, first_network(replace(options, guidance="ones"), 2))
    )
    fixed, moving = batch.tensors["fixed"], batch.tensors["moving"]
    weight = net.loss_weight(fixed, moving)
    assert weight is not None and weight.std() > 0.01
    assert float(guided) == pytest.approx(float(losses.mse(fixed, moving, weight)), rel=1e-5)
    assert float(plain) == pytest.approx(float(losses.mse(fixed, moving)), rel=1e-5)
    assert float(guided) != pytest.approx(float(plain), rel=0.01)


def test_masked_pixels_do_not_count(batch: Batch) -> None:
    mask = torch.zeros_like(batch.tensors["fixed"])
    mask[:, :, :24] = 1
    half = replace(batch, tensors={**batch.tensors, "fixed_mask": mask, "moving_mask": torch.ones_like(mask)})
    spoilt = {**half.tensors, "fixed": half.tensors["fixed"] * mask}
    still = Told(torch.zeros_like(batch.tensors[TRUTH]))
    for loss in ("MSE", "LNCC", "NCC"):
        cost = Cost(TrainOptions(architecture="voxelmorph", loss=loss))
        one = cost(still, half, 1)[0].similarity
        other = cost(still, replace(half, tensors=spoilt), 1)[0].similarity
        assert torch.equal(one, other), loss
        assert not torch.equal(one, cost(still, batch, 1)[0].similarity)


def test_symmetry_is_what_is_missing_there_and_back(batch: Batch) -> None:
    still = Told(torch.full((3, 2, 48, 48), 4.7))
    free = Cost(TrainOptions(architecture="voxelmorph"))(still, batch, 1)[0]
    bound = Cost(TrainOptions(architecture="voxelmorph", symmetry=10.0))(still, batch, 1)[0]
    # There and back are the same shift, so twice that is missing along both axes: (9.4 / 47)^2 each.
    assert float((bound.total - free.total).detach()) == pytest.approx(10 * 2 * 0.2**2, rel=0.01)


def test_avsm_begins_with_its_affine_part_and_then_leaves_it(batch: Batch) -> None:
    options = TrainOptions(architecture="avsm", epochs=9)
    cost = Cost(options)
    net = first_network(options, 2)
    assert options.affine_part() == 3
    assert cost.stage(net, 3) is net.affine
    assert cost.stage(net, 4) is net
    early, late = ({id(p) for p in cost.learning(net, epoch)} for epoch in (3, 4))
    assert early == {id(p) for p in net.affine.parameters()}
    assert early | late == {id(p) for p in net.parameters()}
    assert not early & late


def test_avsm_is_trained_as_published_unless_told_otherwise(batch: Batch) -> None:
    """One affine step under NCC, then three under mk-LNCC at half the rate, then the momentum; symmetric."""
    options = TrainOptions(architecture="avsm", epochs=12)  # two, two and eight epochs
    cost, net = Cost(options), first_network(options, 2)
    with torch.no_grad():
        net.affine.step.head.out.weight.normal_(std=0.02)
    seen = {}
    for epoch in (2, 3, 5):
        with torch.no_grad():
            terms, prediction = cost(net, batch, epoch)
        warped = warp_batch(batch.tensors["moving"], prediction.displacement)
        loss = losses.ncc if epoch == 2 else losses.mk_lncc
        assert float(terms.similarity) == pytest.approx(float(loss(batch.tensors["fixed"], warped)), rel=1e-4)
        assert float(terms.total) > float(terms.similarity)
        seen[epoch] = (net.affine.steps, cost.rate(epoch), options.inverse_consistency(epoch < 5))
    assert seen == {2: (1, 1e-4, 1.0), 3: (3, 5e-5, 1.0), 5: (3, 1e-4, 500.0)}
    alone = Cost(replace(options, architecture="multi-step affine"))
    assert [alone.rate(epoch) for epoch in (2, 3, 12)] == [1e-4, 5e-5, 5e-5]
    free = replace(options, loss="MSE")
    assert free.inverse_consistency(False) == 0.0 and free.dissimilarity == "MSE"
    # Weights that were trained in several steps go on so.
    assert not replace(options, start="shipped").single_step(1)


def test_the_probabilistic_loss_is_that_of_its_paper(batch: Batch) -> None:
    from napari_voxreg.nets.losses import probabilistic

    options = TrainOptions(architecture="voxelmorph probabilistic")
    net = first_network(options, 2).eval()
    terms, answer = Cost(options)(net, batch, 1)
    warped = warp_batch(batch.tensors["moving"], answer.displacement)
    whole = probabilistic(batch.tensors["fixed"], warped, answer.extras["mean"], answer.extras["log_sigma"])
    assert float(terms.total.detach()) == pytest.approx(float(whole.detach()), rel=1e-4)
    with pytest.raises(ValueError, match="trained with MSE"):
        replace(options, loss="NCC")


def test_bfloat16_gives_float32_losses(batch: Batch) -> None:
    net = build("voxelmorph", {"ndim": 2, "half": True})
    terms, _ = Cost(TrainOptions(architecture="voxelmorph", precision="bfloat16"))(net, batch, 1)
    assert terms.total.dtype == torch.float32
    assert torch.isfinite(terms.total)


def test_lambda_follows_from_the_loss_as_documented() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|.*\| ([0-9.]+) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    told = {name: float(value) for name, value in rows if name in SMOOTHNESS}
    assert told == {loss: TrainOptions(loss=loss).smooth for loss in SMOOTHNESS}
    assert TrainOptions(loss="NCC", smoothness_weight=0.3).smooth == 0.3


def test_networks_that_jump_learn_slowly_unless_told_otherwise() -> None:
    assert TrainOptions(architecture="jsm").rate == 1e-4
    assert TrainOptions(architecture="pyramid").rate == 1e-3
    assert TrainOptions(architecture="pyramid", start="shipped").rate == 1e-4
    assert TrainOptions(architecture="jsm", learning_rate=0.01).rate == 0.01
    tutorial = TrainOptions(architecture="tutorial stn")
    assert (tutorial.rate, tutorial.descent, tutorial.dissimilarity) == (0.01, "SGD", "L1")
