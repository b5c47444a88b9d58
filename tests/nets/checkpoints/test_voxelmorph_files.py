"""Checkpoints in the layouts of every VoxelMorph, against forward passes written from their descriptions."""

import json

import h5py
import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter, map_coordinates
from torch.nn import functional as F

from napari_voxreg.nets.checkpoints.checkpoint import open_checkpoint

SHAPES = {2: (32, 48), 3: (16, 32, 16)}


def pair(ndim, seed=0):
    """Two smooth random images in [0, 1], (1, 1, *shape)."""
    rng = np.random.default_rng(seed)
    images = [gaussian_filter(rng.normal(size=SHAPES[ndim]), 2.0, mode="wrap") for _ in range(2)]
    images = [(i - i.min()) / np.ptp(i) for i in images]
    return [torch.from_numpy(i.astype(np.float32))[None, None] for i in images]


def random_weights(layers, ndim, field):
    """Parameters `NAME.weight`, `NAME.bias` of convolutions NAME: (in, out, kernel)."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for name, (before, after, kernel) in layers.items():
        spread = (2 / (before * kernel**ndim)) ** 0.5 * (1.0 if name in field else 1)
        size = (after, before, *[kernel] * ndim)
        state[f"{name}.weight"] = torch.randn(size, generator=generator) * spread
        state[f"{name}.bias"] = torch.randn(after, generator=generator) * 0.1
    return state


def convolved(x, state, name, stride=1):
    function = F.conv2d if x.ndim == 4 else F.conv3d
    weight = state[f"{name}.weight"]
    return function(x, weight, state[f"{name}.bias"], stride, weight.shape[-1] // 2 if stride == 1 else 1)


def block(x, state, name, stride=1):
    x = convolved(x, state, name, stride)
    return torch.where(x > 0, x, 0.2 * x)


def pooled(x):
    return F.max_pool2d(x, 2) if x.ndim == 4 else F.max_pool3d(x, 2)


def repeated(x):
    for axis in range(2, x.ndim):
        x = x.repeat_interleave(2, axis)
    return x


def zoomed(field, shape):
    """Linear resampling of (C, *grid) with the outermost nodes in place."""
    axes = [np.linspace(0, m - 1, n) for m, n in zip(field.shape[1:], shape, strict=True)]
    at = np.stack(np.meshgrid(*axes, indexing="ij"))
    return np.stack([map_coordinates(c, at, order=1, mode="nearest") for c in field])


def squared(field, steps):
    here = np.indices(field.shape[1:]).astype(float)
    for _ in range(steps):
        field = field + np.stack([map_coordinates(c, here + field, order=1, mode="nearest") for c in field])
    return field


def check(path, flow, images, *, steps, half):
    """The network in the file against the flow layer's output (d, *grid) and what its release makes of it.

    Their integration takes half of n pixels for exactly 1/2 of the distances, ours for (n / 2 - 1) / (n - 1),
    so the velocity is compared exactly and the displacement to a tenth of what integration adds to it.
    """
    fixed, moving = images
    shape = tuple(fixed.shape[2:])
    net = open_checkpoint(path).net
    with torch.inference_mode():
        found = net(fixed, moving)
    ours = found.displacement[0].numpy()
    flow = np.asarray(flow, float)
    assert np.abs(flow).max() > 0.1  # or the comparison means nothing
    if not steps:
        assert found.velocity is None
        assert np.abs(ours - flow).max() < 1e-4
        return
    downsize = 2 if half else net.int_downsize
    if downsize == 2 and not half:
        flow = zoomed(flow, [n // 2 for n in shape]) / 2
    assert np.abs(found.velocity[0].numpy() - downsize * flow).max() < 1e-4
    expected = zoomed(squared(flow / 2**steps, steps), shape) * downsize
    added = np.abs(expected - zoomed(flow, shape) * downsize).max()
    assert added > 0.01
    assert np.abs(ours - expected).max() < 0.1 * added


def release_02(ndim, half):
    layers = {
        f"unet_model.encoder.{i}.0.main": (n, m, 3)
        for i, (n, m) in enumerate(((2, 3), (3, 4), (4, 5), (5, 6)))
    }
    layers |= {
        f"unet_model.decoder.{i}.0.main": (n, m, 3)
        for i, (n, m) in enumerate(((6, 6), (12, 5), (10, 4), (8, 4)))
    }
    layers |= {
        f"unet_model.remaining.{i}.main": (n, m, 3)
        for i, (n, m) in enumerate(((4 if half else 7, 5), (5, 3)))
    }
    state = random_weights(layers | {"flow": (3, ndim, 3)}, ndim, "flow")

    def forward(fixed, moving):
        x, history = torch.cat([moving, fixed], 1), []
        for i in range(4):
            x = block(x, state, f"unet_model.encoder.{i}.0.main")
            history.append(x)
            x = pooled(x)
        for i in range(4):
            x = block(x, state, f"unet_model.decoder.{i}.0.main")
            if i < 3 or not half:
                x = torch.cat([repeated(x), history.pop()], 1)
        for i in range(2):
            x = block(x, state, f"unet_model.remaining.{i}.main")
        return convolved(x, state, "flow")[0]

    return state, forward


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("half", [False, True])
def test_torch_02(tmp_path, ndim, half):
    state, forward = release_02(ndim, half)
    grids = {
        "transformer.grid": torch.zeros(1, ndim, *SHAPES[ndim]),
        "integrate.transformer.grid": torch.zeros(1),
    }
    config = {
        "inshape": SHAPES[ndim],
        "nb_unet_features": None,
        "int_steps": 5,
        "int_downsize": 2,
        "bidir": False,
    }
    torch.save({"config": config, "model_state": state | grids}, tmp_path / "a.pt")
    images = pair(ndim)
    check(tmp_path / "a.pt", forward(*images), images, steps=5, half=half)
    count = sum(value.numel() for value in state.values())
    assert open_checkpoint(tmp_path / "a.pt").description == (
        f"VoxelMorph (torch 0.2 layout), {ndim}D, diffeomorphic at half resolution, {count:,} parameters"
    )


def test_torch_02_without_configuration_is_integrated_as_its_grids_show(tmp_path):
    state, forward = release_02(2, False)
    images = pair(2)
    grid = torch.zeros(1, 2, *SHAPES[2])
    torch.save(state | {"transformer.grid": grid}, tmp_path / "displacement.pt")
    check(tmp_path / "displacement.pt", forward(*images), images, steps=0, half=False)
    spread = {f"module.{k}": v for k, v in (state | {"integrate.transformer.grid": grid}).items()}
    torch.save({"state_dict": spread, "epoch": 3}, tmp_path / "velocity.pt")
    check(tmp_path / "velocity.pt", forward(*images), images, steps=7, half=False)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("kernel", [3, 4])
def test_torch_2020(tmp_path, ndim, kernel):
    name = "unet_model.{}.{}.main".format
    layers = {name("downarm", i): (n, m, kernel) for i, (n, m) in enumerate(((2, 3), (3, 4), (4, 5), (5, 6)))}
    layers |= {name("uparm", i): (n, m, 3) for i, (n, m) in enumerate(((6, 6), (11, 5), (9, 4), (7, 4)))}
    layers |= {name("extras", i): (n, m, 3) for i, (n, m) in enumerate(((6, 5), (5, 4), (4, 3)))}
    state = random_weights(layers | {"flow": (3, ndim, 3)}, ndim, "flow")
    fixed, moving = pair(ndim)
    x = torch.cat([moving, fixed], 1)
    history = []
    for i in range(4):
        history.append(x)
        x = block(x, state, name("downarm", i), 2)
    for i in range(4):
        x = torch.cat([repeated(block(x, state, name("uparm", i))), history.pop()], 1)
    for i in range(3):
        x = block(x, state, name("extras", i))
    config = {"inshape": SHAPES[ndim], "enc_nf": [3, 4, 5, 6], "int_steps": 7, "int_downsize": 2}
    torch.save({"config": config, "model_state": state}, tmp_path / "b.pt")
    check(tmp_path / "b.pt", convolved(x, state, "flow")[0], (fixed, moving), steps=7, half=False)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("second", [False, True])
def test_legacy_torch(tmp_path, ndim, second):
    layers = {
        f"unet_model.enc.{i}.main": (n, m, 4) for i, (n, m) in enumerate(((2, 3), (3, 4), (4, 5), (5, 6)))
    }
    sizes = ((6, 6), (11, 5), (9, 4), (7, 4), (4, 4), (6, 5))
    layers |= {f"unet_model.dec.{i}.main": (n, m, 3) for i, (n, m) in enumerate(sizes)}
    layers |= {"unet_model.vm2_conv.main": (5, 3, 3)} if second else {}
    state = random_weights(layers | {"flow": (3 if second else 5, ndim, 3)}, ndim, "flow")
    fixed, moving = pair(ndim)
    history = [torch.cat([moving, fixed], 1)]
    for i in range(4):
        history.append(block(history[-1], state, f"unet_model.enc.{i}.main", 2))
    x = history[-1]
    for i in range(3):
        x = torch.cat([repeated(block(x, state, f"unet_model.dec.{i}.main")), history[-(i + 2)]], 1)
    x = block(block(x, state, "unet_model.dec.3.main"), state, "unet_model.dec.4.main")
    x = block(torch.cat([repeated(x), history[0]], 1), state, "unet_model.dec.5.main")
    if second:
        x = block(x, state, "unet_model.vm2_conv.main")
    grid = {"spatial_transform.grid": torch.zeros(1, ndim, *SHAPES[ndim])}
    torch.save(state | grid, tmp_path / "c.ckpt", _use_new_zipfile_serialization=False)
    check(tmp_path / "c.ckpt", convolved(x, state, "flow")[0], (fixed, moving), steps=0, half=False)
    assert "legacy torch layout" in open_checkpoint(tmp_path / "c.ckpt").description


def release_03(ndim):
    """Three levels, to keep the image small."""
    name = "model.{}.conv0".format
    layers = {name(f"downsampling_conv_blocks.{i}.conv_block"): (n, 4, 3) for i, n in enumerate((2, 4, 4))}
    layers |= {name("lowest_resolution_conv_block"): (4, 4, 3), name("out_layer"): (4, ndim, 1)}
    layers |= {name(f"upsampling_conv_blocks.{i}.conv_block"): (8, 4, 3) for i in range(3)}
    state = random_weights(layers | {"flow_layer.conv0": (ndim, ndim, 3)}, ndim, "")
    return state, name


@pytest.mark.parametrize("ndim", [2, 3])
def test_torch_03(tmp_path, ndim):
    state, name = release_03(ndim)
    fixed, moving = pair(ndim)
    x, history = torch.cat([moving, fixed], 1), []
    for i in range(3):
        x = convolved(x, state, name(f"downsampling_conv_blocks.{i}.conv_block")).clamp_min(0)
        history.append(x)
        x = pooled(x)
    x = convolved(x, state, name("lowest_resolution_conv_block")).clamp_min(0)
    for i in range(3):
        mode = "bilinear" if ndim == 2 else "trilinear"
        x = F.interpolate(x, scale_factor=2, mode=mode, align_corners=True)
        x = convolved(torch.cat([x, history.pop()], 1), state, name(f"upsampling_conv_blocks.{i}.conv_block"))
        x = x.clamp_min(0)
    flow = convolved(convolved(x, state, name("out_layer")), state, "flow_layer.conv0")[0]
    torch.save(state, tmp_path / "d.pt")
    check(tmp_path / "d.pt", flow, (fixed, moving), steps=5, half=False)
    assert "torch 0.3 layout" in open_checkpoint(tmp_path / "d.pt").description


@pytest.mark.parametrize("ndim", [2, 3])
def test_torch_03_is_what_the_package_itself_computes(tmp_path, ndim):
    voxelmorph = pytest.importorskip("voxelmorph")
    theirs = voxelmorph.nn.models.VxmPairwise(ndim, 1, 1, nb_features=(4, 4, 4))
    theirs.load_state_dict(release_03(ndim)[0])
    torch.save(theirs.state_dict(), tmp_path / "e.pt")
    net = open_checkpoint(tmp_path / "e.pt").net
    fixed, moving = pair(ndim)
    with torch.inference_mode():
        found = net(fixed, moving)
        velocity = theirs(moving, fixed, return_field_type="velocity")
        displacement = theirs(moving, fixed)
    assert float((found.velocity - velocity).abs().max()) < 1e-4
    inner = (slice(None), slice(None), *[slice(4, -4)] * ndim)  # outside the image theirs is zero
    assert float((found.displacement - displacement)[inner].abs().max()) < 1e-3


def keras_convolved(x, kernel, bias, stride=1):
    """Keras' "same" convolution of (*shape, C) with (*size, C, F), by its definition."""
    d = x.ndim - 1
    total = [max((-(-n // stride) - 1) * stride + 3 - n, 0) for n in x.shape[:-1]]
    x = np.pad(x, [*[(t // 2, t - t // 2) for t in total], (0, 0)])
    windows = sliding_window_view(x, (3,) * d, axis=tuple(range(d)))[(slice(None, None, stride),) * d]
    return np.tensordot(windows, np.moveaxis(kernel, -2, 0), d + 1) + bias


class Keras:
    """Layers by name, as they are made; `block` makes one on its first use."""

    def __init__(self, seed=2):
        self.rng = np.random.default_rng(seed)
        self.layers = {}

    def conv(self, x, features, name, stride=1, gain=1.0):
        size = (*[3] * (x.ndim - 1), x.shape[-1], features)
        kernel = self.rng.normal(size=size) * gain * (2 / np.prod(size[:-1])) ** 0.5
        self.layers[name] = (
            kernel.astype(np.float32),
            (self.rng.normal(size=features) * 0.1 * gain).astype("f4"),
        )
        return keras_convolved(x, *self.layers[name], stride)

    def block(self, x, features, name, stride=1):
        x = self.conv(x, features, name, stride)
        return np.where(x > 0, x, 0.2 * x)

    def write(self, path, config=None, group="model_weights"):
        with h5py.File(path, "w") as file:
            if config is not None:
                file.attrs["model_config"] = json.dumps(config)
            root = file.create_group(group) if group else file
            for name, (kernel, bias) in self.layers.items():
                root[f"{name}/{name}/kernel:0"], root[f"{name}/{name}/bias:0"] = kernel, bias
            if group:  # what training leaves in a saved model
                file["optimizer_weights/training/Adam/conv2d_1/kernel/m:0"] = np.zeros(3)


def doubled(x):
    for axis in range(x.ndim - 1):
        x = x.repeat(2, axis)
    return x


def keras_pooled(x):
    for axis in range(x.ndim - 1):
        x = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :]).max(axis + 1)
    return x


def stacked(*images):
    return np.stack([image[0, 0].numpy().astype(float) for image in images], -1)


def legacy_keras(images, first, *, full=True, shift=0.0):
    """The U-Net of the 2018 papers; its layers count from `first`, as in a model that is not the first."""
    model, numbers = Keras(), iter(range(first, first + 20))
    ndim = images[0].ndim - 2

    def block(x, features, stride=1):
        number = next(numbers)
        return model.block(x, features, f"conv{ndim}d_{number}" if number else f"conv{ndim}d", stride)

    history = [stacked(images[1], images[0]) + shift]
    for features in (3, 4, 5, 6):
        history.append(block(history[-1], features, 2))
    x = history[-1]
    for i, features in enumerate((6, 5, 4)):
        x = np.concatenate([doubled(block(x, features)), history[-(i + 2)]], -1)
    x = block(block(x, 4), 4)
    if full:
        x = block(np.concatenate([doubled(x), history[0]], -1), 5)
    return model, x


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("first", [0, 8])
def test_legacy_keras(tmp_path, ndim, first):
    images = pair(ndim)
    model, x = legacy_keras(images, first)  # from 8 on, text would sort conv_10 before conv_8
    flow = np.moveaxis(model.conv(x, ndim, "flow", gain=0.6), -1, 0)
    model.write(tmp_path / "f.h5", {"class_name": "Model", "config": {"layers": []}})
    check(tmp_path / "f.h5", flow, images, steps=0, half=False)
    assert "legacy Keras layout), " in open_checkpoint(tmp_path / "f.h5").description


def write_as_keras_2(path, model, scopes):
    """A whole model as Keras 2.1 saves it: a group for each layer, and in it the scope of each weight."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = b"2.1.6", b"tensorflow"
        layers = [{"class_name": "Conv3D", "config": {"name": name}} for name in model.layers]
        config = {"class_name": "Model", "config": {"name": "model_1", "layers": layers}}
        file.attrs["model_config"] = json.dumps(config).encode()
        root = file.create_group("model_weights")
        names = [
            "input_1",
            "input_2",
            "concatenate_1",
            *model.layers,
            "leaky_re_lu_1",
            "spatial_transformer_1",
        ]
        root.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            group, scope = root.create_group(name), scopes.get(name, name)
            weights = zip(("kernel", "bias"), model.layers.get(name, ()), strict=False)
            found = {f"{scope}/{kind}:0": values for kind, values in weights}
            group.attrs["weight_names"] = [weight.encode() for weight in found]
            for weight, values in found.items():
                group[weight] = values
        file["optimizer_weights/Adam/iterations:0"] = np.zeros(1)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("scopes", [{"flow": "flow_34", "conv3d_258": "conv3d_258_1"}, {}])
def test_the_networks_of_cvpr_2018_as_keras_saves_them(tmp_path, ndim, second, scopes):
    """VoxelMorph-1 and -2; those for cross-correlation and for squared differences have other scopes."""
    images = pair(ndim)
    model, x = legacy_keras(images, 256)
    if second:
        x = model.block(x, 3, f"conv{ndim}d_{256 + len(model.layers)}")
    flow = np.moveaxis(model.conv(x, ndim, "flow", gain=0.6), -1, 0)
    write_as_keras_2(tmp_path / "vm.h5", model, scopes)
    check(tmp_path / "vm.h5", flow, images, steps=0, half=False)
    assert open_checkpoint(tmp_path / "vm.h5").net.arguments["down"] == "end"


def test_sar_voxelmorph_has_its_own_black(tmp_path):
    images = pair(2)
    model, x = legacy_keras(images, 1, shift=-1.0)
    flow = np.moveaxis(model.conv(x, 2, "disp", gain=0.6), -1, 0)
    model.write(tmp_path / "g.h5", group="")
    check(tmp_path / "g.h5", flow, images, steps=0, half=False)
    assert open_checkpoint(tmp_path / "g.h5").description.startswith(
        "VoxelMorph (SAR-VoxelMorph layout), 2D, displacement at full"
    )


@pytest.mark.parametrize("ndim", [2, 3])
def test_miccai_keras_squares_an_undivided_field_in_column_row_order(tmp_path, ndim):
    images = pair(ndim)
    model, x = legacy_keras(images, 1, full=False)
    flow = model.conv(x, ndim, "flow", gain=0.6 / 2**7)
    model.conv(x, ndim, "log_sigma", gain=0.1)
    model.write(tmp_path / "h.h5")
    flow = np.moveaxis(flow, -1, 0)
    flow[:2] = flow[1::-1].copy()
    check(tmp_path / "h.h5", 2**7 * flow, images, steps=7, half=True)
    assert "probabilistic, diffeomorphic at half resolution" in open_checkpoint(tmp_path / "h.h5").description


def test_a_legacy_model_may_say_that_its_field_is_in_column_row_order(tmp_path):
    images = pair(2)
    model, x = legacy_keras(images, 1)
    flow = np.moveaxis(model.conv(x, 2, "flow", gain=0.6), -1, 0)
    layer = {"class_name": "SpatialTransformer", "config": {"name": "warp", "indexing": "xy"}}
    model.write(tmp_path / "xy.h5", {"class_name": "Model", "config": {"layers": [layer]}})
    check(tmp_path / "xy.h5", flow[::-1], images, steps=0, half=False)


def test_a_legacy_model_that_divides_says_so_in_its_configuration(tmp_path):
    images = pair(2)
    model, x = legacy_keras(images, 1, full=False)
    flow = np.moveaxis(model.conv(x, 2, "flow", gain=0.6), -1, 0)
    log_sigma = np.moveaxis(model.conv(x, 2, "log_sigma", gain=0.1), -1, 0)
    layer = {"class_name": "VecInt", "config": {"name": "flow-int", "int_steps": 6, "indexing": "ij"}}
    model.write(tmp_path / "i.h5", {"class_name": "Model", "config": {"layers": [layer]}})
    check(tmp_path / "i.h5", flow, images, steps=6, half=True)
    with torch.inference_mode():
        found = open_checkpoint(tmp_path / "i.h5").net(*images)
    assert np.abs(found.extras["log_sigma"][0].numpy() - log_sigma).max() < 1e-4


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(("half", "group"), [(False, "model_weights"), (True, "")])
def test_keras_02(tmp_path, ndim, half, group):
    images = pair(ndim)
    model, name = Keras(), "vxm_dense_unet_{}".format
    x, history = stacked(images[1], images[0]), []
    for i, features in enumerate((3, 4, 5)):
        for j in range(2):  # two convolutions a level
            x = model.block(x, features, name(f"enc_conv_{i}_{j}"))
        history.append(x)
        x = keras_pooled(x)
    for i in (2, 1, 0):
        for j in range(2):
            x = model.block(x, 6 - i, name(f"dec_conv_{i}_{j}"))
        if i or not half:
            x = np.concatenate([doubled(x), history.pop()], -1)
    for i in range(2):
        x = model.block(x, 5 - i, name(f"dec_final_conv_{i}"))
    flow = np.moveaxis(model.conv(x, ndim, "vxm_dense_flow", gain=0.6), -1, 0)
    config = {"class_name": "VxmDense", "config": {"int_steps": 7, "int_downsize": None, "int_resolution": 2}}
    model.write(tmp_path / "j.h5", config if group else None, group)
    check(tmp_path / "j.h5", flow, images, steps=7, half=half)
    assert "Keras 0.2 layout" in open_checkpoint(tmp_path / "j.h5").description


def test_the_forerunner_of_keras_02_has_strides_instead_of_pooling(tmp_path):
    images = pair(2)
    model = Keras()
    history = [stacked(images[1], images[0])]
    for i, features in enumerate((3, 4, 5)):
        history.append(model.block(history[-1], features, f"unet_enc_conv_{i}_0", 2))
    x = history.pop()
    for i in (2, 1, 0):
        x = np.concatenate([doubled(model.block(x, 6 - i, f"unet_dec_conv_{i}_0")), history.pop()], -1)
    x = model.block(x, 5, "unet_dec_final_conv_0")
    flow = np.moveaxis(model.conv(x, 2, "flow", gain=0.6), -1, 0)
    model.write(tmp_path / "k.h5", {"class_name": "VxmDense", "config": {"int_steps": 0}})
    check(tmp_path / "k.h5", flow, images, steps=0, half=False)
