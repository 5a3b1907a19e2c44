"""The engine (WebAssembly, run by node) gives PyTorch's numbers, for every option of LightM-UNet in 2D."""

import pytest
import torch
from networks import halved, random_network

from lightm.data.phantoms import PhantomCXR
from lightm.data.transforms import preprocess
from lightm.inference import Predictor
from lightm.models.rvm import RVMLayer
from lightm.models.vss import VSSModule, from_direction, to_direction
from lightm_book.show.stages import stage_outputs

SMALL = {"depths": [1], "bottleneck_depth": 1}
NETWORKS = {
    "three channels and classes": dict(in_channels=3, out_channels=3, width=8, d_state=4, **SMALL),
    "widths that are no multiple of four": dict(width=5, depths=[1, 2], bottleneck_depth=2, d_state=3, expansion=3),
    "two directions, causal convolution": dict(width=6, directions=2, dwconv="causal", dt_rank=5, **SMALL),
    "four directions, one state": dict(width=4, directions=4, d_state=1, expansion=1, depths=[2, 1], out_channels=5),
    "as the paper, narrower": dict(width=8),
    "Figure 2's arrow from the stem to the head": dict(width=6, stem_to_head=True, **SMALL),
    "no adjustment factors": dict(name="paper-no-adjustment", width=8, **SMALL),
    "no residual connections": dict(name="paper-no-residual", width=8, **SMALL),
}


@pytest.mark.parametrize("what", NETWORKS)
def test_logits_are_pytorchs(what, engine):
    model = random_network(**NETWORKS[what])
    images = torch.randn(2, model.in_channels, 40, 24)
    with torch.no_grad():
        expected = model(images)
    logits = engine(model, images)["logits"]
    assert expected.std() > 0.01, "the network's answer would say nothing"
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=0, atol=1e-4)


def test_labels_of_twenty_phantoms_are_those_of_the_trained_network(engine, tiny_run):
    predictor = Predictor(tiny_run[0], device="cpu")
    phantoms = PhantomCXR(cases=20, size=64, seed=5)
    images = torch.stack([preprocess(phantoms.read(case), (64, 64), "zscore")[0] for case in phantoms.case_ids])
    model = halved(predictor.model)
    with torch.no_grad():
        expected = model(images)
    logits = torch.from_numpy(engine(model, images)["logits"])
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-3)
    assert (logits.argmax(1) != expected.argmax(1)).float().mean() <= 1e-4
    assert 0.02 < expected.argmax(1).float().mean() < 0.98, "labels that are all the same would say nothing"


def test_every_stage_and_what_is_inside_a_layer_can_be_kept(engine):
    model = random_network(width=6, depths=[1], bottleneck_depth=1, directions=2, d_state=5)
    images = torch.randn(1, 1, 16, 24)
    seen = {}
    layer = model.bottleneck.layers[0]
    layer.mixer.gate_proj.register_forward_hook(lambda _m, _i, out: seen.update(gate=out))
    for k, ssm in enumerate(layer.mixer.ssms):

        def record(_module, inputs, out, k=k, ssm=ssm):
            grid = (8, 12)
            dt, B, C = ssm.x_proj(inputs[0]).split(ssm.split, dim=-1)
            delta = torch.nn.functional.softplus(ssm.dt_proj(dt) + ssm.dt_bias)
            for name, tokens in (("delta", delta), ("B", B), ("C", C)):
                seen[f"{name} {k}"] = from_direction(tokens, grid, k)
            seen["y"] = seen.get("y", 0) + from_direction(out, grid, k)

        ssm.register_forward_hook(record)
    with torch.no_grad():
        stages = stage_outputs(model, images)
    kept = engine(model, images, keep="all")
    for name, volume in stages.items():
        torch.testing.assert_close(torch.from_numpy(kept[name]), volume, rtol=0, atol=1e-4, msg=name)
    for name, tokens in seen.items():
        volume = tokens.unflatten(1, (8, 12)).movedim(-1, 1)
        found = torch.from_numpy(kept[f"bottleneck, layer 1: {name}"])
        torch.testing.assert_close(found, volume, rtol=0, atol=1e-4, msg=name)
    assert set(engine(model, images, keep=["stem"])) == {"logits", "stem"}


def _without_residual(model, _):
    for module in model.modules():
        if isinstance(module, RVMLayer):
            module.residual = False


def _without_adjustment(model, _):
    for name, parameter in model.named_parameters():
        if name.endswith(".s"):
            parameter.data.fill_(1)


def _read_backwards(model, monkeypatch):
    """Direction 3 in the place of 0, for the one SSM of each layer."""

    def ssm(self, u, grid):
        return from_direction(self.ssms[0](to_direction(u, grid, 3)), grid, 3)

    monkeypatch.setattr(VSSModule, "ssm", ssm)


def _slower(model, monkeypatch):
    from lightm.models import vss

    scan = vss.selective_scan

    def scaled(u, delta, A, B, C, D=None, delta_bias=None, **options):
        delta = 0.5 * torch.nn.functional.softplus(delta + delta_bias[:, None])
        return scan(u, delta, A, B, C, D, **{**options, "delta_softplus": False})

    monkeypatch.setattr(vss, "selective_scan", scaled)


SWITCHES = {
    "residual": (_without_residual, {"residual": False}),
    "adjustment": (_without_adjustment, {"adjustment": False}),
    "direction": (_read_backwards, {"directions": [3]}),
    "step size": (_slower, {"deltaScale": 0.5}),
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_does_what_the_same_change_of_the_network_does(switch, engine, monkeypatch):
    change, options = SWITCHES[switch]
    model = random_network(width=8, **SMALL)
    images = torch.randn(1, 1, 16, 24)
    switched = engine(model, images, **options)["logits"]
    with torch.no_grad():
        untouched = model(images)
        change(model, monkeypatch)
        expected = model(images)
    torch.testing.assert_close(torch.from_numpy(switched), expected, rtol=0, atol=1e-4)
    assert (expected - untouched).abs().max() > 1e-3, "the switch changes nothing"


def test_states_that_hardly_decay_stay_exact_over_a_long_sequence(engine):
    """Thousands of factors just below 1: an exponential that is off by one bit there is off by 1e-3 at the end."""
    model = random_network(width=4, depths=[1], bottleneck_depth=1)
    ssm = model.encoder[0].stack.layers[0].mixer.ssms[0]
    with torch.no_grad():
        ssm.dt_bias.fill_(-9)
        ssm.A_log.fill_(-2)
        ssm.dt_proj.weight.zero_()
        ssm.D.zero_()
    image = torch.randn(1, 1, 128, 128) + 1
    name = "encoder 1, layer 1: y"
    found = torch.from_numpy(engine(model, image, keep=[name])[name]).double()
    seen = {}
    ssm.register_forward_hook(lambda _module, _inputs, out: seen.update(y=out))
    with torch.no_grad():
        model.double()(image.double())
    expected = seen["y"].unflatten(1, (128, 128)).movedim(-1, 1)
    error = (found - expected).abs().max() / expected.abs().max()
    assert error < 2e-4, error  # 9e-5, as PyTorch in single precision
