# %% [markdown]
# # Results
#
# The paper's second table compares six networks on chest radiographs. It has one number per cell. This chapter prints
# those numbers, puts beside them what was measured here, and asks of every difference whether it is more than luck.
#
# Everything that is called *measured* comes from a record under `results/`: a run that somebody really made, with its
# recipe, seed, hardware and the score of each test case ({doc}`07_real_xrays` shows how to read one). The page takes
# whatever records are there. They are made on a processor without a GPU, at a *reduced* size, so they neither confirm
# nor refute the paper's numbers. What waits for a GPU is listed at the end of the page, by the code.
#
# You need: {doc}`07_real_xrays` for records and intervals, {doc}`08_ablations` for tests over training runs.
#
# At the end you can say
# * what the records allow to be said about the networks of Table 2, and what not,
# * what three training runs of each network can show, and what they cannot,
# * what the paper's Figure 1 looks like with measured accuracies and honest counts,
# * where on an image the networks go wrong, and whether they go wrong on the same cases.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %% tags=["hide-input"]
import tempfile
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import MaxNLocator, NullFormatter
from scipy import stats

from lightm.training.config import config_from_dict
from lightm.training.record import list_records
from lightm.training.trainer import Trainer
from lightm_book import ROOT
from lightm_book.compare import verdicts
from lightm_book.compare.costs import costs, count_of
from lightm_book.compare.curves import FLAT, load_tunings, ranks_after, validation
from lightm_book.compare.rows import PASSES, experiments, scores
from lightm_book.compare.statistics import (
    LEVEL,
    detectable_difference,
    difference,
    mean_interval,
)
from lightm_book.compare.verdicts import BASE, family, standings
from lightm_book.paper import TABLES
from lightm_book.paper.checks.accuracy import not_as_paper
from lightm_book.paper.coverage import row_of, unmeasured
from lightm_book.paper.tables import GFLOPS, PARAMS
from lightm_book.reproduce.plan import load_plan
from lightm_book.show.figures import (
    COLORS,
    INK,
    frames_slider,
    picture,
    place_labels,
    use_style,
)
from lightm_book.show.names import shown_name
from lightm_book.show.notebook import check_profile, show_source
from lightm_book.show.tables import percent, span, table
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
                "unetr": {
                    "img_size": 64,
                    "feature_size": 8,
                    "hidden_size": 48,
                    "mlp_dim": 96,
                    "num_heads": 4,
                },
            },
        },
        "paper": {
            "size": 256,
            "iterations": 1000,
            "drawn": {
                "lightm-unet": {},
                "segresnet": {},
                "nnunet": {},
                "unetr": {"img_size": 256},
            },
        },
    },
)
use_style()


# %% [markdown]
# ## In one picture
#
# Each network of Table 2, as it scores here on radiographs of patients whom it never saw. A small gray dot is a test
# case, a larger one a training run, the bar the 95% interval of the mean. What kind of runs these are, and what may be
# concluded from them, is the rest of the chapter.

# %% tags=["hide-input"]
records = list_records(ROOT / "results/runs")
found = experiments(records)
compared = TABLES[2].rows
on_xrays = [
    e.only(s for s in e.systems if row_of(s) in compared or s == "lightm-unet-1m")
    for e in found
    if e.dataset == TABLES[2].dataset
]
main = next(
    (e for e in on_xrays if profile == "paper" and e.size == (512, 512)), on_xrays[0]
)
if profile == "paper" and main.size != (512, 512):
    print(
        "Runs at 512 x 512 are pending: nobody has made them on a GPU yet. What "
        "follows is the reduced experiment."
    )
book = family(records)  # every comparison of the book that gets a verdict
rows_here = standings(main, book)
by_system = {row.system: row for row in rows_here}
order = [row.system for row in rows_here]
called = {name: shown_name(name) for name in order}  # as people write them

fig, ax = plt.subplots(figsize=(6.8, 0.5 * len(rows_here) + 1.2))
rng = np.random.default_rng(0)
lowest = 1.0
for y, row in enumerate(reversed(rows_here)):
    values = scores(main.systems[row.system])  # (runs, cases)
    beside = y + rng.uniform(-0.3, 0.3, values.shape[1])
    ax.scatter(values.mean(0), beside, s=5, color=INK, alpha=0.35, zorder=1)
    bar = {"linewidth": 5, "solid_capstyle": "butt", "zorder": 2}
    ax.plot(row.dsc[1:], [y, y], color=COLORS[0], **bar)
    dots = {"s": 36, "color": COLORS[1], "zorder": 3}
    ax.scatter(values.mean(1), [y] * len(values), **dots)
    lowest = min(lowest, np.quantile(values, 0.03))
names = [called[row.system] for row in reversed(rows_here)]
ax.set_yticks(range(len(rows_here)), names, fontsize=10)
ax.set(xlabel="DSC of the held-out cases", xlim=(lowest - 0.01, 1))
best, last = rows_here[0], rows_here[-1]
picture(
    fig,
    f"DSC of {len(rows_here)} networks on {len(main.cases)} test cases, from "
    f"{called[best.system]} with a mean of {percent(best.dsc[0])} down to "
    f"{called[last.system]} with {percent(last.dsc[0])}. The single cases spread far "
    "more widely than the networks differ",
)

# %% tags=["hide-input"]
print(main.title)
print(f"trained to the end: {'yes' if main.carries_verdicts else 'no'}", end="; ")
print(f"the text's network is number {order.index(BASE) + 1} of {len(order)}")

# %% [markdown]
# ## What has been run
#
# Runs may be compared if nothing but the network and the seed differs between them: same cases, same split, same size,
# same recipe but for the learning rate, where it was chosen for each network. The code calls such a group an
# *experiment* and sorts the records into them. Only experiments whose runs see every training case often enough carry
# verdicts. The others are the first minute of training, and say what networks learn quickly.

# %% tags=["hide-input"]
rows = [
    (
        e.title,
        len(e.systems),
        sum(map(len, e.systems.values())),
        f"{e.passes:.1f}",
        "yes" if e.carries_verdicts else "no",
        e.first["environment"]["hardware"]["gpu"] or "CPU",
    )
    for e in found
]
print(
    f"{len(records)} records of runs, {len(found)} experiments; verdicts from "
    f"{PASSES} passes over the cases on"
)
assert not any(e.synthetic for e in found) and all(e.native for e in found)
table(["experiment", "networks", "runs", "passes", "verdicts", "on"], rows)

# %% [markdown]
# An experiment with one network is a result, and no comparison. This page is about the one on the data of Table 2 that
# the code puts first: trained to the end if there is such a one, then with the most networks. It shows the networks of
# that table and `lightm-unet-1m`; {doc}`08_ablations` has the variants of LightM-UNet. Every score is taken at the
# size of the files, 512 × 512 for the radiographs, against the masks as they were drawn. What each network is called in
# figures and tables stands beside the name that `build_model` takes. nnU-Net and U-Mamba have as many stages as the
# image size allows, fewer than the eight of the paper's, and are named so.

# %% tags=["hide-input"]
print("networks:", *(f"  {called[name]}: {name}" for name in order), sep="\n")
print(
    f"test cases: {len(main.cases)}; passes over the training cases: {main.passes:.1f}"
)
for setting in not_as_paper(main.first, 2):
    print(
        textwrap.fill(f"not as in Section 3: {setting}", 88, subsequent_indent="    ")
    )
assert BASE in main.systems

# %% [markdown]
# ## Table 2, printed and measured
#
# On the left the paper's numbers as printed, on the right ours. Both are in percent. Between the two halves lie all
# the differences that were just listed, another split, and other numbers of iterations; so the halves stand side by
# side, and *a number of one can't be subtracted from a number of the other*. What can be compared is each column
# within itself.

# %% tags=["hide-input"]
printed, lines = TABLES[2], []
for name in printed.rows:
    ours = [system for system in main.systems if row_of(system) == name]
    cells = [f"{printed[name, column]:.2f}" for column in ("DSC", "mIoU")]
    for system in ours or [None]:
        row = by_system.get(system)
        right = (
            [
                called[system],
                row.runs,
                percent(row.dsc[0]),
                span(*row.dsc[1:]),
                percent(row.iou[0]),
            ]
            if row
            else ["pending", "", "", "", ""]
        )
        lines.append((name, *cells, *right))
for system, row in by_system.items():
    if row_of(system) is None:
        measured = (
            called[system],
            row.runs,
            percent(row.dsc[0]),
            span(*row.dsc[1:]),
            percent(row.iou[0]),
        )
        lines.append(("", "", "", *measured))
table(
    [
        "Table 2",
        "DSC, printed",
        "mIoU, printed",
        "measured",
        "runs",
        "DSC",
        "95% interval",
        "IoU",
    ],
    lines,
)

# %% [markdown]
# One rule gives every interval of the chapters and of the scorecard. Where a network was trained several times, the
# sample are its *runs*: the interval says where the mean of many more runs would lie. Of a single run nothing is known
# about other runs, and the sample are its *test cases* ({doc}`07_real_xrays`): how far other patients would move the
# mean.

# %%
show_source(mean_interval)

# %% tags=["hide-input"]
lines = [
    (
        called[row.system],
        f"{row.params:,}",
        ", ".join(percent(value) for value in scores(main.systems[row.system]).mean(1)),
        span(*row.dsc[1:]),
        f"{100 * row.late_gain:.2f}",
    )
    for row in rows_here
]
print(
    f"trained to the end: the last fifth of a run gains less than {100 * FLAT:g} "
    "points "
    "(late gain)"
)
table(
    [
        "network",
        "parameters",
        "DSC of each run",
        "95% interval",
        "late gain, points",
    ],
    lines,
)

# %% [markdown]
# With three runs the interval is wide even where the runs lie close together: three numbers tell little about their own
# spread, and Student's t allows for that.

# %% [markdown]
# ## Which differences are real?
#
# A statement about an *architecture* is a statement about all the networks that its training can give, so the unit is
# the *run*: one number, the mean over the test cases. Three runs of one network and three of another are two samples of
# three numbers, and Welch's t-test asks whether their means differ by more than their spreads explain. It doesn't assume
# that both spread alike. Counting cases in their place would be wrong: the test cases of a run share its weights, and
# however many there are, they say nothing about the next seed.
#
# Here every network is compared with the network of the text, and chapter 8 compares its ablations and variants with
# the same one. Each comparison has its chance of a false alarm, so all of them in the book, in whichever chapter they
# stand, are *one family*, and their p-values pay for its size by Holm's correction: the smallest is multiplied by the
# number of comparisons, the next by one less, and so on. The chance of even one false alarm in the whole book is then
# at most 5%. This is the family, and it is one object that both chapters read:

# %%
show_source(verdicts.family)

# %% tags=["hide-input"]
print(f"comparisons with {BASE} that get a verdict: {len(book.p)}")
by_experiment = {e.key: e.title for e in found}
for key in dict.fromkeys(key for key, _ in book.p):
    print(
        f"  {by_experiment[key]}: "
        f"{'; '.join(system for other, system in book.p if other == key)}"
    )
if not book.p:
    print(
        "No comparison was trained to the end yet: the first minute of training "
        "carries no verdict."
    )

# %% [markdown]
# "Better" and "worse" ask for three things. The runs were trained to the end, the corrected p-value is below 5%, and the
# interval of the same difference over the *cases*, taken pair by pair, excludes zero: for the test cases are a sample of
# patients, and every run was scored on the same ones.

# %%
show_source(verdicts._verdict)

# %% tags=["hide-input"]
lines = [
    (
        called[row.system],
        f"{100 * row.against.mean:+.2f}",
        span(row.against.low, row.against.high),
        span(*row.over_cases),
        "" if row.p is None else f"{row.p:.4f}" if row.p >= 0.0005 else "< 0.0005",
        "" if row.detectable is None else f"{100 * row.detectable:.2f}",
        row.verdict,
    )
    for row in rows_here
    if row.against
]
head = [
    "DSC, points",
    "95% over runs",
    "95% over cases",
    "p, corrected",
    "detectable",
    "what may be said",
]
table([f"against {called[BASE]}", *head], lines)

# %% tags=["hide-input"]
groups = {}
for row in rows_here:
    if row.against:
        groups.setdefault(row.verdict, []).append(called[row.system])
print(f"{main.title},\nagainst {called[BASE]}:")
for verdict, systems in groups.items():
    print(f"  {verdict}:", *systems, sep="\n    ")
assert main.carries_verdicts or list(groups) == ["too short for a verdict"]

# %% [markdown]
# ### What three runs can show
#
# *Detectable*, in the table above where a verdict is due, is the true difference that as many runs, with the spread that
# was found, bring to light in four of five such experiments, at the level that the smallest p-value of the family has to
# reach. Smaller differences may well be
# real, and "no difference shown" doesn't say that there is none. How it falls with the number of runs, for the spread
# of this experiment:

# %% tags=["hide-input"]
spread = np.sqrt(
    np.mean(
        [
            scores(runs).mean(1).var(ddof=1)
            for runs in main.systems.values()
            if len(runs) > 1
        ]
    )
)
questions = len(book.p) or sum(len(e.systems) - 1 for e in found if BASE in e.systems)
print(
    f"standard deviation from run to run, over the networks: {100 * spread:.2f} "
    f"points; {questions} comparisons"
)
lines = [
    (
        runs,
        *(
            f"{100 * detectable_difference(spread, runs, level):.2f}"
            for level in (LEVEL, LEVEL / questions)
        ),
    )
    for runs in (2, 3, 5, 10, 20)
]
table(
    ["runs of each", "detectable, one comparison, points", f"one of {questions}"], lines
)

# %% [markdown]
# An obvious rule would be: call a network better if *all* its runs are better than all runs of the other. It needs no
# formula, and it is too weak. Of two equal networks with three runs each it separates two of the twenty orders in which
# six numbers can fall:

# %%
rng = np.random.default_rng(0)
# (experiments, networks, runs): nine equal networks, three runs of each
made_up = rng.normal(size=(20_000, 9, 3))
low, high = made_up.min(2), made_up.max(2)  # (experiments, networks)
# Which networks lie apart from the first one?
apart = (low[:, 1:] > high[:, :1]) | (high[:, 1:] < low[:, :1])
print(
    f"equal networks, three runs each: all runs apart in {100 * apart.mean():.0f}% "
    "of comparisons,"
)
print(
    "and in at least one of eight comparisons with the same base in "
    f"{100 * apart.any(1).mean():.0f}% of experiments"
)
assert abs(apart.mean() - 2 / 20) < 0.01

# %% [markdown]
# That is also why we don't use a permutation test over runs, which would assume less than Welch's: with three runs each
# it can't give a p-value below that. With five, its smallest is 2/252, and it would do for a single comparison.
#
# Any network may be asked to be the base. Slide through them: each bar is the difference with its interval over runs.
# These intervals are not corrected for the many pairs, so they are a picture of the data and no verdicts.

# %% tags=["hide-input"]
frames, labels = [], []
every = {name: scores(runs).mean(0) for name, runs in main.systems.items()}  # (cases,)
of_runs = {name: scores(runs).mean(1) for name, runs in main.systems.items()}  # (runs,)
pairwise = {
    (base, name): difference(of_runs[base], of_runs[name])
    for base in order
    for name in order
    if name != base
}
ends = [abs(end) for d in pairwise.values() for end in (d.mean, d.low, d.high)]
reach = 105 * max(end for end in ends if np.isfinite(end))
for base in order:
    fig, ax = plt.subplots(figsize=(6.8, 0.45 * len(order) + 1.2))
    for y, name in enumerate(reversed(order)):
        if name == base:
            ax.plot(0, y, "o", color=INK)
            continue
        against = pairwise[base, name]
        ax.plot(100 * against.mean, y, "o", color=COLORS[0])
        if np.isfinite(against.low):
            ax.plot(
                [100 * against.low, 100 * against.high],
                [y, y],
                color=COLORS[0],
                linewidth=3,
            )
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks(range(len(order)), [called[n] for n in reversed(order)], fontsize=10)
    ax.set(xlim=(-reach, reach))
    ax.set_xlabel("DSC minus that of the base, points (95% over runs)")
    frames.append(fig)
    labels.append(f"base: {called[base]}")
frames_slider(
    frames,
    labels,
    alt="Differences of mean DSC to the chosen base, with intervals over runs. Many of "
    "the intervals reach across the line at zero, those of networks far apart in the "
    "ranking do not",
    caption="Welch's intervals for the difference of two means of runs, not corrected.",
)

# %% [markdown]
# ## Are the same cases hard for all?
#
# If a case is hard because of its image, all networks should do badly on it; if the networks have weaknesses of their
# own, each should fail elsewhere. The rank correlation of two networks' scores over the cases shows it.

# %% tags=["hide-input"]
pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
correlations = {
    pair: stats.spearmanr(*(every[name] for name in pair)).statistic for pair in pairs
}
if correlations:
    mean = np.mean(list(correlations.values()))
    print(
        f"rank correlation of two networks' DSC over {len(main.cases)} cases, mean "
        f"over {len(pairs)} pairs: {mean:.2f}"
    )
    for word, pick in (("most", max), ("least", min)):
        pair = pick(correlations, key=correlations.get)
        both = " and ".join(called[name] for name in pair)
        print(f"{word} alike: {both}, {correlations[pair]:.2f}")

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.8, 4.0))
styles = ("-", "--", ":")
for i, name in enumerate(order):
    ordered = np.sort(every[name])
    share = np.arange(1, len(ordered) + 1) / len(ordered)
    ax.step(
        ordered,
        100 * share,
        styles[i // len(COLORS)],
        color=COLORS[i % len(COLORS)],
        label=called[name],
        where="post",
    )
ax.set(
    xlabel="DSC",
    ylabel="cases up to there, %",
    xlim=(max(0.0, lowest - 0.05), 1),
    ylim=(0, 100),
)
ax.legend(fontsize=9, loc="upper left")
tail = np.mean([np.quantile(values, 0.05) for values in every.values()])
middle = np.mean([np.median(values) for values in every.values()])
picture(
    fig,
    "Cumulative curves of the DSC of the held-out cases, one for each network, all of "
    f"one shape: half of the cases score above {middle:.2f}, and a tail of hard cases, "
    f"one in twenty below {tail:.2f}, stretches to the left",
)

# %% [markdown]
# ## How they learnt
#
# The curves are those of the validation cases, which took no part in the training. The learning rate falls to zero with
# the last iteration, so every curve flattens at its end. Whether a network has learnt what it can is therefore not seen
# in the curve's end alone, but in what a longer run would bring; the rule here is the gain of the last fifth, above.

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.8, 4.0))
for i, name in enumerate(order):
    for number, record in enumerate(main.systems[name]):
        curve = validation(record)
        ax.plot(
            list(curve),
            list(curve.values()),
            styles[i // len(COLORS)],
            marker=".",
            color=COLORS[i % len(COLORS)],
            linewidth=1.5,
            label=called[name] if number == 0 else None,
        )
ax.set(xlabel="epoch", ylabel="DSC, validation cases")
ax.xaxis.set_major_locator(MaxNLocator(integer=True))
ax.legend(fontsize=9, loc="lower right")
late = [row.late_gain for row in rows_here]
picture(
    fig,
    "DSC on the validation cases over the epochs, a line for each training run: all "
    "rise steeply at first and flatten; in the last fifth of a run the networks still "
    f"gain between {100 * min(late):.2f} and {100 * max(late):.2f} points",
)

# %% [markdown]
# Does a short comparison give the order of a long one? The networks ranked by the same validation score after 1, 5, 20
# and 100 percent of one and the same training:

# %% tags=["hide-input"]
PERCENTS = (1, 5, 20, 100)
ranks = ranks_after(main, PERCENTS) if main.carries_verdicts else {}
fig, ax = plt.subplots(figsize=(6.8, 4.0))
for name, line in ranks.items():
    i = order.index(name)  # colours and styles as above
    color = COLORS[i % len(COLORS)]
    ax.plot(
        range(len(PERCENTS)), line, styles[i // len(COLORS)], marker="o", color=color
    )
    ax.annotate(
        called[name],
        (len(PERCENTS) - 1, line[-1]),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
    )
ax.set_xticks(range(len(PERCENTS)), [f"{percent_of}%" for percent_of in PERCENTS])
ax.set(
    xlabel="of the training",
    ylabel="rank by validation DSC",
    ylim=(max(len(ranks), 1) + 0.5, 0.5),
    yticks=range(1, len(ranks) + 1),
)
if not ranks:
    ax.text(
        0.5,
        0.5,
        "no run that was validated then is recorded yet",
        ha="center",
        transform=ax.transAxes,
        fontsize=10,
    )
if ranks:
    first, final = (min(ranks, key=lambda n, i=i: ranks[n][i]) for i in (0, -1))
    found_here = (
        f"{called[first]} leads after {PERCENTS[0]} percent of the training, "
        f"{called[final]} at its end"
    )
else:
    found_here = "empty, since no run that was validated on the way is recorded yet"
picture(fig, f"Ranks of the networks by validation score during training: {found_here}")

# %% tags=["hide-input"]
if ranks:
    table_of = np.array(list(ranks.values()))  # (networks, percents)
    for i, percent_of in enumerate(PERCENTS[:-1]):
        agreement = stats.kendalltau(table_of[:, i], table_of[:, -1]).statistic
        print(
            f"after {percent_of}%: Kendall's tau with the order at the end "
            f"{agreement:.2f} (1: the same, 0: unrelated)"
        )
else:
    print(
        "Ranks on the way: pending, as are runs that are validated after 1, 5, 20 "
        "and 100 percent."
    )

# %% [markdown]
# The first of these points is as much training as the runs at 64 × 64 have, the first minute. What the two have in
# common is that a network that learns quickly leads, and a rank at the left says little about the one at the right
# where lines cross.
#
# ## What the runs took
#
# The recipe of an experiment, every key that its runs share:

# %% tags=["hide-input", "hide-output"]
lines = config_from_dict(main.recipe).to_toml().splitlines()
start, stop = lines.index("[model]"), lines.index("[optim]")
# What each run has for itself is left out.
own = ("seed",) if "lr" in main.recipe["optim"] else ("seed", "lr")
print(
    "\n".join(
        line
        for line in lines[2:start] + lines[stop : lines.index("[eval]")]
        if not line.startswith(own)
    )
)

# %% [markdown]
# One learning rate for all networks is fair only if it is not the favourite of one of them. So each network of the
# long comparison gets the best of three for its own, chosen by runs of a quarter of the length that are scored on the
# *validation* cases; the test cases must not choose anything. Every such record that there is:

# %% tags=["hide-input"]
tunings = load_tunings(ROOT / "results/rates")
if not tunings:
    print(
        "No learning rate was tried yet: pending (lightm-book reproduce --plan "
        "converged)."
    )
asked = {
    piece.config.optim.lr for piece in load_plan("converged") if piece.kind == "tune"
}
rates = sorted(asked.union(*(tuning.rates for tuning in tunings)))
lines = []
for tuning in tunings:
    used = (
        "this comparison's"
        if tuning.belongs_to(main)
        else "another than this comparison's"
    )
    print(f"{tuning.title}; the recipe is {used}")
    tried = {
        name: by_rate
        for name, by_rate in tuning.scores.items()
        if asked <= by_rate.keys()
    }
    common = (
        max(
            asked,
            key=lambda rate: np.mean([by_rate[rate] for by_rate in tried.values()]),
        )
        if tried
        else None
    )
    for name, by_rate in tuning.scores.items():
        cells = (
            percent(by_rate[rate]) if rate in by_rate else "pending" for rate in rates
        )
        chosen, loses = "", ""
        if name in tried:
            chosen = f"{tuning.best(name):g}"
            loses = (
                f"{percent(max(by_rate.values()) - by_rate[common])} with {common:g}"
            )
        lines.append((shown_name(name), *cells, chosen, loses))
    at_common = stats.rankdata([-by_rate[common] for by_rate in tried.values()])
    at_best = stats.rankdata([-max(by_rate.values()) for by_rate in tried.values()])
    ranked = zip(tried, at_common, at_best, strict=True)
    moved = [shown_name(name) for name, a, b in ranked if a != b]
    print(
        f"every rate was tried for {len(tried)} of {len(tuning.scores)} networks",
        end="; ",
    )
    print(
        "one rate for all of those would change the rank of: "
        f"{'; '.join(moved) or 'none'}"
    )
head = [
    "validation DSC with rate",
    *(f"{rate:g}" for rate in rates),
    "chosen",
    "a common one loses",
]
table(head, lines) if lines else None

# %% tags=["hide-input"]
apart = max(np.ptp(100 * values) for values in of_runs.values())
print(f"test DSC of runs that differ in the seed only: up to {apart:.2f} points apart")
chosen = {
    (name, run["config"]["optim"]["lr"])
    for name, runs in main.systems.items()
    for run in runs
}
for tuning in (t for t in tunings if t.belongs_to(main)):
    assert all(
        rate == tuning.best(name) for name, rate in chosen if name in tuning.scores
    ), "a rate was not the chosen one"

# %% [markdown]
# There is one run per cell, so differences in a row that are not larger than what the seed alone does say little; they
# are good enough to avoid a rate that fails.

# %% tags=["hide-input"]
hardware = {
    (h["cpu"], h["cores"], h["threads"], h["gpu"])
    for r in records.values()
    for h in [r["environment"]["hardware"]]
}
for cpu, cores, threads, gpu in sorted(hardware, key=str):
    print(f"machine: {cpu}; cores: {cores}, threads: {threads}, GPU: {gpu or 'none'}")
spent = costs(main)
lines = [
    (
        called[name],
        f"{spent[name]['minutes']:.0f}",
        f"{spent[name]['gib']:.1f}",
        record["model"]["scan"],
    )
    for name, (record, *_) in main.systems.items()
]
table(["network", "minutes per run", "peak memory, GiB", "scan"], lines)

# %% [markdown]
# The minutes hold whatever else the machine did in the meantime, so they don't measure which network is faster;
# {doc}`13_cost` does that. Memory is that of the whole process, PyTorch and the data included.
#
# ## Figure 1, with measured numbers
#
# The paper's first figure has accuracy against operations, markers as large as the networks. {doc}`09_counting` shows what
# becomes of its axes when each parameter and operation is counted once. Here the accuracy is measured, too: below, every
# network of the experiment at the experiment's own image size, all operations counted, the scan's included.

# %% tags=["hide-input"]
counted = {name: count_of(runs[0]) for name, runs in main.systems.items()}
lines = [
    (
        called[name],
        f"{counted[name].params / 1e6:.2f}",
        f"{counted[name].macs / 1e9:.3f}",
        percent(by_system[name].dsc[0]),
    )
    for name in order
]
assert all(
    counted[name].params == main.systems[name][0]["model"]["params"] for name in order
)
table(
    [
        "network",
        "parameters, M",
        f"GMACs at {main.size[0]} × {main.size[1]}",
        "DSC, measured",
    ],
    lines,
)

# %% tags=["hide-input"]
fig, axes = plt.subplots(2, 1, figsize=(6.8, 8.4))
color_of = dict(zip(printed.rows, COLORS, strict=False))


def marker(params):
    """Area of a marker for so many million parameters, and its radius in points."""
    area = 10 + 6 * params
    return area, (area / np.pi) ** 0.5


above, below = [], []
for name in printed.rows:
    x, y, params = (float(printed[name, column]) for column in (GFLOPS, "DSC", PARAMS))
    area, radius = marker(params)
    face = {"color": color_of[name], "alpha": 0.6, "edgecolors": INK}
    axes[0].scatter(x, y, s=area, **face)
    above.append((name, x, y, radius))
for name in order:
    x, row = counted[name].macs / 1e9, by_system[name]
    area, radius = marker(row.params / 1e6)
    color = color_of.get(row_of(name), INK)
    ends = [100 * end for end in row.dsc[1:]]
    if np.isfinite(ends).all():
        axes[1].plot([x, x], ends, color=color, linewidth=1.5)
    face = {"color": color, "alpha": 0.6, "edgecolors": INK}
    axes[1].scatter(x, 100 * row.dsc[0], s=area, **face)
    below.append((called[name], x, 100 * row.dsc[0], radius))
axes[0].set(xlabel="GFLOPs as printed", title="Table 2, as printed")
axes[1].set_xlabel("GMACs of one image, counted once")
title = f"measured, {main.size[0]} × {main.size[1]}, {main.passes:.1f} passes"
axes[1].set_title(title)
for ax, labels in zip(axes, (above, below), strict=True):
    ax.set(xscale="log", ylabel="DSC, %")
    ax.margins(0.2)
    ax.xaxis.set_minor_formatter(NullFormatter())
    place_labels(ax, labels)
fewest = min(order, key=lambda name: counted[name].macs)
picture(
    fig,
    "Accuracy against operations, markers as large as the networks. Above, Table 2 as "
    "printed, with LightM-UNet at the far left and on top. Below, as measured here and "
    f"counted once: {called[fewest]} has the fewest operations, and {called[order[0]]} "
    "the highest score",
)

# %% tags=["hide-input"]
cheaper = [name for name in order if counted[name].macs < counted[BASE].macs]
better = [name for name in order if by_system[name].dsc[0] > by_system[BASE].dsc[0]]
for what, names in (("fewer operations", cheaper), ("a higher mean DSC", better)):
    shown = "; ".join(called[name] for name in names)
    print(f"{what} than {called[BASE]}:", shown or "none", sep="\n    ")

# %% [markdown]
# ## Figure 3, on phantoms
#
# The paper's third figure shows two cases and what the networks drew on them. Patients aren't shown in this book, so the
# cases here are synthetic radiographs, and the networks are small and trained for seconds: the figure is about *how* to
# look, and which kinds of errors there are, and says nothing about who wins.

# %% tags=["hide-input", "nbval-ignore-output"]
# Not compared by nbval: other processors round differently, training amplifies that.
folder = tempfile.TemporaryDirectory()
threads = torch.get_num_threads()
torch.set_num_threads(1 if profile == "smoke" else threads)
answers, dsc = {}, {}
for name, options in run.drawn.items():
    recipe = config_from_dict(
        {
            "name": name,
            "data": {
                "size": [run.size] * 2,
                "options": {"cases": 48, "size": run.size},
                "ratios": [5, 1, 2],
            },
            "model": {"name": name, "options": options},
            "optim": {"name": "adamw", "lr": 3e-3, "warmup": 5, "clip": 1.0},
            "train": {
                "epochs": 1,
                "iterations_per_epoch": run.iterations,
                "batch_size": 4,
            },
            "eval": {"native": False},
        }
    )
    trainer = Trainer(recipe, Path(folder.name) / name, quiet=True)
    record = trainer.fit()
    test = trainer.data.load("test")
    assert trainer.data.dataset.synthetic
    with torch.no_grad():
        logits = trainer.net.eval()(test.images.to(trainer.device))  # (B, K, H, W)
    answers[name] = logits.argmax(1).cpu().numpy()  # (B, H, W)
    dsc[name] = record["test"]["summary"]["dsc"]["mean"]
    print(
        f"{shown_name(name):<18} {record['model']['params']:>10,} parameters, mean DSC "
        f"{dsc[name]:.3f} on {len(test)} phantoms"
    )
torch.set_num_threads(threads)
images, truths = test.images[:, 0].numpy(), test.labels.numpy()

# %% tags=["hide-input"] mystnb={"image": {"alt": "Three synthetic radiographs, from an easy to a hard one, with the true outline of the lungs, and below it a row for each small network: most errors are thin rims along the border, and the hard case has patches besides"}}
wrong = [(answer != truths).mean((1, 2)) for answer in answers.values()]
disagreement = np.mean(wrong, axis=0)  # (B,)
chosen = disagreement.argsort()[[0, len(disagreement) // 2, -1]]
fig, axes = plt.subplots(1 + len(answers), 3, figsize=(6.8, 2.2 * (1 + len(answers))))
for column, case in enumerate(chosen):
    axes[0, column].imshow(images[case])
    axes[0, column].contour(truths[case], [0.5], colors=[COLORS[5]], linewidths=1.5)
    axes[0, column].set_title(
        ("easiest", "in the middle", "hardest")[column], fontsize=11
    )
    for line, (_name, answer) in enumerate(answers.items(), 1):
        axes[line, column].imshow(error_map(images[case], answer[case], truths[case]))
        if answer[case].any():
            axes[line, column].contour(
                answer[case], [0.5], colors=["white"], linewidths=1
            )
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("truth", fontsize=11)
for line, name in enumerate(answers, 1):
    axes[line, 0].set_ylabel(shown_name(name).replace(" (", "\n("), fontsize=11)
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
# Tables 1 and 3 of the paper are about livers and tumours in CT volumes (LiTS). Those volumes are also Task03_Liver of the
# Medical Segmentation Decathlon, free to fetch and tens of gigabytes large; no run on them is recorded here. What there
# is in 3D is the smallest set of the same collection, the hippocampus volumes: small, real, and *not* Table 1. It is the
# same comparison on something else, called what it is, and scored at the volumes' own size like everything else.

# %% tags=["hide-input"]
volumes = [e for e in found if len(e.size) == 3 and BASE in e.systems]
if not volumes:
    print("No run on volumes is recorded yet: pending.")
lines = []
for experiment in volumes:
    print(f"{experiment.title}; {experiment.passes:.1f} passes over the cases")
    lines += [
        (
            shown_name(row.system),
            row.runs,
            percent(row.dsc[0]),
            span(*row.dsc[1:]),
            percent(row.iou[0]),
            row.verdict,
        )
        for row in standings(experiment, book)
    ]
head = ["hippocampus", "runs", "DSC", "95% interval", "IoU"]
table([*head, f"against {called[BASE]}"], lines) if lines else None

# %% [markdown]
# The ablations of Table 3 have a chapter, and their records are read there: {doc}`08_ablations`.
#
# And one run answers a question about the paper's text. It gives SGD with a learning rate of 0.0001. What that recipe
# learns in the same few iterations:

# %% tags=["hide-input"]
by_sgd = [e for e in on_xrays if e.recipe["optim"]["name"] == "sgd"]
lines = [
    (e.title.split(": ")[1], shown_name(name), len(runs), percent(scores(runs).mean()))
    for e in by_sgd
    for name, runs in e.systems.items()
]
if lines:
    ours = by_system[BASE]
    score = percent(ours.dsc[0])
    lines.append((main.title.split(": ")[1], called[BASE], ours.runs, score))
else:
    print("No run with SGD is recorded yet: pending.")
table(["recipe", "network", "runs", "DSC"], lines) if lines else None

# %% [markdown]
# A small learning rate needs many iterations, and a reduced run has few. So this shows that the two recipes can't be
# exchanged in a short training, and leaves open where the paper's ends after its hundred epochs.
#
# ## What is pending
#
# Rows of the paper's tables for which no run of the network on the table's data at the paper's image size is recorded:

# %% tags=["hide-input"]
pending = unmeasured(records)
for number in TABLES:
    rows = [row for n, row in pending if n == number]
    print(
        f"Table {number}: {len(rows)} of {len(TABLES[number].rows)} rows\n"
        f"    {', '.join(rows) or 'none'}"
    )

# %% [markdown]
# Each waits for a GPU; Tables 1 and 3 also for the data. What `lightm-book reproduce` makes once there is one, the most
# valuable first, stands in a plan; a piece is done when its record lies under `results/`:

# %% tags=["hide-input"]
pieces = load_plan("gpu")
made = {path.stem for path in (ROOT / "results").rglob("*.json")}
groups = {}
for piece in pieces:
    groups.setdefault(piece.why, []).append(piece.name in made)
print(
    f"{sum(piece.name in made for piece in pieces)} of {len(pieces)} pieces of the "
    "plan are made"
)
table(
    ["what one learns from it", "pieces", "pending"],
    [(why, len(d), d.count(False)) for why, d in groups.items()],
)

# %% [markdown]
# Nothing on this page has to be rewritten when those runs are made: the cells above read their records.
# {doc}`../book/reproduce` says how to make them.
#
# ## What this shows, and what not
#
# **It shows** how the networks of Table 2 stand after one and the same training, on small versions of real radiographs, on
# patients whom none of them saw; which of the differences other trainings would repeat, judged over runs with one
# correction for the whole book; and how large a difference had to be to be seen with so few runs.
#
# **It doesn't show** that the paper's order is wrong, or right. A short training favours networks that learn fast, and a
# small image those that need no long range. The scan of LightM-UNet is meant for long sequences: the reduced images have
# few tokens. And every run shares one split and one set of test cases, from two hospitals.

# %% [markdown]
# ## Exercises
#
# ★ takes a line, ★★ some thought, ★★★ an afternoon. `check` says whether an answer is
# right, and if it is not, what to think about.

# %% tags=["hide-input"]
from lightm_book.exercises import check

# %% [markdown]
# :::{exercise} ★ Three runs
# :label: ex-results-interval
# Three runs of a network have mean DSCs of 0.90, 0.92 and 0.91. What is half the width
# of the 95% interval of their mean by Student's t? The quantile for two degrees of
# freedom is 4.303.
# :::
#
# :::{hint}
# :class: dropdown
# $t \cdot s / \sqrt n$ with the standard deviation $s = 0.01$.
# :::
#
# :::{solution} ex-results-interval
# :class: dropdown
# $4.303 \cdot 0.01 / \sqrt 3 \approx 0.025$: more than twice what 1.96 would give.
# `mean_interval` computes the same.
#
# ```python
# half_width = 4.303 * 0.01 / 3**0.5
# ```
# :::

# %%
half_width = None  # your answer

check("ex-results-interval", half_width)

# %% [markdown]
# :::{exercise} ★ How many runs?
# :label: ex-results-runs
# The runs of two networks spread with a standard deviation of 0.3 points each. How many
# runs of each does a t-test at the 5% level need to find a true difference of 0.5
# points in four of five experiments? Use `detectable_difference` of
# `lightm_book.compare.statistics`.
# :::
#
# :::{hint}
# :class: dropdown
# Try 2, 3, and so on.
# :::
#
# :::{solution} ex-results-runs
# :class: dropdown
# Seven: the first number for which the detectable difference is not above 0.5.
#
# ```python
# from lightm_book.compare.statistics import detectable_difference
#
# runs_needed = next(n for n in range(2, 99) if detectable_difference(0.3, n) <= 0.5)
# ```
# :::

# %%
runs_needed = None  # your answer

check("ex-results-runs", runs_needed)

# %% [markdown]
# :::{exercise} ★★ Throw the pairing away
# :label: ex-results-pairing
# Compare two networks as if they had been tested on *different* patients. What is the
# standard error of the difference of the two means then, and what is it when the
# differences are taken case by case? Write `errors(a, b)` for arrays of scores $a, b$
# of $n$ cases; it returns (unpaired, paired).
# :::
#
# :::{hint}
# :class: dropdown
# The variances of independent means add up. Paired, there is only one sample: $a - b$.
# :::
#
# :::{solution} ex-results-pairing
# :class: dropdown
# Unpaired, it is $\sqrt{(s_a^2 + s_b^2)/n}$. Paired, it is that of the differences:
# $s_{a-b}/\sqrt{n}$, which is smaller when the same cases are hard for both.
#
# ```python
# def errors(a, b):
#     n = len(a)
#     unpaired = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / n)
#     return unpaired, (a - b).std(ddof=1) / np.sqrt(n)
# ```
# :::


# %%
def errors(a, b):
    return None  # your formulas: (unpaired, paired)


check("ex-results-pairing", errors)

# %% [markdown]
# :::{exercise} ★★ Chosen after looking
# :label: ex-results-holm
# A referee asks for the comparison with *one* rival only, the others were never in
# question. Its raw p-value is 0.02. Seven other comparisons with p-values above 0.3 had
# been made too. May you report 0.02? If not, which value does Holm's correction give?
# :::
#
# :::{hint}
# :class: dropdown
# Count all comparisons that were made.
# :::
#
# :::{solution} ex-results-holm
# :class: dropdown
# Not if it was chosen after looking: it is the smallest of eight, and Holm multiplies
# it by eight. If the question was fixed before the data were seen, one question was
# asked and 0.02 is its answer.
#
# ```python
# adjusted = 8 * 0.02
# ```
# :::

# %%
adjusted = None  # your answer: the p-value after Holm's correction

check("ex-results-holm", adjusted)

# %% [markdown]
# :::{exercise} ★★★ Open: the sentence that a table allows
# :label: ex-results-open
# Choose a table of this chapter, or of a paper, in which one number is in bold. Write
# the strongest sentence about the two best systems that the table allows, and the
# sentence that people will remember from it. What would have to be added, in runs,
# cases or tests, to turn the second into the first? What would that cost?
# :::
#
# :::{hint}
# :class: dropdown
# How many training runs stand behind each number, and how many comparisons behind the
# bold one?
# :::
#
# :::{solution} ex-results-open
# :class: dropdown
# A good answer distinguishes networks from architectures, counts the comparisons,
# computes the detectable difference for the runs that there are, and gives a price in
# runs and hours. It is as careful with our tables as with others.
# :::

# %% [markdown]
# ## What to remember
#
# * Printed and measured numbers stand side by side; only numbers from one experiment are compared.
# * An architecture is judged over training runs, and every comparison with the same base pays for all the others. A
#   table without several runs can't say that a network is better.
# * Counted once and measured alike, a network's place in Figure 1 is a matter of arithmetic and of records, both of
#   which anybody can repeat.
# * What isn't recorded is pending, and says so.
#
# ## What came after
#
# Ours aren't the only measurements. Two groups have since trained LightM-UNet beside its rivals, and found it close to
# nnU-Net, ahead of Transformers, and not in front; others have asked what a state-space model adds to a convolutional
# network at all, with answers that differ. {doc}`../book/what_came_after` sets the paper's claims beside twelve later
# works, each number with its place.
#
# **Where to go.** {doc}`13_cost` asks what the networks cost to train, {doc}`../book/scorecard` has the verdict on each
# of the paper's statements.
