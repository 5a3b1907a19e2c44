"""What decays, what does not, and the learning rate at each iteration."""

import pytest
import torch
from torch import nn

from lightm.errors import LightMError
from lightm.models import build_model, list_models
from lightm.training.config import OptimConfig
from lightm.training.optim import build_optimizer, learning_rate

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


def decayed(model, decay="matrices"):
    """Names of the parameters that weight decay reaches."""
    optimizer = build_optimizer(model, OptimConfig(weight_decay=0.1, decay=decay))
    reached = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    every = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(every) == len({id(p) for p in every}) == sum(1 for p in model.parameters() if p.requires_grad)
    return {name for name, p in model.named_parameters() if id(p) in reached}


@pytest.mark.parametrize("name", [info.name for info in list_models()])
def test_weights_decay_but_no_norm_bias_position_or_time_constant(name):
    try:
        with torch.device("meta"):
            model = build_model(name, 2, 1, 2, **({"img_size": (64, 64)} if name == "unetr" else {}))
    except LightMError as error:
        if "can't be imported" in str(error):
            pytest.skip(str(error))
        raise
    found = decayed(model)
    for path, module in model.named_modules():
        for own, parameter in module.named_parameters(path, recurse=False):
            if isinstance(module, NORMS) or parameter.ndim < 2:
                assert own not in found
            elif isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
                assert own in found
    spared = ("bias", "bias_table", "A_log", ".D", "position_embeddings")
    assert not [own for own in found if own.endswith(spared)]


def test_vectors_and_marked_parameters_are_spared():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[2].weight._no_weight_decay = True
    assert decayed(model) == {"0.weight"}
    assert decayed(model, "all") == {name for name, _ in model.named_parameters()}


def test_the_learning_rate_follows_the_poly_course():
    config = OptimConfig(lr=0.1, power=0.9)
    assert learning_rate(0, 100, config) == 0.1
    assert learning_rate(50, 100, config) == pytest.approx(0.1 * 0.5**0.9)
    assert learning_rate(99, 100, config) == pytest.approx(0.1 * 0.01**0.9)
    assert learning_rate(73, 100, OptimConfig(lr=0.1, power=0)) == 0.1


def test_warm_up_rises_in_equal_steps_and_ends():
    rates = [learning_rate(i, 1000, OptimConfig(lr=1.0, power=0, warmup=4)) for i in range(6)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_a_step_of_sgd_is_that_of_counting_by_hand():
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(2.0), model.bias.fill_(1.0)
    optimizer = build_optimizer(model, OptimConfig(name="sgd", lr=0.5, weight_decay=0.1, momentum=0.0))
    model(torch.tensor([[3.0]])).sum().backward()  # gradients 3 and 1
    optimizer.step()
    assert model.weight.item() == pytest.approx(2 - 0.5 * (3 + 0.1 * 2)) and model.bias.item() == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_the_update_in_one_pass_is_that_of_the_loop(name):
    torch.manual_seed(0)
    start, gradients = torch.randn(5, 7), torch.randn(3, 5, 7)
    results = []
    for fused in (True, False):
        layer = nn.Linear(7, 5, bias=False)
        layer.weight.data = start.clone()
        optimizer = build_optimizer(layer, OptimConfig(name=name, lr=0.1, weight_decay=0.1))
        assert all(group["fused"] for group in optimizer.param_groups)
        for group in optimizer.param_groups:
            group["fused"] = fused
        for gradient in gradients:
            layer.weight.grad = gradient.clone()
            optimizer.step()
        results.append(layer.weight.detach())
    torch.testing.assert_close(*results)
