"""What Section 2 says about the network, held against our network of the text and the two released ones."""

from lightm_book.paper.checks import method, wording
from lightm_book.paper.checks.method import FIRST, SECOND, TEXT
from lightm_book.paper.claim import Kind, Verdict
from lightm_book.paper.statements import claims_of

LAYER = r"\.A_log$"  # one of these a Mamba block or VSS Module, so one an RVM layer
_EQUATION = "2.2, equation ({})"
_AS_TEXT, _AS_CODE = "In our network of the text", "In the released code"
_IN_FIRST, _IN_SECOND = "In the upload that the tables count", "In the corrected upload"
_FACTOR = "it utilizes an adjustment factor"
_NORM = "the RVM Layer employs another LayerNorm"
_SSM_NORM = "followed by the SSM and LayerNorm"
_DWCONV = "it applies a DWConv, SiLU activation function"
_FOUR = "incorporating four successive RVM Layers to construct bottlenecks"
_DECODE = "it utilizes a DWConv, a residual connection, and a ReLU activation function to decode the feature map"
_SCALE = "is added to the residual connection to enhance the decoding capability"


def _all(test):
    return lambda shapes: bool(shapes) and all(test(shape) for shape in shapes)


def _last_doubles(shapes: method.Shapes) -> bool:
    """Projections (C_out, C) of blocks of 1, 2 and 2 layers: the last of each doubles the channels, no other does."""
    return [rows // columns for rows, columns in shapes] == [2, 1, 2, 1, 2]


_many_values = _all(lambda shape: len(shape) == 1 and shape[0] > 1)
_depthwise = _all(lambda shape: shape[1] == 1)
_square = _all(lambda shape: shape[0] == shape[1])
_depthwise_3d = _all(lambda shape: shape[1] == 1 and len(shape) == 5)
_depthwise_1d = _all(lambda shape: shape[1] == 1 and len(shape) == 3)

METHODOLOGIES = claims_of(
    "2 Methodologies",
    (
        "method-2d-3d",
        "first sentence",
        "LightM-UNet supports both 2D and 3D versions of medical image segmentation",
        Kind.METHOD,
        "Do both run?",
        method.both_versions,
        ("unet",),
    ),
    (
        "method-block-index",
        "2.1 and 2.2",
        "where 32 denotes a fixed number of filters",
        Kind.WORDING,
        "Do Sections 2.1 and 2.2 give the first Encoder Block the same input?",
        wording.block_index,
        ("unet",),
    ),
    (
        "method-encoder-blocks",
        "2.1",
        "incorporates three consecutive Encoder Blocks to extract deep features from the images",
        Kind.METHOD,
        f"{_AS_TEXT}?",
        method.as_many(TEXT, r"^encoder\.\d\.stack\.layers\.0\.s$", "Encoder Blocks"),
        ("unet",),
    ),
    (
        "method-decoder-blocks",
        "2.1",
        "integrates three consecutive Decoder Blocks for feature decoding and image resolution restoration",
        Kind.METHOD,
        f"{_AS_TEXT}?",
        method.as_many(TEXT, r"^decoder\.\d\.s$", "Decoder Blocks"),
        ("unet",),
    ),
    (
        "method-halving",
        "2.1",
        "the number of channels in the feature maps is halved, and the resolution is doubled",
        Kind.METHOD,
        "What halves the channels? Equation (4) does not.",
        method.tensors(
            TEXT,
            r"^decoder\.\d\.halve\.weight$",
            lambda found: len(found) == 3,
            "a pointwise convolution does, {shape} in the first block; the released code has one, too.",
            yes=Verdict.CONVENTION,
        ),
        ("unet",),
    ),
    (
        "method-head",
        "2.1",
        "comprising 32 feature channels. LightM-UNet utilizes a DWConv layer to map the number of channels to the "
        "number of segmentation targets",
        Kind.WORDING,
        "Can a depthwise convolution do that?",
        wording.depthwise_alone,
        ("unet",),
    ),
    (
        "method-softmax",
        "2.1",
        "applies a SoftMax activation function to generate the image mask",
        Kind.WORDING,
        "Is it a part of the network?",
        wording.read(
            Verdict.CONVENTION,
            "It is applied by loss and inference, here as in the released code; the networks return logits.",
        ),
        ("unet",),
    ),
    (
        "method-only-rvm",
        "2.2",
        "LightM-UNet employs Encoder Blocks comprising solely Mamba structures",
        Kind.METHOD,
        f"{_AS_TEXT}: weights in RVM layers only?",
        method.only_in(TEXT, r"^encoder\.", r"\.stack\.layers\.\d+\."),
        ("unet",),
    ),
    (
        "method-last-doubles",
        "2.2",
        "with the number of channels increased in the last RVM Layer",
        Kind.METHOD,
        f"{_AS_TEXT}?",
        method.tensors(
            TEXT,
            r"^encoder.*\.proj\.weight$",
            _last_doubles,
            "{n} projections in the Encoder Blocks, the first {shape}.",
        ),
        ("unet",),
    ),
    (
        "method-little",
        "2.2",
        "with almost no introduction of new parameters and computational complexity",
        Kind.METHOD,
        "What residual connections and adjustment factors add",
        method.little_more("paper-no-residual", "paper-no-adjustment"),
        ("rvm", "ablations"),
    ),
    (
        "method-factor",
        _EQUATION.format(1),
        _FACTOR,
        Kind.METHOD,
        f"{_AS_TEXT}: one value a channel?",
        method.tensors(TEXT, r"layers\.\d+\.s$", _many_values, "{n} factors, the first of {shape} values."),
        ("rvm",),
    ),
    (
        "method-factor-code",
        _EQUATION.format(1),
        _FACTOR,
        Kind.METHOD,
        f"{_AS_CODE}: one value a channel?",
        method.tensors(
            SECOND, r"^down_layers.*skip_scale$", _many_values, "{n} factors of {shape} value each, one a layer."
        ),
        ("code",),
    ),
    (
        "method-second-norm",
        _EQUATION.format(2),
        _NORM,
        Kind.METHOD,
        f"{_AS_TEXT}: two LayerNorms a layer?",
        method.ratio_of_tensors(TEXT, r"\.norm_(in|out)\.weight$", LAYER, 2, "{many} LayerNorms in {layers} layers."),
        ("rvm",),
    ),
    (
        "method-second-norm-code",
        _EQUATION.format(2),
        _NORM,
        Kind.METHOD,
        f"{_AS_CODE}: two LayerNorms a layer?",
        method.ratio_of_tensors(
            SECOND, r"^down_layers.*\.norm\.weight$", LAYER, 2, "{many} LayerNorms in {layers} layers, each used twice."
        ),
        ("code",),
    ),
    (
        "method-ssm-norm",
        _EQUATION.format(3),
        _SSM_NORM,
        Kind.METHOD,
        f"{_AS_TEXT}: LayerNorm after the SSM?",
        method.ratio_of_tensors(
            TEXT, r"\.mixer\.norm\.weight$", LAYER, 1, "{many} LayerNorms in {layers} VSS Modules."
        ),
        ("vss",),
    ),
    (
        "method-ssm-norm-code",
        _EQUATION.format(3),
        _SSM_NORM,
        Kind.METHOD,
        f"{_AS_CODE}: LayerNorm after the SSM?",
        method.ratio_of_tensors(SECOND, r"\.mamba\..*norm", LAYER, 1, "{many} LayerNorms in {layers} Mamba blocks."),
        ("code",),
    ),
    (
        "method-dwconv",
        _EQUATION.format(3),
        _DWCONV,
        Kind.METHOD,
        f"{_AS_TEXT}: depthwise over the image's axes?",
        method.tensors(TEXT, r"\.mixer\.dwconv\.conv\.weight$", _depthwise_3d, "{n} kernels, the first {shape}."),
        ("vss",),
    ),
    (
        "method-dwconv-code",
        _EQUATION.format(3),
        _DWCONV,
        Kind.METHOD,
        f"{_AS_CODE}: depthwise over the image's axes?",
        method.tensors(
            SECOND,
            r"\.mamba\.conv1d\.weight$",
            _depthwise_1d,
            "{n} kernels, the first {shape}: depthwise, along the row of tokens, as in Mamba.",
            yes=Verdict.CONVENTION,
        ),
        ("code",),
    ),
    (
        "method-expansion",
        "2.2",
        "represents a pre-defined channel expansion factor",
        Kind.METHOD,
        "Which value?",
        method.expansion(SECOND, r"\.mamba\.in_proj\.weight$", 2),
        ("vss", "code"),
    ),
    (
        "method-bottleneck",
        "2.3",
        _FOUR,
        Kind.METHOD,
        f"{_AS_TEXT}?",
        method.as_many(TEXT, rf"^bottleneck.*{LAYER}", "RVM layers"),
        ("unet",),
    ),
    (
        "method-bottleneck-code",
        "2.3",
        _FOUR,
        Kind.METHOD,
        f"{_AS_CODE}?",
        method.as_many(SECOND, rf"^down_layers\.3\.[1-9].*{LAYER}", "RVM layers, two in each of four residual blocks"),
        ("code",),
    ),
    (
        "method-unchanged",
        "2.3",
        "the number of feature channels and the resolution remain unchanged",
        Kind.METHOD,
        f"{_AS_TEXT}?",
        method.tensors(TEXT, r"^bottleneck.*\.proj\.weight$", _square, "{n} projections, {shape}, and no pooling."),
        ("unet",),
    ),
    (
        "method-convergence",
        "2.3",
        "Mamba encounters convergence challenges when the network depth becomes excessive",
        Kind.WORDING,
        "Measured or cited?",
        wording.untestable(
            "Cited from reference 21, which studies image Transformers. The paper has no experiment on depth, and we "
            "have made none."
        ),
        (),
    ),
    (
        "method-fusion-code",
        "2.4",
        "the Decoder Block first performs feature fusion using an addition operation",
        Kind.METHOD,
        f"{_AS_CODE}: fused first?",
        wording.in_code("fusion", "first", "x = up(x + ", "It up-samples first, then adds."),
        ("code", "fusion"),
    ),
    (
        "method-decoder",
        "2.4, equation (4)",
        _DECODE,
        Kind.METHOD,
        f"{_AS_TEXT}: depthwise?",
        method.tensors(TEXT, r"^decoder.*depthwise\.weight$", _depthwise, "{n} depthwise kernels, the first {shape}."),
        ("unet",),
    ),
    (
        "method-decoder-code-1",
        "2.4, equation (4)",
        _DECODE,
        Kind.METHOD,
        f"{_IN_FIRST}: depthwise?",
        method.tensors(FIRST, r"^up_layers.*conv\d\.conv\.weight$", _depthwise, "{n} full kernels, the first {shape}."),
        ("code",),
    ),
    (
        "method-decoder-code-2",
        "2.4, equation (4)",
        _DECODE,
        Kind.METHOD,
        f"{_IN_SECOND}: depthwise?",
        method.tensors(
            SECOND, r"^up_layers.*conv\.0\.conv\.weight$", _depthwise, "{n} depthwise kernels, the first {shape}."
        ),
        ("code",),
    ),
    (
        "method-scale-code-1",
        "2.4, equation (4)",
        _SCALE,
        Kind.METHOD,
        f"{_IN_FIRST}: a factor s′?",
        method.tensors(FIRST, r"^up_layers.*skip_scale$", bool, "{n} factors in the decoder."),
        ("code",),
    ),
    (
        "method-scale-code-2",
        "2.4, equation (4)",
        _SCALE,
        Kind.METHOD,
        f"{_IN_SECOND}: a factor s′?",
        method.tensors(SECOND, r"^up_layers.*skip_scale$", bool, "{n} factors in the decoder, of {shape} value each."),
        ("code",),
    ),
    (
        "method-bilinear",
        "2.4",
        "ultimately employs bilinear interpolation to restore predictions to the original resolution",
        Kind.WORDING,
        "Does the word suit 2D and 3D?",
        wording.interpolation_axes,
        ("unet",),
    ),
)
