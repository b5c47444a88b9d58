"""The linear system against a dense solution, and folding against the measure that users get."""

import numpy as np
import pytest
import torch

from napari_voxreg import Grid
from napari_voxreg.diffeo.folding import LEAST, least_volume, unfolded
from napari_voxreg.diffeo.lattice import Lattice, control_lattice
from napari_voxreg.diffeo.optimise import Control
from napari_voxreg.diffeo.solve import step, stiffness
from napari_voxreg.transforms import jacobian_determinant


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 3)])
def test_step_solves_the_system(shape):
    torch.manual_seed(0)
    d = len(shape)
    root = torch.randn(d, d, *shape, dtype=torch.float64)
    curvature = torch.einsum("ik...,jk...->ij...", root, root) + 0.1 * torch.eye(d, dtype=torch.float64).view(
        d, d, *(1,) * d
    )
    force, velocity = (torch.randn(d, *shape, dtype=torch.float64) for _ in range(2))
    weights = [0.5, 1.0, 2.0][:d]
    x = step(force, curvature, velocity, weights, 200)
    residual = (curvature * x[None]).sum(1) + stiffness(x + velocity, weights) - force
    assert float(residual.abs().max()) < 1e-6


def test_stiffness_is_the_derivative_of_the_squared_differences():
    field = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    energy = sum(w / 2 * (field.diff(dim=k + 1) ** 2).sum() for k, w in enumerate((0.5, 2.0)))
    energy.backward()
    assert torch.allclose(stiffness(field.detach(), [0.5, 2.0]), field.grad)


@pytest.mark.parametrize("shape", [(40, 44), (18, 20, 22)])
def test_folding_is_found_as_by_the_measure_and_removed(shape):
    d = len(shape)
    control = Control(control_lattice(shape, [3.0] * d), (1.0,) * d, torch.device("cpu"))
    rough = 9 * torch.randn(d, *control.lattice.shape, generator=torch.Generator().manual_seed(2))
    assert float(least_volume(control.flow(rough) / control.step).min()) < 0
    smooth, rounds = unfolded(rough, control)
    assert rounds > 0
    assert float(least_volume(control.flow(smooth) / control.step).min()) >= LEAST
    pixels = Lattice(shape, (0.0,) * d, (1.0,) * d)
    field = control.lattice.resampled(control.flow(smooth), pixels)
    grid = Grid.from_spacing(shape)
    assert jacobian_determinant(np.moveaxis(field.double().numpy(), 0, -1), grid).min() > 0
    assert unfolded(smooth, control)[1] == 0


def test_least_volume_of_a_linear_map_is_its_determinant():
    matrix = torch.tensor([[0.1, 0.2, 0.0], [0.0, -0.3, 0.1], [0.1, 0.0, 0.2]])
    here = torch.stack(torch.meshgrid(*[torch.arange(4.0)] * 3, indexing="ij"))
    volume = least_volume(torch.einsum("ij,j...->i...", matrix, here))
    assert torch.allclose(volume, torch.linalg.det(matrix + torch.eye(3)).expand(4, 4, 4), atol=1e-5)
