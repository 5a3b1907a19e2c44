"""A network of `lightm info` in the shape in which nnU-Net v2 builds and trains the networks of its plans.

nnU-Net 2.8.1 (github.com/MIC-DKFZ/nnUNet) asks this of a network:

* utilities/get_network_from_plans.py calls the class that `architecture.network_class_name` names with input_channels,
  num_classes, deep_supervision and the plan's `arch_kwargs`. If the result has an `initialize`, it is applied to every
  module. Ours has none, so the weights stay as the network itself draws them;
* training/nnUNetTrainer/nnUNetTrainer.py sets `network.decoder.deep_supervision`, and while that is true it expects a
  list of logits, the full resolution first;
* utilities/plans_handling/plans_handler.py reads `arch_kwargs["strides"]`, from which follow the sizes of the labels to
  which those logits are compared.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from lightm.models import build_model
from lightm.models.registry import MODELS

CLASS_NAME = f"{__name__}.PlannedNetwork"  # for `network_class_name` in a plans file


def supervises_deeply(model: str) -> bool:
    """Whether the network `model` itself has outputs at several resolutions, as U-Mamba and nnU-Net's U-Net do."""
    return "deep_supervision" in MODELS[model].options


class PlannedNetwork(nn.Module):
    """The network `model` for nnU-Net: images (B, input_channels, *S) -> logits (B, num_classes, *S), or a list.

    Args:
        input_channels, num_classes, deep_supervision: what nnU-Net gives to every network.
        model, spatial_dims, options: as in `lightm.models.build_model`.
        strides: the poolings that nnU-Net reads from the plan; the network does not need them.

    With deep_supervision a network that has several outputs gives them all, and any other a list of its one output:
    nnU-Net's loss then compares just that one, at full resolution.
    LightMError: as `build_model`.
    """

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        model: str,
        spatial_dims: int,
        options: Mapping[str, Any],
        strides: Sequence[Sequence[int]],
        deep_supervision: bool = False,
    ):
        super().__init__()
        self.deeply = supervises_deeply(model)
        own = {"deep_supervision": deep_supervision} if self.deeply else {}
        self.network = build_model(model, spatial_dims, input_channels, num_classes, **{**options, **own})
        self.deep_supervision = deep_supervision

    @property
    def decoder(self) -> nn.Module:
        """The module whose attribute `deep_supervision` nnU-Net's trainer turns on and off."""
        return self.network.decoder if self.deeply else self

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        logits = self.network(x)
        return [logits] if self.deep_supervision and not self.deeply else logits
