"""What a verdict can point at: pages of the book, records of this repository, and lines of the authors' code."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """A page of the book. `file` is its name in _toc.yml, `label` a MyST target on it; no label: its top."""

    text: str
    file: str
    label: str = ""


@dataclass(frozen=True)
class Code:
    """A line of the authors' public repository, as it stood at `COMMIT`. `quote` is that line."""

    text: str
    path: str
    quote: str = ""

    @property
    def url(self) -> str:
        return f"{REPOSITORY}/blob/{COMMIT}/{self.path}"


REPOSITORY = "https://github.com/MrBlankness/LightM-UNet"
COMMIT = "6b72e27ba70c499ba8f6f341843de75262086fa5"  # 2024-03-29, the last one

# Every page that a claim may name.
PAGES: Mapping[str, Page] = {
    "ssm": Page("State space models", "notebooks/01_state_space_models"),
    "scan": Page("The selective scan", "notebooks/02_selective_scan"),
    "vss": Page("The VSS Module", "notebooks/03_vss_module"),
    "rvm": Page("The RVM Layer", "notebooks/04_rvm_layer"),
    "unet": Page("LightM-UNet", "notebooks/05_lightm_unet"),
    "training": Page("Training", "notebooks/06_training"),
    "x-rays": Page("Real X-rays", "notebooks/07_real_xrays"),
    "ablations": Page("Ablations", "notebooks/08_ablations"),
    "counting": Page("Counting honestly", "notebooks/09_counting"),
    "code": Page("Paper and released code", "notebooks/10_paper_and_code"),
    "results": Page("Results", "notebooks/12_results"),
    "averages": Page("the averages", "book/scorecard", "scorecard-averages"),
    "bounds": Page("the bounds", "book/scorecard", "scorecard-bounds"),
    "costs": Page("the quotients", "book/scorecard", "scorecard-costs"),
    "margins": Page("the margins", "book/scorecard", "scorecard-margins"),
    "rows": Page("equal rows", "book/scorecard", "scorecard-rows"),
}

COUNTING_RECORD = "results/counting.json"
RUN_RECORDS = "results/runs"

_TRAINER = "lightm-unet/nnunetv2/training/nnUNetTrainer/nnUNetTrainer"
_NETWORK = "lightm-unet/nnunetv2/nets/LightMUNet.py"
_RAW = "data/nnUNet_raw/Dataset80"
CODE: Mapping[str, Code] = {
    "repository": Code("the repository", "README.md"),
    "optimiser": Code(
        "their trainer",
        f"{_TRAINER}LightMUNet.py",
        "optimizer = Adam(self.network.parameters(), lr=self.initial_lr, weight_decay=self.weight_decay, eps=1e-5)",
    ),
    "learning rate": Code("their trainer", f"{_TRAINER}LightMUNet.py", "self.initial_lr = 1e-4"),
    "schedule": Code(
        "their trainer",
        f"{_TRAINER}LightMUNet.py",
        "scheduler = PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs, exponent=0.9)",
    ),
    "epochs": Code("their base trainer", f"{_TRAINER}.py", "self.num_epochs = 100"),
    "iterations": Code("their base trainer", f"{_TRAINER}.py", "self.num_iterations_per_epoch = 250"),
    "loss": Code("their base trainer", f"{_TRAINER}.py", "loss = DC_and_CE_loss({'batch_dice': ..."),
    "framework": Code("their network", _NETWORK, "import torch.nn as nn"),
    "fusion": Code("their decoder", _NETWORK, "x = up(x) + down_x[i + 1]"),
    "x-ray cases": Code("their data set file", f"{_RAW}2_LungXray/dataset.json", '"numTraining": 493'),
    "ct cases": Code("their data set file", f"{_RAW}1_LiverCT/dataset.json", '"numTraining": 87'),
    "ct labels": Code("their data set file", f"{_RAW}1_LiverCT/dataset.json", '"right kidney": 2'),
    "trainers": Code("their trainers", "lightm-unet/nnunetv2/training/nnUNetTrainer"),
    "figure 1": Code("their file of Figure 1", "assets/main_result.png"),
    "figure 2": Code("their file of Figure 2", "assets/framework.png"),
}

# Labelled cases that the publishers of the data sets (references 9 and 1) give away.
PUBLIC_CASES: Mapping[str, int] = {"montgomery-shenzhen": 704, "lits": 131}

# How the authors' trainers, one for each network, train it: nnUNetTrainer*.py in CODE["trainers"]. U-Mamba's take
# everything from nnU-Net's own, which is the base of all.
TRAINERS: Mapping[str, Mapping[str, str]] = {
    "LightM-UNet": {"optimiser": "Adam", "learning rate": "1e-4", "schedule": "PolyLRScheduler"},
    "SegResNet": {"optimiser": "Adam", "learning rate": "1e-4", "schedule": "PolyLRScheduler"},
    "UNETR": {"optimiser": "AdamW", "learning rate": "1e-4", "schedule": "PolyLRScheduler"},
    "SwinUNETR": {"optimiser": "AdamW", "learning rate": "8e-4", "schedule": "CosineAnnealingLR"},
    "nnU-Net": {"optimiser": "SGD", "learning rate": "1e-2", "schedule": "PolyLRScheduler"},
    "U-Mamba": {"optimiser": "SGD", "learning rate": "1e-2", "schedule": "PolyLRScheduler"},
}


@dataclass(frozen=True)
class Quotation:
    """What the authors wrote about their code. `where` reads on after "in"."""

    date: str
    where: str
    url: str
    text: str

    def line(self) -> str:
        """Date, place with its link, and the words, as a line of a Markdown list."""
        return f"- {self.date}, in [{self.where}]({self.url}): “{self.text}”"


# What they counted with.
COUNTED_WITH = Quotation(
    "2024-03-29",
    "a thread on how the FLOPs were counted, the repository's owner",
    f"{REPOSITORY}/issues/9",
    "We use the thop library to compute the FLOPs of the model. Yes, we only calculate the FLOPs for the forward pass.",
)

# What they say of the first upload, whose counts the tables print. The thread was read in a stored copy of it.
HISTORY: tuple[Quotation, ...] = (
    Quotation(
        "2024-03-29",
        "the news of their README",
        f"{REPOSITORY}/blob/{COMMIT}/README.md",
        "Received feedback on issue#6 and updated the erroneous code in the original code repository.",
    ),
    Quotation(
        "2024-03-29",
        "that thread, Where is DWConv used in the LightM-UNet model?, the repository's owner",
        f"{REPOSITORY}/issues/6",
        "We apologize for inadvertently uploading the code related to our ablation experiments in our previous "
        "submission",
    ),
)
