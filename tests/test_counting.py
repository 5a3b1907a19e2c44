"""lightm.counting: against closed formulas, against torch's own counter, and against a hand count."""

import json
from math import prod

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import lightm.scan
from lightm.counting import count, scan_macs
from lightm.errors import LightMError
from lightm.models.vss import SelectiveSSM
from lightm.scan.ops import forward_flops
from lightm_book.counting.tables import thop_count


class Function(nn.Module):
    """A network of one function without parameters."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def torch_macs(model, input_shape):
    """MACs as torch's counter has them, in a real forward pass."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.randn(1, *input_shape))
    return counter.get_total_flops() // 2


CONVOLUTIONS = {
    "1d": (nn.Conv1d(4, 6, 3), (4, 11)),
    "1d causal depthwise": (nn.Conv1d(4, 4, 4, groups=4, padding=3), (4, 11)),
    "2d strided": (nn.Conv2d(3, 8, 3, stride=2, padding=1), (3, 9, 7)),
    "2d dilated without bias": (nn.Conv2d(3, 8, (3, 5), dilation=2, bias=False), (3, 12, 13)),
    "2d grouped": (nn.Conv2d(4, 8, 3, groups=2), (4, 6, 6)),
    "2d circular": (nn.Conv2d(4, 8, 3, padding=1, padding_mode="circular"), (4, 6, 6)),
    "3d": (nn.Conv3d(2, 5, (3, 1, 3), padding=(1, 0, 1)), (2, 5, 4, 3)),
    "3d depthwise": (nn.Conv3d(4, 8, 3, groups=4), (4, 5, 4, 3)),
    "1d transposed": (nn.ConvTranspose1d(4, 6, 2, stride=2), (4, 7)),
    "2d transposed, grouped": (nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2), (4, 5, 6)),
    "3d transposed": (nn.ConvTranspose3d(3, 2, 2, stride=2), (3, 4, 2, 3)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_costs_what_the_formula_and_torch_say(name):
    layer, shape = CONVOLUTIONS[name]
    out_shape = layer(torch.zeros(1, *shape)).shape[1:]
    if layer.transposed:
        formula = prod(shape[1:]) * prod(layer.kernel_size) * layer.in_channels * layer.out_channels // layer.groups
    else:
        formula = prod(out_shape[1:]) * prod(layer.kernel_size) * layer.in_channels * layer.out_channels // layer.groups
    counted = count(layer, shape)
    assert counted.macs == formula == torch_macs(layer, shape)
    assert counted.by_operation == {"convolution": formula, "matmul": 0, "scan": 0}
    assert counted.params == sum(p.numel() for p in layer.parameters())


WEIGHT = torch.randn(5, 7)
MATRICES = {
    "linear": (nn.Linear(7, 5), (3, 7), 3 * 7 * 5),
    "linear without bias": (nn.Linear(7, 5, bias=False), (2, 3, 7), 6 * 7 * 5),
    "functional linear": (Function(lambda x: F.linear(x, WEIGHT.to(x.device))), (3, 7), 3 * 7 * 5),
    "matrix times vector": (Function(lambda x: x[0] @ x[0, 0]), (3, 7), 3 * 7),
    "batched product": (Function(lambda x: x @ x.mT), (2, 3, 7), 2 * 3 * 7 * 3),
    "einsum": (Function(lambda x: torch.einsum("bcl,bdl->bcd", x, x)), (3, 7), 3 * 7 * 3),
    "addmm": (Function(lambda x: torch.addmm(x[0, :, :3], x[0], x[0].mT)), (3, 7), 3 * 7 * 3),
    "baddbmm": (Function(lambda x: torch.baddbmm(x[..., :3], x, x.mT)), (3, 7), 3 * 7 * 3),
    "attention": (Function(lambda x: F.scaled_dot_product_attention(x, x, x)), (2, 9, 4), 2 * (2 * 9 * 9 * 4)),
    "causal attention": (
        Function(lambda x: F.scaled_dot_product_attention(x, x[:, :, :5], x[:, :, :5, :3], is_causal=True)),
        (2, 9, 4),
        2 * 9 * 5 * (4 + 3),
    ),
    "encoder layer": (
        nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True),
        (9, 8),
        9 * (8 * 24 + 8 * 8 + 2 * 8 * 16) + 2 * (2 * 9 * 9 * 4),
    ),
    "nothing that counts": (nn.Sequential(nn.MaxPool2d(2), nn.BatchNorm2d(3), nn.SiLU(), nn.Upsample(8)), (3, 8, 8), 0),
}


@pytest.mark.parametrize("name", MATRICES)
def test_a_matrix_product_costs_n_m_k_however_it_is_called(name):
    model, shape, formula = MATRICES[name]
    assert count(model, shape).macs == formula
    if "attention" in name or "encoder" in name:  # torch does not know its own CPU attention kernels: use the plain one
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            torch.backends.mha.set_fastpath_enabled(False)
            assert torch_macs(model, shape) == formula
            torch.backends.mha.set_fastpath_enabled(True)
    elif name != "matrix times vector":  # nor mv
        assert torch_macs(model, shape) == formula


def test_operations_inside_inference_mode_are_seen():
    def forward(x):
        with torch.inference_mode():
            return F.conv2d(x, torch.empty(4, 3, 3, 3, device="meta"))

    assert count(Function(forward), (3, 6, 6)).macs == 4 * 4 * 4 * 27


class SmallNet(nn.Module):
    """A U of two levels with attention, a shared layer, and one layer under two names; small enough to do by hand."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)  # 40 parameters
        self.down = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(4, 8, 1, bias=False))  # 32
        self.qkv = nn.Linear(8, 24)  # 216
        self.mix = nn.Linear(8, 8, bias=False)  # 64, runs twice
        self.also_mix = self.mix
        self.tied = nn.Linear(8, 8, bias=False)
        self.tied.weight = self.mix.weight
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)  # 132
        self.head = nn.Conv2d(4, 2, 1)  # 10
        self.scale = nn.Parameter(torch.ones(4), requires_grad=False)  # 4
        self.register_buffer("mean", torch.zeros(1))
        self.offset = torch.zeros(1)  # neither parameter nor buffer

    def forward(self, x):
        x = self.stem(x - self.mean.to(x.device) - self.offset)  # (1, 4, 6, 6)
        deep = self.down(x).flatten(2).mT  # (1, 9, 8)
        q, k, v = self.qkv(deep).chunk(3, -1)
        deep = self.tied(self.also_mix(self.mix(F.scaled_dot_product_attention(q, k, v))))
        return self.head(self.up(deep.mT.unflatten(2, (3, 3))) + x * self.scale[:, None, None])


HAND = {
    "": (4, 2 * 9 * 9 * 8),
    "stem": (40, 36 * 9 * 4),
    "down.1": (32, 9 * 4 * 8),
    "qkv": (216, 9 * 8 * 24),
    "mix": (64, 2 * 9 * 8 * 8),
    "tied": (0, 9 * 8 * 8),
    "up": (132, 9 * 4 * 8 * 4),
    "head": (10, 36 * 4 * 2),
}


def test_a_small_net_counts_as_by_hand_for_every_module():
    counted = count(SmallNet(), (1, 6, 6))
    assert {m.path: (m.params, m.macs) for m in counted.by_module} == HAND
    assert counted.params == sum(p for p, _ in HAND.values()) == 498
    assert counted.macs == sum(m for _, m in HAND.values())
    assert counted.by_operation["convolution"] == sum(HAND[name][1] for name in ("stem", "down.1", "up", "head"))
    assert sum(counted.by_operation.values()) == counted.macs
    assert [m.kind for m in counted.by_module[:3]] == ["SmallNet", "Conv2d", "Conv2d"]


def test_the_model_is_left_as_it_was():
    model = SmallNet().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    count(model, (1, 6, 6))
    assert model.training and model.offset.device.type == "cpu"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert model(torch.zeros(1, 1, 6, 6)).shape == (1, 2, 6, 6)


def test_summaries_add_up_at_every_depth():
    counted = count(SmallNet(), (1, 6, 6))
    for depth in range(4):
        assert sum(row.macs for row in counted.rows(depth)) == counted.macs
        assert sum(row.params for row in counted.rows(depth)) == counted.params
    assert [row.path for row in counted.rows(1)][:3] == ["", "stem", "down"]
    assert counted.at("down").macs == counted.at("down.1").macs == HAND["down.1"][1]
    assert counted.at("").params == counted.params
    assert f"{counted.macs:,}" in counted.table().splitlines()[-1]
    stem = {"path": "stem", "kind": "Conv2d", "params": 40, "macs": 1296}
    assert json.loads(counted.to_json())["by_module"][1] == stem
    with pytest.raises(LightMError, match="'dwon'"):
        counted.at("dwon")


class ScanNet(nn.Module):
    """One selective scan over an image's pixels."""

    def __init__(self, states, skip):
        super().__init__()
        self.A = nn.Parameter(-torch.ones(6, states))
        self.D = nn.Parameter(torch.ones(6)) if skip else None

    def forward(self, x):
        u = x.flatten(2)  # (B, D, L)
        B = C = u[:, :1].expand(-1, self.A.shape[1], -1)
        return lightm.scan.selective_scan(u, u, self.A, B, C, self.D, z=u, delta_softplus=True)


@pytest.mark.parametrize(("states", "skip"), [(16, True), (5, False), (1, True)])
def test_a_scan_costs_four_macs_a_state_and_one_each_for_step_and_skip(states, skip):
    counted = count(ScanNet(states, skip), (6, 7, 3))
    assert counted.by_operation["scan"] == counted.macs == 6 * 21 * (4 * states + (2 if skip else 1))
    assert counted.macs == scan_macs((1, 6, 21), states, skip)


@pytest.mark.parametrize("backend", ["reference", "chunked", "no such backend here"])
def test_the_backend_of_the_scan_makes_no_difference(backend):
    one, other = (SelectiveSSM(6, d_state=5, dt_rank=2, scan_backend=name) for name in ("auto", backend))
    assert count(one, (21, 6)) == count(other, (21, 6))
    assert count(one, (21, 6)).macs == 21 * 6 * (2 + 5 + 5) + 21 * 2 * 6 + scan_macs((1, 6, 21), 5)
    assert other.scan_backend == backend


def test_the_flops_that_torch_counts_for_a_scan_are_its_macs_with_exponentials_and_additions():
    tokens, states = 6 * 21, 5
    flops = forward_flops(1, 21, 6, states, has_D=True, has_z=False)
    assert flops == scan_macs((1, 6, 21), states) + tokens * (states + 2 * states + 1)  # exp; a h + b, y + C h; y + D u


def test_a_scan_costs_what_its_loop_multiplies():
    """The convention, derived: run the recurrence on numbers that count their multiplications."""

    class Counting(float):
        done = 0

        def __mul__(self, other):
            Counting.done += 1
            return Counting(float(self) * float(other))

        def __add__(self, other):
            return Counting(float(self) + float(other))

    L, D, N = 3, 2, 4
    one = Counting(1.0)
    for _ in range(D):
        h = [Counting(0.0)] * N
        for _ in range(L):
            u, delta, skip = one, one, one
            delta_u = delta * u
            y = skip * u
            for n in range(N):
                decay = Counting(2.718 ** float(delta * Counting(-1.0)))  # exp itself is an activation: left out
                h[n] = decay * h[n] + delta_u * one  # Ā h + (Δ u) B
                y = y + one * h[n]  # C h
    assert Counting.done == scan_macs((1, D, L), N)


def test_work_of_our_own_without_a_formula_is_an_error():
    @torch.library.custom_op("lightm::uncosted_for_test", mutates_args=())
    def op(x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    op.register_fake(torch.empty_like)
    with pytest.raises(LightMError, match="uncosted_for_test"):
        count(Function(lambda x: op(x)), (3, 4))


@pytest.mark.parametrize("shape", [(3,), (3, 0), (3, -4, 4), (3, 4.0, 4), (True, 4)])
def test_an_impossible_input_shape_is_one_sentence(shape):
    with pytest.raises(LightMError, match=r"input_shape is .*\(C, \*S\)"):
        count(nn.Conv2d(3, 1, 1), shape)


def test_a_lazy_model_is_one_sentence():
    with pytest.raises(LightMError, match="lazy"):
        count(nn.LazyLinear(3), (3, 4))


def test_a_3d_network_far_beyond_any_memory_is_counted():
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv3d(1, 64, 3, padding=1), nn.InstanceNorm3d(64), nn.Conv3d(64, 64, 3, padding=1))
    small, large = (count(model, (1, size, size, size)) for size in (128, 2048))
    assert large.macs == 16**3 * small.macs  # one feature map: 2.2 TB
    assert large.params == small.params == 64 * 27 + 64 + 64 * 64 * 27 + 64


class CalledDirectly(nn.Module):
    """Five lines that thop does not see: a layer's weight is used, and the layer never called."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 4, bias=False)

    def forward(self, x):
        return F.linear(x, self.layer.weight)


class TwoPaths(nn.Module):
    """One layer, called once, with a name in each of two children."""

    def __init__(self):
        super().__init__()
        layer = nn.Linear(8, 4, bias=False)
        self.one, self.two = nn.ModuleDict({"layer": layer}), nn.ModuleDict({"layer": layer})

    def forward(self, x):
        return self.one["layer"](x)


def test_thop_sees_a_layer_that_is_called_and_not_its_weight():
    pytest.importorskip("thop")
    called, direct = nn.Sequential(nn.Linear(8, 4, bias=False)), CalledDirectly()
    assert (thop_count(called, (3, 8)).params, thop_count(called, (3, 8)).macs) == (32, 96)
    assert (thop_count(direct, (3, 8)).params, thop_count(direct, (3, 8)).macs) == (0, 0)
    assert count(called, (3, 8)).macs == count(direct, (3, 8)).macs == 96


def test_thop_counts_a_layer_with_two_names_twice_and_its_operations_four_times():
    pytest.importorskip("thop")
    assert (thop_count(TwoPaths(), (3, 8)).params, thop_count(TwoPaths(), (3, 8)).macs) == (2 * 32, 4 * 96)
    assert (count(TwoPaths(), (3, 8)).params, count(TwoPaths(), (3, 8)).macs) == (32, 96)


def test_thop_without_memory_reports_what_thop_does_on_real_tensors():
    thop = pytest.importorskip("thop")
    conv = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8, affine=True), nn.LeakyReLU(), nn.Upsample(scale_factor=2)
    )
    model = nn.Sequential(conv, nn.ConvTranspose2d(8, 4, 2), nn.BatchNorm2d(4), nn.AvgPool2d(2), nn.Softmax(1))
    without = thop_count(model, (3, 9, 9))
    assert not any("total" in name for name in model.state_dict())
    macs, params = thop.profile(model, inputs=(torch.randn(1, 3, 9, 9),), verbose=False)
    assert (without.params, without.macs) == (params, macs)
