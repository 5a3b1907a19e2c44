# %% [markdown]
# # What a network costs
#
# A network with two million parameters fits into ten megabytes. Why then do people who train LightM-UNet report 16, 24
# and 29 *gigabytes*? Because parameters are the smallest part of what a training step has to hold. This chapter counts
# the rest, byte by byte, for every system of the book: what is in memory during a step, what grows with the image and
# what with the batch, what fits on a card of 16 GB, and what it costs in operations and in time.
#
# No GPU is needed for that. Memory is *counted*: the step is run on tensors that have shapes and no memory, and each
# storage is added when it is made and taken away when it dies. Where a number on this page is measured, it says so.
#
# You need: {doc}`05_lightm_unet` for the network, {doc}`09_counting` for counting operations.
#
# At the end you can say
# * which five things a training step holds, and which of them matters,
# * how memory grows with image and batch, and what gradient checkpointing and bf16 save,
# * what the released network needs, and whether the reports of its users fit,
# * why a network with few parameters isn't a network with little memory.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %% tags=["hide-input"]
import textwrap

import matplotlib.pyplot as plt
import torch
from torch import nn

from lightm.counting import count
from lightm.models import build_model
from lightm.training.record import load_record
from lightm_book import ROOT
from lightm_book.bench.record import list_bench
from lightm_book.counting.memory import (
    LiveBytes,
    count_memory,
    measure_peak,
    with_fused_mamba,
)
from lightm_book.counting.memory_table import (
    BATCH,
    CLOSER,
    FIRST,
    PAPER_SIZE,
    SIDES,
    SYSTEMS,
    WAYS,
    count_row,
    read_memory,
    settings,
)
from lightm_book.show.figures import (
    COLORS,
    INK,
    frames_slider,
    place_labels,
    use_style,
)
from lightm_book.show.names import shown_name
from lightm_book.show.notebook import check_profile, show_source
from lightm_book.show.tables import table

OURS = "lightm-unet"
run = check_profile(
    profile,
    {
        "smoke": {
            "recount": [
                (OURS, 3, 128, "fp32", False, False),
                ("segresnet", 2, 512, "fp32", True, False),
            ]
        },
        "paper": {"recount": "all"},
    },
)
use_style()
MIB, GIB = 2**20, 2**30


# %% [markdown]
# ## In one picture
#
# Every network of the book, by its parameters and by the memory that a training step with one image takes, at the paper's
# sizes. If few parameters meant little memory, the points would lie on a rising line.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Parameters against the peak memory of one image in 2D and 3D, logarithmic axes: the two have little to do with each other. The two uploads of LightM-UNet have few parameters and need the most memory, nnU-Net has many and needs little"}}
recorded = read_memory(ROOT / "results/memory.json")
plain = {
    dims: {
        name: recorded[name, dims, PAPER_SIZE[dims], "fp32", False, False]
        for name in SYSTEMS
    }
    for dims in (2, 3)
}


def size_of(dims):
    return " × ".join([str(PAPER_SIZE[dims])] * dims)


PEAKS = {2: (1, 2, 4), 3: (4, 8, 16)}  # ticks, GiB
fig, axes = plt.subplots(2, 1, figsize=(6.8, 7.6))
for ax, dims in zip(axes, (2, 3), strict=True):
    points = []
    for name in SYSTEMS:
        one = plain[dims][name].one
        at = one.parameters / 4e6, one.peak / GIB
        color = COLORS[0] if name.startswith("lightm") else COLORS[1]
        ax.plot(*at, "o", color=color)
        points.append((shown_name(name), *at, 4.0))
    ax.set(xscale="log", yscale="log", title=f"{dims}D, {size_of(dims)}")
    ax.set(xlabel="parameters, M", ylabel="peak, one image, GiB")
    ax.margins(0.22)
    ax.tick_params(labelsize=10)
    for axis, ticks in ((ax.xaxis, (1, 10, 100)), (ax.yaxis, PEAKS[dims])):
        axis.set_ticks(ticks, list(map(str, ticks)))
        axis.set_ticks([], minor=True)
    place_labels(ax, points)
plt.show()
most = [max(SYSTEMS, key=lambda name, d=d: plain[d][name].one.peak) for d in (2, 3)]
assert all(name.startswith("lightm-unet-released") for name in most)
assert plain[2]["nnunet"].one.peak < plain[2][FIRST].one.peak

# %% [markdown]
# ## What a step holds
#
# Take two layers, eight channels to sixteen and then to four, and 1,000 tokens. During a training step there are in
# memory
#
# 1. the **parameters**,
# 2. their **gradients**, one number each,
# 3. the **optimiser's state**: for AdamW two numbers per parameter, averages of the gradient and of its square,
# 4. the **activations**: whatever the backward pass needs of the forward pass, and autograd therefore keeps,
# 5. **temporaries**: what an operation needs while it runs.
#
# The first three don't know the image. The fourth is proportional to it.

# %%
torch.manual_seed(0)
layers = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 4))
tokens = 1000
small = count_memory(layers, (tokens, 8))
for name in ("parameters", "gradients", "optimizer", "activations", "peak"):
    print(f"{name:<12}{getattr(small, name):>9,} bytes")
print("activations, by the operation that made them:")
print(small.by_operation)
assert small.parameters == small.gradients == 4 * (8 * 16 + 16 + 16 * 4 + 4)
assert small.optimizer == 2 * small.parameters

# %% [markdown]
# The names are those of PyTorch's operations. `addmm` is the first linear layer: its output is kept because SiLU's
# derivative needs its input. The output of `silu` is kept because the gradient of the second layer's weights is a product
# with that layer's input. So two values of 16 channels are kept for each token, where the network's picture shows one.
# The output of the second layer is *not* kept: nothing needs it, once the loss has taken its log-softmax.

# %%
# Bytes: channels x tokens x 4.
kept = {
    "addmm": 16 * tokens * 4,
    "silu": 16 * tokens * 4,
}
assert all(small.by_operation[name] == size for name, size in kept.items())

# %% [markdown]
# ## How it is counted
#
# `torch` has tensors without memory, so-called fake ones: an operation on them gives a tensor of the right shape, and
# computes nothing. The network's own code runs on them, forward and backward, and after each operation this happens:

# %%
show_source(LiveBytes.__torch_dispatch__)

# %%
show_source(LiveBytes.watch)

# %% [markdown]
# When Python or autograd drops the last reference to a storage, its bytes are taken away again. The most that was ever
# there at once is the peak. Nothing in this knows about layers or networks, so there is nothing that it could forget
# (compare {doc}`09_counting`, where a tool that knows layers forgets half of a network).
#
# ### Is the count right?
#
# On a small network the same step is run for real, while PyTorch's allocator reports every block that it gives out and
# takes back. Measured is the peak of those; counted is what was just described.

# %% tags=["hide-input", "nbval-ignore-output"]
# Not compared by nbval: which kernels borrow how much memory depends on the processor.
threads = torch.get_num_threads()
torch.set_num_threads(1)  # networks as small as these are no faster on two
checked = {OURS: {"width": 8}, FIRST: {"width": 8}, "segresnet": {"init_filters": 8}}
for name, options in checked.items():
    model = build_model(name, 2, 3, 2, **options)
    step = count_memory(model, (3, 48, 48), batch=2)
    # What the step itself makes.
    alone = step.peak - step.parameters - step.optimizer - 2 * 3 * 48 * 48 * 4
    ratio = measure_peak(model, (3, 48, 48), batch=2) / alone
    print(
        f"{shown_name(name):<25} counted {alone / MIB:6.2f} MiB, measured / counted "
        f"= {ratio:.3f}"
    )
    assert 0.99 < ratio < 1.15
torch.set_num_threads(threads)

# %% [markdown]
# The count is exact where PyTorch's own kernels do the work, and a few percent low where a library takes scratch memory
# beside its result, as convolutions do. The check is in 2D and float32; in 3D, and with bf16 on a CPU, libraries take more
# of such scratch, so take what is said of those below as the least that a step needs. Besides, there is what no count of tensors can see. The record of the run on
# real X-rays ({doc}`07_real_xrays`) has the peak of the whole process:

# %% tags=["hide-input"]
real = load_record(ROOT / "results/runs/montgomery-shenzhen-lightm-unet-192.json")
settings_of_run = (
    real["config"]["data"]["size"],
    real["config"]["train"]["batch_size"],
    real["config"]["train"]["precision"],
)
size, batch, precision = settings_of_run
with torch.device("meta"):
    model = build_model(real["model"]["name"], 2, 1, 2)
assert sum(p.numel() for p in model.parameters()) == real["model"]["params"]
step = count_memory(model, (1, *size), batch, precision)
print(
    f"counted: {step.peak / GIB:.2f} GiB for a step of {batch} images of {size[0]} x "
    f"{size[1]}, {precision}"
)
print(
    f"measured: {real['cost']['peak_memory_bytes'] / GIB:.2f} GiB for the whole "
    "process, libraries, compiler and data included"
)
assert step.peak < real["cost"]["peak_memory_bytes"]

# %% [markdown]
# (The measured run was made with the package as it was then, the count is of the package as it is.)
#
# What a GPU adds of its own: a context of some hundred megabytes, workspaces, and blocks that its allocator keeps for later
# or can't use. So a card needs *more* than the counts below. They are lower bounds, and nearly the same for all
# systems in what they leave out.
#
# ## Where the bytes are
#
# One image at the paper's size, the network of the text:

# %%
with torch.device("meta"):
    text = build_model(OURS, 2, 3, 2)
step = count_memory(text, (3, 512, 512))
assert step.peak == recorded[OURS, 2, 512, "fp32", False, False].one.peak
for name in ("parameters", "gradients", "optimizer", "activations", "peak"):
    print(f"{name:<12}{getattr(step, name) / MIB:>9.1f} MiB")
print(
    f"one parameter for every {step.activations / 4 / (step.parameters / 4):.0f} "
    "numbers that are kept for the backward pass"
)
assert step.activations > 50 * step.parameters

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two bar charts of the kept bytes of LightM-UNet at 512 by 512: by part of the network, where the first two encoder blocks hold most, and by operation, where linear layers, norms, SiLU and the scan share them"}}
NAMES = {
    "mm": "linear, no bias",
    "addmm": "linear, bias",
    "native_layer_norm": "LayerNorm",
    "silu": "SiLU",
    "selective_scan": "scan",
    "convolution": "convolution",
    "max_pool2d_with_indices": "max-pooling",
    "upsample_bilinear2d": "up-sampling",
}
parts = step.rows(2)
operations = {}
for name, size in step.by_operation.items():
    shown = NAMES.get(name, name.strip("_").replace("_", " "))
    operations[shown] = operations.get(shown, 0) + size
fig, axes = plt.subplots(1, 2, figsize=(7.6, 4.2))
for ax, values, title in zip(
    axes, (parts, operations), ("by part", "by operation"), strict=True
):
    top = sorted(values.items(), key=lambda item: -item[1])[:10]
    ax.barh(
        [name or "loss" for name, _ in reversed(top)],
        [size / MIB for _, size in reversed(top)],
        color=COLORS[0],
    )
    ax.set(title=title, xlabel="MiB kept")
    ax.tick_params(labelsize=9)
plt.show()
first = parts["encoder.0"] + parts["encoder.1"]
print(
    f"the first two of the encoder's blocks: {100 * first / step.activations:.0f}% "
    "of the kept bytes",
    end="",
)
with_parameters = sum(p.numel() for i in (0, 1) for p in text.encoder[i].parameters())
print(
    f", {100 * with_parameters / sum(p.numel() for p in text.parameters()):.0f}% of "
    "the parameters"
)
assert first > step.activations / 2

# %% [markdown]
# That is the whole secret. Parameters sit at the bottom of the U, where there are many channels and few pixels; activations
# sit at its top, where there are few channels and very many pixels. A network may be made small by parameters without
# becoming small in memory, and the other way round.
#
# ## Every system
#
# `results/memory.json` holds the counts of all systems; `lightm-book count --memory` makes it. Some rows are counted
# again here (all of them with `profile = "paper"`):

# %% tags=["hide-input"]
for place in list(recorded) if run.recount == "all" else run.recount:
    model, dims, side, precision, checkpointing, fused = place
    many = recorded[place].many is not None and profile == "paper"
    again = count_row(model, dims, side, precision, checkpointing, fused, many)
    assert again.one.peak == recorded[place].one.peak, (
        f"{place}: run lightm-book count --memory again"
    )
    assert not many or again.many.peak == recorded[place].many.peak
    print(
        f"{model}, {dims}D, {side}, {precision}{', checkpointing' * checkpointing}: "
        f"{again.one.peak:,} bytes, as recorded"
    )
assert len(recorded) == len(list(settings()))

# %% tags=["hide-input"]
lines = []
for name in SYSTEMS:
    cells = [f"{plain[2][name].one.parameters / MIB:.0f}"]
    for dims in (2, 3):
        row = plain[dims][name]
        cells += [
            f"{row.one.activations / GIB:.2f}",
            f"{row.peak(BATCH[dims]) / GIB:.1f}",
        ]
    lines.append((shown_name(name), *cells))
head = ["float32, AdamW", "parameters, 2D, MiB"]
for dims in (2, 3):
    head += [f"activations, {dims}D, GiB", f"peak, batch {BATCH[dims]}, GiB"]
print(f"activations of one image, {size_of(2)} and {size_of(3)}")
table(head, lines)

# %% tags=["hide-input"]
for dims in (2, 3):
    ranked = sorted(SYSTEMS, key=lambda name: plain[dims][name].one.activations)
    by_params = sorted(SYSTEMS, key=lambda name: plain[dims][name].one.parameters)
    for what, names in (("activations", ranked), ("parameters", by_params)):
        print(f"{dims}D, least {what} first:")
        print(textwrap.fill(", ".join(map(shown_name, names)), 80))
    assert plain[dims]["segresnet"].one.activations < plain[dims][OURS].one.activations
    assert plain[dims]["segresnet"].one.parameters > plain[dims][OURS].one.parameters

# %% [markdown]
# ## How it grows
#
# The batch first. Activations are proportional to it, and the peak lies on a straight line, or so near to one that two counts
# are enough (the package's tests hold a third against it). With the *size* of the image it is the number of pixels that counts: twice the
# side is four times the memory in 2D and eight times in 3D. Slide through the sizes. The dashed line is a card of 16 GB.

# %% tags=["hide-input"]
T4 = 14.75 * GIB  # what PyTorch names as total capacity of a Tesla T4, sold as 16 GB
# Set aside for context, workspaces, fragmentation; our assumption, change it to see.
RESERVED = 1.0 * GIB
CAPACITY = int(T4 - RESERVED)

frames, labels = [], []
for dims in (2, 3):
    for side in SIDES[dims]:
        fig, ax = plt.subplots(figsize=(6.8, 2.9))
        for y, name in enumerate(reversed(CLOSER)):
            peak = recorded[name, dims, side, "fp32", False, False].one.peak / GIB
            ax.barh(y, peak, color=COLORS[0] if peak <= CAPACITY / GIB else COLORS[1])
            ax.annotate(
                f"{peak:.2f}",
                (peak, y),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=10,
            )
        ax.axvline(CAPACITY / GIB, color=INK, linestyle="--", linewidth=1.2)
        ax.set_yticks(
            range(len(CLOSER)), [shown_name(n) for n in reversed(CLOSER)], fontsize=9
        )
        ax.set(
            xscale="log", xlim=(0.1, 100), xlabel="peak of a step with one image, GiB"
        )
        frames.append(fig)
        labels.append(" × ".join([str(side)] * dims))
stay = [
    recorded[name, dims, side, "fp32", False, False].one.peak <= CAPACITY
    for name in ("nnunet", "segresnet")
    for dims in (2, 3)
    for side in SIDES[dims]
]
assert all(stay)
frames_slider(
    frames,
    labels,
    alt="Peak memory of a training step for four networks at one image size, beside "
    "what "
    "a 16 GB card has left. With growing images LightM-UNet crosses the line first, "
    "its "
    "first upload before the network of the text; nnU-Net and SegResNet stay below",
    caption="Counted, float32. Two dimensions first, then three. Orange: more than "
    "a 16 GB card has left.",
)

# %% tags=["hide-input"]
for dims in (2, 3):
    small_side, large_side = SIDES[dims][0], SIDES[dims][-1]
    pixels = (large_side / small_side) ** dims
    for name in CLOSER:
        low, high = (
            recorded[name, dims, side, "fp32", False, False].one
            for side in (small_side, large_side)
        )
        print(
            f"{dims}D, {shown_name(name):<24} {small_side} to {large_side}: pixels x "
            f"{pixels:.1f}, "
            f"activations x {high.activations / low.activations:.1f}"
        )
        assert abs(high.activations / low.activations / pixels - 1) < 0.05

# %% [markdown]
# ## What fits on a 16 GB card
#
# Two switches of a recipe trade something for memory. `precision = "bf16"` keeps most activations in two bytes. `checkpointing
# = true` keeps only what enters the network's blocks and computes the inside of a block again when the backward pass
# gets there: the same results, for one more forward pass. How many images then fit at once?

# %% tags=["hide-input"]
lines = []
for dims in (2, 3):
    for name in CLOSER:
        cells = []
        for precision, checkpointing in WAYS:
            row = recorded[
                name, dims, PAPER_SIZE[dims], precision, checkpointing, False
            ]
            cells.append(f"{row.fits(CAPACITY)} ({row.one.peak / GIB:.1f})")
        lines.append((f"{shown_name(name)}, {size_of(dims)}", *cells))
head = [
    precision + ", checkpointing" * checkpointing for precision, checkpointing in WAYS
]
print(
    f"capacity: {T4 / GIB:.2f} GiB less {RESERVED / GIB:.2f} GiB set aside. Images "
    "that fit (GiB of one image):"
)
table(["", *head], lines)

# %% tags=["hide-input"]
for dims in (2, 3):
    row = {way: recorded[OURS, dims, PAPER_SIZE[dims], *way, False] for way in WAYS}
    full = row["fp32", False]
    print(
        f"{shown_name(OURS)}, {size_of(dims)}, the paper's batch of {BATCH[dims]}: "
        f"{full.peak(BATCH[dims]) / GIB:.1f} GiB in float32;"
    )
    fitting = [
        f"{p}{' with checkpointing' * c}"
        for (p, c), r in row.items()
        if r.fits(CAPACITY) >= BATCH[dims]
    ]
    print(f"    on this card with: {', '.join(fitting) or 'none of the four ways'}")

# %% [markdown]
# These are counts of bytes, not measurements on a card. And a T4 has no arithmetic units for bf16: there it saves memory,
# not time. Where the paper's batch doesn't fit, `accumulate` runs it in parts: the same step to rounding, at the memory
# of a part ({doc}`06_training`).
#
# ## Why users see 16 to 29 GB
#
# In the authors' repository people ask why so small a network needs so much
# (issues [8](https://github.com/MrBlankness/LightM-UNet/issues/8),
# [24](https://github.com/MrBlankness/LightM-UNet/issues/24) and
# [36](https://github.com/MrBlankness/LightM-UNet/issues/36)). In short, with volumes:
#
# * issue 8: the training on the liver data took 29,140 MiB;
# * issue 24: two images run out of memory on cards of 16 GB and of 24 GB; one image works on the latter.
#
# They run the released network with mamba_ssm's fused kernel, in float32 (the released trainer doesn't use autocast). Our own
# Mamba block computes the same function in another way and keeps other tensors, so for this question it has to be
# counted as theirs. The tensors that the fused kernel keeps stand in its
# [source](https://github.com/state-spaces/mamba/blob/v1.2.0/mamba_ssm/ops/selective_scan_interface.py), and
# `with_fused_mamba` puts a stand-in with just these tensors in the place of each block:

# %%
show_source(with_fused_mamba)

# %% tags=["hide-input"]
lines = []
for dims in (2, 3):
    for fused in (True, False):
        row = recorded[FIRST, dims, PAPER_SIZE[dims], "fp32", False, fused]
        what = "mamba_ssm's fused kernel" if fused else "this package"
        peaks = [f"{row.peak(batch) / GIB:.1f}" for batch in (1, BATCH[dims])]
        lines.append((f"{size_of(dims)}, {what}", *peaks, BATCH[dims]))
table(
    [
        "released network (first upload), GiB",
        "one image",
        "the paper's batch",
        "which is",
    ],
    lines,
)

# %%
fused = recorded[FIRST, 3, 128, "fp32", False, True]
one, two = fused.peak(1) / GIB, fused.peak(2) / GIB
for card in (16, 24):
    print(
        f"a card of {card} GB: one image {'fits' if one < card else 'does not fit'}, "
        f"two {'fit' if two < card else 'do not fit'}"
    )
print(
    f"issue 8 saw {29140 / 1024:.1f} GiB; counted for one and two volumes of 128^3: "
    f"{one:.1f} and {two:.1f} GiB"
)
assert 16 < one < 24 < two

# %% [markdown]
# So the reports of issue 24 are what the count says they must be: at 128³ one volume is too much for 16 GB, and two are too
# much for 24. The 29,140 MiB of issue 8 lie between the counts for one and two such volumes. The thread doesn't say
# which patch size nnU-Net's planner had chosen, and memory goes with the patch, so that number can't be checked from here.
# It is of the right order.
#
# None of this is a leak or a fault of an installation. It is what activations of a network with 32 and more channels at full
# resolution take, when it has 21 Mamba layers, of which each keeps eight times its input.

# %%
with torch.device("meta"):
    released = build_model(FIRST, 3, 1, 3)
layers = sum(
    type(module).__name__ == "ReleasedRVMLayer" for module in released.modules()
)
one_layer = next(m for m in released.modules() if type(m).__name__ == "Mamba")
alone = count_memory(
    with_fused_mamba(nn.Sequential(nn.Linear(32, 32), one_layer)), (2**15, 32)
).rows()["1"]
print(
    f"{layers} layers; a fused Mamba block of 32 channels keeps "
    f"{alone / (2**15 * 32 * 4):.1f} times its input"
)
assert layers == 21 and 7.5 < alone / (2**15 * 32 * 4) < 8.5

# %% [markdown]
# ## Operations and time
#
# Memory is one bill, operations are another. Convolutions, linear layers and the scan do the same for every pixel, whatever the
# image's size. Attention compares every pair of tokens:

# %% tags=["hide-input"] mystnb={"image": {"alt": "Operations per pixel against the side of the image: flat lines for the LightM-UNet of the text and SegResNet, and a rising curve, which leaves both behind, for the LightM-UNet with attention in its bottleneck"}}
sides = (128, 256, 512, 1024)
fig, ax = plt.subplots(figsize=(6.4, 3.6))
per_pixel = {}
for color, name in zip(COLORS, (OURS, "segresnet", "paper-attention"), strict=False):
    with torch.device("meta"):
        model = build_model(name, 2, 3, 2)
    per_pixel[name] = [count(model, (3, side, side)).macs / side**2 for side in sides]
    ax.plot(
        sides,
        [value / 1e3 for value in per_pixel[name]],
        "o-",
        color=color,
        label=shown_name(name),
    )
ax.set(
    xscale="log",
    ylim=(0, None),
    xlabel="side of the image",
    ylabel="thousand MACs per pixel",
)
ax.set_xticks(sides, sides)
ax.set_xticks([], minor=True)
ax.legend(fontsize=10)
plt.show()
assert all(abs(value / per_pixel[OURS][0] - 1) < 0.01 for value in per_pixel[OURS])
assert per_pixel["paper-attention"][-1] > 2 * per_pixel["paper-attention"][0]

# %%
with torch.device("meta"):
    model = build_model(OURS, 2, 3, 2)
macs = count(model, (3, 512, 512))
print(f"{OURS} at 512 x 512: {macs.macs / 1e9:.1f} GMACs forward;", end=" ")
print(
    ", ".join(
        f"{name} {100 * n / macs.macs:.0f}%" for name, n in macs.by_operation.items()
    )
)

# %% [markdown]
# The scan's share of the *operations* is small. Its share of the *time* may be anything: that depends on how it is written,
# which is what {doc}`11_fast_scan` is about. What a training step took on the machine of this repository's records,
# measured beside others' scans. Steps of one setting are there twice: once in a process that keeps the memory that it
# frees for its next step, and once where it is given back to the system each time and has to be had anew:

# %% tags=["hide-input", "nbval-ignore-output"]
# Not compared by nbval: benchmarks are measured anew more often than this page is run.
steps = [
    record
    for record in list_bench(ROOT / "results/bench").values()
    if record["kind"] == "step"
]
if not steps:
    print(
        "No training step has been timed into results/bench/ yet: pending "
        "(lightm-book bench step --json ...)."
    )
lines = []
for record in steps:
    hardware = record["environment"]["hardware"]
    size = " × ".join(map(str, record["size"]))
    setting_of = f"{shown_name(record['model'])}, {record['batch']} of {size}"
    where = hardware["gpu"] or f"CPU, {hardware['threads']} thread(s)"
    freed = "kept" if record["kept_memory"] else "given back"
    for contender in record["contenders"]:
        times = contender.get("step")
        if times and "median_s" in times:
            memory = times.get("memory_bytes")
            lines.append(
                (
                    setting_of,
                    where,
                    freed,
                    f"`{contender['name']}`",
                    f"{times['median_s']:.2f}",
                    f"{memory / GIB:.2f}" if memory else "",
                )
            )
head = ["step", "on", "freed memory", "scan", "seconds", "GiB beyond the model"]
table(head, lines) if lines else None

# %% tags=["hide-input", "nbval-ignore-output"]
# Not compared by nbval, for the same reason.
for record in steps:
    parts_of = record["parts"]
    if parts_of:
        total = sum(
            p["forward_ms"] + p["backward_ms"] for p in parts_of["parts"].values()
        )
        shares = {
            name: (p["forward_ms"] + p["backward_ms"]) / total
            for name, p in parts_of["parts"].items()
        }
        top = sorted(shares.items(), key=lambda item: -item[1])[:6]
        size = " x ".join(map(str, record["size"]))
        print(f"{shown_name(record['model'])}, {record['batch']} of {size}:")
        print("   ", ", ".join(f"{n} {100 * s:.0f}%" for n, s in top))

# %% [markdown]
# The records of runs have seconds, too, for whole epochs with data and validation, but on machines that did other work at the
# same time ({doc}`12_results`). They say what one has to wait for, not what is fast.

# %% [markdown]
# ## Try it live
#
# Choose a network, a precision and a card: what does one step take, and how many images
# fit? The numbers are those of the record, for images of 512 × 512.

# %%
from lightm_book.live import explore_memory

explore_memory()

# %% [markdown]
# ## Exercises
#
# ★ takes a line, ★★ some thought, ★★★ an afternoon. `check` says whether an answer is
# right, and if it is not, what to think about.

# %% tags=["hide-input"]
from lightm_book.exercises import check

# %% [markdown]
# :::{exercise} ★ What AdamW keeps
# :label: ex-cost-adam
# How many bytes do parameters, gradients and AdamW's state of a network with $P$
# parameters in float32 take together? Write `fixed(P)`.
# :::
#
# :::{hint}
# :class: dropdown
# AdamW keeps two averages for each parameter.
# :::
#
# :::{solution} ex-cost-adam
# :class: dropdown
# Four numbers of four bytes for each parameter: itself, its gradient, two averages.
#
# ```python
# def fixed(P):
#     return 16 * P
# ```
# :::


# %%
def fixed(P):
    return None  # your formula


check("ex-cost-adam", fixed)

# %% [markdown]
# :::{exercise} ★ Two measurements
# :label: ex-cost-batch
# A step takes 2 GiB with one image and 3.5 GiB with two. What is the largest batch for
# which 22 GiB are enough?
# :::
#
# :::{hint}
# :class: dropdown
# Memory is a fixed part plus the same for each image.
# :::
#
# :::{solution} ex-cost-batch
# :class: dropdown
# Each image adds 1.5 GiB, so 0.5 GiB are fixed: $(22 - 0.5)/1.5 = 14.3$, fourteen
# images.
#
# ```python
# batch = int((22 - 0.5) / 1.5)
# ```
# :::

# %%
batch = None  # your answer

check("ex-cost-batch", batch)

# %% [markdown]
# :::{exercise} ★★ A card of 24 GB
# :label: ex-cost-card
# You are lent a card with 24 GB, of which 22 GiB are left for tensors. How many images
# of 512 × 512 does a step of `lightm-unet` take at most in float32, and how many with
# bf16? `recorded[OURS, 2, 512, "fp32", False, False]` has a method for it.
# :::
#
# :::{hint}
# :class: dropdown
# `.fits(22 * GIB)`, once for each precision.
# :::
#
# :::{solution} ex-cost-card
# :class: dropdown
# The rows of `results/memory.json` know what one image and one more take. bf16 does not
# double the number: only a part of what a step keeps becomes half as large.
#
# ```python
# rows = read_memory(ROOT / "results/memory.json")
# images = tuple(
#     rows["lightm-unet", 2, 512, precision, False, False].fits(22 * 2**30)
#     for precision in ("fp32", "bf16")
# )
# ```
# :::

# %%
images = None  # your answer: (float32, bf16)

check("ex-cost-card", images)

# %% [markdown]
# :::{exercise} ★★ The price of an activation function
# :label: ex-cost-relu
# In the two layers at the top of this page, replace SiLU by ReLU. ReLU's derivative can
# be told from its *output*. How many bytes do `addmm` and `relu` keep now, for 1000
# tokens and 16 channels? Think first, then try `count_memory`.
# :::
#
# :::{hint}
# :class: dropdown
# Which tensors does the backward pass still need, and whose output are they?
# :::
#
# :::{solution} ex-cost-relu
# :class: dropdown
# The first layer's output isn't needed any more: `addmm` keeps nothing of it. ReLU's
# output is kept once, for its own derivative and for the second layer's: 64,000 bytes.
# With SiLU it was twice as much.
#
# ```python
# kept_by = (0, 1000 * 16 * 4)
# ```
# :::

# %%
kept_by = None  # your answer: (addmm, relu)

check("ex-cost-relu", kept_by)

# %% [markdown]
# :::{exercise} ★★★ Open: fit it into half
# :label: ex-cost-open
# You may use half of the memory that `lightm-unet` takes for your images, and no more
# than 20% longer time per step. Which of the means of this chapter would you choose:
# smaller batch, bf16, recomputing, narrower network? Predict the memory of each by
# counting, measure the time, and say what each may cost in accuracy and how you would
# find out.
# :::
#
# :::{hint}
# :class: dropdown
# `count_memory` counts without a GPU. Time has to be measured on the machine in
# question.
# :::
#
# :::{solution} ex-cost-open
# :class: dropdown
# A good answer has a table of counted memory and measured time, notices that
# recomputing changes no result while the others do, and doesn't call a change harmless
# without several runs.
# :::

# %% [markdown]
# ## What to remember
#
# * A step holds parameters, gradients, optimiser state, activations and temporaries; for these networks nearly all of it is
#   activations.
# * Few parameters don't mean little memory: parameters sit at the bottom of the U, activations at its top.
# * Memory is proportional to pixels and to the batch. Checkpointing and bf16 divide it; neither changes the parameters.
# * The 16 to 29 GB that users of the released network report are what its activations take.

#
# **Where to go.** {doc}`11_fast_scan` asks what makes a scan fast; {doc}`12_results` has what the networks score for these
# costs; {doc}`../book/reproduce` how to run the paper's sizes on a GPU.
