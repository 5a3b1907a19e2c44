# %% [markdown]
# # LightM-UNet
#
# Now the whole network: a U-Net {cite}`ronneberger2015unet` whose encoder and bottleneck consist of RVM layers
# ({doc}`04_rvm_layer`) and whose decoder is a handful of cheap convolutions. This chapter follows Section 2 of the
# paper from image to logits and checks every shape that it states. It also says where the text stops short of a
# program, what this package does there, and what each of those choices costs.
#
# You need: {doc}`03_vss_module` and {doc}`04_rvm_layer`.
#
# At the end you can say
# * which shape the features have at every stage, and where the parameters and the operations are,
# * what the paper leaves open, and by how much it matters,
# * which part of the image a pixel's label can depend on.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %% tags=["hide-input"]
import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

from lightm.counting import count
from lightm.data import load_dataset
from lightm.data.transforms import preprocess
from lightm.errors import LightMError
from lightm.models.unet import DecoderBlock, DWConv, EncoderBlock, LightMUNet, RVMStack
from lightm_book.paper import TABLES
from lightm_book.show.architecture import draw_architecture
from lightm_book.show.figures import COLORS, frames_slider, png_bytes, use_style
from lightm_book.show.notebook import check_profile, show_source
from lightm_book.show.stages import stage_outputs, stage_paths

run = check_profile(
    profile,
    {
        "smoke": {"size": 64, "width": 8, "steps": 40, "device": "cpu"},
        "paper": {"size": 256, "width": 32, "steps": 300, "device": "cuda"},
    },
)
use_style()
torch.manual_seed(0)
torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## The whole thing at once
#
# > LightM-UNet commences by employing a depthwise convolution (DWConv) layer for shallow feature extraction,
# > generating the shallow feature map $F_S\in\mathbb{R}^{32\times H\times W\times D}$ […]. Subsequently,
# > LightM-UNet incorporates three consecutive Encoder Blocks to extract deep features from the images. Post each
# > Encoder Block, the number of channels in the feature maps doubles, while the resolution halves. […] Subsequent
# > to this, LightM-UNet employs a Bottleneck Block to model long-range spatial dependencies while retaining the
# > size of the feature maps unchanged. Following that, LightM-UNet integrates three consecutive Decoder Blocks for
# > feature decoding and image resolution restoration. […] LightM-UNet utilizes a DWConv layer to map the number of
# > channels to the number of segmentation targets and applies a SoftMax activation function to generate the image
# > mask.
# >
# > — {cite}`liao2024lightmunet`, Section 2.1
#
# The network draws itself: every shape and number below comes from the model.

# %% tags=["hide-input"] mystnb={"image": {"alt": "The architecture of LightM-UNet as a U: on the left the image, the stem and three encoder blocks of RVM layers going down, the bottleneck of four RVM layers at the bottom, on the right three decoder blocks, the head and the logits going up; dashed arrows connect encoder and decoder blocks of the same size. Each box gives its output shape and its number of parameters; the bottleneck has most of them"}}
model = LightMUNet(spatial_dims=2, in_channels=1, out_channels=2)
draw_architecture(model, (256, 256))
plt.show()

# %% [markdown]
# The forward pass in the package, the letters of the comments as in the text:

# %%
show_source(LightMUNet.forward)

# %% [markdown]
# ## Every shape the paper states
#
# > LightM-UNet extracts deep features $F_D^l\in\mathbb{R}^{(32\times 2^l)\times(H/2^l)\times(W/2^l)\times(D/2^l)}$
# > at the $l$-th Encoder Block, where $l\in\{1,2,3\}$. […] the output of the last Decoder Block attains the same
# > resolution as the original image, comprising 32 feature channels.
# >
# > — Section 2.1
#
# The paper writes for 3D. Both networks, on PyTorch's *meta* device, where tensors have shapes but no memory:


# %%
def shape_table(size):
    """Stage, shape and tokens L for images of a size, checked against Section 2.1."""

    def stated(channels, level):
        return (channels, *(s // 2**level for s in size))

    with torch.device("meta"):
        stages = stage_outputs(LightMUNet(len(size), 1, 3), torch.empty(1, 1, *size))
    expected = {
        "stem": stated(32, 0),
        "bottleneck": stated(256, 3),
        "head": stated(3, 0),
    }
    for l in (1, 2, 3):
        expected[f"encoder {l}"] = stated(32 * 2**l, l)  # F_D^l
        expected[f"decoder {l}"] = stated(32 * 2 ** (l - 1), l - 1)  # halved, doubled
    for name, y in stages.items():
        assert tuple(y.shape[1:]) == expected.pop(name)
        shape = " × ".join(f"{n:>3}" for n in y.shape[1:])
        print(f"{name:<12}{shape:<26}{math.prod(y.shape[2:]):>10,}")
    assert not expected  # nothing is missing


for size in (512, 512), (128, 128, 128):
    print(f"{len(size)}D, {' × '.join(map(str, size))}")
    print(f"{'stage':<12}{'channels × size':<26}{'pixels':>10}")
    shape_table(size)
    print()

# %% [markdown]
# (Section 2.2 describes block $l$ with $32\times 2^l$ channels at its *input*, which fits these shapes if it counts
# blocks from 0.)
#
# ## Encoder and bottleneck
#
# > […] the Encoder Block initially flattens and transposes the feature map into a shape of $(\check L,\check C)$
# > […]. Subsequently, the Encoder Block utilizes $N_l$ consecutive RVM Layers to capture global information, with
# > the number of channels increased in the last RVM Layer. Following this, the Encoder Block reshapes and
# > transposes the feature map […], succeeded by a Max-Pooling operation to reduce the resolution of the feature
# > map.
# >
# > — Section 2.2

# %%
show_source(RVMStack)

# %%
show_source(EncoderBlock.forward)

# %% [markdown]
# $N_l$ is 1, 2, 2 (the paper gives it with its experiments), and the bottleneck is a stack of four layers at
# 256 channels. The last layer of a block does the doubling, in its projection:

# %%
stacks = {f"encoder {l}": block.stack for l, block in enumerate(model.encoder, start=1)}
stacks["bottleneck"] = model.bottleneck
widths = {
    name: [(layer.proj.in_features, layer.proj.out_features) for layer in stack.layers]
    for name, stack in stacks.items()
}
for name, pairs in widths.items():
    print(f"{name}:", ", ".join(f"{before} → {after}" for before, after in pairs))
assert [len(pairs) for pairs in widths.values()] == [1, 2, 2, 4]
assert widths["bottleneck"] == 4 * [(256, 256)]

# %% [markdown]
# ## Decoder
#
# > […] the Decoder Block first performs feature fusion using an addition operation. Subsequently, it utilizes a
# > DWConv, a residual connection, and a ReLU activation function to decode the feature map. Additionally, an
# > adjustment factors $s'$ is added to the residual connection to enhance the decoding capability.
# >
# > — Section 2.4
#
# $$
# P_{out} = \mathrm{ReLU}(\mathrm{DWConv}(P_{in} + F_D^l) + s' \cdot (P_{in} + F_D^l))
# $$ (eq-decoder)

# %%
show_source(DecoderBlock.forward)

# %%
torch.manual_seed(0)
block = DecoderBlock(channels=4, spatial_dims=2)
p, skip = torch.randn(2, 1, 4, 3, 3)  # P_in and F_D^l, each (B, C, H, W)
with torch.no_grad():
    fused = p + skip
    s = block.s.view(-1, 1, 1)
    p_out = torch.relu(block.dwconv(fused) + s * fused)  # the equation
    weight, bias = block.halve.weight[:, :, 0, 0], block.halve.bias.view(-1, 1, 1)
    halved = torch.einsum("oc,bchw->bohw", weight, p_out) + bias
    out = F.interpolate(halved, scale_factor=2, mode="bilinear")
    assert torch.allclose(block(p, skip), out, atol=1e-6)
print("P_in", tuple(p.shape), "-> P_out", tuple(p_out.shape))
print("-> half the channels, twice the size", tuple(out.shape))

# %% [markdown]
# The equation keeps the number of channels, while Section 2.1 says that each block halves it. Something has to do that;
# here it is a pointwise convolution. It may stand before or after the interpolation. Without its bias, one is a linear
# map of the channels, the same at every pixel, and the other a linear map of the pixels, the same for every channel;
# such maps commute. A bias is added to every pixel alike, and the interpolation keeps it as it is because its weights
# sum to 1. So the convolution stands before the interpolation, where there are fewer pixels:


# %%
def double(x):
    """x (B, C, H, W) -> (B, C, 2H, 2W)."""
    return F.interpolate(x, scale_factor=2, mode="bilinear")


with torch.no_grad():
    assert torch.allclose(block.halve(double(p_out)), out, atol=1e-6)
    ones = torch.ones(1, 1, 3, 3)
    assert torch.equal(double(ones), torch.ones(1, 1, 6, 6))  # the weights sum to 1

# %% [markdown]
# ## Where the parameters are, and where the work
#
# `lightm.counting.count` counts every parameter once and every multiply-accumulate (MAC) of one image, the scan
# included.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Horizontal bars for each stage: the bottleneck has about four fifths of the parameters and a third of the operations; the three encoder blocks have the larger part of the operations and few parameters; the decoder little of either"}}
counted = count(model, (1, 512, 512))
parts = {name: counted.at(path) for name, path in stage_paths(model).items()}
assert sum(part.params for part in parts.values()) == counted.params
assert sum(part.macs for part in parts.values()) == counted.macs

fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.2), sharey=True)
for ax, key, title in zip(
    axes, ("params", "macs"), ("parameters", "MACs, 512 × 512"), strict=True
):
    total = getattr(counted, key)
    values = [100 * getattr(part, key) / total for part in parts.values()]
    ax.barh(list(parts), values)
    ax.set(title=title, xlabel="%", xlim=(0, 100))
axes[0].invert_yaxis()
plt.show()
print(counted.table(depth=1))
encoder_macs = sum(parts[f"encoder {l}"].macs for l in (1, 2, 3)) / counted.macs
assert 0.75 < parts["bottleneck"].params / counted.params < 0.85  # four fifths
assert 0.3 < parts["bottleneck"].macs / counted.macs < 0.37  # a third
assert 0.55 < encoder_macs < 0.65  # three fifths

# %% [markdown]
# The bottleneck holds four fifths of the parameters; the encoder, at high resolution, does three fifths of the work.
#
# ### That is not what the paper prints

# %%
printed = TABLES[2]["LightM-UNet", "Params(M)"]
print(f"as printed in Table 2 (2D): {printed} M parameters")
rgb = LightMUNet(2, 3, 2)  # of three channels, as in the authors' data set file
ours = sum(p.numel() for p in rgb.parameters()) / 1e6
print(
    f"the network of the text:    {ours:.2f} M, {ours / float(printed):.1f} times that"
)
assert round(ours, 2) != float(printed)

# %% [markdown]
# How can that be? The short answer: the printed number is the one that a counting tool reports for the authors' *first
# upload*, another network than the text's, of whose Mamba blocks that tool sees nothing. With one convention, nearly
# all numbers under Params(M) and GFLOPs in the paper's tables can be reproduced to every digit. {doc}`09_counting`
# shows it step by step, for the networks that LightM-UNet is compared with as well, and says what follows for the
# paper's claims and what doesn't; {doc}`10_paper_and_code` sets the text beside both uploads. In this chapter every
# parameter is counted once.
#
# ## What the text leaves open
#
# No description of a few pages can state everything. Where the text leaves a choice, the package has a default and, if
# another reading is as good, an argument. What each costs, counted:

# %% tags=["hide-input"]
choices = {
    "the default": {},
    "λ = 1": {"expansion": 1},
    "λ = 4": {"expansion": 4},
    "DWConv causal": {"dwconv": "causal"},
    "2 directions": {"directions": 2},
    "4 directions": {"directions": 4},
    "state size N = 8": {"d_state": 8},
    "state size N = 32": {"d_state": 32},
    "no factors s": {"adjustment": False},
    "stem added to the head": {"stem_to_head": True},
}
print(f"{'2D, one 512 × 512 image':<26}{'parameters':>12}{'G MACs':>9}")
table = {}
for name, options in choices.items():
    with torch.device("meta"):
        other = LightMUNet(2, 1, 2, **options)
    c = table[name] = count(other, (1, 512, 512))
    more = [100 * (c.params / counted.params - 1), 100 * (c.macs / counted.macs - 1)]
    change = f"{more[0]:>+9.1f}%{more[1]:>+7.1f}%" if options else ""
    print(f"{name:<26}{c.params:>12,}{c.macs / 1e9:>9.2f}{change}")
assert max(table.values(), key=lambda c: c.params) == table["λ = 4"]
assert max(table.values(), key=lambda c: c.macs) == table["λ = 4"]  # λ matters most
arrow = table["stem added to the head"]  # an addition is neither:
assert (arrow.params, arrow.macs) == (counted.params, counted.macs)

# %% [markdown]
# | The text says | Open | Here | Argument |
# |---|---|---|---|
# | "a pre-defined channel expansion factor" λ | its value | 2, as Mamba {cite}`gu2023mamba` and the published code | `expansion` |
# | "DWConv" in the VSS Module | on the grid or along the tokens | on the grid, as VMamba {cite}`liu2024vmamba` | `dwconv` |
# | "SSM" | how many scan directions | one, as the published code | `directions` |
# | "SSM" | state size, rank of Δ | 16 and ⌈C/16⌉, as Mamba | `d_state`, `dt_rank` |
# | "DWConv" in stem, decoder and head | depthwise alone can't change the channels | depthwise 3ᵈ, then pointwise | – |
# | "channels […] halved" after each Decoder Block | by what | a pointwise convolution | – |
# | "bilinear interpolation", for a 3D network | in 3D | trilinear | – |
# | skip connections "for the decoder"; Figure 2 has one more dashed arrow, from the first DWConv to the last | whether the stem's output also reaches the head | it doesn't, as in the text; or it is added to the head's input | `stem_to_head` |
# | "SoftMax" at the end | – | the network returns logits; loss and inference apply it | – |
# | biases and initial values | all | linear layers of the VSS Module have no bias; as Mamba, else PyTorch's defaults | – |
#
# ### The arrow from the stem to the head
#
# In the paper's Figure 2 a dashed arrow leads from the first DWConv to the last. The text doesn't mention it: it gives
# skip connections $F_D^l$ for $l\in\{1,2,3\}$ to the Decoder Blocks and none to the last layer. The arrow fits the
# shapes, because $F_S$ and the output of the last Decoder Block both have 32 channels at the resolution of the image,
# and since it looks like the other skip connections, it is read as an addition here, too. It costs no parameter and no
# MAC, and it would be the only connection at full resolution: in the text's network whatever reaches the head has
# passed through a max-pooling. The package follows the text unless `stem_to_head=True`:

# %%
torch.manual_seed(0)
with_arrow = LightMUNet(2, 1, 2, width=8, stem_to_head=True)
without = LightMUNet(2, 1, 2, width=8)
without.load_state_dict(with_arrow.state_dict())  # the same parameters fit both
x = torch.randn(1, 1, 32, 32)
parts = stage_outputs(without, x)
with torch.no_grad():
    assert torch.equal(with_arrow(x), without.head(parts["decoder 1"] + parts["stem"]))
for name in ("stem", "decoder 1"):
    print(f"{name:<10} {tuple(parts[name].shape)}")

# %% [markdown]
# ### The stem of a gray image
#
# One reading has a consequence that the table doesn't show. A depthwise convolution has one filter for each *input*
# channel. A gray image has one channel, so the stem has one filter, and its 32 outputs are one filtered picture in 32
# scalings, each with a constant added:

# %% tags=["hide-input"]
data = load_dataset("phantom-cxr", cases=24, size=run.size)
cases = [
    preprocess(data.read(c), (run.size,) * 2, data.normalise) for c in data.case_ids
]
images, labels = zip(*cases, strict=True)
images = torch.stack(images).to(run.device)  # (24, 1, H, W), synthetic
labels = torch.stack(labels).long().to(run.device)  # (24, H, W)


def stem_rank(in_channels):
    """The number of independent pictures among the stem's 32 channels."""
    torch.manual_seed(0)
    stem, x = DWConv(in_channels, 32, 2), torch.randn(1, in_channels, 16, 16)
    with torch.no_grad():
        features = stem(x)[0].flatten(1)  # (32, H * W)
    centred = features - features.mean(1, keepdim=True)
    return torch.linalg.matrix_rank(centred, rtol=1e-4).item()


for in_channels in (1, 3):
    print(f"input channels {in_channels}, ", end="")
    print(f"independent pictures among 32: {stem_rank(in_channels)}")
assert stem_rank(1) == 1 and stem_rank(3) == 3

# %% [markdown]
# The filters of the first layer's DWConv have to make up for it. (How many channels the authors' radiographs had, the
# paper doesn't say. Their [data set
# file](https://github.com/MrBlankness/LightM-UNet/blob/6b72e27ba70c499ba8f6f341843de75262086fa5/data/nnUNet_raw/Dataset802_LungXray/dataset.json)
# names three, R, G and B. Three equal channels of a gray picture give three filters.)
#
# ## What a pixel's label can depend on
#
# "To capture global information" is what the RVM layers are for. Does every pixel see the whole image? As in
# {doc}`03_vss_module`, ask for the gradient of one output pixel, now through the whole network, in double precision, so
# that small isn't mistaken for zero.


# %% tags=["hide-input"] mystnb={"image": {"alt": "Three maps of an image with a marked pixel in the upper half, coloured by how much each place influences the pixel. With one direction and causal convolution everything above is visible and only a thin band below; with one direction and spatial convolution a wider band below; with two directions everything"}}
def network_influence(size, pixel, **options):
    """|d logits at `pixel` / d image|, the larger of two random images: (H, W)."""
    torch.manual_seed(0)
    network = LightMUNet(2, 1, 2, width=8, **options).double().to(run.device)
    total = torch.zeros(size, dtype=torch.float64)
    # Max-pooling hides three of four pixels; another image hides others.
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(1, 1, *size, generator=generator, dtype=torch.float64)
        x = x.to(run.device).requires_grad_()
        logits = network(x)[0, :, *pixel]
        (gradient,) = torch.autograd.grad(logits.abs().sum(), x)
        total = torch.maximum(total, gradient[0, 0].abs().cpu())
    return total


def rows_below(field, pixel):
    """How many rows below the pixel there is an influence."""
    return (field > 0).any(1).nonzero().max().item() - pixel[0]


size, pixel = (192, 192), (64, 96)
readings = {
    "1 direction, causal DWConv": {"dwconv": "causal"},
    "1 direction": {},
    "2 directions": {"directions": 2},
}
fields = {name: network_influence(size, pixel, **o) for name, o in readings.items()}
fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.8))
for ax, (name, field) in zip(axes, fields.items(), strict=True):
    coarse = F.max_pool2d(field[None, None], 4)[0, 0]
    shades = torch.log10(coarse / field.max()).masked_fill(coarse == 0, torch.nan)
    extent = (0, size[1], size[0], 0)
    shown = ax.imshow(shades, cmap="viridis", vmin=-10, vmax=0, extent=extent)
    ax.plot(*reversed(pixel), "o", markersize=5, color="none", mec=COLORS[1], mew=2)
    ax.set_title(name, fontsize=10)
    ax.set_axis_off()
fig.colorbar(shown, ax=axes, shrink=0.7, label="log10, relative")
plt.show()

below = {name: rows_below(field, pixel) for name, field in fields.items()}
print(f"{'':<28}of the image seen, rows below the pixel")
for name, field in fields.items():
    seen = 100 * (field > 0).double().mean()
    print(f"{name:<28}{seen:>15.1f} %{below[name]:>23}")
causal, one, two = below.values()
assert causal < one < 100 and two == size[0] - 1 - pixel[0]
# above: always up to the first row
assert all((field[: pixel[0]] > 0).any(1).all() for field in fields.values())

# %% [markdown]
# With one direction the network sees all of what lies above and before the pixel, but below it only as far as the
# convolutions, the pooling and the interpolation reach. Is that reach the same whatever the size of the image? Ask two
# more sizes:

# %%
for other in ((128, 128), (256, 128)):
    line = []
    for name in ("1 direction, causal DWConv", "1 direction"):
        field = network_influence(other, (32, 64), **readings[name])
        line.append(rows_below(field, (32, 64)))
    print(f"{other[0]} x {other[1]}: {line[0]} rows (causal DWConv), {line[1]} rows")
    assert line == [causal, one]

elsewhere = network_influence((128, 128), (35, 64), dwconv="causal")
assert 0 < abs(rows_below(elsewhere, (35, 64)) - causal) < 8  # another place in a cell

# %% [markdown]
# It is: that reach is a property of the architecture, and no training can extend it. (It changes by a few rows with the
# place of the pixel between the cells of the pooling, which is the same in all three images.) Two directions lift the
# limit, for the price in the table. Whether the accuracy profits is for {doc}`08_ablations` to say: what decides a
# label is often near.
#
# ## Watching the stages
#
# A very small network (`width` 8, all parts included) learns lungs on synthetic radiographs for a few dozen steps; then
# we look at its stages on a case that it hasn't seen.

# %% tags=["hide-input"]
torch.manual_seed(0)
small = LightMUNet(2, 1, 2, width=run.width).to(run.device)
optimiser = torch.optim.AdamW(small.parameters(), lr=1e-2)
losses = []
for step in range(run.steps):
    batch = torch.arange(4 * step, 4 * step + 4) % 20  # four cases are held out
    loss = F.cross_entropy(small(images[batch]), labels[batch])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(loss.item())
assert losses[-1] < 0.5 * losses[0]

case = 20
frames, names = [], []
for name, y in stage_outputs(small, images[case : case + 1]).items():
    variance = y[0].flatten(1).var(1)  # (C,)
    busiest = variance.topk(min(3, y.shape[1])).indices.tolist()
    fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.3))
    axes[0].imshow(images[case, 0].cpu())
    axes[0].set_title("image (synthetic)", fontsize=10)
    for ax, channel in zip(axes[1:], busiest, strict=False):
        ax.imshow(y[0, channel].cpu())
        ax.set_title(f"channel {channel}", fontsize=10)
    for ax in axes:
        ax.set_axis_off()
    fig.suptitle(f"{name}: {' × '.join(map(str, y.shape[1:]))}", fontsize=12)
    frames.append(png_bytes(fig))
    names.append(name)
frames_slider(
    frames,
    names,
    alt="Three channels of the features of a synthetic chest radiograph at every "
    "stage of a trained small LightM-UNet",
    caption="The three channels that vary most. Resolution falls to an eighth and "
    "rises again.",
)

# %% [markdown]
# The last stage is logits. `softmax` over the classes makes probabilities of them, the largest is the label:

# %% tags=["hide-input"] mystnb={"image": {"alt": "A synthetic radiograph, the true lungs, and the lungs that the small network predicts: nearly the same shapes"}}
with torch.no_grad():
    probabilities = small(images[case : case + 1]).softmax(1)  # (1, K, H, W)
predicted, true = probabilities.argmax(1)[0], labels[case]
both = ((predicted == 1) & (true == 1)).sum()
overlap = (2 * both / ((predicted == 1).sum() + (true == 1).sum())).item()
fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.6))
shown = {"image (synthetic)": images[case, 0], "truth": true, "prediction": predicted}
for ax, (title, image) in zip(axes, shown.items(), strict=True):
    ax.imshow(image.cpu())
    ax.set_title(title, fontsize=11)
    ax.set_axis_off()
plt.show()
assert torch.allclose(probabilities.sum(1), torch.ones_like(probabilities[:, 0]))
print("Dice above 0.5:", overlap > 0.5)
assert overlap > 0.5

# %% [markdown]
# A proper training, with validation and a proper score, is {doc}`06_training`.
#
# ## In 3D, and when the size doesn't fit
#
# The same class makes the 3D network. Three poolings require sizes that are divisible by 8; for an image that doesn't
# fit, the error names sizes that would:

# %%
volume_data = load_dataset("phantom-ct", cases=1, size=32)
case = volume_data.read(volume_data.case_ids[0])
volume, _ = preprocess(case, (32, 32, 32), volume_data.normalise)
network = LightMUNet(spatial_dims=3, in_channels=1, out_channels=3, width=8)
with torch.no_grad():
    logits = network(volume[None])
print("a synthetic CT", tuple(volume[None].shape), "-> logits", tuple(logits.shape))

size_is_wrong = torch.zeros(1, 1, 100, 100)
too_many_channels = torch.zeros(1, 3, 64, 64)
not_normalised = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
for wrong in (size_is_wrong, too_many_channels, not_normalised):
    try:
        model(wrong)
    except LightMError as error:
        print("error:", str(error).replace(": ", ":\n       ", 1))

# %% [markdown]
# ## Exercises
#
# ★ takes a line, ★★ some thought, ★★★ an afternoon. `check` says whether an answer is
# right, and if it is not, what to think about.

# %% tags=["hide-input"]
from lightm_book.exercises import check

# %% [markdown]
# :::{exercise} ★ The shape after two blocks
# :label: ex-unet-block
# An image has 64 × 96 pixels. Which shape (channels, height, width) does the second
# encoder block of the 2D network give, $F_D^2$?
# :::
#
# :::{hint}
# :class: dropdown
# Each block doubles the channels, 32 at first, and halves both axes.
# :::
#
# :::{solution} ex-unet-block
# :class: dropdown
# Twice doubled and twice halved: $(128, 16, 24)$.
#
# ```python
# shape = (128, 16, 24)
# ```
# :::

# %%
shape = None  # your answer: (channels, height, width)

check("ex-unet-block", shape)

# %% [markdown]
# :::{exercise} ★ Twice as wide
# :label: ex-unet-width
# `width=64` doubles all channels. By about which factor do the parameters grow? Guess a
# whole number first.
# :::
#
# :::{hint}
# :class: dropdown
# Which axes of a linear layer's weight double?
# :::
#
# :::{solution} ex-unet-width
# :class: dropdown
# About 4. Nearly all parameters are in linear layers from $C$ to a multiple of $C$
# channels, and both ends double. Not quite 4, because some parts grow only in
# proportion to $C$: depthwise filters, norms, $A$, $D$, $s$.
#
# ```python
# factor = 4
# ```
# :::

# %%
factor = None  # your guess

check("ex-unet-width", factor)

# %% [markdown]
# :::{exercise} ★★ How much is read
# :label: ex-unet-tokens
# How many tokens do the scans read, all RVM layers of the 2D network together, for one
# image of 512 × 512? (A layer reads the tokens of its own resolution, before the
# pooling.)
# :::
#
# :::{hint}
# :class: dropdown
# 1, 2, 2 and 4 layers, at 512², 256², 128² and 64² pixels.
# :::
#
# :::{solution} ex-unet-tokens
# :class: dropdown
# One layer at 512², two at 256², two at 128², four at 64²: the sum is 442,368.
#
# ```python
# tokens = 512**2 + 2 * 256**2 + 2 * 128**2 + 4 * 64**2
# ```
# :::

# %%
tokens = None  # your answer

check("ex-unet-tokens", tokens)

# %% [markdown]
# :::{exercise} ★★ Images of any size
# :label: ex-unet-pad
# The network takes sizes that are multiples of 8. Write a function that pads a batch of
# images, 2D or 3D, with zeros at the end of each axis to the next size that fits, and
# leaves alone what fits already.
# :::
#
# :::{hint}
# :class: dropdown
# `-size % 8` is what is missing to the next multiple of 8. `F.pad` counts axes from the
# last one backwards, and takes (before, after) for each.
# :::
#
# :::{solution} ex-unet-pad
# :class: dropdown
# Beware of `8 - size % 8`, which adds eight zeros to a size that fits.
#
# ```python
# def pad_to_fit(x):
#     missing = [-size % 8 for size in x.shape[2:]]
#     return F.pad(x, [n for m in reversed(missing) for n in (0, m)])
# ```
# :::


# %%
def pad_to_fit(x):
    return None  # your answer


check("ex-unet-pad", pad_to_fit)

# %% [markdown]
# :::{exercise} ★★★ Open: a gap in the text
# :label: ex-unet-open
# The text leaves open how many directions are scanned, which DWConv is meant, and what
# halves the decoder's channels. Choose one of them. Collect everything in the paper
# that speaks for one reading or the other: words, equations, figures, printed counts.
# Which reading would you implement, and what would change your mind?
# :::
#
# :::{hint}
# :class: dropdown
# Figure 2, the ablations and Table 1's costs are evidence, too;
# {doc}`10_paper_and_code` has the authors' own program.
# :::
#
# :::{solution} ex-unet-open
# :class: dropdown
# A good answer separates what is said from what is customary, counts (a reading must
# reproduce the printed numbers under a convention that also fits the other rows), uses
# the released code as evidence for what was run rather than for what was meant, and
# says what it could not decide.
# :::

# %% [markdown]
# ## In short
#
# * All shapes of Section 2.1 hold; what halves the channels in the decoder had to be added.
# * Four fifths of the parameters are in the bottleneck, three fifths of the operations in the encoder.
# * The network of the text has more parameters than Table 2 prints for LightM-UNet. The printed number belongs to another
#   network, counted by a tool that misses part of it.
# * λ, the DWConv and the directions are open in the text. One direction leaves a pixel blind to what is far below it,
#   whatever the size of the image.
#
# **Where to go.** {doc}`06_training` trains it. {doc}`09_counting` is for those who want to know at once where the printed
# numbers come from.
