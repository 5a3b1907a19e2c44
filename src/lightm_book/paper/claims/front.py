"""What the abstract and the introduction say, in their own words."""

from lightm_book.paper.checks import accuracy, arithmetic, counts, method, wording
from lightm_book.paper.claim import Kind
from lightm_book.paper.statements import RECORD, RUNS, claims_of, cost_statements, times
from lightm_book.paper.tables import GFLOPS, PARAMS

ABSTRACT = claims_of(
    "Abstract",
    (
        "abstract-linear",
        "",
        "model long-range spatial dependencies, with linear computational complexity",
        Kind.METHOD,
        "MACs in proportion to the number of pixels?",
        method.linear_cost(),
        ("scan", "unet"),
    ),
    (
        "abstract-surpasses",
        "",
        "experiments conducted on two real-world 2D/3D datasets demonstrate that LightM-UNet surpasses existing "
        "state-of-the-art literature",
        Kind.ACCURACY,
        RUNS.format("Tables 1 and 2"),
        accuracy.ahead((1, 2)),
        ("margins", "results"),
    ),
    (
        "abstract-superior",
        "",
        "when compared to the renowned nnU-Net, LightM-UNet achieves superior segmentation performance",
        Kind.ACCURACY,
        "Ahead of nnU-Net in Tables 1 and 2, and in our runs?",
        accuracy.ahead((1, 2), ("nnU-Net",)),
        ("margins", "results"),
    ),
    *cost_statements(
        "abstract",
        "",
        "drastically reducing parameter and computation costs by 116x and 21x, respectively",
        ("parameters", "parameters", *times(2, PARAMS, "nnU-Net", 0)),
        ("operations", "operations", *times(2, GFLOPS, "nnU-Net", 1)),
    ),
    (
        "abstract-code",
        "",
        "Our code implementation is publicly available at",
        Kind.METHOD,
        "Is the code there, and does it run?",
        method.code_is_public,
        ("code", "repository"),
    ),
)

_U_MAMBA = "a substantial number of parameters and computational load (173.53M parameters and 18,057.20 GFLOPs)"
_REDUCING = "achieves state-of-the-art performance while significantly reducing parameter and computation costs"
_ONE_MILLION = "boasting a mere parameter count of 1M"
INTRODUCTION = claims_of(
    "1 Introduction",
    (
        "introduction-quadratic",
        "second paragraph",
        "Transformer-based solutions introduce quadratic complexity concerning image sizes",
        Kind.METHOD,
        "MACs with attention over all tokens, against the number of pixels",
        method.quadratic_attention,
        ("ablations",),
    ),
    (
        "introduction-linear",
        "third paragraph",
        "demonstrate linear complexity concerning input size",
        Kind.METHOD,
        "MACs in proportion to the number of pixels?",
        method.linear_cost(),
        ("ssm", "scan"),
    ),
    (
        "introduction-u-mamba",
        "third paragraph",
        _U_MAMBA,
        Kind.ARITHMETIC,
        "The numbers of Table 1?",
        arithmetic.cells_said(1, "U-Mamba", (PARAMS, GFLOPS)),
        ("costs",),
    ),
    (
        "introduction-u-mamba-once",
        "third paragraph",
        _U_MAMBA,
        Kind.COUNTING,
        "And counted once?",
        counts.cost_once(1, "U-Mamba", (PARAMS, GFLOPS)),
        RECORD,
    ),
    (
        "introduction-reducing-parameters",
        "third paragraph",
        _REDUCING,
        Kind.COUNTING,
        "Fewer parameters than U-Mamba, as printed and counted once?",
        counts.lower_counted(PARAMS, ("U-Mamba",)),
        RECORD,
    ),
    (
        "introduction-reducing-operations",
        "third paragraph",
        _REDUCING,
        Kind.COUNTING,
        "Fewer operations than U-Mamba, as printed and counted once?",
        counts.lower_counted(GFLOPS, ("U-Mamba",)),
        RECORD,
    ),
    (
        "introduction-1m",
        "first contribution",
        _ONE_MILLION,
        Kind.ARITHMETIC,
        "Do Tables 1 and 2 round to it?",
        arithmetic.rounds_to((1, 2)),
        ("costs",),
    ),
    (
        "introduction-1m-once",
        "first contribution",
        _ONE_MILLION,
        Kind.COUNTING,
        "And each parameter counted once?",
        counts.millions_once((1, 2)),
        RECORD,
    ),
    (
        "introduction-surpasses",
        "first contribution",
        "LightM-UNet surpasses existing state-of-the-art models",
        Kind.ACCURACY,
        RUNS.format("Tables 1 and 2"),
        accuracy.ahead((1, 2)),
        ("margins", "results"),
    ),
    *cost_statements(
        "introduction",
        "first contribution",
        "LightM-UNet reduces the parameter count by 116× and 224×, respectively",
        ("nnu-net", "nnU-Net's parameters", *times(2, PARAMS, "nnU-Net", 0)),
        ("u-mamba-parameters", "U-Mamba's parameters", *times(2, PARAMS, "U-Mamba", 1)),
    ),
    (
        "introduction-minimal",
        "second contribution",
        "With minimal introduction of new parameters and computational overhead",
        Kind.METHOD,
        "What residual connections and adjustment factors add",
        method.little_more("paper-no-residual", "paper-no-adjustment"),
        ("rvm", "ablations"),
    ),
    (
        "introduction-pioneering",
        "third contribution",
        "this represents the pioneering effort introducing Mamba into UNet as a lightweight optimization strategy",
        Kind.WORDING,
        "First of its kind?",
        wording.untestable('A statement about all other work; the paper says "to our knowledge".'),
        (),
    ),
)
