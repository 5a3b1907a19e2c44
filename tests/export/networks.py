"""Networks for the tests of the export."""

import copy

import torch

from lightm.models import build_model


def random_network(name: str = "lightm-unet", in_channels: int = 1, out_channels: int = 2, dims: int = 2, **options):
    """A network whose weights are as float16 stores them, and none of which is still at a round initial value."""
    torch.manual_seed(7)
    model = build_model(name, dims, in_channels, out_channels, **options).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim <= 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
            else:
                parameter.mul_(1.5)
    return halved(model)


def halved(model):
    """A copy of a network with its weights rounded to float16."""
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    return model
