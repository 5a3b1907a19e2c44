# %% [markdown]
# # Reading a segmentation score honestly
#
# A table of results has one number for each network, usually the mean Dice coefficient (DSC) or the mean IoU. Behind
# that number stand many images, and behind each of them two masks. This chapter works backwards from the number: what it
# can show of two masks, what it hides, what becomes of images in which there is nothing to find, and what a mean does
# to all of that. The shapes are drawn here; the scores of whole data sets come from the records of this book.
#
# You need: {doc}`06_training` for what DSC and IoU are. The rules are those of `lightm.evaluation`, by which
# `lightm evaluate` scores any two folders of masks.
#
# At the end you can say
# * why DSC and IoU never disagree about two masks, and may disagree about two networks,
# * which errors DSC does not see, and what a distance between surfaces adds,
# * what the score of an empty mask is, and how much a mean depends on that choice,
# * what to ask of a table before believing that one network is better.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np

from lightm.evaluation.scores import score_masks
from lightm.training.record import list_records
from lightm_book import ROOT
from lightm_book.compare.statistics import mean_interval
from lightm_book.paper import TABLES
from lightm_book.show.figures import COLORS, frames_slider, use_style
from lightm_book.show.notebook import check_profile
from lightm_book.show.tables import table

run = check_profile(profile, {"smoke": {"size": 96}, "paper": {"size": 96}})
use_style()
SIZE = run.size


# %% [markdown]
# ## Two scores, the same information
#
# With $P$ the predicted and $T$ the true mask,
#
# $$\mathrm{DSC} = \frac{2\,|P \cap T|}{|P| + |T|}, \qquad \mathrm{IoU} = \frac{|P \cap T|}{|P \cup T|}.$$
#
# Since $|P| + |T| = |P \cup T| + |P \cap T|$, each of them can be computed from the other:
#
# $$\mathrm{IoU} = \frac{\mathrm{DSC}}{2 - \mathrm{DSC}}, \qquad
# \mathrm{DSC} = \frac{2\,\mathrm{IoU}}{1 + \mathrm{IoU}}.$$
#
# For one pair of masks the second score adds nothing. The cell draws a disc, moves it step by step, and asks the
# package for both.


# %%
def disc(radius, center=(SIZE / 2, SIZE / 2)):
    """A mask (SIZE, SIZE)."""
    rows, columns = np.ogrid[:SIZE, :SIZE]
    inside = (rows + 0.5 - center[0]) ** 2 + (columns + 0.5 - center[1]) ** 2
    return inside <= radius**2


def moved(mask, rows=0, columns=0):
    return np.roll(mask, (rows, columns), (0, 1))


def score(pred, true, spacing=(1.0, 1.0), **options):
    return score_masks(pred, true, spacing, **options)


def iou_of(dsc):
    return dsc / (2 - dsc)


true = disc(20)
for step in (0, 2, 5, 10, 20):
    found = score(moved(true, columns=step), true)
    print(f"moved by {step:2}: DSC {found['dsc']:.4f}  IoU {found['iou']:.4f}")
    assert abs(found["iou"] - iou_of(found["dsc"])) < 1e-12

# %% [markdown]
# Touch it: the prediction moves to the right, and both scores fall together. HD95, a distance between the outlines of
# which this chapter speaks below, goes on growing when there is no overlap left to lose.

# %% tags=["hide-input"]
frames, labels = [], []
for step in range(0, 41, 4):
    pred = moved(true, columns=step)
    found = score(pred, true)
    fig, ax = plt.subplots(figsize=(3.2, 3.2))
    ax.imshow(true + 2.0 * pred, cmap="viridis", vmin=0, vmax=3)
    ax.set_axis_off()
    frames.append(fig)
    values = (f"{m.upper()} {found[m]:.2f}" for m in ("dsc", "iou", "hd95"))
    labels.append(f"moved by {step}: {', '.join(values)}")
frames_slider(
    frames,
    labels,
    alt="Two discs of one size, the true mask and the prediction, which moves right; "
    "their overlap shrinks",
    caption="Blue: only the truth. Green: only the prediction. Yellow: both. Overlap "
    "is zero once the discs part; a distance goes on growing.",
)

# %% [markdown]
# ## Why mean IoU is no function of mean DSC
#
# A table prints means over images. Take two networks and two images. The first network gets a DSC of 0.8 on both; the
# second 1.0 on one and 0.6 on the other.

# %%
even, uneven = np.array([0.8, 0.8]), np.array([1.0, 0.6])
for name, dsc in (("even", even), ("uneven", uneven)):
    mean, iou = dsc.mean(), iou_of(dsc).mean()
    print(f"{name:6}: mean DSC {mean:.4f}  mean IoU {iou:.4f}")
assert np.isclose(even.mean(), uneven.mean())
assert iou_of(uneven).mean() > iou_of(even).mean()

# %% [markdown]
# The mean DSC is the same, the mean IoU is not. The curve $f(d) = d / (2 - d)$ is convex, $f'' = 4 / (2 - d)^3 > 0$,
# and the mean of a convex curve is at least the curve at the mean (Jensen's inequality). It cannot be larger than the
# chord from $(0, 0)$ to $(1, 1)$ either, so with $\bar d$ the mean DSC
#
# $$\frac{\bar d}{2 - \bar d} \;\le\; \text{mean IoU} \;\le\; \bar d.$$
#
# The lower end is reached when all images score alike, the upper one when each is either perfect or lost. Mean IoU
# thus knows something that mean DSC does not: it rewards *uneven* results. Here are both for every record of the book,
# computed from the scores of its test cases.

# %%
records = list_records(ROOT / "results/runs")
points, images = [], []
for record in records.values():
    cases = (record.get("test_native") or record["test"])["cases"]
    for name in cases[0]["dsc"]:
        dsc = np.array([case["dsc"][name] for case in cases], float)
        iou = np.array([case["iou"][name] for case in cases], float)
        there = np.isfinite(dsc)
        assert np.allclose(iou[there], iou_of(dsc[there]))  # case by case one number
        points.append((dsc[there].mean(), iou[there].mean()))
        identity = tuple(case["case"] for case in cases)
        images.append((record["data"]["name"], name, identity))
points = np.array(points)
above = points[:, 1] - iou_of(points[:, 0])
assert (above >= -1e-12).all() and (points[:, 1] <= points[:, 0] + 1e-12).all()
print(f"{len(records)} records, {len(points)} classes, all between the bounds")
print(f"mean IoU is above f(mean DSC) by up to {above.max():.4f}")

# %% tags=["hide-input"] mystnb={"image": {"alt": "Mean IoU against mean DSC. A curve that bends upwards and a straight line meet at 0 and 1 and enclose a lens. Every dot, a class of a recorded run, lies within it, most of them just above the curve"}}
grid = np.linspace(0, 1, 101)
fig, ax = plt.subplots(figsize=(5.2, 4))
ax.fill_between(grid, iou_of(grid), grid, color=COLORS[0], alpha=0.15, lw=0)
ax.plot(grid, iou_of(grid), color=COLORS[0], label="all images alike")
ax.plot(grid, grid, color=COLORS[0], ls="--", label="each perfect or lost")
ax.plot(*points.T, "o", ms=3, color=COLORS[1], label="a class of a recorded run")
ax.set(xlabel="mean DSC", ylabel="mean IoU", xlim=(0, 1), ylim=(0, 1))
ax.legend()
plt.show()

# %% [markdown]
# May two networks change places, then? Only if their mean DSCs are close and one is more uneven. The cell looks through
# all pairs of runs that were scored on the same class of the same images, and counts.

# %%
first, second = np.triu_indices(len(points), 1)
by_dsc = np.sign(points[first, 0] - points[second, 0])
by_iou = np.sign(points[first, 1] - points[second, 1])
same = np.array([images[i] == images[j] for i, j in zip(first, second, strict=True)])
changed = (by_dsc * by_iou < 0) & same
print(f"{changed.sum()} of {same.sum()} pairs change their order")
if changed.any():
    apart = np.abs(points[first, 0] - points[second, 0])[changed].max()
    print(f"none of those is further apart than {apart:.4f} in mean DSC")

# %% [markdown]
# The bounds hold for printed tables too, wherever both columns are means over the same images. The paper's tables have
# both for each class of LiTS and for the radiographs. (An average over classes is a mean of means, for which the bounds
# hold as well.) Rounding to two digits is allowed for.

# %%
rows = []
for number in (1, 2):
    columns = TABLES[number].accuracy
    for row in TABLES[number].rows:
        for dsc_column in (c for c in columns if c.endswith("DSC")):
            iou_column = dsc_column.replace("DSC", "mIoU")
            cells = (TABLES[number][row, c] for c in (dsc_column, iou_column))
            dsc, iou = (float(cell) / 100 for cell in cells)
            where = dsc_column.replace("DSC", "").strip() or "radiographs"
            fits = iou_of(dsc) - 1e-4 <= iou <= dsc + 1e-4
            lowest = f"{100 * iou_of(dsc):.2f}"
            rows.append((row, where, lowest, f"{100 * iou:.2f}", fits))
print(f"{sum(r[-1] for r in rows)} of {len(rows)} printed pairs are possible as means")
table(
    ["network", "of", "lowest possible mIoU", "printed mIoU", "possible"],
    [(*r[:-1], "yes" if r[-1] else "no") for r in rows],
)

# %% [markdown]
# Where the printed mIoU is just above the lowest possible one, the network's scores were even over the images; where it
# is far above, as for small tumours, some images were found and others lost. So the two columns together say a little
# about the spread, which neither says alone.
#
# ## What DSC hides: size
#
# Let a network draw every outline one pixel too far inside. How bad is that? It depends on what is outlined.

# %%
sizes = []
for radius in (3, 6, 12, 24, 40):
    found = score(disc(radius - 1), disc(radius))
    closed = 2 * (radius - 1) ** 2 / (radius**2 + (radius - 1) ** 2)  # of true discs
    dsc, assd = f"{found['dsc']:.3f}", f"{found['assd']:.2f}"
    sizes.append((radius, dsc, f"{closed:.3f}", assd))
table(["radius, pixels", "DSC", "DSC of ideal discs", "ASSD, pixels"], sizes)

# %% [markdown]
# The same error of the outline costs a small object a large part of its score and a large one almost nothing. The
# average distance between the surfaces (ASSD) is about one pixel for all of them. A DSC of 0.7 on tumours and one of
# 0.96 on livers may come from equally careful outlines. And a class whose objects differ in size has a mean DSC that is
# ruled by the small ones.
#
# ## What DSC hides: place
#
# DSC counts pixels and does not ask where they are. Three predictions with exactly as many wrong pixels each: a rim, a
# hole, and an island far away.

# %%
true = disc(24)
wrong = 150
distance = np.hypot(*(np.indices(true.shape) + 0.5 - SIZE / 2))
outward = np.argsort(np.where(true, np.inf, distance), axis=None, kind="stable")
inward = np.argsort(np.where(true, distance, np.inf), axis=None, kind="stable")
corner = np.hypot(*(np.indices(true.shape) + 0.5))
far = np.argsort(corner, axis=None, kind="stable")


def changed_at(order, value):
    mask = true.copy()
    mask.flat[order[:wrong]] = value
    return mask


shapes = {
    "rim": changed_at(outward, True),
    "island": changed_at(far, True),
    "hole": changed_at(inward, False),
}
found = {name: score(mask, true, tolerance=2.0) for name, mask in shapes.items()}
assert all((mask != true).sum() == wrong for mask in shapes.values())
assert found["rim"]["dsc"] == found["island"]["dsc"]
assert found["island"]["hd95"] > 5 * found["rim"]["hd95"]
columns = ("dsc", "nsd", "hd95", "assd")
table(
    ["error", "DSC", "NSD at 2 pixels", "HD95", "ASSD"],
    [(n, *(f"{f[c]:.3f}" for c in columns)) for n, f in found.items()],
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Three discs. The first has a thin coloured rim around it, the second a coloured patch in the far upper left corner, the third a coloured hole in its middle"}}
fig, axes = plt.subplots(1, 3, figsize=(7.5, 2.7))
for ax, (name, mask) in zip(axes, shapes.items(), strict=True):
    ax.imshow(np.where(mask != true, 2, true), cmap="viridis", interpolation="nearest")
    ax.set_title(f"{name}: DSC {found[name]['dsc']:.3f}")
    ax.set_axis_off()
plt.show()

# %% [markdown]
# The wrong pixels are yellow. Rim and island have the same DSC to the last digit. A surgeon would shrug at the one and
# stop at the other. The surface scores tell them apart, each in its own way:
#
# * **HD95**, the 95th percentile of the distances between the surfaces, is large for the island: some of the predicted
#   surface is far from the truth. It says how bad the bad places are.
# * **ASSD**, their mean, says how far off the surface is on average.
# * **NSD**, the share of both surfaces within a tolerance of each other, asks how much would have to be drawn anew. The
#   tolerance is yours to choose, and belongs beside the number.
#
# None of the three replaces DSC. HD95 hardly changes with the size of an island once it is larger than a few pixels,
# and neither it nor ASSD has a value for a mask that is empty. That is why a report has both kinds.
#
# ## What a surface distance adds: millimetres
#
# DSC does not know how large a voxel is. CT volumes often have slices five millimetres apart and pixels of less than
# one. A prediction that is one voxel off along the thick axis has nearly the DSC of one that is one voxel off along the
# thin axis, for a block that is equally wide in voxels exactly that DSC.

# %%
block = np.zeros((24, 24, 24), bool)
block[6:18, 6:18, 6:18] = True
spacing = (0.8, 0.8, 5.0)  # mm along each axis
along = {axis: score(np.roll(block, 1, axis), block, spacing) for axis in (0, 2)}
assert along[0]["dsc"] == along[2]["dsc"] == 11 / 12
assert along[2]["assd"] > 2 * along[0]["assd"]
for axis, name in ((0, "0.8 mm"), (2, "5.0 mm")):
    found = along[axis]
    print(f"off by {name}: DSC {found['dsc']:.4f}  HD95 {found['hd95']:.1f} mm")

# %% [markdown]
# ## Empty masks
#
# What is the DSC when there is nothing to find, and nothing was found? The formula says $0 / 0$. Four cases have to be
# told apart, and a rule is needed for three of them. This package has the following one.

# %%
empty, some = np.zeros_like(true), true
rule = []
for name, pred, label in (
    ("both", some, some),
    ("only the truth", empty, some),
    ("only the prediction", some, empty),
    ("neither", empty, empty),
):
    found = score(pred, label)
    values = ("-" if np.isnan(found[m]) else f"{found[m]:g}" for m in ("dsc", "hd95"))
    rule.append((name, found["state"], *values))
table(["has the class", "state", "DSC", "HD95"], rule, ":--")

# %% [markdown]
# A case without the class in both truth and prediction is left out of the mean, although the network was right. Others
# count it as 1, and some programs silently give 0. How much does that matter? Ten cases, four of which have no tumour,
# and a network that finds nothing in those four and scores 0.6 in the other six:

# %%
scores = np.array([0.6] * 6 + [np.nan] * 4)
for rule_name, value in (("left out", np.nan), ("as 1", 1.0), ("as 0", 0.0)):
    filled = np.where(np.isnan(scores), value, scores)
    print(f"counted {rule_name:8}: mean DSC {np.nanmean(filled):.2f}")

# %% [markdown]
# The same predictions have three mean scores, further apart than the networks of most tables. None of the rules is wrong in itself.
# Left out, the score says how well tumours are outlined where there are some; how often one is invented has to be
# reported beside it, and `lightm evaluate` counts the states for that reason. Counted as 1, the score rewards a data
# set for its healthy patients. What is wrong is a table that does not name its rule. A distance has no value at all
# when one of the masks is empty, so a network that misses the hard cases altogether can have the best mean HD95: look
# at how many cases its mean is over.
#
# ## The mean, and the rest
#
# Here are the scores of one recorded run, case by case: {doc}`07_real_xrays` says how such a record is made.

# %%
main = records["montgomery-shenzhen-lightm-unet-192"]
cases = main["test_native"]["cases"]
name = next(iter(cases[0]["dsc"]))
dsc = np.array([case["dsc"][name] for case in cases], float)
mean, low, high = mean_interval(dsc)
print(f"{main['name']}, {name}, {len(dsc)} cases")
print(f"mean {mean:.4f}, 95% interval {low:.4f} to {high:.4f}")
print(f"median {np.median(dsc):.3f}, worst {dsc.min():.3f}, best {dsc.max():.3f}")
print(f"cases below the mean: {(dsc < dsc.mean()).sum()}")
assert low <= mean <= high

# %% tags=["hide-input"] mystnb={"image": {"alt": "A histogram of the DSC of the cases of one recorded run: most cases are close together at high scores, and a tail reaches to lower ones. Two vertical lines mark mean and median, the mean lying on the side of the tail"}}
fig, ax = plt.subplots(figsize=(5.2, 3))
ax.hist(dsc, bins=30, color=COLORS[0])
ax.axvline(dsc.mean(), color=COLORS[1], label="mean")
ax.axvline(np.median(dsc), color=COLORS[2], ls="--", label="median")
ax.set(xlabel="DSC of a case", ylabel="cases")
ax.legend()
plt.show()

# %% [markdown]
# Few cases decide what the mean is. The worst of them are the ones to look at, before anything is said about a method:
# `lightm evaluate --predictions DIR --labels DIR --html report.html` shows them with their errors drawn. And the
# interval is that of the *cases*: it says how far the mean would move with other patients. It does not say what another
# training run would do; that takes several runs ({doc}`08_ablations`).
#
# ## Before you believe a table
#
# * Over what is the mean: cases, classes, slices, patients? Is the background one of the classes?
# * How many cases are there, and how wide is the interval? Were both networks scored on the same ones?
# * What became of cases without the class? How many were there?
# * At which size was the score taken: at that of the network, or at that of the images?
# * How large are the objects? Is there a score in millimetres beside the overlap?
# * How many training runs stand behind a number, and who chose the best of them, on which cases?

# %% [markdown]
# ## Exercises
#
# ★ takes a line, ★★ some thought, ★★★ an afternoon. `check` says whether an answer is
# right, and if it is not, what to think about.

# %% tags=["hide-input"]
from lightm_book.exercises import check

# %% [markdown]
# :::{exercise} ★ Two bounds
# :label: ex-scores-bounds
# A table prints a mean DSC of 0.90. Between which two numbers must the mean IoU over
# the same images lie? Three decimals each.
# :::
#
# :::{hint}
# :class: dropdown
# It is smallest when all images score alike. When is it largest?
# :::
#
# :::{solution} ex-scores-bounds
# :class: dropdown
# $0.9 / (2 - 0.9) = 0.818$ if all images score alike, and $0.900$ if 90 of 100 images
# are perfect and 10 are lost.
#
# ```python
# bounds = (0.9 / (2 - 0.9), 0.9)
# ```
# :::

# %%
bounds = None  # your answer: (lowest, highest)

check("ex-scores-bounds", bounds)

# %% [markdown]
# :::{exercise} ★ Three means
# :label: ex-scores-empty
# Of twenty cases five do not have the class. A network finds nothing in these five, and
# has a mean DSC of 0.7 over the other fifteen. What is its mean DSC if cases without
# the class are left out, if they count as 1, and if they count as 0?
# :::
#
# :::{hint}
# :class: dropdown
# What is the sum of the scores, and over how many cases is the mean?
# :::
#
# :::{solution} ex-scores-empty
# :class: dropdown
# $0.7$, $(15 \cdot 0.7 + 5) / 20 = 0.775$ and $15 \cdot 0.7 / 20 = 0.525$, all for the
# same masks.
#
# ```python
# means = (0.7, (15 * 0.7 + 5) / 20, 15 * 0.7 / 20)
# ```
# :::

# %%
means = None  # your answer: (left out, as 1, as 0)

check("ex-scores-empty", means)

# %% [markdown]
# :::{exercise} ★★ One stray pixel
# :label: ex-scores-place
# Change *one* pixel of a mask such that the greatest distance between the surfaces of
# prediction and truth is as large as the picture allows. Write `stray(true)`: it gets
# the mask `disc(24)` and returns the prediction. Guess first, then ask `score`: what do
# DSC, HD95 and ASSD say of it?
# :::
#
# :::{hint}
# :class: dropdown
# Which pixel is farthest from the disc? And HD95 is a percentile: what does one pixel
# of surface among more than a hundred change?
# :::
#
# :::{solution} ex-scores-place
# :class: dropdown
# A corner. DSC stays above 0.99, and HD95 stays 0, because it ignores the farthest five
# percent of the surface; ASSD grows a little. The plain Hausdorff distance would be
# tens of pixels: one stray pixel rules it, which is why HD95 is often preferred.
#
# ```python
# def stray(true):
#     mask = true.copy()
#     mask[0, 0] = True
#     return mask
# ```
# :::


# %%
def stray(true):
    return None  # your answer: a mask of the shape of `true`


check("ex-scores-place", stray)

# %% [markdown]
# :::{exercise} ★★ The other way round
# :label: ex-scores-order
# Give the DSCs of two networks on three images each, such that the first has the higher
# mean DSC and the second the higher mean IoU.
# :::
#
# :::{hint}
# :class: dropdown
# Let one be even and the other uneven, with nearly the same mean.
# :::
#
# :::{solution} ex-scores-order
# :class: dropdown
# Mean DSC 0.81 against 0.807, mean IoU 0.68 against 0.755: the uneven network gains.
#
# ```python
# networks = ([0.81, 0.81, 0.81], [1.0, 1.0, 0.42])
# ```
# :::

# %%
networks = None  # your answer: ([...], [...])

check("ex-scores-order", networks)

# %% [markdown]
# :::{exercise} ★★★ Open: read a table
# :label: ex-scores-open
# Take a paper on segmentation that you know and one table of its results. Put the
# questions of "Before you believe a table" to it, and note for each where the paper
# answers it. Where the table has DSC and IoU, look whether each pair is possible as
# means. Then write, in two sentences, what the table shows, and what it leaves open.
# :::
#
# :::{hint}
# :class: dropdown
# Look into the supplement and the published code, too: the rule for empty masks is
# often only there.
# :::
#
# :::{solution} ex-scores-open
# :class: dropdown
# A good answer gives the place of each answer, and keeps "not reported" apart from
# "wrong": a pair outside of the bounds may be another kind of mean. Its two sentences
# claim nothing that one run, or overlapping intervals, cannot carry. It asks the
# authors before it writes about them.
# :::

# %% [markdown]
# ## In short
#
# * For two masks DSC and IoU say the same. For two networks they may not: mean IoU lies between two bounds, and rises
#   with the unevenness of the scores.
# * DSC punishes the same error of an outline more, the smaller the object; and it does not ask where wrong pixels are.
# * Surface distances do ask, in millimetres. They have no value for empty masks.
# * Absent classes can be counted in three ways, and a table that does not say how can't be read.
