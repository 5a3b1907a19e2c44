# %% [markdown]
# # Ablations
#
# Take a part away and see what gets worse: that is an *ablation*, the usual argument that a part is needed. The paper
# has one, its Table 3. This chapter rebuilds the five systems of that table, counts what each part costs, trains all
# of them alike, and then asks the question that decides what such a table means: which differences are larger than
# luck?
#
# You need: {doc}`04_rvm_layer` for the parts, {doc}`05_lightm_unet` for the whole.
#
# At the end you can say
# * what each part costs in parameters and operations, exactly,
# * why one training run of each system can't say which is better,
# * what a test over cases says, what a test over training runs says, and which one is about systems,
# * what a correction for many comparisons does, and how many runs a difference of a given size takes.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %% tags=["hide-input"]
import tempfile
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import stats

from lightm.counting import count
from lightm.models import build_model, list_models
from lightm.models.mixers import Conv3, SelfAttention
from lightm.models.rvm import RVMLayer
from lightm.training.config import config_from_dict
from lightm.training.record import list_records
from lightm.training.trainer import Trainer
from lightm_book import ROOT
from lightm_book.compare.rows import experiments, scores
from lightm_book.compare.statistics import (
    LEVEL,
    detectable_difference,
    difference,
    holm,
    sign_flips,
)
from lightm_book.compare.verdicts import family, standings
from lightm_book.paper import TABLES
from lightm_book.paper.tables import NETWORKS_OF_ROW, OURS
from lightm_book.show.figures import COLORS, INK, frames_slider, picture, use_style
from lightm_book.show.names import NAMES as CALLED
from lightm_book.show.names import shown_name
from lightm_book.show.notebook import check_profile, show_source
from lightm_book.show.tables import percent, span, table
from lightm_book.show.training import error_legend, error_map

SGD = {
    "name": "sgd",
    "lr": 1e-4,
    "momentum": 0.99,
    "nesterov": True,
    "weight_decay": 3e-5,
}
run = check_profile(
    profile,
    {
        "smoke": {
            "data": {
                "name": "phantom-cxr",
                "size": [48, 48],
                "options": {"cases": 60, "size": 48},
                "ratios": [3, 1, 4],
            },
            "options": {"width": 8, "depths": [1, 1], "bottleneck_depth": 2},
            "optim": {"name": "adamw", "lr": 0.012, "warmup": 10, "clip": 1.0},
            "train": {
                "epochs": 4,
                "iterations_per_epoch": 14,
                "batch_size": 4,
                "validate_every": 4,
            },
            "seeds": 3,
        },
        "paper": {  # Section 3; "hippocampus" is a smaller set of volumes
            "data": {"name": "lits", "size": [128, 128, 128], "ratios": [7, 1, 2]},
            "options": {},
            "optim": SGD,
            "train": {"epochs": 100, "batch_size": 2},
            "seeds": 3,
        },
    },
)
# For the runs of this chapter; gone when the kernel stops.
folder = tempfile.TemporaryDirectory()
use_style()
if profile == "smoke":
    torch.set_num_threads(1)  # networks as small as these are no faster on two

# %% [markdown]
# ## In one picture
#
# What taking a part away costs on real radiographs, in the runs that are recorded: the difference of mean DSC to the
# network with all its parts, and its 95% interval over training runs. Where a bar crosses the line, these runs don't show
# that the part matters. How such a bar is made, and what it needs to be believed, is what the chapter is about.

# %% tags=["hide-input"]
NAMES = [
    "lightm-unet",
    "paper-conv3",
    "paper-attention",
    "paper-no-adjustment",
    "paper-no-residual",
]
BASE, *OTHERS = NAMES
COLOR = dict(zip(NAMES, COLORS, strict=False))
recorded_runs = list_records(ROOT / "results/runs")
book = family(recorded_runs)  # the same object as in chapter 12
recorded = experiments(recorded_runs)
ABLATED = {CALLED[name]: name for name in OTHERS}
OPEN = {
    "2 directions": "lightm-unet, directions 2",
    "4 directions": "lightm-unet, directions 4",
    "causal DWConv": "lightm-unet, dwconv causal",
    "expansion 1": "lightm-unet, expansion 1",
    "expansion 4": "lightm-unet, expansion 4",
    "1 state": "lightm-unet, d_state 1",
    "32 states": "lightm-unet, d_state 32",
}
asked = {BASE, *(ABLATED | OPEN).values()}
real = next(
    (
        e
        for e in recorded
        if e.dataset == "montgomery-shenzhen" and len(e.only(asked).systems) > 1
    ),
    None,
)
there = {
    shown: system
    for shown, system in (ABLATED | OPEN).items()
    if real and system in real.systems
}
measured = {}
if real:
    rows = standings(real.only([BASE, *there.values()]), book)
    measured = {row.system: row for row in rows}
fig, ax = plt.subplots(figsize=(6.8, 0.42 * max(len(there), 3) + 1.2))
for y, system in enumerate(reversed(there.values())):
    against = measured[system].against
    ax.plot(100 * against.mean, y, "o", color=COLORS[0])
    if np.isfinite(against.low):
        ends = [100 * against.low, 100 * against.high]
        ax.plot(ends, [y, y], color=COLORS[0], linewidth=3)
ax.axvline(0, color=INK, linewidth=0.8)
ax.set_yticks(range(len(there)), list(reversed(there)), fontsize=10)
ax.set_xlabel("DSC minus that of the whole network, points")
clear = [shown for shown, system in there.items() if measured[system].against.high < 0]
if real and not real.carries_verdicts:
    print("The first minute of training only, so no verdicts:", real.title, sep="\n")
picture(
    fig,
    "Differences of mean DSC to the whole network, with intervals over runs. Worse "
    f"beyond the interval: {', '.join(clear) or 'none'}; the intervals of the other "
    f"{len(there) - len(clear)} variants reach across zero or lie above it",
)

# %% [markdown]
# ## What the paper says
#
# > […] we replace the VSS Module in LightM-UNet with a convolution operation with a 3×3 kernel for CNN and with the
# > self-attention mechanism for the Transformer. Considering the memory constraints, for CNN, we replace all VSS
# > Modules in LightM-UNet, while for the Transformer, we […] only replace the VSS Modules in the Bottleneck Block. […]
# > We further remove the Adjustment factors and Residual connections in the RVM Layer.
# >
# > — {cite}`liao2024lightmunet`, Section 3
#
# Five systems, then. `build_model` has them by name:

# %% tags=["hide-input"]
row_of = {model: row for row in TABLES[3].rows for model in NETWORKS_OF_ROW[row]}
for info in list_models():
    if info.name in NAMES:
        print(f"{info.name}: {row_of[info.name]}")
        print(f"    {info.summary}")
assert {row_of[name] for name in NAMES} == set(TABLES[3].rows)

# %% [markdown]
# The first two swap the *token mixer*, the module that lets tokens see each other. All three mixers map tokens
# $(B, L, C)$ to tokens $(B, L, C)$, so the rest of the network doesn't notice. A convolution sees $3^d$ neighbours:

# %%
show_source(Conv3.forward)

# %% [markdown]
# and self-attention sees all tokens, each weighted by how well its key fits the query:

# %%
show_source(SelfAttention.forward)

# %% [markdown]
# The paper gives neither the number of heads (8 here) nor a positional encoding (none here). The other two take a part of
# the RVM layer away: the learnt factor $s$, or the whole residual connection.

# %%
show_source(RVMLayer.forward)

# %% [markdown]
# One thing can be said without training anything. The factor starts at $s = 1$, so at the start the network without
# it *is* the network with it. Any difference between the two has to be learnt:

# %%
x = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
answers = {}
for name in ("lightm-unet", "paper-no-adjustment", "paper-no-residual"):
    torch.manual_seed(0)
    with torch.no_grad():
        answers[name] = build_model(name, 2, 1, 2, width=8)(x)
assert torch.allclose(answers["lightm-unet"], answers["paper-no-adjustment"], atol=1e-6)
assert not torch.allclose(
    answers["lightm-unet"], answers["paper-no-residual"], atol=1e-3
)

# %% [markdown]
# ## What the parts cost
#
# > Additionally, Convolution and Self-Attention introduces a significant number of parameters and computational
# > overhead.
# >
# > — {cite}`liao2024lightmunet`, Section 3
#
# Counting needs no data and no luck. `lightm.counting.count` counts every parameter once and every multiply-accumulate
# operation (MAC) once, the scan included. The network is that of the paper's text, at the sizes of its 2D and 3D
# experiments, one image.

# %% tags=["hide-input"]
INPUTS = {2: ((3, 512, 512), 2), 3: ((1, 128, 128, 128), 3)}  # dims: (C, *S), classes


def counted(name, dims, **options):
    """Parameters and MACs of a network at the paper's size (on the meta device)."""
    shape, classes = INPUTS[dims]
    with torch.device("meta"):
        model = build_model(name, dims, shape[0], classes, **options)
    return count(model, shape)


costs = {(name, dims): counted(name, dims) for dims in INPUTS for name in NAMES}


def cost_cells(key, costs):
    """Parameters and GMACs in 2D and in 3D."""
    both = [costs[key, dims] for dims in INPUTS]
    return [text for c in both for text in (f"{c.params:,}", f"{c.macs / 1e9:.1f}")]


COSTS = ["parameters, 2D", "GMACs, 2D", "parameters, 3D", "GMACs, 3D"]
table(["", *COSTS], [(CALLED[name], *cost_cells(name, costs)) for name in NAMES])

# %% tags=["hide-input"]
for name in ("paper-conv3", "paper-attention"):
    for dims in INPUTS:
        this, base = costs[name, dims], costs[BASE, dims]
        print(
            f"{CALLED[name]}, {dims}D: {this.params / base.params:.2f} x the "
            "parameters, ",
            end="",
        )
        print(f"{this.macs / base.macs:.2f} x the operations of {CALLED[BASE]}")

factors = {
    dims: costs[BASE, dims].params - costs["paper-no-adjustment", dims].params
    for dims in INPUTS
}
print(
    f"adjustment factors: {factors[3]:,} parameters, "
    f"{100 * factors[3] / costs[BASE, 3].params:.2f}%; residual: 0"
)
assert all(
    costs[n, d].macs > costs[BASE, d].macs
    for n in ("paper-conv3", "paper-attention")
    for d in INPUTS
)
assert all(
    costs["paper-attention", d].params
    < costs[BASE, d].params
    < costs["paper-conv3", d].params
    for d in INPUTS
)
assert all(
    costs["paper-no-adjustment", d].params == costs["paper-no-residual", d].params
    for d in INPUTS
)

# %% [markdown]
# Counted this way, the sentence holds for the convolution, in 3D above all: $3^3$ weights for each pair of channels. It
# holds for the *operations* of attention, whose cost grows with the square of the tokens. It doesn't hold for the
# *parameters* of attention: four $C\times C$ maps are fewer than a VSS module has. The factors cost next to nothing, as
# the paper says, and a residual connection costs no parameter by itself (without it the factor has no place).
#
# The numbers that Table 3 prints follow another convention of counting, and another version of the network;
# {doc}`09_counting` takes them apart.
#
# ### What the paper leaves open
#
# The text doesn't fix everything. The choices that it leaves are options here, and some of them cost more than the
# ablated parts:

# %% tags=["hide-input"] mystnb={"image": {"alt": "Bar chart of parameters and operations in 3D relative to the default network, for the four ablations and for the options that the paper leaves open. The convolution stands out with more than three times the parameters; four directions, attention and wider expansion cost operations; the causal convolution, and leaving out factors or residual connections, hardly change anything"}}
OPTIONS = {
    "1 direction (default)": {},
    "2 directions": {"directions": 2},
    "4 directions": {"directions": 4},
    "causal DWConv": {"dwconv": "causal"},
    "expansion 1": {"expansion": 1},
    "expansion 4": {"expansion": 4},
}
open_costs = {
    (label, dims): counted(BASE, dims, **options)
    for dims in INPUTS
    for label, options in OPTIONS.items()
}
bars = {CALLED[name]: costs[name, 3] for name in NAMES}
bars |= {label: open_costs[label, 3] for label, options in OPTIONS.items() if options}
place = np.arange(len(bars))[::-1]
fig, ax = plt.subplots(figsize=(6.4, 4.8))
kinds = (0.2, "params", "parameters", COLORS[0]), (-0.2, "macs", "MACs", COLORS[1])
for shift, what, label, colour in kinds:
    whole = getattr(costs[BASE, 3], what)
    relative = [getattr(cost, what) / whole for cost in bars.values()]
    ax.barh(place + shift, relative, height=0.38, color=colour, label=label)
ax.axvline(1, color=INK, linewidth=0.8)
ax.set_yticks(place, bars, fontsize=11)
ax.set_xlabel("3D, relative to the network of the text")
ax.legend()
plt.show()

# %% tags=["hide-input"]
table(["", *COSTS], [(label, *cost_cells(label, open_costs)) for label in OPTIONS])

# %% [markdown]
# ## The experiment
#
# Every system gets the same training cases, the same number of iterations, the same optimiser and learning rate, and
# the same test cases. Each is trained several times: the *seed* decides the initial weights, the order of the cases
# and their augmentation. The recipe is folded below; the paper profile of this chapter has the paper's settings in its
# place.


# %%
def recipe(name, seed):
    """The settings of one run."""
    return config_from_dict(
        {
            "name": f"{name}-{seed}",
            "data": run.data,
            "model": {"name": name, "options": run.options},
            "optim": run.optim,
            "train": run.train | {"seed": seed},
            "eval": {"native": False, "batch_size": 30 if profile == "smoke" else 1},
        }
    )


# %% tags=["hide-input", "hide-output"]
print(recipe(BASE, 0).to_toml())

# %% tags=["nbval-ignore-output"]
# Not compared by nbval: other processors round differently, training amplifies that.
records, gallery = {}, {}
for name in NAMES:
    for seed in range(run.seeds):
        trainer = Trainer(
            recipe(name, seed),
            Path(folder.name) / f"{name}-{seed}",
            quiet=profile == "smoke",
        )
        records[name, seed] = trainer.fit()
        if (
            seed == 0 and trainer.data.dataset.synthetic
        ):  # real patients are not drawn in this book
            test = trainer.data.load("test")
            with torch.no_grad():
                # (B, K, *S)
                logits = trainer.net.eval()(test.images[:12].to(trainer.device))
            gallery[name] = logits.argmax(1).cpu()  # (B, *S)

dataset, split = trainer.data.dataset, trainer.data.split
print(
    f"{dataset}, split into {len(split.train)} : {len(split.val)} : "
    f"{len(split.test)} cases; {run.seeds} seeds"
)

# %% [markdown]
# The score of a case is its DSC, the mean over the classes if there are several. That makes a table of seeds × cases
# for every system.

# %%
# (seeds, cases)
dsc = {
    name: scores([records[name, seed] for seed in range(run.seeds)]) for name in NAMES
}
cases = [case["case"] for case in records[BASE, 0]["test"]["cases"]]
# Paired.
assert all(
    [case["case"] for case in record["test"]["cases"]] == cases
    for record in records.values()
)
assert all(values.shape == (run.seeds, len(cases)) for values in dsc.values())
# All of them have learnt something.
assert all(values.mean() > 0.3 for values in dsc.values())

# %% tags=["hide-input", "nbval-ignore-output"]
lines = []
for name in NAMES:
    by_seed = 100 * dsc[name].mean(1)
    seeds = [f"{value:.2f}" for value in by_seed]
    ends = f"{by_seed.mean():.2f}", f"{by_seed.std(ddof=1):.2f}"
    lines.append(
        (CALLED[name], f"{records[name, 0]['model']['params']:,}", *seeds, *ends)
    )
head = [f"seed {seed}" for seed in range(run.seeds)]
table(["DSC in percent", "parameters", *head, "mean", "SD of seeds"], lines)

# %% tags=["hide-input"] mystnb={"image": {"alt": "DSC of the five systems: for each, small gray dots for the single test cases, which spread widely, and three larger points for the mean of each seed, which differ among themselves about as much as the systems do"}}
fig, ax = plt.subplots(figsize=(6.4, 4.0))
rng = np.random.default_rng(0)
lowest = 1.0
for y, name in enumerate(reversed(NAMES)):
    per_case, by_seed = dsc[name].mean(0), dsc[name].mean(1)
    ax.scatter(
        per_case,
        y + rng.uniform(-0.28, 0.28, len(per_case)),
        s=9,
        color=INK,
        alpha=0.35,
    )
    ax.scatter(
        by_seed, [y] * run.seeds, s=70, color=COLOR[name], edgecolor="none", zorder=3
    )
    lowest = min(lowest, np.quantile(per_case, 0.05), by_seed.min())
ax.set_yticks(range(len(NAMES)), [CALLED[n] for n in reversed(NAMES)], fontsize=11)
ax.set(
    xlabel="DSC (gray: cases, means over seeds; coloured: seeds)",
    xlim=(lowest - 0.02, 1),
)
plt.show()

# %% [markdown]
# If you had run each system once, with the seed of your choice, you could have published several different orders of
# them. How many?

# %% tags=["hide-input", "nbval-ignore-output"]
choices = np.stack(
    np.meshgrid(*[np.arange(run.seeds)] * len(NAMES), indexing="ij"), -1
).reshape(-1, len(NAMES))
means = np.stack([dsc[name].mean(1) for name in NAMES])  # (systems, seeds)
picked = np.take_along_axis(means.T, choices, axis=0)  # (choices, systems)
orders = {tuple(order) for order in picked.argsort(1).tolist()}
winners = sorted({CALLED[NAMES[best]] for best in picked.argmax(1)})
print(
    f"{len(choices)} ways to choose one run of each, {len(orders)} different "
    f"rankings; first: {', '.join(winners)}"
)

# %% [markdown]
# Here is what they draw. The case is the one of the first twelve test cases on which the five answers differ most.

# %% tags=["hide-input"] mystnb={"image": {"alt": "One held-out synthetic radiograph and the answers of the five systems: found lung in blue, missed in orange, invented in pink; the errors lie along the borders and differ between the systems"}}
if gallery and dataset.spatial_dims == 2:
    answers = torch.stack([gallery[name] for name in NAMES])  # (systems, B, H, W)
    busiest = int((answers != answers[0]).any(0).flatten(1).sum(1).argmax())
    image, truth = test.images[busiest, 0].numpy(), test.labels[busiest].numpy()
    fig, axes = plt.subplots(2, 3, figsize=(6.6, 5.2))
    axes.flat[0].imshow(image)
    axes.flat[0].set_title("image (synthetic)", fontsize=11)
    for ax, name, answer in zip(
        axes.flat[1:], NAMES, answers[:, busiest].numpy(), strict=True
    ):
        ax.imshow(error_map(image, answer, truth))
        ax.set_title(CALLED[name], fontsize=10)
    for ax in axes.flat:
        ax.set_axis_off()
    error_legend(fig)
    plt.show()

# %% [markdown]
# ## Is a difference more than luck?
#
# Two samples lie behind a difference, and they answer different questions.
#
# **The cases: would these networks differ on other images?** All systems see the *same* images, so compare them case by
# case: $d_i$ is the score of the one on case $i$ minus that of the other. If neither network were better, each $d_i$
# might as well have had the other sign. So flip the signs at random, many times, and see how often the mean gets as far
# from zero as the real one. That share is the p-value of a *permutation test*. For four cases one can write down all
# sixteen:

# %%
d = [0.03, 0.01, 0.02, -0.01]
flipped = sign_flips(d).null_distribution
as_far = np.sum(np.abs(flipped) >= np.mean(d) - 1e-12)
print(
    f"mean {np.mean(d):.4f}; of {len(flipped)} sign flips {as_far} get as far from "
    f"zero: p = {sign_flips(d).pvalue:.3f}"
)
assert sign_flips(d).pvalue == as_far / len(flipped)

# %%
show_source(sign_flips)

# %% [markdown]
# Slide through the four comparisons. On the left each dot is a test case; above the diagonal the ablated system is
# the better one. On the right, what sign flips give, and the difference that was found.

# %% tags=["hide-input"]
# (cases,), means over seeds.
per_case = {name: dsc[name].mean(0) - dsc[BASE].mean(0) for name in OTHERS}
by_cases = {name: sign_flips(d) for name, d in per_case.items()}
low = min(values.mean(0).min() for values in dsc.values()) - 0.01
frames = []
for name, d in per_case.items():
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.5))
    left.plot([low, 1], [low, 1], color=INK, linewidth=0.8)
    left.scatter(dsc[BASE].mean(0), dsc[name].mean(0), s=14, color=COLOR[name])
    left.set(
        xlabel=f"{CALLED[BASE]}, DSC",
        ylabel=f"{CALLED[name]}, DSC",
        xlim=(low, 1),
        ylim=(low, 1),
        aspect="equal",
    )
    flipped = 100 * by_cases[name].null_distribution
    reach = 1.15 * max(np.abs(flipped).max(), 100 * abs(d.mean()))
    right.hist(flipped, bins=41, range=(-reach, reach), color=INK, alpha=0.35)
    right.axvline(100 * d.mean(), color=COLOR[name], label="found")
    right.set(xlabel="mean difference (points)", yticks=[], title="signs flipped")
    right.legend(loc="upper left", fontsize=10)
    frames.append(fig)
frames_slider(
    frames,
    [f"{CALLED[name]} against {CALLED[BASE]}" for name in OTHERS],
    alt="Left, DSC of each held-out synthetic case, the base system against an "
    "ablated one, points near the diagonal; right, a "
    "bell-shaped histogram of mean differences under flipped signs around zero, "
    "with the difference that was found as a line",
    caption="Means over seeds. One point is one hundredth of DSC.",
)

# %% [markdown]
# **The runs: would these systems differ with other seeds?** A small p-value above says that *these files of weights*
# differ on images of this kind. Whether the *systems* differ is another question, because another seed would have given
# other weights. The unit of that question is the run: a system with three runs is a sample of three numbers, however
# many cases each was scored on. Welch's t-test compares two such samples, each with its own spread:

# %%
show_source(difference)

# %% [markdown]
# **Many questions at once.** Each test at the 5% level has one chance in twenty of a false alarm, and four ablations are
# four chances. Holm's correction makes p-values pay for that: with $m$ questions the smallest is multiplied by $m$, the
# next by $m - 1$, and so on. The chance of even one false alarm among all of them is then at most 5%.

# %%
show_source(holm)

# %% tags=["hide-input", "nbval-ignore-output"]
by_runs = {name: difference(dsc[BASE].mean(1), dsc[name].mean(1)) for name in OTHERS}
corrected = holm({name: found.p for name, found in by_runs.items()})
lines = []
for name, found in by_runs.items():
    cells = [f"{100 * found.mean:+.2f}", span(found.low, found.high)]
    p_values = by_cases[name].pvalue, found.p, corrected[name]
    lines.append((CALLED[name], *cells, *(f"{p:.4f}" for p in p_values)))
trapped = [n for n in OTHERS if by_cases[n].pvalue < LEVEL <= corrected[n]]
print(f"p, corrected: over runs, for {len(OTHERS)} questions")
print("clear over cases, and not over runs:", end=" ")
print(", ".join(CALLED[name] for name in trapped) or "none")
head = ["DSC, points", "95% over runs", "p (cases)", "p (runs)", "p, corrected"]
table([f"against {CALLED[BASE]}", *head], lines)

# %% [markdown]
# If the line above the table names a system, it shows the trap. A paired test over many cases has the power to find
# differences between two *networks* that another throw of the dice would have reversed. And where the last column is
# large, three runs were too few to tell: it doesn't say that the systems are alike. The networks here are small, the
# images synthetic and the training a minute, so this is an exercise in judging, and no verdict on the systems.
#
# ## How small a difference can be seen?
#
# > Experimental results show that after removing these two components, […] the model's performance significantly
# > declines (0.44%↓ and 0.69%↓ mIoU).
# >
# > — {cite}`liao2024lightmunet`, Section 3
#
# Table 3 has one number per cell and doesn't say whether it stands for one training run or several. What it takes to
# show a difference $\delta$ between two systems whose runs scatter with standard deviation $\sigma$ is a textbook
# formula: about
#
# $$ n = 2\,(z_{0.975} + z_{0.8})^2\,(\sigma/\delta)^2 $$ (eq-seeds)
#
# runs of *each*, to find it in four of five experiments at the 5% level; the $z$ are quantiles of the normal
# distribution. For few runs, whose $\sigma$ is itself a guess, that is too few, and Student's t takes the normal
# distribution's place:

# %%
show_source(detectable_difference)

# %% [markdown]
# We don't know $\sigma$ for the paper's training. Here is $n$ for the smallest and the largest average DSC that separates
# LightM-UNet from its ablations *as printed*, and a range of $\sigma$.


# %% tags=["hide-input"]
def runs_needed(sigma, delta, most=1000):
    """Training runs of each system to detect delta; None if more than `most`."""
    return next(
        (n for n in range(2, most + 1) if detectable_difference(sigma, n) <= delta),
        None,
    )


ablated = TABLES[3]
printed = {
    row: float(ablated[OURS, "Average DSC"] - ablated[row, "Average DSC"])
    for row in ablated.rows
    if row != OURS
}
for row, delta in printed.items():
    print(f"LightM-UNet minus {row:<26}{delta:5.2f} points (Table 3, as printed)")
least, most = min(printed.values()), max(printed.values())
lines = [
    (f"{sigma:g}", *(runs_needed(sigma, delta) for delta in (least, most)))
    for sigma in (0.1, 0.2, 0.5, 1.0)
]
# The formula above, and little more:
z = stats.norm.ppf([0.975, 0.8]).sum()
assert all(runs_needed(1.0, d) - 2 * (z / d) ** 2 < 3 for d in printed.values())
head = [f"runs of each for δ = {delta:.2f}" for delta in (least, most)]
table(["σ of the runs, points", *head], lines)

# %% tags=["hide-input", "nbval-ignore-output"]
sigma = 100 * np.sqrt(np.mean([values.mean(1).var(ddof=1) for values in dsc.values()]))
print(
    f"σ in our small experiment, over the five systems: {sigma:.2f} points; "
    f"detectable with {run.seeds} runs of each:"
)
print(f"  {detectable_difference(sigma, run.seeds):.2f} points, asked alone,")
print(
    f"  {detectable_difference(sigma, run.seeds, LEVEL / len(OTHERS)):.2f} points, "
    f"as one of {len(OTHERS)} questions"
)
print("runs of each system that it would take to confirm the difference found for")
for name, found in by_runs.items():
    needed = runs_needed(sigma, 100 * abs(found.mean)) or "more than 1,000"
    print(f"  {CALLED[name]:<24}{needed}")

# %% [markdown]
# None of this says that the paper's order is wrong. It says what would be needed to know, and that a table without a
# spread leaves the question open. It is a habit of the field, not of one paper.
#
# ## On real radiographs
#
# The experiment above uses phantoms, so that anybody can run it in a minute. The same question was put to the
# public radiographs of {doc}`07_real_xrays`, at a *reduced* size, by full networks (not the small ones from above).
# What follows reads the records of those runs, as many as there are. Beside the ablations of Table 3 there are the
# choices that the text leaves open: directions of the scan, width of the inner layers, number of states, spatial or
# causal convolution.
#
# {doc}`12_results` compares the networks of Table 2 with the same base in the same experiment. That is why the p-values
# of both chapters are corrected together: the family is every comparison with the text's network in this book whose
# runs were trained to the end, at least two of each, whatever chapter shows it.

# %% tags=["hide-input"]
print(real.title if real else "No run on real radiographs is recorded yet.")
print(
    f"{real.passes:.1f} passes over the training cases; verdicts: "
    f"{'yes' if real.carries_verdicts else 'no, too short'}"
)
print(
    f"comparisons in the book's family: {len(book.p)}, of which in this table: ", end=""
)
print(sum((real.key, system) in book.p for system in there.values()))
pending = "; ".join(shown for shown in ABLATED | OPEN if shown not in there)
for what, names in (("recorded", "; ".join(there)), ("pending", pending)):
    print(textwrap.fill(f"{what}: {names or 'none'}", 88, subsequent_indent="  "))

# %% tags=["hide-input"]
lines = []
for shown, system in [("base", BASE), *there.items()]:
    row, against = measured[system], measured[system].against
    cells = ["", "", "", ""]
    if against:
        corrected_p = "" if row.p is None else f"{row.p:.4f}"
        cells = [
            f"{100 * against.mean:+.2f}",
            span(against.low, against.high),
            span(*row.over_cases),
            corrected_p,
        ]
    lines.append((shown, row.runs, percent(row.dsc[0]), *cells, row.verdict))
ways = ["points", "95% over runs", "95% over cases", "p, corrected", "verdict"]
table([f"against {CALLED[BASE]}", "runs", "DSC", *ways], lines)

# %% [markdown]
# The p-values are over runs and corrected in the family of the whole book. An experiment whose runs see each training
# case a few times only is the first minute of training: it says what the parts do for fast learning, and gets no
# verdict. Size and length are reduced either way, and nothing about the printed numbers follows.

# %% tags=["hide-input"]
least = [
    (100 * row.detectable, shown)
    for shown, system in there.items()
    if (row := measured[system]).detectable
]
if least:
    print(
        f"detectable with the runs there are: from {min(least)[0]:.2f} "
        f"({min(least)[1]}) to {max(least)[0]:.2f} points",
        end="",
    )
    print(f" ({max(least)[1]}), at a level of {book.level:.4f}")

# %% tags=["hide-input"]
volumes = [e for e in recorded if len(e.size) == 3 and BASE in e.systems]
for experiment in volumes:
    print(f"volumes, {experiment.title}")
    for row in standings(experiment.only(NAMES), book):
        against = "" if row.against is None else f"{100 * row.against.mean:+.2f}: "
        score = f"DSC {percent(row.dsc[0])}"
        print(f"  {shown_name(row.system):<20} {score}   {against}{row.verdict}")
if not volumes:
    print("Ablations on volumes: pending.")

# %% [markdown]
# ## What this experiment can and can't say
#
# *It can say*
# * what the parts cost, exactly, at any size: that is arithmetic,
# * that all five systems can be trained by the same recipe, and how much a run of this length scatters,
# * which differences other trainings would repeat, where runs are many and long enough, and how large one must be to be
#   seen with the runs there are.
#
# *It can't say*
# * which system is best for patients: in the first part no patient was in it, in the second the runs are short,
# * which is best when fully trained: a short training favours whatever learns fast,
# * anything about tumours, volumes or long ranges: the images are small, the lungs large, and a small image has few
#   tokens over which a scan or attention could show its reach,
# * whether each would do better with its own learning rate: all had the same, chosen for none of them.
#
# With `profile = "paper"` the same cells train the full networks on LiTS, with the settings of the paper's Section 3. On
# one GPU that takes many days. `lightm train` does it run by run, and what it writes can be compared by the functions
# above.

# %% [markdown]
# ## Exercises
#
# ★ takes a line, ★★ some thought, ★★★ an afternoon. `check` says whether an answer is
# right, and if it is not, what to think about.

# %% tags=["hide-input"]
from lightm_book.exercises import check

# %% [markdown]
# :::{exercise} ★ Two other mixers
# :label: ex-ablation-mixers
# How many parameters has each mixer for $C$ channels in $d$ dimensions: `Conv3`,
# `SelfAttention`? Neither has a bias. From that: how many times as many as attention
# has the convolution in 3D?
# :::
#
# :::{hint}
# :class: dropdown
# A filter of side 3 in $d$ dimensions, from every channel to every channel; four linear
# maps.
# :::
#
# :::{solution} ex-ablation-mixers
# :class: dropdown
# `Conv3` has $3^d C^2$. Attention has four maps, for query, key, value and output:
# $4 C^2$. In 3D the ratio is 27/4.
#
# ```python
# def mixer_parameters(C, d):
#     return 3**d * C**2, 4 * C**2
# ```
# :::


# %%
def mixer_parameters(C, d):
    return None  # your formulas: (Conv3, SelfAttention)


check("ex-ablation-mixers", mixer_parameters)

# %% [markdown]
# :::{exercise} ★ A volume twice as large
# :label: ex-ablation-double
# Someone doubles the side of a 3D image. By which factors do the operations of the VSS
# module's scan grow, and those of attention's two products?
# :::
#
# :::{hint}
# :class: dropdown
# How many more tokens are there? The scan is linear in them.
# :::
#
# :::{solution} ex-ablation-double
# :class: dropdown
# There are $2^3 = 8$ times as many tokens. The scan is linear in them: 8. Attention
# compares all pairs: $8^2 = 64$.
#
# ```python
# factors = (8, 64)
# ```
# :::

# %%
factors = None  # your answer: (scan, attention)

check("ex-ablation-double", factors)

# %% [markdown]
# :::{exercise} ★★ Better on every case
# :label: ex-ablation-cases
# A reviewer has tested two systems on $n$ cases, and one is better on *every* case. How
# many cases are needed for the p-value of flipping signs to get below 0.05?
# :::
#
# :::{hint}
# :class: dropdown
# Which of the $2^n$ choices of signs are as far from zero as the measured one?
# :::
#
# :::{solution} ex-ablation-cases
# :class: dropdown
# Only two of the $2^n$ choices are as far from zero, all plus and all minus:
# $p = 2/2^n$. Five cases give 0.0625, six give 0.031.
#
# ```python
# cases_needed = 6
# ```
# :::

# %%
cases_needed = None  # your answer

check("ex-ablation-cases", cases_needed)

# %% [markdown]
# :::{exercise} ★★ A row seen before
# :label: ex-ablation-row
# Compare the six accuracies that Table 3 prints for VSSM→Conv3,
# `TABLES[3]["VSSM→Conv3", column]` for the columns in `TABLES[3].accuracy`, with the
# rows of Table 1. Which row is it like? Which innocent explanations can you think of?
# :::
#
# :::{hint}
# :class: dropdown
# `TABLES[1].rows` has the names of the rows; count the columns that agree.
# :::
#
# :::{solution} ex-ablation-row
# :class: dropdown
# They are those of SegResNet, digit for digit. One can think of a slip in assembling
# the tables, or of SegResNet having been taken for the convolutional variant. The
# counts of parameters agree too, those of operations don't. Only the authors can say.
#
# ```python
# twin = "SegResNet"
# ```
# :::

# %%
twin = None  # your answer: the name of a row of Table 1

check("ex-ablation-row", twin)

# %% [markdown]
# :::{exercise} ★★★ Open: the ablation that is missing
# :label: ex-ablation-open
# Table 3 takes away one part at a time. Propose an ablation that it lacks and that
# would tell more about why the network works. Write its recipe, count what it costs,
# say how many seeds you need for the difference that you would call important, and run
# as much of it as your machine allows.
# :::
#
# :::{hint}
# :class: dropdown
# Take two parts away together; keep the parameters equal; or replace the scan by
# something that can't see far.
# :::
#
# :::{solution} ex-ablation-open
# :class: dropdown
# A good answer states the question as a comparison of two systems, keeps everything
# else equal (parameters, steps, data), uses `detectable_difference` to choose the
# number of runs, and says what either outcome would mean.
# :::

# %% [markdown]
# ## What to remember
#
# * Counted exactly, a convolution in the VSS module's place costs more parameters and operations, attention more operations
#   and fewer parameters; adjustment factors and residual connections are almost free.
# * A run is one throw of the dice. Without several seeds, a ranking of similar systems is an anecdote.
# * A paired test over cases speaks about networks. About systems speaks a test over runs, and every comparison with the
#   same base pays for the others.
# * "No difference shown" is not "no difference": how large one must be to be seen with so many runs can be computed.
#
# **Where to go.** {doc}`12_results` judges whole networks by the same rules; {doc}`09_counting` takes the costs that Table 3
# prints apart; {doc}`../book/what_came_after` has others' experiments with and without Mamba.
