# %% [markdown]
# # The VSS module
#
# A state-space model reads a sequence. An image isn't one. The *Vision State-Space (VSS) module* is what
# LightM-UNet puts between the two: it lays the pixels in a row, mixes each with its neighbours, lets the selective
# scan of the last chapter carry information along the row, and gates the result. This chapter takes it apart with
# the package's own code, then looks at what every part does to an image.
#
# You need: convolutions, and the definition at the beginning of {doc}`02_selective_scan`.
#
# At the end you can say
# * how an image becomes a sequence without copying a number,
# * what each part of the module may look at, and what it can't see,
# * how far the scan remembers, in pixels, and what scanning in more directions buys and costs.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %% tags=["hide-input"]
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from lightm.data import load_dataset
from lightm.data.transforms import preprocess
from lightm.models import build_model
from lightm.models.vss import (
    CausalDWConv,
    SelectiveSSM,
    SpatialDWConv,
    VSSModule,
    from_direction,
    ssm_parameters,
    to_direction,
    tokens_to_volume,
    volume_to_tokens,
)
from lightm_book.show.blocks import draw_vss_module
from lightm_book.show.figures import COLORS, frames_slider, png_bytes, use_style
from lightm_book.show.notebook import check_profile, show_source

run = check_profile(
    profile,
    {
        "smoke": {"size": 64, "width": 16, "steps": 30, "device": "cpu"},
        "paper": {"size": 256, "width": 32, "steps": 300, "device": "cuda"},
    },
)
use_style()
torch.manual_seed(0)
torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## What the paper says
#
# > The VSS Module takes the feature $W_{in}^{l} \in \mathbb{R}^{\check L\times\check C}$ as input and channels it
# > into two parallel branches. In the first branch, the VSS Module expands the feature channels to
# > $\lambda\times\check C$ using a linear layer […]. Subsequently, it applies a DWConv, SiLU activation function,
# > followed by the SSM and LayerNorm. In the second branch, the VSS Module also expands the feature channels to
# > $\lambda\times\check C$ using a linear layer, followed by the SiLU activation function. Subsequently, the VSS
# > Module aggregates features from the two branches using the Hadamard product and projects the channel number back
# > to $\check C$ […].
# >
# > — {cite}`liao2024lightmunet`, Section 2.2
#
# $$
# \begin{aligned}
# W_1 &= \mathrm{LayerNorm}(\mathrm{SSM}(\mathrm{SiLU}(\mathrm{DWConv}(\mathrm{Linear}(W_{in}))))) \\
# W_2 &= \mathrm{SiLU}(\mathrm{Linear}(W_{in})) \\
# W_{out} &= \mathrm{Linear}(W_1 \odot W_2)
# \end{aligned}
# $$ (eq-vss)
#
# Drawn from the module itself, with the channels of the network's first layer and one box for each part:

# %% tags=["hide-input"] mystnb={"image": {"alt": "Block diagram of the VSS module. The input splits into two branches: on the left linear, DWConv and SiLU, SSM, LayerNorm; on the right linear and SiLU. Their product goes through a linear layer to the output. Each box gives its parameters; the SSM has the most"}}
first = VSSModule(channels=32, spatial_dims=2)
draw_vss_module(first)
plt.show()
largest = max(
    first.children(), key=lambda part: sum(p.numel() for p in part.parameters())
)
assert largest is first.ssms

# %% [markdown]
# And this is {eq}`eq-vss` in the package; its fourth line is LayerNorm, SiLU and product of the two branches in one
# pass over memory:

# %%
show_source(VSSModule.forward, start="u = F.silu")

# %% [markdown]
# $\lambda C$ is called $D$ from here on, the *inner channels*. The rest of the chapter goes through these five
# lines.
#
# ## An image as a row of tokens
#
# A *token* is one pixel with all its channels. The pixels of a volume $(B, C, H, W)$ are read row by row, which gives
# $(B, L, C)$ with $L = HW$:

# %%
show_source(volume_to_tokens)

# %%
show_source(tokens_to_volume)

# %% [markdown]
# Both are *views*: they change how memory is described, not what is in it. That works because the network keeps its
# volumes in the *channels-last* format, where the channels of one pixel lie side by side. Then "all channels of pixel
# (0, 0), all channels of pixel (0, 1), …" is the row of tokens already.

# %%
grid = (2, 3)
tokens = torch.arange(6 * 4.0).view(1, 6, 4)  # (B, L, C): token k has 4k, ..., 4k + 3
volume = tokens_to_volume(tokens, grid)  # (B, C, H, W)
print("channel 0 of the volume:", volume[0, 0], sep="\n")
assert volume.data_ptr() == tokens.data_ptr()  # the same memory
assert volume.is_contiguous(memory_format=torch.channels_last)
assert torch.equal(volume_to_tokens(volume), tokens)

# %% [markdown]
# ## The module on six tokens
#
# Six tokens with $C = 4$ channels are small enough to print; inside there are $D = 8$. Each name below is a part of the
# module; running them one after the other must give what the module gives.


# %%
def parts_of(vss, x, grid):
    """Every intermediate result of a VSS module, by name."""
    steps = {"in_proj": vss.in_proj(x)}  # (B, L, D)
    steps["dwconv"] = vss.dwconv(steps["in_proj"], grid)
    steps["SiLU"] = F.silu(steps["dwconv"])
    steps["SSM"] = vss.ssm(steps["SiLU"], grid)
    steps["LayerNorm"] = vss.norm(steps["SSM"])  # W1
    steps["gate"] = F.silu(vss.gate_proj(x))  # W2
    steps["product"] = steps["LayerNorm"] * steps["gate"]
    steps["out_proj"] = vss.out_proj(steps["product"])  # (B, L, C)
    return steps


vss = VSSModule(channels=4, spatial_dims=2)
x = torch.randn(1, 6, 4)
with torch.no_grad():
    steps = parts_of(vss, x, grid)
    for name, value in steps.items():
        print(f"{name:<10} {tuple(value.shape)}")
    assert torch.equal(steps["out_proj"], vss(x, grid))
steps["out_proj"][0]

# %% [markdown]
# ## DWConv: who talks to whom before the scan
#
# The paper says "DWConv", a depthwise convolution: each channel is filtered by itself. It doesn't say over what. Two
# readings are possible, and the package has both:
#
# * `dwconv="spatial"`: a $3\times3$ (3D: $3\times3\times3$) filter on the grid, as in VMamba {cite}`liu2024vmamba`,
#   which the paper says it follows. This is the default.
# * `dwconv="causal"`: Mamba's filter over the last four tokens {cite}`gu2023mamba`, as in the code that the authors
#   published.

# %%
show_source(SpatialDWConv.forward)

# %%
show_source(CausalDWConv.forward)

# %% [markdown]
# A direct way to see what a part may look at is the gradient of one output pixel with respect to every input pixel.
# With weights and an input drawn at random, it is exactly zero only where no path leads from the input pixel to the
# output.


# %%
def influence(function, grid, pixel, channels):
    """|d output at `pixel` / d input|, summed over channels: (*grid)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, math.prod(grid), channels, generator=generator)  # (B, L, C)
    x.requires_grad_()
    y = tokens_to_volume(function(x), grid)  # (B, C, H, W)
    (gradient,) = torch.autograd.grad(y[(0, slice(None), *pixel)].sum(), x)
    return gradient.abs().sum(-1).view(grid)


grid, pixel = (5, 7), (2, 1)
for dwconv in SpatialDWConv(8, 2), CausalDWConv(8, 2):
    seen = influence(lambda x, conv=dwconv: conv(x, grid), grid, pixel, 8) > 0
    print(f"{type(dwconv).__name__}: what pixel (row 2, column 1) sees")
    for row in seen.tolist():
        print(*("■" if s else "·" for s in row))

# %% [markdown]
# The causal filter knows nothing of the image: from column 1 it reaches back over the edge, to the end of the row
# above. The spatial one sees the pixel's real neighbours, including those that come later. So with
# `dwconv="spatial"` the module as a whole isn't causal, even though the scan is.
#
# ## The SSM: selection
#
# Chapter 2 defined the scan; the class `SelectiveSSM` feeds it. $\Delta$, $B$ and $C$ are *computed from the token
# itself*, that is the selection. $A$ and $D$ are learnt constants.

# %%
show_source(SelectiveSSM.forward)

# %% [markdown]
# The two projections are small: `x_proj` reads $R + 2N$ numbers off each token ($R$ = `dt_rank` = $\lceil C/16\rceil$,
# $N$ = 16), and `dt_proj` expands $R$ of them to one step size $\Delta$ for each of the $D$ channels, which a
# {term}`softplus` makes positive.
#
# How it starts matters, because $\Delta$ and $A$ set the memory. While $\Delta$ stays the same, a state decays to
# $e^{-k\Delta|A|}$ in $k$ tokens, so it forgets half of what it knows in $\ln 2/(\Delta|A|)$ tokens. The module starts as
# Mamba does: $A = -1, \dots, -N$ in every channel, $\Delta$ spread log-uniformly from 0.001 to 0.1 for an input of
# zero.

# %%
show_source(ssm_parameters)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Histogram of half-lives on a logarithmic axis from 0.4 to 700 tokens, most between 1 and 50; dashed lines mark the length of an image row at 64, 256 and 512 pixels, to the right of nearly all of it"}}
ssm = SelectiveSSM(channels=512, d_state=16, dt_rank=16)
with torch.no_grad():
    delta = F.softplus(ssm.dt_bias)  # (D,), what an input of zero gives
    half_life = math.log(2) / (delta[:, None] * ssm.A_log.exp())  # (D, N), in tokens
assert 0.001 <= delta.min() and delta.max() <= 0.1
assert 0.4 < half_life.min() and half_life.max() < 700

fig, ax = plt.subplots()
ax.hist(half_life.flatten(), bins=np.geomspace(0.4, 700, 40))
for width in (64, 256, 512):
    ax.axvline(width, color=COLORS[-1], linestyle="--", linewidth=1)
    top = ax.get_ylim()[1] * 0.97
    style = {"rotation": 90, "ha": "right", "va": "top", "fontsize": 9}
    ax.text(width * 0.93, top, f"row of {width}", **style)
label = "half-life of a state at the start of training (tokens)"
ax.set(xscale="log", xlabel=label, ylabel="states")
plt.show()

shares = {w: (half_life > w).float().mean().item() for w in (64, 256, 512)}
print("states whose half-life exceeds one row:")
for width, share in shares.items():
    print(f"  {100 * share:4.1f}% for images of width {width}")
assert shares[64] < 0.15 and shares[256] < 0.02

# %% [markdown]
# A state that is to carry something from one pixel to *the pixel below it* has to hold on to it for a whole row of
# tokens. At the start few states can, and the fewer, the wider the image. The network may learn longer memories, but at
# the start it depends, for what goes down the image, mostly on the $3\times3$ DWConv. That is a reason to prefer the
# spatial reading, and one to scan in more than one direction.
#
# ## Directions
#
# One scan reads the rows; what comes later can't reach what came before. VMamba's remedy is to read the same tokens
# along several paths, each with an SSM of its own, and add up the results:

# %%
show_source(to_direction)

# %%
show_source(VSSModule.ssm)

# %%
grid = (3, 4)
order = torch.arange(12).view(1, 12, 1)
names = ["row-major", "reverse", "column-major", "reverse column-major"]
for direction, name in enumerate(names):
    path = to_direction(order, grid, direction)
    print(f"{direction} {name:<20}", *path.flatten().tolist())
    assert sorted(path.flatten().tolist()) == list(range(12))  # every token once
    assert torch.equal(from_direction(path, grid, direction), order)  # and back

# %% [markdown]
# Step through the four paths. A pixel without colour has not been read yet: the scan in that direction knows nothing of
# it.

# %% tags=["hide-input"]
grid = (6, 8)
L = math.prod(grid)
ranks = torch.arange(L).view(1, L, 1)  # first token 0, last L - 1
when = [from_direction(ranks, grid, direction).view(grid) for direction in range(4)]
frames, labels = [], []
for t in range(0, L, 2):
    fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.1))
    for ax, times, name in zip(axes, when, names, strict=True):
        age = torch.where(times <= t, (t - times).float(), torch.nan)  # in tokens
        ax.imshow(age, cmap="viridis_r", vmin=0, vmax=L)
        row, column = np.argwhere(times.numpy() == t)[0]
        ax.plot(column, row, marker="o", color=COLORS[1], markersize=7)
        ax.set_xticks(np.arange(-0.5, grid[1]), [])
        ax.set_yticks(np.arange(-0.5, grid[0]), [])
        ax.grid(color="lightgray", alpha=1, linewidth=0.5)
        ax.tick_params(length=0)
        ax.set_title(name, fontsize=10)
        ax.spines[["top", "right"]].set_visible(True)
    frames.append(png_bytes(fig))
    labels.append(f"token {t + 1} of {L}")
frames_slider(
    frames,
    labels,
    alt="A 6 by 8 grid being read along four paths: by rows, by rows backwards, by "
    "columns, by columns backwards",
    caption="The orange dot is the token being read; bright pixels were read just "
    "before, dark ones long ago.",
)

# %% [markdown]
# What does the centre of an image see, then? The gradient answers again, now for the whole module, on a logarithmic
# scale.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Four maps of what the centre pixel sees. One direction with the causal convolution: the pixels above, and those to the left in its own row. One direction with the spatial convolution: also the row below and its neighbours. Two directions: a band of rows above and below. Four directions: a cross of rows and columns, everything visible"}}
grid, centre, C = (33, 33), (16, 16), 16
settings = {
    "1 direction, causal": {"directions": 1, "dwconv": "causal"},
    "1 direction": {"directions": 1},
    "2 directions": {"directions": 2},
    "4 directions": {"directions": 4},
}
fields = {}
for name, options in settings.items():
    torch.manual_seed(1)
    module = VSSModule(C, 2, **options)
    fields[name] = influence(lambda x, module=module: module(x, grid), grid, centre, C)

fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.3))
for ax, (name, field) in zip(axes, fields.items(), strict=True):
    shown = torch.log10((field / field.max()).clamp(min=1e-12))
    shown = shown.masked_fill(field == 0, torch.nan)
    image = ax.imshow(shown, cmap="viridis", vmin=-6, vmax=0)
    ax.set_title(name, fontsize=10)
    ax.set_axis_off()
fig.colorbar(image, ax=axes, shrink=0.7, label="log10, relative")
plt.show()

tokens_before = centre[0] * grid[1] + centre[1]
causal = fields["1 direction, causal"].flatten()
assert (causal[: tokens_before + 1] > 0).all()
assert (causal[tokens_before + 1 :] == 0).all()  # exactly causal
one_direction = fields["1 direction"].flatten()
assert (one_direction[tokens_before + grid[1] + 2 :] == 0).all()  # a row more: 3x3
assert (fields["2 directions"] > 0).all() and (fields["4 directions"] > 0).all()
shares = [f"{name}: {(field > 0).float().mean():.2f}" for name, field in fields.items()]
print("share of the image that reaches the centre:", *shares, sep="\n  ")

# %% [markdown]
# No colour is exactly zero. With one direction the lower half of the image can't reach the centre, but for the single
# row of the $3\times3$ filter. Two directions see everything, though along the rows only; four add the columns, at
# the price of four SSMs:

# %%
print(f"{'directions':<12}{'dwconv':<10}{'parameters':>12} at C = 256")
sizes = {}
for directions in (1, 2, 4):
    for dwconv in ("spatial", "causal"):
        module = VSSModule(256, 2, directions=directions, dwconv=dwconv)
        sizes[directions, dwconv] = sum(p.numel() for p in module.parameters())
        print(f"{directions:<12}{dwconv:<10}{sizes[directions, dwconv]:>12,}")
one_ssm = sizes[2, "spatial"] - sizes[1, "spatial"]
assert sizes[4, "spatial"] == sizes[1, "spatial"] + 3 * one_ssm

# %% [markdown]
# ## The module at work on an image
#
# A fresh module has nothing to show, so let one learn first: a very small LightM-UNet ({doc}`05_lightm_unet` explains
# it) sees a few dozen batches of synthetic chest radiographs and learns to find the lungs. Then we take the VSS module
# of its first layer, which works at full resolution, and look at each part.

# %% tags=["hide-input"]
data = load_dataset("phantom-cxr", cases=24, size=run.size)
cases = [
    preprocess(data.read(c), (run.size,) * 2, data.normalise) for c in data.case_ids
]
images, labels = zip(*cases, strict=True)
images = torch.stack(images).to(run.device)  # (24, 1, H, W)
labels = torch.stack(labels).long().to(run.device)  # (24, H, W)

torch.manual_seed(0)
tiny = {"width": run.width, "depths": (1, 1), "bottleneck_depth": 1}
model = build_model("lightm-unet", 2, 1, 2, **tiny).to(run.device)
optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
losses = []
for step in range(run.steps):
    batch = torch.arange(4 * step, 4 * step + 4) % 20  # four cases are held out
    loss = F.cross_entropy(model(images[batch]), labels[batch])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(loss.item())
assert losses[-1] < 0.5 * losses[0]

# %% tags=["hide-input"]
layer = model.encoder[0].stack.layers[0]
grid = (run.size, run.size)
with torch.no_grad():
    features = model.stem(images[20:21])  # (1, C, H, W)
    x = layer.norm_in(volume_to_tokens(features))  # (1, L, C)
    steps = {"input": x} | parts_of(layer.mixer, x, grid)
    assert torch.allclose(steps["out_proj"], layer.mixer(x, grid), atol=1e-5)
    passed_by = layer.mixer.ssms[0].D * steps["SiLU"]  # the output is C h + D u:
    remembered = steps["SSM"] - passed_by  # D u, and C h


def picture(tokens, channel):
    """A channel of tokens (1, L, C) as an image, percentiles 1 to 99 in [0, 1]."""
    image = tokens[0, :, channel].view(grid).cpu()
    low, high = torch.quantile(image, torch.tensor([0.01, 0.99]))
    return ((image - low) / (high - low)).clamp(0, 1)


def busiest(tokens, count):
    """The channels with the largest variance over the image."""
    return tokens[0].var(0).topk(count).indices.tolist()


# The same four of the D inner channels all the way: the state's share is largest there.
inner = (remembered[0].var(0) / passed_by[0].var(0)).topk(4).indices.tolist()
pictures = {}
for name, tokens in steps.items():
    if name == "SSM":
        pictures["of the SSM, the state's part C h"] = remembered
    pictures[name] = tokens
frames = []
for name, tokens in pictures.items():
    fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.2))
    channels = inner if tokens.shape[-1] > x.shape[-1] else busiest(tokens, 4)
    for ax, channel in zip(axes, channels, strict=True):
        ax.imshow(picture(tokens, channel))
        ax.set_title(f"channel {channel}", fontsize=10)
        ax.set_axis_off()
    fig.suptitle(f"{name}, {tokens.shape[-1]} channels", fontsize=12)
    frames.append(png_bytes(fig))
frames_slider(
    frames,
    list(pictures),
    alt="Four channels of a synthetic chest radiograph's features after each part of "
    "a trained VSS module",
    caption="Each picture is scaled by itself. From in_proj to product the same four "
    "channels are shown.",
)

# %% [markdown]
# Look for the DWConv, which brings out edges in some channels and smooths others; for the state's part of the SSM,
# which is blurred along the rows and drags behind what it has read; and for the gate, which looks at no other pixel and
# keeps edges sharp.
#
# The selection itself can be seen too. $\Delta_t$ is how much a token is let into the state, and how much it wipes
# out of what was there. It is a map over the image, one for each inner channel:

# %% tags=["hide-input"] mystnb={"image": {"alt": "Maps of the step size over a synthetic chest radiograph for three channels: the values follow the outline of body and lungs"}}
ssm = layer.mixer.ssms[0]
with torch.no_grad():
    dt = ssm.x_proj(steps["SiLU"])[..., : ssm.dt_proj.in_features]  # (1, L, R)
    delta = F.softplus(ssm.dt_proj(dt) + ssm.dt_bias)  # (1, L, D)
varies = delta[0].std(0) / delta[0].mean(0)  # (D,)
channels = varies.topk(3).indices.tolist()

fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.4))
axes[0].imshow(images[20, 0].cpu())
axes[0].set_title("image\n(synthetic)", fontsize=10)
for ax, channel in zip(axes[1:], channels, strict=True):
    image = delta[0, :, channel].view(grid).cpu()
    ax.imshow(image, cmap="viridis")
    ax.set_title(
        f"Δ, channel {channel}\n{image.min():.2g} to {image.max():.2g}", fontsize=10
    )
for ax in axes:
    ax.set_axis_off()
plt.show()
assert (delta > 0).all()
assert (varies > 0).all()  # every channel's Δ differs between pixels: selection

# %% [markdown]
# $\Delta_t$ is computed from a pixel and its neighbours, so its map follows intensities and edges: background, body and
# lungs get different steps, though the labels mark the lungs only. The number ranges say how little of the selection a
# training of a few seconds has used. Where $\Delta$ is near zero a channel lets the scan pass over the pixel and keeps
# what it holds; where it is large, it takes in what it sees and forgets faster.

# %% [markdown]
# ## Try it live
#
# The scan of chapter 1 again, now with a choice of directions: which pixels does the
# state remember at the chosen one?

# %%
from lightm_book.live import explore_scan

explore_scan(directions=True)

# %% [markdown]
# ## Exercises
#
# ★ takes a line, ★★ some thought, ★★★ an afternoon. `check` says whether an answer is
# right, and if it is not, what to think about.

# %% tags=["hide-input"]
from lightm_book.exercises import check

# %% [markdown]
# :::{exercise} ★ The pixel below
# :label: ex-vss-below
# An image is 512 pixels wide. How many tokens later does the pixel below come in
# direction 0 (row-major), and how many in direction 2 (column-major)?
# :::
#
# :::{hint}
# :class: dropdown
# Number the first tokens in either direction.
# :::
#
# :::{solution} ex-vss-below
# :class: dropdown
# In direction 0 the pixel below comes a whole row later: 512 tokens. In direction 2 the
# columns are read, so it is the next token: 1. That is what the column-major scans of
# VMamba are for.
#
# ```python
# below = (512, 1)
# ```
# :::

# %%
below = None  # your answer: (tokens in direction 0, tokens in direction 2)

check("ex-vss-below", below)

# %% [markdown]
# :::{exercise} ★ What a pixel gets to see
# :label: ex-vss-view
# An image has 64 × 64 pixels. Rows and columns are counted from 0. How many pixels,
# itself included, can the pixel in row 10, column 20 see through the scan in direction
# 0, and how many in direction 1, its reverse?
# :::
#
# :::{hint}
# :class: dropdown
# In direction 0: all that come before it, and itself.
# :::
#
# :::{solution} ex-vss-view
# :class: dropdown
# Ten whole rows and 20 pixels come before it: $10 \cdot 64 + 20 + 1 = 661$. In the
# reverse direction it sees the other pixels and, again, itself: $64^2 - 660 = 3436$.
#
# ```python
# view = (10 * 64 + 20 + 1, 64 * 64 - 10 * 64 - 20)
# ```
# :::

# %%
view = None  # your answer: (direction 0, direction 1)

check("ex-vss-view", view)

# %% [markdown]
# :::{exercise} ★★ All parameters of a module
# :label: ex-vss-count
# Write the number of parameters of `VSSModule(C, 2)` as a function of $C$:
# $\lambda = 2$, $N = 16$, $R = \lceil C/16\rceil$, one direction, spatial DWConv. The
# linear layers have no bias, the convolution and the LayerNorm have one.
# :::
#
# :::{hint}
# :class: dropdown
# `VSSModule(32, 2).named_parameters()` has all shapes; $D = 2C$.
# :::
#
# :::{solution} ex-vss-count
# :class: dropdown
# With $D = 2C$: three linear layers $3CD$; DWConv $9D + D$; SSM `x_proj` $D(R + 2N)$,
# `dt_proj` $RD$, its bias $D$, `A_log` $DN$, `D` $D$; LayerNorm $2D$.
#
# ```python
# def parameters(C):
#     D, N, R = 2 * C, 16, -(-C // 16)
#     linear, dwconv, norm = 3 * C * D, 10 * D, 2 * D
#     ssm = D * (R + 2 * N) + R * D + D + D * N + D
#     return linear + dwconv + ssm + norm
# ```
# :::


# %%
def parameters(C):
    return None  # your formula


check("ex-vss-count", parameters)

# %% [markdown]
# :::{exercise} ★★ Look forward only
# :label: ex-vss-reverse
# Make a one-direction module with `dwconv="causal"` look only at what comes *at or
# after* a pixel, without touching its code: wrap it in a function of the tokens,
# `(1, 35, 8)`, of an image of 5 × 7 pixels. The check looks at the gradient.
# :::
#
# :::{hint}
# :class: dropdown
# In which order must the module get the tokens, and in which order does it give its
# answer?
# :::
#
# :::{solution} ex-vss-reverse
# :class: dropdown
# Feed it the tokens backwards and turn the answer round again.
#
# ```python
# def anticausal(x):
#     return from_direction(to_run(to_direction(x, (5, 7), 1), (5, 7)), (5, 7), 1)
# ```
# :::

# %%
to_run = VSSModule(8, 2, dwconv="causal")  # 8 channels


# %%
def anticausal(x):
    return to_run(x, (5, 7))  # your change: this one still looks back


check("ex-vss-reverse", anticausal)

# %% [markdown]
# :::{exercise} ★★★ Open: another way through the image
# :label: ex-vss-open
# Row by row is one order of many: columns, zigzag, blocks, a Hilbert curve. Choose one
# and say which pixels become neighbours and which are torn apart. How would you compare
# two orders *before* training anything, and what would such a comparison not tell?
# :::
#
# :::{hint}
# :class: dropdown
# Compute, for all pairs of neighbouring pixels, how many tokens lie between them in
# each order.
# :::
#
# :::{solution} ex-vss-open
# :class: dropdown
# A good answer compares distributions of distances (a mean hides that row-major has 1
# and $W$ only), relates them to the half-life of a state, and notes that the DWConv
# already joins neighbours. What it can't tell: whether the network needs the far pixels
# at all.
# :::

# %% [markdown]
# ## In short
#
# * Tokens and volume are two views of the same memory; the order is row-major.
# * Neighbours meet in the DWConv, far pixels in the scan, and the gate acts on each pixel alone.
# * One direction can't see what comes later, and at the start few states outlive a row.
# * The paper leaves open $\lambda$, the kind of DWConv and the directions. They are options here, so they can be
#   measured.
#
# **Where to go.** {doc}`04_rvm_layer` wraps the module in norms and a residual connection with a learnt factor. What the
# options are worth after training is measured in {doc}`08_ablations`; how the authors' own code reads the open points is
# in {doc}`10_paper_and_code`.
