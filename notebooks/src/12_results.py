# %% [markdown]
# # Results
#
# The paper's second table compares six networks on chest radiographs. It has one number a cell. This chapter prints
# those numbers, puts beside them what was measured here, and asks of every difference whether it is more than luck.
#
# Everything that is called *measured* comes from a record under `results/`: a run that somebody really made, with its
# recipe, seed, hardware and the score of each test case ({doc}`07_real_xrays` tells how to read one). The page is
# written so that it takes whatever records are there. At this moment, most of them are runs at a *reduced* size, because a
# processor without a GPU gets no further in reasonable time. Such runs say how the networks do after the same short
# training on small images. They neither confirm nor refute the paper's numbers, and nothing here does so. What waits
# for a GPU is listed at the end of the page, by the code.
#
# You need: {doc}`07_real_xrays` for records and intervals, {doc}`08_ablations` for the two kinds of luck.
#
# At the end you can say
# * what the records allow to be said about the networks of Table 2, and what not,
# * why an interval over cases and one over training runs answer different questions,
# * what the paper's Figure 1 looks like with measured accuracies and honest counts,
# * where on an image the networks go wrong, and whether they go wrong on the same cases.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %%
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown
from matplotlib.ticker import NullFormatter

from lightm.training.config import config_from_dict
from lightm.training.record import list_records
from lightm.training.trainer import Trainer
from lightm_book import ROOT
from lightm_book.compare.experiments import (
    Standing,
    costs,
    count_of,
    experiments,
    row_of,
    scores,
    standings,
    unmeasured,
)
from lightm_book.compare.statistics import compare, holm, interval_of_cases, interval_of_runs, seeds_by_chance
from lightm_book.paper import TABLES
from lightm_book.paper.checks.accuracy import not_as_paper
from lightm_book.paper.tables import GFLOPS, PARAMS
from lightm_book.reproduce.plan import load_plan
from lightm_book.show.figures import COLORS, frames_slider, use_style
from lightm_book.show.notebook import check_profile, show_source
from lightm_book.show.training import error_legend, error_map

run = check_profile(
    profile,
    {
        "smoke": {
            "size": 64,
            "iterations": 40,
            "drawn": {  # the networks whose answers are drawn on phantoms, made small
                "lightm-unet": {"width": 16, "depths": [1, 1], "bottleneck_depth": 2},
                "segresnet": {"init_filters": 8},
                "unetr": {"img_size": 64, "feature_size": 8, "hidden_size": 48, "mlp_dim": 96, "num_heads": 4},
            },
        },
        "paper": {
            "size": 256,
            "iterations": 1000,
            "drawn": {"lightm-unet": {}, "segresnet": {}, "nnunet": {}, "unetr": {"img_size": 256}},
        },
    },
)
use_style()


def table(head, rows, align="--:"):
    """A table for the page; the columns after the first are right-aligned unless told otherwise."""
    lines = [head, [":--"] + [align] * (len(head) - 1), *rows]
    return Markdown("\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines))


def percent(value, digits=2):
    return f"{100 * value:.{digits}f}"


def span(pair):
    """An interval in percent."""
    return f"{percent(pair[0])} to {percent(pair[1])}" if np.isfinite(pair).all() else "not known"


# %% [markdown]
# ## What has been run
#
# Runs may be compared if nothing but the network and the seed differs between them: same cases, same split, same size,
# same recipe. The code calls such a group an *experiment*, and sorts the records into them:

# %%
records = list_records(ROOT / "results/runs")
found = experiments(records)
rows = [
    (e.title, len(e.systems), sum(map(len, e.systems.values())), e.first["environment"]["hardware"]["gpu"] or "CPU")
    for e in found
]
print(f"{len(records)} records of runs, {len(found)} experiments")
assert not any(e.synthetic for e in found)
table(["experiment", "networks", "runs", "on"], rows)

# %% [markdown]
# An experiment with one network is a result, and no comparison. The one with the most networks on the data of Table 2
# is what most of this page is about: of it, the networks of that table and `lightm-unet-1m` ({doc}`08_ablations` has the
# variants of LightM-UNet).

# %%
on_xrays = [e for e in found if e.dataset == TABLES[2].dataset]
compared = TABLES[2].rows
on_xrays = [e.only(s for s in e.systems if row_of(s) in compared or s == "lightm-unet-1m") for e in on_xrays]
main = next((e for e in on_xrays if profile == "paper" and e.size == (512, 512)), on_xrays[0])
if profile == "paper" and main.size != (512, 512):
    print("Runs at 512 x 512 are pending: nobody has made them on a GPU yet. What follows is the reduced experiment.")
BASE = "lightm-unet"
native = main.native  # scored at the size of the files, 512 x 512 here, against the masks as they were drawn
print(main.title)
print(f"networks: {'; '.join(main.systems)}")
print(f"test cases: {len(main.cases)}, scored at {'native size' if native else 'the size of the training'}")
for difference in not_as_paper(main.first, 2):
    print("not as in the paper's Section 3:", difference)
assert BASE in main.systems

# %% [markdown]
# ## Table 2, printed and measured
#
# On the left the paper's numbers as printed, on the right ours. Both are in percent. Between the two halves lie all
# the differences that were just listed, another split, and other numbers of iterations; so the halves stand side by
# side, and *a number of one can't be subtracted from a number of the other*. What can be compared is each column
# within itself.

# %%
rows_here = standings(main, BASE, native)
by_system = {row.system: row for row in rows_here}
printed, lines = TABLES[2], []
for name in printed.rows:
    ours = [system for system in main.systems if row_of(system) == name]
    cells = [f"{printed[name, column]:.2f}" for column in ("DSC", "mIoU")]
    for system in ours or [None]:
        row = by_system.get(system)
        right = (
            [f"`{system}`", row.runs, percent(row.dsc), span(row.dsc_cases), percent(row.iou)]
            if row
            else ["pending", "", "", "", ""]
        )
        lines.append((name, *cells, *right))
for system, row in by_system.items():
    if row_of(system) is None:
        lines.append(("", "", "", f"`{system}`", row.runs, percent(row.dsc), span(row.dsc_cases), percent(row.iou)))
table(["Table 2", "DSC, printed", "mIoU, printed", "measured", "runs", "DSC", "95% over cases", "IoU"], lines)

# %% [markdown]
# The interval says how far the mean would move with *other test cases*, the networks being what they are
# ({doc}`07_real_xrays`). It doesn't know that another seed would have given other networks. For that there is a second
# one, over training runs, where a network was trained more than once:

# %%
show_source(interval_of_runs)

# %%
lines = [
    (
        f"`{row.system}`",
        f"{row.params:,}",
        row.runs,
        ", ".join(percent(value) for value in scores(main.systems[row.system], "dsc", native).mean(1)),
        span(row.dsc_cases),
        span(row.dsc_runs),
    )
    for row in rows_here
]
table(["network", "parameters", "runs", "DSC of each run", "95% over cases", "95% over runs"], lines)

# %% [markdown]
# With three runs the second interval is wide even where the runs lie close together: three numbers tell little about
# their own spread, and Student's t charges for that. With one run there is none.

# %% mystnb={"image": {"alt": "One line for each network, the best at the top: small gray dots for the test cases, a thick bar for the interval of the mean over cases, larger coloured dots for the mean of each training run"}}
fig, ax = plt.subplots(figsize=(6.8, 0.55 * len(rows_here) + 1.2))
rng = np.random.default_rng(0)
lowest = 1.0
for y, row in enumerate(reversed(rows_here)):
    values = scores(main.systems[row.system], "dsc", native)  # (runs, cases)
    ax.scatter(values.mean(0), y + rng.uniform(-0.3, 0.3, values.shape[1]), s=5, color="lightgray", zorder=1)
    ax.plot(row.dsc_cases, [y, y], color="black", linewidth=5, solid_capstyle="butt", zorder=2)
    ax.scatter(values.mean(1), [y] * len(values), s=36, color=COLORS[1], edgecolor="white", zorder=3)
    lowest = min(lowest, np.quantile(values, 0.03))
ax.set_yticks(range(len(rows_here)), [row.system for row in reversed(rows_here)], fontsize=10)
ax.set(xlabel="DSC of the held-out cases", xlim=(lowest - 0.01, 1))
plt.show()

# %% [markdown]
# ## Which differences are real?
#
# All networks were scored on the same cases, so they are compared case by case, by flipping signs, and the p-values
# are corrected for the number of questions ({doc}`08_ablations`). That covers luck with the cases. Luck with the
# training is covered only by several runs of each: we ask that all runs of one lie above all runs of the other, and
# that equal systems would do so in at most one of ten experiments, which takes three runs of each.

# %%
show_source(Standing.verdict)

# %%
for runs in (1, 2, 3, 4, 5):
    print(f"{runs} runs of each: equal systems lie apart in {100 * seeds_by_chance(runs, runs):.0f}% of experiments")

# %%
lines = [
    (
        f"`{row.system}`",
        f"{100 * row.comparison.difference:+.2f}",
        f"{row.p:.4f}" if row.p >= 0.0005 else "< 0.0005",
        f"{row.runs} : {by_system[BASE].runs}",
        "yes" if row.comparison.seeds_apart else "no",
        row.verdict,
    )
    for row in rows_here
    if row.comparison
]
table([f"against `{BASE}`", "DSC, points", "p (cases, Holm)", "runs", "runs apart", "what may be said"], lines)

# %%
groups = {}
for row in rows_here:
    if row.comparison:
        groups.setdefault(row.verdict, []).append(row.system)
print(f"{main.title}, against {BASE}:")
for verdict in ("better", "worse"):
    print(f"  {verdict} (cases and runs agree): {'; '.join(groups.pop(verdict, ['none']))}")
for verdict, systems in groups.items():
    print(f"  {verdict}: {'; '.join(systems)}")

# %% [markdown]
# A line that says "these networks differ" is a statement about files of weights: on patients like these, *this* one
# outlines lungs better than *that* one. That the *architecture* is better is a statement about all runs, and needs more
# than one.
#
# Any network may be asked to be the base. Slide through them; a bar that doesn't cross the line of zero excludes a mean
# difference of nothing for these networks, cases drawn anew.

# %%
frames, labels = [], []
order = [row.system for row in rows_here]
every = {name: scores(runs, "dsc", native).mean(0) for name, runs in main.systems.items()}  # (cases,)
reach = max(abs(100 * (every[a] - every[b]).mean()) for a in order for b in order) * 1.15 + 0.3
for base in order:
    fig, ax = plt.subplots(figsize=(6.8, 0.45 * len(order) + 1.2))
    for y, name in enumerate(reversed(order)):
        difference = 100 * (every[name] - every[base])
        color = COLORS[0] if name != base else "gray"
        ax.plot(difference.mean(), y, "o", color=color)
        if name != base:
            ax.plot(interval_of_cases(difference), [y, y], color=color, linewidth=3)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(range(len(order)), reversed(order), fontsize=10)
    ax.set(xlim=(-reach, reach), xlabel="DSC less that of the base, points (95% over cases)")
    frames.append(fig)
    labels.append(f"base: {base}")
frames_slider(
    frames,
    labels,
    alt="For each network its mean difference of DSC to the chosen base, with an interval over cases, and a vertical line at zero",
    caption="Paired: the differences are taken case by case before they are averaged.",
)

# %% [markdown]
# ## Are the same cases hard for all?
#
# If a case is hard because of its image, all networks should do badly on it; if the networks have weaknesses of their
# own, each should fail elsewhere. The rank correlation of two networks' scores over the cases tells.


# %%
def rank_correlation(a, b):
    """Spearman's: the correlation of the ranks. a, b: (cases,)."""
    ranks = [values.argsort().argsort() for values in (a, b)]
    return np.corrcoef(ranks)[0, 1]


pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
correlations = {pair: rank_correlation(*(every[name] for name in pair)) for pair in pairs}
if correlations:
    mean = np.mean(list(correlations.values()))
    print(
        f"rank correlation of two networks' DSC over {len(main.cases)} cases, mean over {len(pairs)} pairs: {mean:.2f}"
    )
    for word, pick in (("most", max), ("least", min)):
        pair = pick(correlations, key=correlations.get)
        print(f"{word} alike: {' and '.join(pair)}, {correlations[pair]:.2f}")

# %% mystnb={"image": {"alt": "Cumulative curves of the DSC of the held-out cases, one for each network: the share of cases that score at most so much. The curves run nearly in parallel, with a tail of hard cases on the left"}}
fig, ax = plt.subplots(figsize=(6.8, 4.0))
styles = ("-", "--", ":")
for i, name in enumerate(order):
    ordered = np.sort(every[name])
    share = np.arange(1, len(ordered) + 1) / len(ordered)
    ax.step(ordered, 100 * share, styles[i // len(COLORS)], color=COLORS[i % len(COLORS)], label=name, where="post")
ax.set(xlabel="DSC", ylabel="cases up to there, %", xlim=(max(0.0, lowest - 0.05), 1), ylim=(0, 100))
ax.legend(fontsize=9, loc="upper left")
plt.show()

# %% [markdown]
# ## How they learnt
#
# The curves are those of the validation cases, which took no part in the training. The learning rate falls to zero with
# the last iteration, so every curve flattens at its end, also that of a network which a longer training would have
# carried further. The experiment is as much about speed of learning as about what can be learnt.

# %% mystnb={"image": {"alt": "DSC on the validation cases over the iterations, one line for each training run, coloured by network, rising steeply at first"}}
fig, ax = plt.subplots(figsize=(6.8, 4.0))
for i, name in enumerate(order):
    for number, record in enumerate(main.systems[name]):
        rows = [row for row in record["curve"] if row["val_dsc"] is not None]
        ax.plot(
            [row["iteration"] for row in rows],
            [row["val_dsc"] for row in rows],
            styles[i // len(COLORS)],
            marker=".",
            color=COLORS[i % len(COLORS)],
            linewidth=1.5,
            label=name if number == 0 else None,
        )
ax.set(xlabel="iteration", ylabel="DSC, validation cases")
ax.legend(fontsize=9, loc="lower right")
plt.show()

# %%
gains = {}
for name in order:
    dsc = np.array([[row["val_dsc"] for row in record["curve"][-2:]] for record in main.systems[name]])  # (runs, 2)
    gains[name] = 100 * (dsc[:, 1] - dsc[:, 0]).mean()
print("gained by the last epoch, points of validation DSC:")
print("; ".join(f"{name} {gain:+.2f}" for name, gain in gains.items()))

# %% [markdown]
# ## What the runs took
#
# The recipe of an experiment, every key that its runs share:

# %%
lines = config_from_dict(main.recipe).to_toml().splitlines()
start, stop = lines.index("[model]"), lines.index("[optim]")
print("\n".join(line for line in lines[2:start] + lines[stop : lines.index("[eval]")] if not line.startswith("seed")))

# %% [markdown]
# One learning rate for all networks is fair only if it is not the favourite of one of them. So each of three was trained
# with a third and with three times of it as well, in runs as short as these, and scored on the *validation* cases (the
# test cases must not choose anything):

# %%
rates = json.loads((ROOT / "results/learning-rates.json").read_text())
asked = sorted({row["lr"] for row in rates})
lines = []
for name in dict.fromkeys(row["model"] for row in rates):
    by_rate = {row["lr"]: 100 * row["best"]["val_dsc"] for row in rates if row["model"] == name and "best" in row}
    behind = max(by_rate.values()) - by_rate[main.recipe["optim"]["lr"]]
    cells = (f"{by_rate[rate]:.2f}" if rate in by_rate else "diverged" for rate in asked)
    lines.append((f"`{name}`", *cells, f"{behind:.2f}"))
table(["validation DSC with learning rate", *(f"{rate:g}" for rate in asked), "the common rate loses"], lines)

# %%
apart = max(np.ptp(100 * scores(runs, "dsc", native).mean(1)) for runs in main.systems.values())
print(f"test DSC of runs that differ in the seed only: up to {apart:.2f} points apart")

# %% [markdown]
# There is one run a cell, so differences in a row that other seeds might turn around mean nothing; and a difference
# between two networks that is not much larger than the last column proves nothing about the networks.

# %%
hardware = {
    (h["cpu"], h["cores"], h["threads"], h["gpu"]) for r in records.values() for h in [r["environment"]["hardware"]]
}
for cpu, cores, threads, gpu in sorted(hardware, key=str):
    print(f"machine: {cpu}, {cores} cores, {threads} thread(s), GPU: {gpu or 'none'}")
spent = costs(main)
lines = [
    (f"`{name}`", f"{spent[name]['minutes']:.0f}", f"{spent[name]['gib']:.1f}", record["model"]["scan"])
    for name, (record, *_) in main.systems.items()
]
table(["network", "minutes a run", "peak memory, GiB", "scan"], lines)

# %% [markdown]
# The minutes hold whatever else the machine did in the meantime, so they don't measure which network is faster;
# {doc}`13_cost` does that. Memory is that of the whole process, PyTorch and the data included.
#
# ## Figure 1, with measured numbers
#
# The paper's first figure has accuracy against operations, markers as large as the networks. {doc}`09_counting` shows what
# becomes of its axes when each parameter and operation is counted once. Here the accuracy is measured, too: below, every
# network of the experiment at the experiment's own image size, all operations counted, the scan's included.

# %%
counted = {name: count_of(runs[0]) for name, runs in main.systems.items()}
lines = [
    (f"`{name}`", f"{counted[name].params / 1e6:.2f}", f"{counted[name].macs / 1e9:.3f}", percent(by_system[name].dsc))
    for name in order
]
assert all(counted[name].params == main.systems[name][0]["model"]["params"] for name in order)
table(["network", "parameters, M", f"GMACs, one image of {main.size[0]} × {main.size[1]}", "DSC, measured"], lines)

# %% mystnb={"image": {"alt": "Two scatter plots of accuracy against operations, markers as large as the networks. Above, Table 2 as printed, LightM-UNet at the far left and on top. Below, the measured experiment, each operation counted once, with bars for the interval over cases"}}
fig, axes = plt.subplots(2, 1, figsize=(6.8, 8))
color_of = dict(zip(printed.rows, COLORS, strict=False))
for name in printed.rows:
    x, y, params = (float(printed[name, column]) for column in (GFLOPS, "DSC", PARAMS))
    axes[0].scatter(x, y, s=10 + 6 * params, color=color_of[name], alpha=0.6, edgecolors="black")
    up = (params**0.5 + 8) * (-1.6 if name == "UNETR" else 1)  # beyond the marker
    axes[0].annotate(name, (x, y), xytext=(0, up), textcoords="offset points", ha="center", fontsize=9)
axes[0].set(xscale="log", xlabel="GFLOPs as printed", ylabel="DSC, %", title="Table 2, as printed")
for i, name in enumerate(order):
    x, row = counted[name].macs / 1e9, by_system[name]
    color = color_of.get(row_of(name), "gray")
    axes[1].plot([x, x], [100 * end for end in row.dsc_cases], color=color, linewidth=1.5)
    axes[1].scatter(x, 100 * row.dsc, s=10 + 6 * row.params / 1e6, color=color, alpha=0.6, edgecolors="black")
    up = 10 if i % 2 == 0 else -16
    axes[1].annotate(name, (x, 100 * row.dsc), xytext=(0, up), textcoords="offset points", ha="center", fontsize=8)
axes[1].set(xscale="log", xlabel="GMACs of one image, counted once", ylabel="DSC, %")
axes[1].set_title(f"measured, {main.size[0]} × {main.size[1]}, short training", fontsize=12)
for ax in axes:
    ax.margins(0.18)
    ax.xaxis.set_minor_formatter(NullFormatter())
plt.show()

# %%
cheaper = [name for name in order if counted[name].macs < counted[BASE].macs]
better = [name for name in order if by_system[name].dsc > by_system[BASE].dsc]
print(f"fewer operations than {BASE} at this size: {'; '.join(cheaper) or 'none'}")
print(f"higher mean DSC than {BASE} in this experiment: {'; '.join(better) or 'none'}")

# %% [markdown]
# ## Figure 3, on phantoms
#
# The paper's third figure shows two cases and what the networks drew on them. Patients aren't shown in this book, so the
# cases here are synthetic radiographs, and the networks are small and trained for seconds: the figure is about *how* to
# look, and which kinds of errors there are, and says nothing about who wins.

# %% tags=["nbval-ignore-output"]
# Not compared by nbval: another processor rounds differently, and training amplifies that.
folder = tempfile.TemporaryDirectory()
threads = torch.get_num_threads()
torch.set_num_threads(1 if profile == "smoke" else threads)
answers, dsc = {}, {}
for name, options in run.drawn.items():
    recipe = config_from_dict(
        {
            "name": name,
            "data": {"size": [run.size] * 2, "options": {"cases": 48, "size": run.size}, "ratios": [5, 1, 2]},
            "model": {"name": name, "options": options},
            "optim": {"name": "adamw", "lr": 3e-3, "warmup": 5, "clip": 1.0},
            "train": {"epochs": 1, "iterations_per_epoch": run.iterations, "batch_size": 4},
            "eval": {"native": False},
        }
    )
    trainer = Trainer(recipe, Path(folder.name) / name, quiet=True)
    record = trainer.fit()
    test = trainer.task.data("test")
    assert trainer.task.dataset.synthetic
    with torch.no_grad():
        answers[name] = trainer.net.eval()(test.images.to(trainer.device)).argmax(1).cpu().numpy()  # (B, H, W)
    dsc[name] = record["test"]["summary"]["dsc"]["mean"]
    print(f"{name:<12} {record['model']['params']:>10,} parameters, mean DSC {dsc[name]:.3f} on {len(test)} phantoms")
torch.set_num_threads(threads)
images, truths = test.images[:, 0].numpy(), test.labels.numpy()

# %% mystnb={"image": {"alt": "Three synthetic radiographs in three columns. First row: the image with the true outline of the lungs. Below, a row for each small network: its outline over the image, and the pixels that it missed or invented in colour"}}
disagreement = np.mean([(answer != truths).mean((1, 2)) for answer in answers.values()], axis=0)  # (B,)
chosen = disagreement.argsort()[[0, len(disagreement) // 2, -1]]  # easiest, middle, hardest
fig, axes = plt.subplots(1 + len(answers), 3, figsize=(6.8, 2.2 * (1 + len(answers))))
for column, case in enumerate(chosen):
    axes[0, column].imshow(images[case])
    axes[0, column].contour(truths[case], [0.5], colors=[COLORS[5]], linewidths=1.5)
    axes[0, column].set_title(("easiest", "in the middle", "hardest")[column], fontsize=11)
    for line, (_name, answer) in enumerate(answers.items(), 1):
        axes[line, column].imshow(error_map(images[case], answer[case], truths[case]))
        if answer[case].any():
            axes[line, column].contour(answer[case], [0.5], colors=["white"], linewidths=1)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("truth", fontsize=11)
for line, name in enumerate(answers, 1):
    axes[line, 0].set_ylabel(name, fontsize=11)
error_legend(fig)
plt.show()

# %% [markdown]
# Two kinds of errors look different in such maps. A rim of one colour along the whole border is a matter of calibration:
# the network draws the lung a pixel too small or too large. A patch inside or far outside is a matter of understanding:
# something was taken for something else. DSC counts both by their area, so a thin rim around a large organ costs more
# than a small island that would alarm any reader. That is why the mean of one number doesn't replace looking.
#
# ## The other tables
#
# Tables 1 and 3 of the paper are about livers and tumours in CT volumes (LiTS), whose files take an account to fetch.
# What there is in 3D here is another data set, the hippocampus volumes of the Medical Segmentation Decathlon: small,
# real, and free. It is *not* Table 1; it is the same comparison on something else, called what it is.

# %%
volumes = [e for e in found if len(e.size) == 3]
if not volumes:
    print("No run on volumes is recorded yet: pending.")
lines = []
for experiment in volumes:
    ranked = standings(experiment, BASE if BASE in experiment.systems else next(iter(experiment.systems)))
    print(experiment.title)
    lines += [
        (f"`{row.system}`", row.runs, percent(row.dsc), span(row.dsc_cases), percent(row.iou), row.verdict)
        for row in ranked
    ]
table(["hippocampus", "runs", "DSC", "95% over cases", "IoU", "against `lightm-unet`"], lines) if lines else None

# %% [markdown]
# The ablations of Table 3 have a chapter, and their records are read there: {doc}`08_ablations`.
#
# And one run answers a question about the paper's text. It gives SGD with a learning rate of 0.0001. What that recipe
# learns in the same few iterations:

# %%
by_sgd = [e for e in on_xrays if e.recipe["optim"]["name"] == "sgd"]
lines = [
    (f"`{name}`", e.title.split(": ")[1], len(runs), percent(scores(runs, "dsc", e.native).mean()))
    for e in by_sgd
    for name, runs in e.systems.items()
]
if lines:
    ours = f"{main.recipe['optim']['name']} {main.recipe['optim']['lr']:g}"
    lines.append((f"`{BASE}`", f"{ours}, as in the table above", by_system[BASE].runs, percent(by_system[BASE].dsc)))
else:
    print("No run with SGD is recorded yet: pending.")
table(["network", "recipe", "runs", "DSC"], lines) if lines else None

# %% [markdown]
# A small learning rate needs many iterations, and a reduced run has few. So this shows that the two recipes can't be
# exchanged in a short training, and leaves open where the paper's ends after its hundred epochs.
#
# ## What is pending
#
# Rows of the paper's tables for which no run of the network on the table's data at the paper's image size is recorded:

# %%
pending = unmeasured(records)
for number in TABLES:
    rows = [row for n, row in pending if n == number]
    print(f"Table {number}: {len(rows)} of {len(TABLES[number].rows)} rows ({', '.join(rows) or 'none'})")

# %% [markdown]
# Each waits for a GPU; Tables 1 and 3 also for the data. What `lightm-book reproduce` makes once there is one, the most valuable
# first, stands in a plan; a piece is done when its record lies under `results/`:

# %%
pieces = load_plan("gpu")
made = {path.stem for path in (ROOT / "results").rglob("*.json")}
groups = {}
for piece in pieces:
    groups.setdefault(piece.why, []).append(piece.name in made)
print(f"{sum(piece.name in made for piece in pieces)} of {len(pieces)} pieces of the plan are made")
table(["what one learns from it", "pieces", "pending"], [(why, len(d), d.count(False)) for why, d in groups.items()])

# %% [markdown]
# Nothing on this page has to be rewritten when those runs are made: the cells above read their records.
# {doc}`../book/reproduce` tells how to make them.
#
# ## What this shows, and what not
#
# **It shows** how the networks of Table 2 stand after one and the same short training, on small versions of real
# radiographs, on patients whom none of them saw; which of the differences exceed the luck with the cases; and where
# more runs are needed before the word "better" is due.
#
# **It doesn't show** that the paper's order is wrong, or right. A short training favours networks that learn fast, a
# small image those that need no long range, and one learning rate for all suits some of them more than others. The scan
# of LightM-UNet is meant for long sequences: the reduced images have few tokens.
#
# ## Exercises
#
# :::{exercise}
# :label: ex-results-runs
# Two systems were each trained $n$ times. How many runs of each does it take until "all runs of one above all runs of the
# other" happens by chance in fewer than 1% of experiments?
# :::
#
# :::{solution} ex-results-runs
# :class: dropdown
# $2/\binom{2n}{n}$ is $2/70$ for four and $2/252$ for five: `runs_needed = 5`.
# :::

# %%
runs_needed = None  # your answer

# %%
if runs_needed is None:
    print("Replace None by your answer.")
else:
    enough = seeds_by_chance(runs_needed, runs_needed) < 0.01 <= seeds_by_chance(runs_needed - 1, runs_needed - 1)
    print("Right." if enough else f"Not yet: {100 * seeds_by_chance(runs_needed, runs_needed):.2f}%.")

# %% [markdown]
# :::{exercise}
# :label: ex-results-pairing
# Throw the pairing away: compare the network `other` with the base as if they had been tested on *different* patients.
# What is the standard error of the difference of the two means then, and what is it when the differences are taken
# case by case? Write `errors(a, b)` for scores $a, b$ of $n$ cases; it returns (unpaired, paired).
# :::
#
# :::{solution} ex-results-pairing
# :class: dropdown
# Unpaired, the variances of the two means add up: $\sqrt{(s_a^2 + s_b^2)/n}$. Paired, it is that of the differences:
# $s_{a-b}/\sqrt{n}$, which is smaller when the same cases are hard for both.
#
# ```python
# def errors(a, b):
#     n = len(a)
#     return np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / n), (a - b).std(ddof=1) / np.sqrt(n)
# ```
# :::


# %%
def errors(a, b):
    return None, None  # your formulas: (unpaired, paired)


# %%
rng = np.random.default_rng(0)
hard = rng.normal(0.9, 0.05, 200)
mine = errors(hard, hard + rng.normal(0.01, 0.005, 200))
right = None not in mine and abs(mine[0] - 0.005) < 5e-4 and abs(mine[1] - 0.00035) < 5e-5
print("Replace None by your formulas." if None in mine else "Right." if right else "Not yet.")

# %% [markdown]
# :::{exercise}
# :label: ex-results-holm
# A referee asks for the comparison with *one* rival only, the others were never in question. Its raw p-value is 0.02. Seven
# other comparisons with p-values above 0.3 had been made too. May you report 0.02?
# :::
#
# :::{solution} ex-results-holm
# :class: dropdown
# Not if it was chosen after looking: it is the smallest of eight, and Holm multiplies it by eight, 0.16. If the question
# was fixed before the data were seen, one question was asked and 0.02 is its answer. `adjusted = 0.16`.
# :::

# %%
adjusted = None  # your answer: the p-value after Holm's correction

# %%
truth = holm({"rival": 0.02} | {f"other {i}": 0.3 + 0.05 * i for i in range(7)})["rival"]
print("Replace None by your answer." if adjusted is None else "Right." if abs(adjusted - truth) < 1e-9 else "Not yet.")
assert compare([hard], [hard + 0.01]).p_cases < 0.001  # a difference on every case is found at once

# %% [markdown]
# ## In short
#
# * Printed and measured numbers stand side by side; only numbers from one experiment are compared.
# * An interval over cases is about these networks, one over runs about the systems. A table without the second can't say
#   that a system is better.
# * Counted once and measured alike, a network's place in Figure 1 is a matter of arithmetic and of records, both of
#   which anybody can repeat.
# * What isn't recorded is pending, and says so.
#
# Next: {doc}`13_cost` asks what the networks cost to train.
