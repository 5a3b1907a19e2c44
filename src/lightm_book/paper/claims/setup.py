"""How Section 3 says the networks were trained and tested, held against the released code and the counts."""

from lightm_book.paper.checks import arithmetic, counts, method, wording
from lightm_book.paper.claim import Kind
from lightm_book.paper.claims.method import LAYER
from lightm_book.paper.statements import RECORD, claims_of

_SPLIT = "training, validation, and testing sets in a ratio of 7:1:2"
_DEPTHS = "RVM Layers in the three Encoder Blocks is set as 1, 2, and 2"
_CODE = "The same in the released code?"
_SIZE, _BATCH = "Do the printed GFLOPs belong to this size?", "Do the printed GFLOPs belong to this batch?"

SETUP = claims_of(
    "3 Experiments, set-up",
    (
        "setup-data",
        "",
        "we select two publicly available medical image datasets",
        Kind.METHOD,
        "Can they be had and read?",
        method.data_is_public,
        ("x-rays", "training"),
    ),
    (
        "setup-order",
        "",
        "to validate the performance of the 2D and 3D versions of LightM-UNet, respectively",
        Kind.WORDING,
        "Named in the same order as the data sets?",
        wording.order_of_versions,
        (),
    ),
    (
        "setup-split-2d",
        "",
        _SPLIT,
        Kind.METHOD,
        "Does the number of X-rays fit?",
        wording.split_sizes("montgomery-shenzhen", "x-ray cases"),
        ("x-rays", "x-ray cases"),
    ),
    (
        "setup-split-3d",
        "",
        _SPLIT,
        Kind.METHOD,
        "Does the number of CT volumes fit?",
        wording.split_sizes("lits", "ct cases"),
        ("ct cases",),
    ),
    (
        "setup-framework",
        "",
        "implemented using the PyTorch framework",
        Kind.METHOD,
        _CODE,
        wording.in_code("framework", "PyTorch", "import torch"),
        ("framework",),
    ),
    (
        "setup-depths",
        "",
        _DEPTHS,
        Kind.METHOD,
        "In our network of the text?",
        method.layers_in_encoder(method.TEXT, rf"^encoder\.(\d).*{LAYER}"),
        ("unet",),
    ),
    (
        "setup-depths-code",
        "",
        _DEPTHS,
        Kind.METHOD,
        "In the released code?",
        method.layers_in_encoder(
            method.SECOND, rf"^down_layers\.([0-2]).*{LAYER}", " at its first three resolutions, two in each block"
        ),
        ("code",),
    ),
    (
        "setup-gpu",
        "",
        "All experiments were conducted on a single Quadro RTX 8000 GPU",
        Kind.WORDING,
        "On which machine?",
        wording.untestable("No logs were published, and we have no such GPU."),
        (),
    ),
    (
        "setup-optimiser",
        "",
        "SGD was employed as the optimizer",
        Kind.METHOD,
        _CODE,
        wording.in_code("optimiser", "SGD", also="Which of the two trained the networks of the tables is not known."),
        ("code", "optimiser"),
    ),
    (
        "setup-learning-rate",
        "",
        "initialized with a learning rate of 1e-4",
        Kind.METHOD,
        _CODE,
        wording.in_code("learning rate"),
        ("code", "learning rate"),
    ),
    (
        "setup-schedule",
        "",
        "The PolyLRScheduler was used as the scheduler",
        Kind.METHOD,
        _CODE,
        wording.in_code("schedule", "PolyLRScheduler"),
        ("code", "schedule"),
    ),
    (
        "setup-epochs",
        "",
        "a total of 100 epochs were trained",
        Kind.METHOD,
        _CODE,
        wording.in_code(
            "epochs", also_line="iterations", also="So an epoch is that many steps, not one pass over the data."
        ),
        ("code", "epochs"),
    ),
    (
        "setup-loss",
        "",
        "a simple combination of Cross Entropy loss and Dice loss",
        Kind.METHOD,
        _CODE,
        wording.in_code("loss", "Cross Entropy loss and Dice loss", "DC_and_CE_loss"),
        ("code", "loss"),
    ),
    ("setup-size-3d", "", "resized to 128 × 128 × 128", Kind.COUNTING, _SIZE, counts.size_by_counts(3), RECORD),
    ("setup-batch-3d", "", "with a batch size of 2", Kind.COUNTING, _BATCH, counts.batch_by_counts(3), RECORD),
    ("setup-size-2d", "", "resized to 512 × 512", Kind.COUNTING, _SIZE, counts.size_by_counts(2), RECORD),
    ("setup-batch-2d", "", "with a batch size of 12", Kind.COUNTING, _BATCH, counts.batch_by_counts(2), RECORD),
    (
        "setup-networks",
        "",
        "which are commonly used in medical image segmentation competitions",
        Kind.METHOD,
        "Can the five other networks be built?",
        method.rivals_exist,
        ("counting",),
    ),
    (
        "setup-metrics",
        "",
        "we employed Mean Intersection over Union (mIoU) and Dice similarity score (DSC) as evaluation metrics",
        Kind.ARITHMETIC,
        "Means over what?",
        arithmetic.mean_over_cases,
        ("bounds",),
    ),
    (
        "setup-gflops",
        "heading of Tables 1, 2 and 3",
        "GFLOPs",
        Kind.COUNTING,
        "What is counted?",
        counts.column_means,
        RECORD,
    ),
)
