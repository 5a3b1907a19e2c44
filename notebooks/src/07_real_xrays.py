# %% [markdown]
# # On real X-rays
#
# Phantoms showed that the machinery works. Whether the network finds lungs in people is another question, and a
# number without its circumstances doesn't answer it. This chapter reads a *record*: the file that a training run on
# public chest radiographs left behind, with everything that was measured and everything one would need to repeat it.
# All numbers, tables and figures below are computed from that file while the page is made; none is typed in. There
# is no radiograph on this page, and none in the repository.
#
# You need: {doc}`06_training`, for DSC, IoU and what a recipe is.
#
# At the end you can say
# * how well the network of the paper's text does on cases that it never saw, and on which of them it fails,
# * how far such a mean can be trusted, and what its interval leaves out,
# * what a record must hold for somebody else to believe it.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %% tags=["hide-input"]
import json
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from lightm.data import load_dataset
from lightm.data.montgomery_shenzhen import HOSPITALS, READINGS
from lightm.data.transforms import resize_label
from lightm.training.config import config_from_dict, config_hash
from lightm.training.evaluation import evaluate, resize_logits
from lightm.training.logs import draw_training
from lightm.training.metrics import dice_iou
from lightm.training.recipes import FOLDER
from lightm.training.record import load_record
from lightm_book import ROOT
from lightm_book.compare.rows import case_means
from lightm_book.compare.statistics import mean_interval
from lightm_book.paper import TABLES
from lightm_book.paper.checks.accuracy import not_as_paper
from lightm_book.show.contours import draw_case, load_contours
from lightm_book.show.figures import COLORS, INK, frames_slider, png_bytes, use_style
from lightm_book.show.notebook import check_profile, show_source
from lightm_book.show.tables import table
from lightm_book.show.training import error_legend

run = check_profile(
    profile,
    {
        # Made on two CPU cores.
        "smoke": {"record": "montgomery-shenzhen-lightm-unet-192"},
        # The paper's size, made on a GPU.
        "paper": {"record": "montgomery-shenzhen-lightm-unet-512"},
    },
)
use_style()


# %% tags=["hide-input"]
results = ROOT / "results/runs"
record_file = results / f"{run.record}.json"
if not record_file.exists() and profile == "paper":
    print(
        f"{record_file.name} is pending: nobody has run it on a GPU yet. What "
        "follows is the record of the CPU run."
    )
    record_file = results / "montgomery-shenzhen-lightm-unet-192.json"
record = load_record(record_file)
print(f"{record_file.name}, finished {record['finished'][:10]}")
print(textwrap.fill(f"it holds: {', '.join(record)}", 88))

# %% [markdown]
# ## In one picture
#
# The score (DSC) of each radiograph that the network never saw, at the size of its file. Most lie close together near
# the upper end; a few do not, and those are the ones that matter to somebody.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Histogram of the DSC of all held-out cases, stacked by hospital: most of them lie close together near the upper end, with a thin tail to the left"}}
def group(case_id):
    """Hospital and reading, which this data set writes into the name of a case."""
    return HOSPITALS[case_id.split("_")[0]], READINGS[case_id.rpartition("_")[2]]


at_size, native = record["test"], record["test_native"]
ids = [case["case"] for case in native["cases"]]
hospital, reading = (np.array(names) for names in zip(*map(group, ids), strict=True))
dsc = case_means(native, "dsc")  # from here on: DSC at native size

names = list(HOSPITALS.values())
bins = np.linspace(np.floor(dsc.min() * 50) / 50, 1, 31)
fig, ax = plt.subplots()
ax.hist(
    [dsc[hospital == name] for name in names],
    bins=bins,
    stacked=True,
    label=names,
    color=COLORS[:2],
)
ax.axvline(dsc.mean(), color=INK, linestyle="--", linewidth=1.5, label="mean")
ax.set(xlabel="DSC at native size", ylabel="held-out cases")
ax.legend(loc="upper left")
plt.show()

# %% tags=["hide-input"]
low, median = np.quantile(dsc, (0.05, 0.5))
print(f"{len(dsc)} cases: mean DSC {dsc.mean():.4f}, median {median:.4f}")
print(f"one case in twenty scores below {low:.3f}; the worst has {dsc.min():.3f}")

# %% [markdown]
# `load_record` doesn't believe what it reads: every mean is computed again from the cases, and the hash of the recipe
# from the recipe. A record that was edited by hand is refused.
#
# ## What was run
#
# The recipe is folded here: every key, also those that were left at their defaults.

# %% tags=["hide-input", "hide-output"]
config = config_from_dict(record["config"])
assert config_hash(record["config"]) == record["config_sha256"]
print(config.to_toml())

# %% [markdown]
# ### The data

# %% tags=["hide-input"]
print(textwrap.fill(record["data"]["source"], 88))
assert (
    record["data"]["name"] == "montgomery-shenzhen" and not record["data"]["synthetic"]
)

# %% [markdown]
# It is the data set of the paper's 2D experiments {cite}`jaeger2014datasets`: radiographs from Montgomery County in
# Maryland and from a hospital in Shenzhen, of people with and without signs of tuberculosis, published by the US
# National Library of Medicine, who ask to cite {cite}`jaeger2014screening` and {cite}`candemir2014lung`. The lung
# masks of Shenzhen were drawn later {cite}`stirenko2018chest` and are *not for commercial use*; {doc}`../book/data`
# says where to get everything and on what terms.
#
# The split is seeded, keeps hospital and reading in proportion, and is committed as a file. The record names that
# file's hash:

# %% tags=["hide-input"]
split = json.loads(
    (FOLDER / "splits/montgomery-shenzhen-seed0.json").read_text(encoding="utf-8")
)
assert split["sha256"] == record["data"]["split_sha256"]
assert sorted(split["test"]) == sorted(case["case"] for case in record["test"]["cases"])


groups = [
    (hospital, reading)
    for hospital in HOSPITALS.values()
    for reading in READINGS.values()
]
parts = ("train", "val", "test")
counts = {
    part: [sum(group(case) == g for case in split[part]) for g in groups]
    for part in parts
}
rows = [
    (f"{g[0]}, {g[1]}", *(counts[part][i] for part in parts))
    for i, g in enumerate(groups)
]
table(
    ["cases", "training", "validation", "test"],
    [*rows, ("all", *(sum(counts[part]) for part in parts))],
)

# %% [markdown]
# ### The machine, and what it took

# %% tags=["hide-input"]
environment, cost = record["environment"], record["cost"]
hardware = environment["hardware"]
git = environment["git"]
commit = f"{git['commit'] or 'not known':.12}{', with changes' * bool(git['dirty'])}"
rows = [
    ("network", f"{record['model']['name']}, {record['model']['params']:,} parameters"),
    (
        "processor",
        f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['threads']} threads",
    ),
    ("GPU", hardware["gpu"] or "none"),
    ("scan backend", record["model"]["scan"]),
    (
        "wall time",
        f"{cost['wall_seconds'] / 60:.0f} minutes; sessions: {cost['sessions']}",
    ),
    ("peak memory", f"{cost['peak_memory_bytes'] / 2**30:.1f} GiB"),
    (
        "versions",
        ", ".join(
            f"{name} {version}" for name, version in environment["versions"].items()
        ),
    ),
    ("commit", commit),
]
table(["what", "measured"], rows, align=":--")

# %% [markdown]
# The wall time includes the evaluation of the test cases, and whatever else the machine had to do in the meantime.
#
# ## How it learnt

# %% tags=["hide-input"] mystnb={"image": {"alt": "Left: training and validation loss over the epochs of the real run, both falling, steeply at first. Right: DSC and IoU on the validation cases, rising; the best epoch is marked by a dotted line"}}
figure = plt.figure(figsize=(6.8, 3.0))
draw_training(figure, record["curve"])
figure.axes[1].axvline(record["best"]["epoch"], color=INK, linestyle=":", linewidth=1.5)
plt.show()

first, last = record["curve"][0], record["curve"][-1]
print(
    f"loss on the training cases: {first['train_loss']:.3f} in the first epoch, "
    f"{last['train_loss']:.3f} in the last"
)
print(
    f"best validation DSC {record['best']['val_dsc']:.4f}, in epoch "
    f"{record['best']['epoch']} of {last['epoch']}"
)
assert last["train_loss"] < first["train_loss"]
assert record["best"]["val_dsc"] == max(
    row["val_dsc"] for row in record["curve"] if row["val_dsc"] is not None
)

# %% [markdown]
# The validation cases chose the epoch. That is a use, so their score is no longer an honest one. The test cases were
# looked at once, with the weights of that epoch.
#
# ## The held-out cases
#
# Each case is scored twice: at the size that the network works at, and at the size of the file, where its answer is
# enlarged and held against the mask as it was drawn. The second is the harder question and the more useful answer.

# %%
show_source(evaluate, start="at_size = ", end="own.shape")

# %% tags=["hide-input"]
def described(values):
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return [
        len(values),
        *(f"{v:.4f}" for v in (values.mean(), median, low, high, values.min())),
    ]


size = " × ".join(str(n) for n in config.data.size)
head = ["", "cases", "mean", "median", "lower quartile", "upper quartile", "worst"]
rows = []
for name, evaluation in ((f"at {size}", at_size), ("at native size", native)):
    rows += [
        (f"{title} {name}", *described(case_means(evaluation, m)))
        for m, title in (("dsc", "DSC"), ("iou", "IoU"))
    ]
table(head, rows)

# %% tags=["hide-input"]
rows = [("all", *described(dsc))]
for key in (hospital, reading):
    rows += [(name, *described(dsc[key == name])) for name in sorted(set(key))]
rows += [
    (", ".join(g), *described(dsc[(hospital == g[0]) & (reading == g[1])]))
    for g in groups
]
table(["DSC at native size", *head[1:]], rows)

# %% [markdown]
# Two hospitals mean two machines, two populations, and two groups of people who drew the masks. "Tuberculosis" means
# that a lung may be partly white where the network expects dark, which is where a lung segmentation is needed most.
# Differences between small groups should be read with the intervals further below in mind.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Every held-out case as a point, sorted by DSC: a few low scores at the left, then a long, nearly flat stretch. The colour shows the hospital, a ring means tuberculosis and a dot a normal reading"}}
order = dsc.argsort()
rank = np.empty(len(dsc), int)
rank[order] = np.arange(len(dsc))
fig, ax = plt.subplots(figsize=(6.4, 4.2))
for name, colour in zip(names, COLORS, strict=False):
    for state in READINGS.values():
        chosen = (hospital == name) & (reading == state)
        face = colour if state == "normal" else "none"
        ax.scatter(
            rank[chosen],
            dsc[chosen],
            s=26,
            facecolor=face,
            edgecolor=colour,
            label=f"{name}, {state}",
        )
ax.set(xlabel="held-out cases, sorted", ylabel="DSC at native size")
ax.grid(alpha=0.3)
ax.legend(loc="lower right", fontsize=11)
plt.show()
worst = ", ".join(f"{ids[i]} {dsc[i]:.3f}" for i in order[:5])
print(textwrap.fill(f"worst five: {worst}", 88, subsequent_indent="    "))

# %% [markdown]
# ### Where the borders are
#
# Whoever has the data can look at those five. What can be shown here are outlines: where a person drew the lungs, and
# where a network does, without the radiograph between them. They are cases from Montgomery County, whose masks come
# with the library's public data, and the answers are those of `lightm-unet-1m`. They go from its worst case to its best.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Outlines of the lungs in test cases from Montgomery County, from the worst to the best, as a person drew them and as a network does, without any radiograph. In the good cases the two lines lie on each other; in the worst, whole patches between them are missed or invented"}}
traced = load_contours()
if traced is None:
    print("No outlines are recorded yet: python -m lightm_book.show.contours RUN")
else:
    shown = traced["cases"]
    columns = (len(shown) + 1) // 2
    fig, axes = plt.subplots(2, columns, figsize=(6.8, 4.9))
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, case in zip(axes.flat, shown, strict=False):
        draw_case(ax, case)
        ax.set_title(f"DSC {case['dsc']:.3f}", fontsize=11)
    error_legend(fig)
    plt.show()
    drawn_at = " × ".join(map(str, traced["size"]))
    print(f"{traced['model']} at {drawn_at}, after epoch {traced['epoch']} of", end=" ")
    print(
        f"{traced['epochs']}; {len(shown)} of its {traced['of']} Montgomery test cases"
    )

# %% [markdown]
# The gray line is the person's, the dashed blue one the network's. Where the network is good, the two differ by a rim as
# thin as the lines. Where it is bad, whole patches are missed or invented.
#
# ### How often is it good enough?
#
# In a clinic the question is seldom the mean; it is how often the answer is not good enough. Choose what "good enough"
# is:

# %% tags=["hide-input"]
frames, labels = [], []
for threshold in np.linspace(0.80, 0.99, 20):
    enough = dsc >= threshold
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    ax = figure.subplots()
    for chosen, colour in ((enough, COLORS[0]), (~enough, COLORS[1])):
        ax.scatter(rank[chosen], dsc[chosen], s=16, color=colour)
    ax.axhline(threshold, color=INK, linewidth=1, linestyle="--")
    ax.set(ylim=(min(0.8, dsc.min()) - 0.01, 1), xlim=(-2, len(dsc) + 1))
    ax.set(xlabel="held-out cases, sorted", ylabel="DSC at native size")
    frames.append(png_bytes(figure))
    labels.append(f"DSC at least {threshold:.2f}: {enough.sum()} of {len(dsc)} cases")
frames_slider(
    frames,
    labels,
    alt="The sorted DSC of all held-out cases as points, those below a threshold in "
    "another colour: the higher the threshold, the faster the number of cases that "
    "reach it falls",
    caption="Blue cases reach the threshold (dashed line), orange ones do not.",
)

# %% [markdown]
# ## How far the mean can be trusted
#
# Other test cases would have given another mean. How different? The standard error of a mean of $n$ cases is their
# standard deviation divided by $\sqrt n$, and Student's t says how many standard errors to either side hold the mean over
# all patients *of whom these are a sample* in 95% of such experiments. That is the one rule for the intervals of the
# chapters; where a network was trained several times, the runs take the place of the cases ({doc}`12_results`).
# (`lightm evaluate` and {doc}`../book/model_card` give intervals of the bootstrap, which comes below.)

# %%
show_source(mean_interval)

# %% tags=["hide-input"]
rows = []
for metric, title in (("dsc", "DSC"), ("iou", "IoU")):
    for name, evaluation in ((size, at_size), ("native", native)):
        mean, low, high = mean_interval(case_means(evaluation, metric))
        rows.append(
            (f"mean {title}, {name}", f"{mean:.4f}", f"{low:.4f} to {high:.4f}")
        )
for name in names:
    mean, low, high = mean_interval(dsc[hospital == name])
    rows.append(
        (f"mean DSC, native, {name}", f"{mean:.4f}", f"{low:.4f} to {high:.4f}")
    )
table(["", "measured", "95% interval"], rows)

# %% [markdown]
# The rule takes it that means of many cases scatter like a normal distribution, while the scores themselves do not: they
# have a long tail of hard cases. The *bootstrap* needs no such assumption. It draws as many cases from the ones we have,
# with replacement, takes the mean, does that many times, and the middle 95% of the means are the interval. If the two
# agree, the assumption does no harm:


# %%
def bootstrap(values, statistic=np.mean):
    """The statistic on resampled cases.

    `.bootstrap_distribution` has each, `.confidence_interval` their middle 95%.
    """
    return stats.bootstrap(
        (values,), statistic, n_resamples=10_000, method="percentile", rng=0
    )


drawn = bootstrap(dsc)
low, high = drawn.confidence_interval
print(
    "mean DSC at native size, 95%: Student's t {:.4f} to {:.4f}".format(
        *mean_interval(dsc)[1:]
    ),
    end="",
)
print(f", bootstrap {low:.4f} to {high:.4f}")
assert np.allclose(mean_interval(dsc)[1:], (low, high), atol=0.1 * (high - low))

# %% tags=["hide-input"] mystnb={"image": {"alt": "Histogram of ten thousand bootstrap means of the DSC, bell-shaped, with the 95% interval shaded and the measured mean in its middle"}}
fig, ax = plt.subplots(figsize=(6.4, 3.0))
ax.hist(drawn.bootstrap_distribution, bins=60, color=COLORS[4])
ax.axvspan(low, high, color=INK, alpha=0.2, label="95% of the draws")
ax.axvline(dsc.mean(), color=INK, linestyle="--", linewidth=1.5, label="measured")
ax.set(xlabel="mean DSC at native size", ylabel="draws", yticks=[])
ax.xaxis.set_major_locator(MaxNLocator(4))
ax.legend(fontsize=11)
plt.show()

# %% [markdown]
# The interval is about the *cases* only. It doesn't know that another seed gives other weights, that another split
# gives other training cases, or that a third hospital has another machine.
#
# ## What the small size costs
#
# A network that works on fewer pixels than the file has can't draw a finer border than they allow. How much of the
# error is that alone? A question for phantoms: shrink the *true* mask to the network's size, enlarge it as a
# prediction would be, and compare it with itself.

# %%
phantoms = load_dataset("phantom-cxr", cases=8, size=512)
ceiling = []
for case_id in phantoms.case_ids:
    truth = torch.from_numpy(phantoms.read(case_id).label)[None]  # (1, 512, 512)
    small = resize_label(truth[0], config.data.size).long()  # (*size)
    # (1, K, *size): logits of a perfect network.
    sure = torch.stack([1 - small, small]).float()[None]
    ceiling.append(
        dice_iou(resize_logits(sure, truth.shape[1:]).argmax(1), truth, 2)[0].item()
    )
print(
    f"a perfect answer at {size}, enlarged: DSC {np.mean(ceiling):.4f} (synthetic "
    "lungs)"
)
difference = case_means(at_size, "dsc") - dsc
print(
    f"our network's mean DSC at {size} minus that at native size: "
    f"{difference.mean():+.4f}"
)
assert np.mean(ceiling) > dsc.mean()

# %% [markdown]
# The size isn't what holds the network back here: the ceiling is higher than its score.
#
# ## Beside the paper
#
# Table 2 of the paper has a row for LightM-UNet on this data set. As printed:

# %%
printed = {
    column: float(TABLES[2]["LightM-UNet", column]) for column in ("DSC", "mIoU")
}
rows = [("Table 2, as printed", *(f"{value:.2f}" for value in printed.values()))]
for name, evaluation in (
    (f"this record, at {size}", at_size),
    ("this record, native size", native),
):
    rows.append(
        (
            name,
            *(
                f"{100 * case_means(evaluation, metric).mean():.2f}"
                for metric in ("dsc", "iou")
            ),
        )
    )
table(["percent", *printed], rows)

# %%
for difference in not_as_paper(record, 2):
    print(textwrap.fill(f"in this run: {difference}", 88, subsequent_indent="    "))

# %% [markdown]
# And in more than that: the paper's split was never published, so its test cases are others; its masks may have been
# prepared in another way; and it doesn't say at which size its scores were taken. So the rows stand side by side and
# nothing follows from their difference, in either direction. What they share is the order of magnitude. Whether the
# paper's settings give the paper's numbers is a question for runs at those settings, with several seeds.
#
# ## What this shows, and what not
#
# **It shows** that a network built as the paper's text describes it learns, on the machine named above and in the time
# named above, to outline lungs in radiographs of patients that it never saw, with the scores and failures listed above,
# and that this can be run again by anybody from the files in this repository.
#
# **It does not show** how much of the score is luck: it is one run with one seed, and another would differ. It
# doesn't show that the network is better or worse than any other: none was trained beside it in the same way
# ({doc}`08_ablations` takes parts of it away on phantoms). It says nothing about a third hospital: training and test
# cases come from the same two. And lungs are a large and easy structure. A high DSC here says that the borders are
# about where people drew them, not that the answer is fit for a patient. Nothing in this book is.
#
# ## Run it again
#
# ```bash
# export LIGHTM_DATA=$HOME/data                        # where the data shall lie
# lightm data fetch montgomery-shenzhen                # fetch it, check every file
# lightm train cxr-192 --out runs/cxr
# ```
#
# `runs/cxr/record.json` is then yours: same recipe, same split, same pixels. On a processor of another kind sums are
# rounded in another order, training amplifies that, and the scores differ a little. (`lightm train` also takes a
# record instead of a recipe.) To look at what this page doesn't show, take a case of the list above, and open the
# result beside the radiograph:
#
# ```bash
# lightm predict runs/cxr $LIGHTM_DATA/cxr/images/NAME.png mask.png
# ```

# %% [markdown]
# ## Exercises
#
# ★ takes a line, ★★ some thought, ★★★ an afternoon. `check` says whether an answer is
# right, and if it is not, what to think about.

# %% tags=["hide-input"]
from lightm_book.exercises import check

# %% [markdown]
# :::{exercise} ★ Half the interval
# :label: ex-real-halve
# By which factor must the number of test cases grow to make the interval of the mean
# half as wide, if the new cases are like the old ones?
# :::
#
# :::{hint}
# :class: dropdown
# The width is proportional to $1/\sqrt n$.
# :::
#
# :::{solution} ex-real-halve
# :class: dropdown
# The width falls with the square root of the number of cases, so four times as many are
# needed.
#
# ```python
# factor = 4
# ```
# :::

# %%
factor = None  # your answer

check("ex-real-halve", factor)

# %% [markdown]
# :::{exercise} ★ Mean or median
# :label: ex-real-outlier
# Nineteen of twenty test cases have a DSC of 0.96, one has 0.10. What are the mean and
# the median? Which of the two should a paper print?
# :::
#
# :::{hint}
# :class: dropdown
# Sort the twenty numbers.
# :::
#
# :::{solution} ex-real-outlier
# :class: dropdown
# The mean is $(19 \cdot 0.96 + 0.10)/20 = 0.917$, the median 0.96. Both: the mean alone
# suggests that all cases are a little worse, the median that none failed. Best is to
# show the cases.
#
# ```python
# middle = (0.917, 0.96)
# ```
# :::

# %%
middle = None  # your answer: (mean, median)

check("ex-real-outlier", middle)

# %% [markdown]
# :::{exercise} ★★ An interval for the worst case
# :label: ex-real-minimum
# The bootstrap of this chapter, with `statistic=np.min`, gives an interval for the
# *worst* case. Try it. Why should nobody print it? Answer `"too wide"`,
# `"never below the sample"` or `"wrong seed"`.
# :::
#
# :::{hint}
# :class: dropdown
# Which is the lowest score that a resample can hold?
# :::
#
# :::{solution} ex-real-minimum
# :class: dropdown
# No resample can be worse than the worst case that we happened to have, so the interval
# ends there, while the next patient may well be worse. The bootstrap is for statistics
# to which every case contributes a little.
#
# ```python
# reason = "never below the sample"
# ```
# :::

# %%
reason = None  # your answer

check("ex-real-minimum", reason)

# %% [markdown]
# :::{exercise} ★★★ Two hospitals, or chance?
# :label: ex-real-permute
# Is the difference between the two hospitals more than chance? Write a *permutation
# test*: exchange the hospitals of the cases at random, many times, and return how often
# the absolute difference of the two mean DSCs is at least as large as the measured one.
# `dsc` is an array of scores, `hospital` one of the names Montgomery and Shenzhen.
# :::
#
# :::{hint}
# :class: dropdown
# If the hospital doesn't matter, every assignment is as likely as the real one:
# `rng.permutation(hospital)` makes another.
# :::
#
# :::{solution} ex-real-permute
# :class: dropdown
# A small value says that the hospitals differ *for this network*. It doesn't say why:
# machine, patients and the people who drew the masks changed together.
#
# ```python
# def chance(dsc, hospital, draws=2000, seed=0):
#     rng = np.random.default_rng(seed)
#
#     def difference(names):
#         a, b = (dsc[names == name].mean() for name in ("Montgomery", "Shenzhen"))
#         return abs(a - b)
#
#     measured = difference(hospital)
#     shuffled = [difference(rng.permutation(hospital)) for _ in range(draws)]
#     return np.mean(np.array(shuffled) >= measured)
# ```
# :::


# %%
def chance(dsc, hospital):
    return None  # your test: a number from 0 to 1


check("ex-real-permute", chance)

# %% [markdown]
# :::{exercise} ★★★ Open: is it good enough?
# :label: ex-real-open
# A radiologist wants to use the masks to measure the size of hearts, and asks whether
# this network is good enough. Which number of this chapter comes nearest to an answer,
# and what is missing? Design the study that would answer: which cases, which measure,
# compared with whom, and which result would be a no.
# :::
#
# :::{hint}
# :class: dropdown
# DSC over two large lungs hardly feels the few pixels along the heart. What is the
# measurement made of?
# :::
#
# :::{solution} ex-real-open
# :class: dropdown
# A good answer measures the quantity that is used (the width of the heart's shadow) and
# not only DSC, compares with the disagreement of two radiologists, takes cases from the
# hospital where it would be used, sick ones included, and fixes the threshold
# beforehand.
# :::

# %% [markdown]
# ## What to remember
#
# * A result is a record: recipe, split, data hash, versions, hardware, and the score of each case.
# * Score at the size of the file, look at the worst cases, and ask how often the answer is good enough.
# * The interval of a mean over cases is about the choice of cases. It is silent about seeds, splits and other hospitals.
# * Numbers made in different settings can stand side by side. They can't be subtracted.
#
# **Where to go.** {doc}`08_ablations` asks which parts of the network matter, {doc}`12_results` how other networks do on the
# same cases, and {doc}`../book/data` how to train on your own.
