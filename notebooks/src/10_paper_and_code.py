# %% [markdown]
# # The paper and its code, side by side
#
# The authors published their code twice: on 2024-03-17, and on 2024-03-29 with the decoder corrected. A paper
# has few pages and a program has every line, so the two never say quite the same, here as anywhere. That the code is
# public at all is why this chapter can be precise. It sets the text (`lightm-unet`) beside both uploads, in our own
# words and our own code: what differs, where to see it, and what it costs.
#
# At the end you can say
# * in which points text and uploads differ, each shown by a running module,
# * what each difference costs in parameters and multiply-accumulates (MACs),
# * which of the three networks to take for which purpose, and how to bring your own weights.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %% tags=["hide-input"]
import json
import math

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown
from torch import nn

from lightm.counting import count
from lightm.models import build_model
from lightm.models.mamba import Mamba
from lightm.models.released import (
    DWConvBlock,
    MambaBlock,
    ReleasedLightMUNet,
    ReleasedRVMLayer,
)
from lightm.models.rvm import RVMLayer
from lightm.models.unet import DecoderBlock
from lightm.models.vss import SelectiveSSM, VSSModule
from lightm_book import ROOT
from lightm_book.paper.settings import setting
from lightm_book.paper.sources import HISTORY, TRAINERS
from lightm_book.show.figures import COLORS, INK, frames_slider, use_style
from lightm_book.show.notebook import check_profile, show_source
from lightm_book.show.steps import diff, steps
from lightm_book.show.tables import table

check_profile(profile)
torch.manual_seed(0)
use_style()

NAMES = {
    "text": "lightm-unet",
    "2024-03-29": "lightm-unet-released-2024-03-29",
    "2024-03-17": "lightm-unet-released-2024-03-17",
}
with torch.device("meta"):  # shapes only: no memory, no time
    networks = {key: build_model(name, 2, 3, 2) for key, name in NAMES.items()}
text, second, first = networks.values()

# %% [markdown]
# ## Two uploads
#
# Why were there two? In the words of the authors:

# %% tags=["hide-input"]
Markdown("\n".join(quotation.line() for quotation in HISTORY))

# %% [markdown]
# (We read the thread in an excerpt, which breaks off soon after these words.) So the first upload is code that its
# authors corrected as soon as readers pointed at it; and it is the one whose parameters and operations the paper's
# tables print ({doc}`09_counting` derives that). It does not follow which code trained the networks whose accuracies are
# printed. Neither upload is the network of the text: the rest of the chapter says in which points.
#
# ## The difference that one sees
#
# The text calls for a depthwise convolution before the scan. On an image one thinks of a spatial one; in both uploads it
# runs along the sequence of tokens. Which pixels does a pixel see through either? Ask the gradient:

# %% tags=["hide-input"]
grid = (7, 7)
convs = {
    "text: spatial": VSSModule(4, 2, dwconv="spatial").dwconv,
    "released: causal": VSSModule(4, 2, dwconv="causal").dwconv,
}


def seen_by(module, token):
    """Which of the 49 pixels the output at one token depends on."""
    x = torch.randn(1, 49, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(module(x, grid)[0, token].sum(), x)
    return (gradient[0].abs().sum(-1) > 0).view(grid)


frames, labels = [], []
for row, column in [(3, 3), (3, 4), (3, 6), (4, 0), (4, 1), (0, 0)]:
    fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.6))
    for ax, (name, conv) in zip(axes, convs.items(), strict=True):
        ax.imshow(seen_by(conv, 7 * row + column), cmap="Blues", vmin=0, vmax=1.6)
        ax.plot(column, row, "s", color=COLORS[1], markersize=9)
        ax.set(title=name, xticks=[], yticks=[])
    frames.append(fig)
    labels.append(f"row {row + 1}, column {column + 1}")
frames_slider(
    frames,
    labels,
    "Two 7 by 7 images: the pixels that the marked pixel sees are blue. Left a 3 by "
    "3 neighbourhood, cut at the border; "
    "right the pixel and the three before it in reading order, at a row's beginning "
    "the end of the row above",
    "Orange: the pixel that is computed. Blue: the pixels it sees through the "
    "convolution.",
)

# %% tags=["hide-input"]
assert seen_by(convs["text: spatial"], 24).sum() == 9
assert seen_by(
    convs["released: causal"], 24
).flatten().nonzero().flatten().tolist() == [21, 22, 23, 24]
wrapped = seen_by(convs["released: causal"], 28)  # the first pixel of row 5
# Itself, and the last three of row 4.
assert wrapped[4].sum() == 1 and wrapped[3, -3:].all()

# %% [markdown]
# The spatial convolution knows the image; the causal one knows the reading order, in which the first pixel of a row
# follows the last pixel of the row before.
#
# ## One RVM layer
#
# > "[…] the RVM Layer employs another LayerNorm to normalize […] and subsequently utilizes a projection layer"
# > (Section 2.2)
#
# Here is the layer of the text, and the layer of both uploads:

# %%
show_source(RVMLayer.forward)

# %%
show_source(ReleasedRVMLayer.forward)

# %% [markdown]
# Two listings are easy to read and easy to misread. So let the machine look: `steps` runs a module and writes down
# what happens, in the same words for both. Lines with − are only in the text's layer, lines with + only in the
# released one.

# %%
with torch.device("meta"):
    tokens, volume = torch.empty(1, 64, 32), torch.empty(1, 32, 8, 8)
    layer_text = steps(RVMLayer(32, 2), tokens, (8, 8))
    layer_code = steps(ReleasedRVMLayer(32, 32), volume)
Markdown(f"```diff\n{diff(layer_text, layer_code, ('paper', 'released'))}\n```")

# %% [markdown]
# Some of it is a matter of writing: Mamba makes both branches with one linear map (32 → 128 in place of twice 32 → 64)
# and its kernel multiplies by the gate. The function is the same, and so is the cost. Four points are not:
#
# 1. the convolution (3×3 on the grid, or the four latest tokens),
# 2. the LayerNorm after the scan (text only),
# 3. the second LayerNorm (its own, or the first one again),
# 4. the factor $s$ (one for each channel, or one).
#
# The first is the one that the picture above shows. The scan itself is causal in both networks, as long as it has one
# direction:

# %%
for module in (Mamba(4), SelectiveSSM(4)):
    x = torch.randn(1, 10, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(module(x)[0, 5].sum(), x)
    reached = gradient[0].abs().sum(-1) > 0
    print(
        f"{type(module).__name__:12}  token 5 depends on tokens",
        reached.nonzero().flatten().tolist(),
    )
    assert reached[:6].all() and not reached[6:].any()

# %% [markdown]
# With the text's spatial convolution a pixel also sees its neighbours below and to the right. With the causal
# one, a whole layer of the upload sees nothing that comes later in the reading order; its pooling and up-sampling do.
#
# ## The whole network
#
# The same again with every RVM layer as one step. First the text against the second upload (−: text; +: upload); it is
# long, so it is folded:

# %% tags=["hide-input", "hide-output"]
with torch.device("meta"):
    image = torch.empty(1, 3, 32, 32)
    passes = {
        name: steps(net, image, fold=(RVMLayer, ReleasedRVMLayer))
        for name, net in networks.items()
    }
changes = diff(passes["text"], passes["2024-03-29"], ("paper", "released 2024-03-29"))
Markdown(f"```diff\n{changes}\n```")

# %% [markdown]
# Then what the correction of 2024-03-29 changed (−: first upload; +: second), without the steps that are equal. There is
# nothing in the encoder:

# %%
dates = "2024-03-17", "2024-03-29"
changes = diff(passes[dates[0]], passes[dates[1]], dates, around=1)
Markdown(f"```diff\n{changes}\n```")

# %% [markdown]
# What the two differences say in a sentence: the uploads are MONAI's SegResNet with RVM layers in the place of the
# encoder's convolutions. So the layers come in pairs, each pair in a residual block with GroupNorm and ReLU, and there
# are more of them than the text's 1, 2, 2 and 4.

# %%
show_source(MambaBlock.forward)

# %%
counted = {
    name: sum(step.startswith("RVM layer") for step in lines)
    for name, lines in passes.items()
}
print(counted)
assert counted == {"text": sum((1, 2, 2)) + 4, "2024-03-29": 21, "2024-03-17": 21}
# Two in each block, and three that double the channels.
assert 2 * sum((1, 2, 2, 4)) + 3 == 21

# %% [markdown]
# The decoder's order differs as well. The text's block fuses first and scales up last; the uploads scale up first.
# Equation (4) of the paper, and its counterpart in the second upload:

# %%
show_source(DecoderBlock.forward)

# %%
show_source(DWConvBlock.forward)

# %% [markdown]
# ## Every difference in one table
#
# Numbers and types in this table are read off the modules in this cell; what is put in words (the kind of a
# convolution, the order of the decoder) is asserted in this chapter or stands in the diffs above. Each row names its
# place in the paper.

# %% tags=["hide-input"]
layer = {
    name: next(m for m in net.modules() if isinstance(m, RVMLayer | ReleasedRVMLayer))
    for name, net in networks.items()
}
paper_layer, code_layer = layer["text"], layer["2024-03-29"]
assert {type(m).__name__ for m in paper_layer.mixer.modules()} >= {
    "SpatialDWConv",
    "LayerNorm",
}
assert isinstance(code_layer.mamba, Mamba) and not any(
    isinstance(m, nn.LayerNorm) for m in code_layer.mamba.modules()
)
assert (
    paper_layer.norm_in is not paper_layer.norm_out
    and layer_code.count("the same LayerNorm again") == 1
)
assert not any(isinstance(m, nn.GroupNorm) for m in text.modules())


def mode(dims):
    """How the networks scale up in 2D or 3D, read off their passes."""
    with torch.device("meta"):
        x = torch.empty(1, 1, *(16,) * dims)
        nets = (build_model(name, dims, 1, 3) for name in NAMES.values())
        return {
            next(s for s in steps(net, x) if s.startswith("interpolate")).split()[-1]
            for net in nets
        }


assert mode(2) == {"bilinear"} and mode(3) == {"trilinear"}


def size_after(net, part):
    """The size of the volume that leaves a part of a network, for 32 × 32 pixels."""
    sizes = []
    handle = net.get_submodule(part).register_forward_hook(
        lambda _, args, y: sizes.append(tuple(y.shape[2:]))
    )
    net(torch.empty(1, 3, 32, 32, device="meta"))
    handle.remove()
    return sizes[0]


# The topmost skip connection: of the text, F_D^1, and of the uploads.
assert size_after(text, "encoder.0") == (16, 16)
assert size_after(second, "down_layers.0") == (32, 32)
head = tuple(second.conv_final[2][0].conv.weight.shape)
norms = sum(isinstance(m, nn.GroupNorm) for m in second.modules())
ways = [
    (
        "Section 2.2, eq. (3)",
        "token mixer",
        type(paper_layer.mixer).__name__,
        "`Mamba`",
        "`lightm.models.mamba`",
    ),
    (
        "eq. (3), DWConv",
        "convolution in it",
        "spatial 3ᵈ (our reading)",
        "causal, 4 tokens",
        "`lightm.models.vss`",
    ),
    ("eq. (3), LayerNorm", "after the scan", "LayerNorm", "none", "`VSSModule`"),
    (
        "eqs. (1), (2)",
        "LayerNorms of a layer",
        "2",
        "1, used twice",
        "`ReleasedRVMLayer`",
    ),
    (
        "eq. (1), s",
        "values of s",
        f"{paper_layer.s.numel()}, one per channel",
        f"{code_layer.skip_scale.numel()}",
        "`RVMLayer`",
    ),
    (
        "Section 2.2",
        "scan directions",
        f"{len(paper_layer.mixer.ssms)} (text leaves it open)",
        "1",
        "`VSSModule`",
    ),
    (
        "Section 3",
        "RVM layers",
        f"{counted['text']}",
        f"{counted['2024-03-29']}",
        "`MambaBlock`",
    ),
    (
        "Section 2.2",
        "GroupNorm and ReLU around layers",
        "not mentioned",
        f"{norms} GroupNorms in all",
        "`MambaBlock`",
    ),
    ("Section 2.2", "residual over two layers", "not mentioned", "yes", "`MambaBlock`"),
    (
        "Section 2.1",
        "stem",
        "DWConv",
        "first: 3ᵈ convolution; second: DWConv",
        "`separable_conv`",
    ),
    (
        "Section 2.4, eq. (4)",
        "decoder's order",
        "fuse, DWConv, scale up",
        "narrow, scale up, fuse, convolve",
        "`DecoderBlock`",
    ),
    (
        "Section 2.4, eq. (4)",
        "decoder's convolutions",
        "DWConv",
        "first: two 3ᵈ; second: DWConv",
        "`DWConvBlock`",
    ),
    (
        "Section 2.4",
        "interpolation in 3D",
        '"bilinear"',
        "trilinear, as here",
        "`lightm.kernels.upsample`",
    ),
    (
        "Section 2.1, Figure 2",
        "skip connection at full resolution",
        "none; the figure has an arrow from the stem to the head: `stem_to_head=True`",
        "from the blocks of the first level to the last decoder block",
        "`LightMUNet`, `ReleasedLightMUNet`",
    ),
    (
        "Section 2.1",
        "head",
        "DWConv 3ᵈ",
        f"first: 1ᵈ; second: DWConv whose depthwise kernel is {head[2]}ᵈ",
        "`ReleasedLightMUNet`",
    ),
]
table(
    ["what", "text", "uploads"],
    [(f"**{what}** ({place}): {see}", *cells) for place, what, *cells, see in ways],
    align=":--",
)

# %% [markdown]
# And the training. What the paper says comes from its Section 3; the right column is what the trainer for LightM-UNet in
# the authors' repository sets, which runs inside nnU-Net. We read it there; nothing here verifies it by running it:

# %% tags=["hide-input"]
trainer = TRAINERS["LightM-UNet"]
optimiser, rate, epochs = (
    setting(name, 2).value for name in ("optimiser", "learning rate", "epochs")
)
rows = [
    ("optimiser", optimiser, f"{trainer['optimiser']}, weight decay 1e-5, ε 1e-5"),
    ("learning rate at first", f"{float(rate[-1]):g}", trainer["learning rate"]),
    ("schedule", "PolyLRScheduler", f"{trainer['schedule']}, exponent 0.9"),
    ("gradient clipping", "not mentioned", "norm 12"),
    ("epochs", epochs[0], "100, of 250 iterations"),
]
table(["Section 3", "text", "released trainer"], rows, align=":--")

# %% [markdown]
# The text has one optimiser and one learning rate for all networks; the repository has a trainer for each:

# %% tags=["hide-input"]
keys = ("optimiser", "learning rate", "schedule")
rows = [(name, *(by[key] for key in keys)) for name, by in TRAINERS.items()]
table(["network, in the repository", *keys], rows, align=":--")

# %% [markdown]
# ## What each difference costs
#
# Now from the text's network to the uploads, one difference at a time, in 2D with 3 × 512 × 512 pixels. Where our
# constructors have an option for a difference, the network is built and counted; the norms and factors are counted
# module by module. The rows close: each intermediate sum is asserted against the real upload, to the last parameter.

# %% tags=["hide-input"]
SIZE = (3, 512, 512)


def costs(**options):
    """Parameters and MACs of the text's network with some options, and its modules."""
    with torch.device("meta"):
        return count(build_model("lightm-unet", 2, 3, 2, **options), SIZE)


base = costs()
causal = costs(dwconv="causal")
# 21 layers at the widths of the uploads.
deep = costs(dwconv="causal", depths=(3, 5, 5), bottleneck_depth=8)
upload = {name: count(networks[name], SIZE) for name in ("2024-03-29", "2024-03-17")}


def under(counted, ending):
    return sum(m.params for m in counted.by_module if m.path.endswith(ending))


with torch.device("meta"):
    deep_net = build_model(
        "lightm-unet", 2, 3, 2, dwconv="causal", depths=(3, 5, 5), bottleneck_depth=8
    )
per_channel = sum(
    m.s.numel() - 1 for m in deep_net.modules() if isinstance(m, RVMLayer)
)
group = sum(
    p.numel()
    for p in second.down_layers.modules()
    if isinstance(p, nn.GroupNorm)
    for p in p.parameters()
)


def outside(counted, inside):
    """Parameters and MACs of all but the encoder."""
    rows = [row for row in counted.rows(1) if row.path not in inside]
    return torch.tensor([sum(r.params for r in rows), sum(r.macs for r in rows)])


rest_text = outside(deep, ("encoder", "bottleneck"))
rest = {name: outside(c, ("down_layers",)) for name, c in upload.items()}
rungs = [
    (
        "causal convolution for the spatial one",
        causal.params - base.params,
        causal.macs - base.macs,
    ),
    ("21 RVM layers for 9", deep.params - causal.params, deep.macs - causal.macs),
    ("no LayerNorm after the scan", -under(deep, "mixer.norm"), 0),
    ("one LayerNorm used twice", -under(deep, "norm_out"), 0),
    ("one s for all channels", -per_channel, 0),
    ("GroupNorm in the residual blocks", group, 0),
    (
        "stem, decoder and head: second upload",
        *(rest["2024-03-29"] - rest_text).tolist(),
    ),
    (
        "full convolutions: first upload",
        *(rest["2024-03-17"] - rest["2024-03-29"]).tolist(),
    ),
]
at_second = [
    base.params + sum(r[1] for r in rungs[:-1]),
    base.macs + sum(r[2] for r in rungs[:-1]),
]
assert at_second == [upload["2024-03-29"].params, upload["2024-03-29"].macs]
at_first = [at_second[0] + rungs[-1][1], at_second[1] + rungs[-1][2]]
assert at_first == [upload["2024-03-17"].params, upload["2024-03-17"].macs]

lines = ["| from the text to the uploads | parameters | GMACs |", "|---|--:|--:|"]
lines.append(
    f"| **the text's network** | **{base.params:,}** | **{base.macs / 1e9:.2f}** |"
)
for number, (name, params, macs) in enumerate(rungs):
    lines.append(f"| {name} | {params:+,} | {macs / 1e9:+.2f} |")
    if number >= len(rungs) - 2:
        c = upload["2024-03-29" if number == len(rungs) - 2 else "2024-03-17"]
        which = "second" if number == len(rungs) - 2 else "first"
        lines.append(
            f"| **the {which} upload** | **{c.params:,}** | **{c.macs / 1e9:.2f}** |"
        )
Markdown("\n".join(lines))

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two bar charts of the table above. The step from 9 to 21 RVM layers is by far the longest bar in parameters and in GMACs; the full convolutions of the first upload come next; all other differences are hardly visible"}}
fig, axes = plt.subplots(1, 2, figsize=(6.4, 4.4), sharey=True)
for ax, which, unit, title in (
    (axes[0], 1, 1e6, "million parameters"),
    (axes[1], 2, 1e9, "GMACs"),
):
    values = [r[which] / unit for r in rungs]
    colors = [COLORS[0] if v >= 0 else COLORS[1] for v in values]
    ax.barh(range(len(rungs)), values, color=colors)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_xlabel(title, fontsize=11)
    ax.tick_params(labelsize=10)
short = [
    "causal conv.",
    "21 layers for 9",
    "no LN after scan",
    "one LN twice",
    "one s",
    "GroupNorms",
    "decoder, 2nd",
    "full conv., 1st",
]
axes[0].set_yticks(range(len(rungs)), short)
axes[0].invert_yaxis()
plt.show()

# %%
assert (
    max(rungs, key=lambda r: r[1]) is rungs[1]
    and max(rungs, key=lambda r: r[2]) is rungs[1]
)

# %% [markdown]
# One difference outweighs all others: the number of layers. What the text and the code do *inside* a layer hardly
# shows in the counts, whatever it means for accuracy; that is a matter for measurements, not for counting.
#
# ## The uploads here are the authors' functions
#
# We wrote the uploads anew, on our own scan. Are they the same functions? `tests/models/released_outputs.json` holds outputs
# and gradients that the authors' own two files computed once in float64, on weights that any machine can make again.
# Here are ours, computed now:

# %% tags=["hide-input"]
cases = json.loads(
    (ROOT / "tests/models/released_outputs.json").read_text(encoding="utf-8")
)["cases"]


def fill(model, seed):
    """Weights that depend on the seed and the parameters' names and shapes only.

    Returns the generator, to go on with.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, p in sorted(model.named_parameters()):
            r = torch.rand(p.shape, generator=generator, dtype=torch.float64)
            p.copy_(
                r + 0.5
                if p.ndim == 1
                else (2 * r - 1) / math.sqrt(p.numel() / p.shape[0])
            )
    return generator


for case in cases:
    shape = case["input_shape"]
    model = ReleasedLightMUNet(
        case["spatial_dims"], shape[1], case["out_channels"], case["upload"]
    ).double()
    generator = fill(model, case["seed"])
    x = torch.rand(shape, generator=generator, dtype=torch.float64).requires_grad_()
    y = model(x)
    (
        y * (2 * torch.rand(y.shape, generator=generator, dtype=torch.float64) - 1)
    ).sum().backward()
    ours = [
        *y.flatten()[:4].tolist(),
        *y.flatten()[-4:].tolist(),
        y.norm().item(),
        x.grad.norm().item(),
    ]
    theirs = [
        *case["output"]["first"],
        *case["output"]["last"],
        case["output"]["norm"],
        case["gradient_norms"]["input"],
    ]
    assert all(
        math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
        for a, b in zip(ours, theirs, strict=True)
    )
    print(
        f"{case['upload']}, {case['spatial_dims']}D: norm of the output "
        f"{ours[-2]:.9f}, the authors' {theirs[-2]:.9f}"
    )

# %% [markdown]
# ## Which one to take
#
# * The numbers that the paper's tables print for LightM-UNet belong to the **first upload**: {doc}`09_counting`
#   derives them digit by digit. To compare with the tables, take `lightm-unet-released-2024-03-17`.
# * To go on from the authors' current code or its checkpoints, take `lightm-unet-released-2024-03-29`.
# * To study the idea as the text has it, take `lightm-unet`: it is the smallest of the three.
#
# ## Your own checkpoint of the authors' code
#
# The names in the uploads' `state_dict` are the authors' names, so weights load with `strict=True`. This package reads
# safetensors and never opens a pickle, since a pickle can run any program when it is opened. Convert a checkpoint that
# you trust once, in the environment where it was made:
#
# ```python
# import torch
# from safetensors.torch import save_file
#
# checkpoint = torch.load("checkpoint_final.pth", map_location="cpu", weights_only=False)  # your own file only
# weights = checkpoint["network_weights"]  # nnU-Net's name for them
# save_file({name: tensor.contiguous() for name, tensor in weights.items()}, "lightm.safetensors")
# ```
#
# and load it here:
#
# ```python
# from safetensors.torch import load_file
# model = build_model("lightm-unet-released-2024-03-29", 2, 3, 2)
# model.load_state_dict(load_file("lightm.safetensors"), strict=True)
# ```
#
# The upload must be the one that you trained with: the names differ in stem, decoder and head, and `strict=True` says so.

# %%
names = {
    name: set(networks[name].state_dict()) for name in ("2024-03-17", "2024-03-29")
}
print("names in both:", len(names["2024-03-17"] & names["2024-03-29"]))
print(
    "only in the first:",
    len(names["2024-03-17"] - names["2024-03-29"]),
    " e.g.",
    min(names["2024-03-17"] - names["2024-03-29"]),
)
assert not any(
    n.startswith("down_layers") for n in names["2024-03-17"] ^ names["2024-03-29"]
)

# %% [markdown]
# ## Exercises
#
# ★ takes a line, ★★ some thought, ★★★ an afternoon. `check` says whether an answer is
# right, and if it is not, what to think about.

# %% tags=["hide-input"]
from lightm_book.exercises import check

# %% [markdown]
# :::{exercise} ★ Two filters in a row
# :label: ex-code-receptive
# Two causal convolutions of width 4 follow one another, in row-major order. How many
# tokens can a token in the middle of the image see, itself included?
# :::
#
# :::{hint}
# :class: dropdown
# How many tokens of the past does each add?
# :::
#
# :::{solution} ex-code-receptive
# :class: dropdown
# Each adds three tokens of the past: $1 + 3 + 3 = 7$.
#
# ```python
# tokens_seen = 7
# ```
# :::

# %%
tokens_seen = None  # your answer

check("ex-code-receptive", tokens_seen)

# %% [markdown]
# :::{exercise} ★ Of nine neighbours
# :label: ex-code-neighbours
# A spatial 3 × 3 filter sees nine pixels. How many of these nine does one causal filter
# of width 4 see, for a pixel in the middle of the image?
# :::
#
# :::{hint}
# :class: dropdown
# It sees the pixel and the three before it in its row.
# :::
#
# :::{solution} ex-code-neighbours
# :class: dropdown
# Two: the pixel and the one to its left. The other two tokens lie further left, outside
# of the nine; above, below and to the right it sees nothing.
#
# ```python
# neighbours = 2
# ```
# :::

# %%
neighbours = None  # your answer

check("ex-code-neighbours", neighbours)

# %% [markdown]
# :::{exercise} ★★ One LayerNorm for two
# :label: ex-code-norm
# A LayerNorm over $C$ channels has $2C$ parameters. The upload has one LayerNorm in a
# layer where the text has two. How many parameters does that save in the bottleneck,
# eight layers with 256 channels, in all?
# :::
#
# :::{hint}
# :class: dropdown
# One norm for each of the eight layers.
# :::
#
# :::{solution} ex-code-norm
# :class: dropdown
# $8 \cdot 2 \cdot 256 = 4096$.
#
# ```python
# saved = 8 * 2 * 256
# ```
# :::

# %%
saved = None  # your answer

check("ex-code-norm", saved)

# %% [markdown]
# :::{exercise} ★★ More layers, more reading
# :label: ex-code-tokens
# The released network has 3, 5, 5 and 8 layers where the text has 1, 2, 2 and 4, on the
# same grids. By which factor do its scans read more tokens for an image of 512 × 512?
# :::
#
# :::{hint}
# :class: dropdown
# Weight the layers of each stage with its pixels: 512², 256², 128² and 64².
# :::
#
# :::{solution} ex-code-tokens
# :class: dropdown
# In units of 64²: $3 \cdot 64 + 5 \cdot 16 + 5 \cdot 4 + 8 = 300$ against
# $64 + 2 \cdot 16 + 2 \cdot 4 + 4 = 108$, a factor of 2.78. The number of layers grows
# by 21/9 = 2.33 only: those at the top count most.
#
# ```python
# factor = (3 * 64 + 5 * 16 + 5 * 4 + 8) / (64 + 2 * 16 + 2 * 4 + 4)
# ```
# :::

# %%
factor = None  # your answer

check("ex-code-tokens", factor)

# %% [markdown]
# :::{exercise} ★★★ Open: two descriptions of one network
# :label: ex-code-open
# Take a paper with code that you have used yourself, and compare text and program as
# this chapter does: layer by layer, in the same words. List what is only in one of
# them. For each difference, estimate what it costs or changes before you run anything.
# Then choose one and test it.
# :::
#
# :::{hint}
# :class: dropdown
# `lightm_book.show.steps.steps` lists what any PyTorch module does on the meta device;
# `diff` compares two lists.
# :::
#
# :::{solution} ex-code-open
# :class: dropdown
# A good answer has a table of differences with the place in text and program, separates
# slips of the text from choices that it merely doesn't mention, and reports the one
# test with its spread. It writes to the authors before it writes about them.
# :::

# %% [markdown]
# ## What to remember
#
# * Text and uploads share the idea and differ in four points inside a layer, and in the number of layers around them.
# * The number of layers, 21 for 9, is what costs; the rest of the layer's differences hardly shows.
# * The tables' costs are those of the first upload, which the authors corrected. The text's network is smaller and
#   cheaper than either upload.
# * Both uploads are here as the same functions, and take the authors' weights by name.
#
# **Where to go.** {doc}`09_counting` has the costs; {doc}`08_ablations` and {doc}`12_results` train these networks under one
# recipe; {doc}`../book/what_came_after` says what others found with the authors' code.
