"""nnU-Net v2 without a fork: its own commands train and use the networks of this package.

network     the adapter that a plans file names, built as nnU-Net builds its own networks
plans       a copy of a plans file that names it
trainers/   a trainer class for nnU-Net; the variable nnUNet_extTrainer tells nnU-Net (2.8 or newer) of this folder

Nothing here imports nnU-Net but the trainer, which nnU-Net itself imports. nnU-Net requires newer versions of some
packages than the counting of the book, so it has an environment of its own: `make nnunet`.
"""

from pathlib import Path

TRAINERS = Path(__file__).with_name("trainers")  # for nnUNet_extTrainer
