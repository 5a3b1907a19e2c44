"""Tables 1, 2 and 3 of the paper: every cell with its place, as it is printed."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

PARAMS, GFLOPS = "Params(M)", "GFLOPs"
OURS = "LightM-UNet"


@dataclass(frozen=True)
class Cell:
    """One printed number. `value` is exact: Decimal("7240.26"), Decimal("74.10")."""

    table: int
    row: str
    column: str
    text: str

    @property
    def value(self) -> Decimal:
        return Decimal(self.text.replace(",", ""))


@dataclass(frozen=True)
class Table:
    """A table of the paper. `dataset` is the name in `lightm.data`, `dims` its spatial dimensions."""

    number: int
    dataset: str
    dims: int
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]

    @property
    def rows(self) -> tuple[str, ...]:
        """Row names from top to bottom."""
        return tuple(dict.fromkeys(row for row, _ in self.cells))

    @property
    def accuracy(self) -> tuple[str, ...]:
        """The columns that hold DSC or mIoU, in percent."""
        return tuple(c for c in self.columns if c not in (PARAMS, GFLOPS))

    def __getitem__(self, place: tuple[str, str]) -> Decimal:
        """The number in (row, column)."""
        return self.cells[place].value

    def row(self, row: str) -> tuple[Cell, ...]:
        """The cells of a row, from left to right."""
        return tuple(self.cells[row, column] for column in self.columns)


_LITS = (PARAMS, GFLOPS, *(f"{part} {metric}" for part in ("Liver", "Tumor", "Average") for metric in ("DSC", "mIoU")))


def _table(number: int, dataset: str, dims: int, columns: tuple[str, ...], printed: str) -> Table:
    cells = {}
    for line in printed.strip().splitlines():
        row, *texts = (part.strip() for part in line.split("|"))
        for column, text in zip(columns, texts, strict=True):
            cells[row, column] = Cell(number, row, column, text)
    return Table(number, dataset, dims, columns, cells)


TABLES: Mapping[int, Table] = {
    # Comparative experimental results on the LiTS dataset using various 3D segmentation models
    1: _table(1, "lits", 3, _LITS, """
        nnU-Net     |  88.62 |  7,240.26 | 95.77 | 91.94 | 68.45 | 56.34 | 82.11 | 74.13
        SegResNet   |  18.79 |  1,158.30 | 96.11 | 92.56 | 71.22 | 59.76 | 83.67 | 76.16
        UNETR       |  92.62 |  1,891.35 | 94.06 | 88.95 | 48.58 | 37.01 | 71.32 | 62.98
        SwinUNETR   |  61.99 |  1,570.32 | 95.24 | 91.07 | 66.67 | 55.09 | 80.95 | 73.08
        U-Mamba     | 173.53 | 18,057.20 | 95.94 | 92.33 | 70.05 | 58.42 | 83.00 | 75.37
        LightM-UNet |   1.87 |    457.62 | 96.31 | 92.92 | 72.86 | 62.05 | 84.58 | 77.48
        """),
    # Comparative experimental results on the Montgomery&Shenzhen dataset using various 2D segmentation models
    2: _table(2, "montgomery-shenzhen", 2, (PARAMS, GFLOPS, "DSC", "mIoU"), """
        nnU-Net     | 126.56 |  5,594.98 | 96.13 | 92.66
        SegResNet   |   6.29 |    748.96 | 95.97 | 92.36
        UNETR       |  87.51 |  1,267.53 | 95.36 | 91.26
        SwinUNETR   |  25.12 |    909.26 | 95.37 | 91.31
        U-Mamba     | 244.10 | 12,521.27 | 95.89 | 92.23
        LightM-UNet |   1.09 |    267.19 | 96.17 | 92.74
        """),
    # Ablation studies in Residual Vision Mamba Layer on the LiTS dataset
    3: _table(3, "lits", 3, _LITS, """
        VSSM→Conv3               | 18.79 | 1,513.44 | 96.11 | 92.56 | 71.22 | 59.76 | 83.67 | 76.16
        VSSM→Self-Attention      |  3.44 |   470.50 | 96.09 | 92.54 | 72.53 | 61.06 | 84.31 | 76.80
        w/o Adjustment factors   |  1.87 |   457.62 | 96.28 | 92.86 | 71.54 | 60.73 | 83.91 | 76.79
        w/o Residual connections |  1.87 |   457.62 | 96.22 | 92.76 | 72.53 | 61.32 | 84.38 | 77.04
        LightM-UNet              |  1.87 |   457.62 | 96.31 | 92.92 | 72.86 | 62.05 | 84.58 | 77.48
        """),
}  # fmt: skip

TRANSFORMERS = ("UNETR", "SwinUNETR")  # "two Transformer-based networks", Section 3

# The networks of `lightm.models` that a row may stand for: a run of any of them is a measurement of that row, if it has
# no option but those that the size of the images demands (SIZE_OPTIONS).
NETWORKS_OF_ROW: Mapping[str, tuple[str, ...]] = {
    "nnU-Net": ("nnunet",),
    "SegResNet": ("segresnet",),
    "UNETR": ("unetr",),
    "SwinUNETR": ("swin-unetr",),
    "U-Mamba": ("u-mamba-bot", "u-mamba-enc"),
    OURS: ("lightm-unet", "lightm-unet-released-2024-03-17", "lightm-unet-released-2024-03-29"),
    "VSSM→Conv3": ("paper-conv3", "released-conv3"),
    "VSSM→Self-Attention": ("paper-attention", "released-attention"),
    "w/o Adjustment factors": ("paper-no-adjustment", "released-no-adjustment"),
    "w/o Residual connections": ("paper-no-residual", "released-no-residual"),
}

# Data that stand in for a table's own, which nobody here has: what they show is said to be of other data.
STAND_IN: Mapping[int, str] = {1: "hippocampus", 3: "montgomery-shenzhen"}
