"""A trainer class that nnU-Net v2 finds when nnUNet_extTrainer names this folder (`lightm nnunet path` prints it).

nnUNetv2_train DATASET 3d_fullres 0 -p nnUNetPlans_lightm-unet -tr nnUNetTrainerLightM
"""

import os

import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from lightm.errors import LightMError


class nnUNetTrainerLightM(nnUNetTrainer):
    """nnU-Net's trainer with the optimiser, learning rate and 100 epochs of the trainer that the authors released.

    Source: nnUNetTrainerLightMUNet.py of github.com/MrBlankness/LightM-UNet, commit 6b72e27. Theirs computes in float32
    throughout; this one keeps nnU-Net's mixed precision on a GPU, under which the selective scan computes in float32
    all the same. Data, augmentation and loss are nnU-Net's.

    For a trial, the variables LIGHTM_NNUNET_EPOCHS and LIGHTM_NNUNET_ITERATIONS shorten the training: the number of
    epochs, and of training iterations per epoch (of validation, a fifth of them, as nnU-Net has 250 and 50).
    """

    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):  # noqa: B008 (nnU-Net's)
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.initial_lr, self.weight_decay = 1e-4, 1e-5
        self.num_epochs = _number("LIGHTM_NNUNET_EPOCHS", 100)
        self.num_iterations_per_epoch = _number("LIGHTM_NNUNET_ITERATIONS", self.num_iterations_per_epoch)
        self.num_val_iterations_per_epoch = -(-self.num_iterations_per_epoch // 5)

    def configure_optimizers(self):
        parameters = self.network.parameters()
        optimizer = torch.optim.Adam(parameters, self.initial_lr, weight_decay=self.weight_decay, eps=1e-5)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise LightMError(f"{variable}={text} must be a whole number from 1 up; correct it, or unset it.")
    return int(text)
