# %% [markdown]
# # Training
#
# A network is a function with a million knobs. Training turns them: show it an image, measure how wrong its answer
# is, move every knob a little in the direction that makes it less wrong, and again. This chapter goes through each
# piece of that loop with the numbers small enough to check by hand, then runs it: a LightM-UNet learns to find lungs
# while you watch. The images are *synthetic*, drawn by a program; {doc}`07_real_xrays` has the real ones.
#
# You need: what a gradient is, and {doc}`05_lightm_unet` for what is being trained.
#
# At the end you can say
# * what the loss asks for, and why cross entropy alone would not do,
# * how DSC and IoU are related, and why that relation fails for their means,
# * what has to be kept so that a run can be killed at any moment and lose nothing,
# * how to train on images of your own.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %% tags=["hide-input"]
import math
import signal
import tempfile
from operator import attrgetter
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from lightm.data.transforms import Augmentation, augment
from lightm.training.checkpoint import save_checkpoint
from lightm.training.config import load_config
from lightm.training.execution import recompute_blocks
from lightm.training.interrupts import Interrupted
from lightm.training.logs import draw_training
from lightm.training.losses import DiceCrossEntropy
from lightm.training.metrics import dice_iou
from lightm.training.optim import learning_rate
from lightm.training.randomness import epoch_batches, seed_iteration
from lightm.training.record import load_record
from lightm.training.task import build_network, load_data
from lightm.training.trainer import Trainer
from lightm_book import ROOT
from lightm_book.paper import TABLES, setting
from lightm_book.show.figures import COLORS, INK, frames_slider, png_bytes, use_style
from lightm_book.show.notebook import check_profile, show_source
from lightm_book.show.training import LiveCurves, error_legend, error_map

run = check_profile(
    profile,
    {
        "smoke": {"recipe": "smoke", "dsc": 0.9},
        # How far the paper's settings get is what that run finds out.
        "paper": {
            "recipe": "paper",
            "dsc": 0.0,
        },
    },
)
# For the runs of this chapter; gone when the kernel stops.
folder = tempfile.TemporaryDirectory()
runs = Path(folder.name)
use_style()
torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## In one picture
#
# A training of LightM-UNet on real radiographs, the paper's own, stored under `results/runs/` with everything that is
# needed to repeat it. The loss falls, the scores rise, fast at first and then ever more slowly. By the end of the chapter
# every word on these axes is explained.

# %% tags=["hide-input"] mystnb={"image": {"alt": "The stored run on real radiographs: training and validation loss fall quickly and then slowly over the epochs; DSC and IoU on the validation cases rise and level off"}}
stored = load_record(ROOT / "results/runs/montgomery-shenzhen-lightm-unet-192.json")
figure = plt.figure(figsize=(6.8, 3.0), layout="constrained")
draw_training(figure, stored["curve"])
plt.show()

print(
    f"{stored['data']['cases']['train']} radiographs of "
    f"{stored['config']['data']['size']} pixels, ",
    end="",
)
print(
    f"{len(stored['curve'])} epochs, {stored['cost']['wall_seconds'] / 60:.0f} "
    f"minutes on {stored['cost']['device']}"
)
print(
    f"validation DSC {stored['best']['val_dsc']:.3f} in epoch {stored['best']['epoch']}"
)

# %% [markdown]
# ## What the paper says
#
# > The data were randomly partitioned into training, validation, and testing sets in a ratio of 7:1:2. […] All
# > experiments were conducted on a single Quadro RTX 8000 GPU. SGD was employed as the optimizer, initialized with a
# > learning rate of 1e-4. The PolyLRScheduler was used as the scheduler, and a total of 100 epochs were trained. In
# > addition, the loss function was designed as a simple combination of Cross Entropy loss and Dice loss. For the LiTs
# > dataset, the images were normalized and resized to 128 × 128 × 128, with a batch size of 2. For the
# > Montgomery&Shenzhen dataset, the images were normalized and resized to 512 × 512, with a batch size of 12.
# >
# > — {cite}`liao2024lightmunet`, Section 3
#
# In this project such a paragraph is a file, a *recipe*: every setting has a name, what is left out has a default, and
# a name that doesn't exist is an error. Here are the two that matter in this chapter, side by side: the paper's, and
# the small one that the page you read was made with.

# %% tags=["hide-input"]
recipe = {name: load_config(name) for name in ("paper", "smoke")}
shown = [
    "data.name",
    "data.size",
    "optim.name",
    "optim.lr",
    "optim.momentum",
    "optim.weight_decay",
    "optim.power",
]
shown += [
    "optim.warmup",
    "optim.clip",
    "train.epochs",
    "train.batch_size",
    "train.precision",
    "data.augment",
]
print(f"{'':<20}{'paper':<22}smoke")
for key in shown:
    sgd_only = key == "optim.momentum"
    paper, smoke = (
        "-" if sgd_only and config.optim.name != "sgd" else str(attrgetter(key)(config))
        for config in recipe.values()
    )
    print(f"{key:<20}{paper:<22}{smoke}")

config = recipe["paper"]
assert config.optim.name.upper() == setting("optimiser", 2).value
assert config.optim.lr == float(setting("learning rate", 2).value[0])
assert config.train.epochs == setting("epochs", 2).value[0]
assert config.data.size == setting("size", 2).value
assert config.train.batch_size == setting("batch size", 2).value[0]
assert config.data.ratios == setting("split", 2).value

# %% [markdown]
# The assertions compare the recipe with the sentences above, out of which `lightm_book.paper` reads the numbers. What the
# sentences leave open had to be settled to run anything: momentum, weight decay, the power of the schedule, the
# weights of the two losses, the augmentation. A recipe says so, so that you can settle it otherwise.
#
# ## The loss, by hand
#
# An image of four pixels, two classes. The network's outputs are *logits*; softmax makes probabilities of them.

# %%
# (B, K, H, W) = (1, 2, 2, 2)
logits = torch.tensor([[[[2.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 3.0]]]])
label = torch.tensor([[[0, 1], [1, 1]]])  # (B, H, W)
p = logits.softmax(1)[0, 1]  # (H, W): probability of class 1
t = label[0].float()  # (H, W)
p

# %% [markdown]
# *Cross entropy* asks each pixel how surprised it is by the truth: $-\ln p$ of the class it really has, averaged over
# the pixels. *Dice loss* asks the region as a whole how much of it is missed:
#
# $$
# \mathcal L = -\frac1{HW}\sum_i \ln p_i(t_i) \;+\; 1 - \frac{2\sum_i p_i t_i + \epsilon}{\sum_i p_i + \sum_i t_i
# + \epsilon}
# $$ (eq-loss)
#
# with $p_i(t_i)$ the probability of the true class, $p_i$ that of the foreground and $t_i$ its truth, 0 or 1. Each
# term with the calculator:

# %%
surprise = [
    -math.log(q)
    for q in (1 - p[0, 0].item(), p[0, 1].item(), p[1, 0].item(), p[1, 1].item())
]
cross_entropy = sum(surprise) / 4
overlap = (p * t).sum().item()
dice = 1 - (2 * overlap + 1e-5) / (p.sum().item() + t.sum().item() + 1e-5)
print("surprise of the four pixels:", *(f"{s:.3f}" for s in surprise))
print(
    f"cross entropy {cross_entropy:.4f} + Dice loss {dice:.4f} = "
    f"{cross_entropy + dice:.4f}"
)

ours = DiceCrossEntropy()(logits, label).item()
assert abs(ours - (cross_entropy + dice)) < 1e-6

# %% [markdown]
# The third pixel dominates: it is lung, and the network leans the other way. The package's loss gives the same
# number. It is MONAI's {cite}`cardoso2022monai`:

# %%
show_source(DiceCrossEntropy)

# %% [markdown]
# Why two terms? Take a 512 × 512 image with one structure in it, and two networks that are both 99.99% sure in each
# pixel and right everywhere else: one has found the structure, one has missed it. How much more does the second pay?

# %% tags=["hide-input"] mystnb={"image": {"alt": "What missing a structure adds to the loss, against its size from 10 to 100,000 pixels, both axes logarithmic: missing a small one costs next to nothing in cross entropy and nearly half of all it can ask in the Dice loss; for the largest it is the other way round"}}
areas = np.geomspace(10, 1e5, 13).round()
pixels, sure = 512**2, 0.9999
# Probability that lies outside the structure, in pixels.
leak = (1 - sure) * (pixels - areas)


def dice_loss(inside):
    """The Dice loss if `inside` is the probability in each pixel of the structure."""
    return 1 - 2 * inside * areas / (inside * areas + leak + areas)


cost_dice = dice_loss(1 - sure) - dice_loss(sure)
cost_ce = areas * (math.log(sure) - math.log(1 - sure)) / pixels

fig, ax = plt.subplots()
ax.plot(areas, cost_ce, ".-", label="cross entropy")
ax.plot(areas, cost_dice, ".-", label="Dice loss")
ax.set(
    xscale="log",
    yscale="log",
    xlabel="size of the missed structure (pixels)",
    ylabel="cost of missing it",
)
ax.legend()
plt.show()
assert cost_dice[0] > 1000 * cost_ce[0] and cost_dice[-1] < cost_ce[-1]
assert 0.4 < cost_dice[0] < 0.5 and cost_dice[-1] < 1 < 3 < cost_ce[-1] < 4

# %% [markdown]
# For cross entropy a missed structure of ten pixels is next to nothing, one more speck among a quarter of a million.
# For Dice it is nearly half of all it can ask, as it matters to the person who has it. The other way round, Dice says
# little about how sure each single pixel should be, and where there is no structure at all it is restless (an exercise
# below); cross entropy is even-tempered. Hence both {cite}`milletari2016vnet`, {cite}`isensee2021nnunet`.
#
# ## The scores, by hand
#
# The loss works on probabilities, because it needs gradients. Scores compare *decisions*, the class with the largest
# logit, with the truth. $P$ is the predicted set of pixels, $T$ the true one:
#
# $$
# \mathrm{DSC} = \frac{2|P\cap T|}{|P|+|T|} \qquad \mathrm{IoU} = \frac{|P\cap T|}{|P\cup T|}
# $$ (eq-scores)

# %%
prediction = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 0]])
truth = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0]])
both = ((prediction == 1) & (truth == 1)).sum().item()  # |P ∩ T|
either = ((prediction == 1) | (truth == 1)).sum().item()  # |P ∪ T|
size_p, size_t = prediction.sum().item(), truth.sum().item()
print(f"|P| = {size_p}, |T| = {size_t}, |P ∩ T| = {both}, |P ∪ T| = {either}")
print(f"DSC = {2 * both}/{size_p + size_t} = {2 * both / (size_p + size_t):.3f}")
print(f"IoU = {both}/{either} = {both / either:.3f}")

dsc, iou = dice_iou(prediction[None], truth[None], num_classes=2)  # each (B, K - 1)
assert dsc.item() == 2 * both / (size_p + size_t) and iou.item() == both / either

# %% [markdown]
# Since $|P| + |T| = |P\cup T| + |P\cap T|$, one score determines the other, case by case:
#
# $$
# \mathrm{IoU} = \frac{\mathrm{DSC}}{2-\mathrm{DSC}}
# $$ (eq-iou-dsc)
#
# They always agree which of two answers to *one image* is better. For *means over images* {eq}`eq-iou-dsc` is false.
# The function is convex, it bends upwards, so the mean of the IoUs lies *above* the value at the mean DSC (Jensen's
# inequality), the further, the more the cases differ.

# %% tags=["hide-input"] mystnb={"image": {"alt": "The curve IoU = DSC/(2 - DSC), bending upwards. Two cases lie on it, at DSC 0.3 and 0.96; their mean lies on the straight line between them, clearly above the curve"}}
generator = torch.Generator().manual_seed(0)
masks = torch.rand(200, 8, 8, generator=generator)  # (B, H, W)
truths = (masks > 0.5).long()
# Every case has its own share of wrong pixels.
noise = torch.rand(200, 1, 1, generator=generator)
predictions = (
    (masks + noise * torch.randn(200, 8, 8, generator=generator)) > 0.5
).long()
dsc, iou = dice_iou(predictions, truths, num_classes=2)
assert torch.allclose(iou, dsc / (2 - dsc))  # true for each case …
# … and for the means only an inequality.
assert iou.mean() > dsc.mean() / (2 - dsc.mean())
print(
    f"mean IoU {iou.mean():.3f}; from the mean DSC one would get "
    f"{dsc.mean() / (2 - dsc.mean()):.3f}"
)

x = np.linspace(0, 1, 200)
two = np.array([0.3, 0.96])
fig, ax = plt.subplots(figsize=(6.4, 3.8))
ax.plot(x, x / (2 - x), label="one case")
ax.plot(two, two / (2 - two), "o--", color=COLORS[1], linewidth=1, label="two cases")
ax.plot(
    two.mean(),
    (two / (2 - two)).mean(),
    "D",
    color=COLORS[1],
    markersize=9,
    label="their mean",
)
ax.set(xlabel="DSC", ylabel="IoU")
ax.legend()
plt.show()

# %% [markdown]
# That is a test which every published table has to pass, whoever printed it: mean IoU at least DSC/(2 − DSC) of the
# mean. The paper's 2D table does.

# %%
table = TABLES[2]
for row in table.rows:
    mean_dsc, mean_iou = (float(table[row, column]) / 100 for column in ("DSC", "mIoU"))
    bound = mean_dsc / (2 - mean_dsc)
    print(f"{row:<12} DSC {mean_dsc:.4f}  mIoU {mean_iou:.4f}  at least {bound:.4f}")
    assert mean_iou > bound - 2e-4  # the printed digits are rounded

# %% [markdown]
# ## The learning rate
#
# How far to go along the gradient. Far at first, when the direction is obvious, ever less as the network gets close.
# The "PolyLRScheduler" lets it fall as a power of the part of the training that is still to come
# {cite}`liu2015parsenet`, {cite}`chen2018deeplab`:
#
# $$
# \eta_k = \eta_0\left(1-\frac kK\right)^{0.9}
# $$ (eq-poly)
#
# $k$ counts iterations from 0, $K$ is their number in the whole run. The power isn't in the paper; nnU-Net
# {cite}`isensee2021nnunet` has a scheduler of that name with 0.9. A few iterations of warm-up can go before it, for
# recipes that start with a large step.

# %%
show_source(learning_rate)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Learning rate during the training, relative to its start: the paper's recipe falls almost on a straight line from 1 to 0, the recipe for real X-rays rises steeply during its warm-up and then joins it; powers 0.5 and 2 are drawn dotted for comparison"}}
K = 1000
fig, ax = plt.subplots()
for power in (0.5, 2.0):
    ax.plot(
        np.linspace(0, 1, K),
        np.linspace(1, 0, K) ** power,
        color=INK,
        linewidth=1,
        linestyle=":",
    )
    ax.text(0.5, 0.5**power + 0.02, f"power {power}", color=INK, fontsize=10)
for name, line in (("paper", "-"), ("cxr-192", "--")):
    optim = load_config(name).optim
    rates = [learning_rate(k, K, optim) / optim.lr for k in range(K)]
    ax.plot(np.arange(K) / K, rates, line, label=name)
ax.set(xlabel="part of the training done", ylabel="learning rate / $\\eta_0$")
ax.legend()
plt.show()

optim = recipe["paper"].optim
assert (
    learning_rate(0, K, optim) == optim.lr
    and 0 < learning_rate(K - 1, K, optim) < 0.01 * optim.lr
)

# %% [markdown]
# ## What the network sees
#
# A recipe names a data set; cases are read, resized, normalised (each to mean 0 and standard deviation 1), and kept in
# memory. The *split* says which case is used for what, seeded and hashed. Training cases are changed a little each time
# they are shown: turned, moved, stretched, made brighter or noisier, the label along with the image. The network
# never sees the same picture twice, and learns what does not matter.

# %%
show_source(Augmentation)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two synthetic chest radiographs with the outline of their lungs, each followed by four random variants, slightly turned, moved and stretched, with other contrast and noise; the outline follows"}}
config = load_config(run.recipe)
size = config.data.size[0]
phantoms = load_config(
    "smoke", [f"data.size=[{size}, {size}]", f"data.options.size={size}"]
)
# Synthetic cases: the only ones that are ever drawn in this book.
gallery = load_data(phantoms)
assert gallery.dataset.synthetic
originals = gallery.load("test")  # not augmented

fig, axes = plt.subplots(2, 5, figsize=(6.8, 3.1))
for i, line in enumerate(axes):
    image, label = originals[i]
    variants = [(image, label)] + [
        augment(image, label, np.random.default_rng([i, k])) for k in range(4)
    ]
    for ax, (picture, mask) in zip(line, variants, strict=True):
        ax.imshow(picture[0], vmin=-2.5, vmax=2.5)
        ax.contour(mask, [0.5], colors=COLORS[5], linewidths=1.2)
        ax.set_axis_off()
axes[0, 0].set_title("case", fontsize=11)
axes[0, 2].set_title("variants", fontsize=11)
plt.show()

image, label = originals[0]
first, again, other = (
    augment(image, label, np.random.default_rng(seed))[0] for seed in (1, 1, 2)
)
# A variant is a function of its seed.
assert torch.equal(first, again) and not torch.equal(first, other)

# %% [markdown]
# They look like radiographs, and they are not: a program draws trunk, ribs, heart and vessels with random proportions
# and exposes them like a film. That is enough to teach a network something, and to test everything up to the last
# line of code. It says nothing about patients.
#
# ## The loop
#
# The trainer's loop, the whole of it. What is drawn for a batch comes with its images, `_batches` has both; the rest of
# the names speak for themselves:

# %%
show_source(Trainer._train, start="while position.epoch", end="self._close_epoch()")

# %% [markdown]
# One iteration, without what is only there for several processes and for error messages:

# %%
show_source(
    Trainer._iteration, start="for group in self.optimizer", end="self.optimizer.step()"
)

# %% [markdown]
# preceded by the network, the loss and the gradient:

# %%
show_source(Trainer._iteration, start="with autocast", end="loss = self.loss")

# %% [markdown]
# The trainer stands on Hugging Face Accelerate, so the same file runs on a laptop, on a GPU or on several. An epoch is
# one pass over the training cases in random order; after each one the network is scored on the validation cases, and
# the best weights so far are kept. The test cases are scored once, at the end, with those.
#
# `on_epoch` is called after every epoch. Here it does two things: it extends the curve below (in a running notebook
# you see it grow), and it asks the network about one held-out phantom, to be looked at afterwards.


# %%
@torch.no_grad()
def predict(net, images):
    """Foreground probability (B, H, W) of images (B, C, H, W), by the net as it is."""
    net.eval()
    device = next(net.parameters()).device
    return net(images.to(device)).softmax(1)[:, 1].float().cpu()


trainer = Trainer(config, runs / "first", quiet=True)
# (1, C, H, W): a phantom that is neither trained on nor validated on.
watched = originals.images[2:3]
snapshots = [predict(trainer.net, watched)[0]]  # before any training
curves = LiveCurves(config.train.epochs)


def after_epoch(epoch, row):
    curves(epoch, row)
    snapshots.append(predict(trainer.net, watched)[0])


trainer.on_epoch = after_epoch
weights = sum(parameter.numel() for parameter in trainer.net.parameters())
cases = {part: len(trainer.data.cases(part)) for part in ("train", "val", "test")}
print(f"{config.model.name} with {weights:,} weights; cases {cases}")
print(trainer.data.dataset)

# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "Left: training and validation loss fall from about 1 to below 0.3 over the epochs. Right: DSC and IoU on the validation cases rise, the DSC above 0.9"}}
# Not compared by nbval: other processors round differently, training amplifies that.
record = trainer.fit()

# %% [markdown]
# Don't be surprised that the loss is often lower in validation than in training: the training loss is averaged over
# an epoch in which the network was still getting better, on images made harder by augmentation.
#
# It learnt. What that means is asserted, not only shown:

# %%
losses = [row["train_loss"] for row in record["curve"]]
test = record["test"]["summary"]
print("the loss fell to less than half:", losses[-1] < losses[0] / 2)
print("mean DSC on held-out cases above 0.9:", test["dsc"]["mean"] > 0.9)
assert losses[-1] < losses[0]
assert test["dsc"]["mean"] > run.dsc
# Jensen again.
assert test["iou"]["mean"] >= test["dsc"]["mean"] / (2 - test["dsc"]["mean"])

# %% tags=["hide-input", "nbval-ignore-output"]
# Not compared either, for the same reason, and because the time is of the machine.
scores = sorted(case["dsc"]["lung"] for case in record["test"]["cases"])
print(f"held-out cases: {len(scores)}")
print(
    f"DSC mean {test['dsc']['mean']:.3f}, median {np.median(scores):.3f}, worst "
    f"{scores[0]:.3f}"
)
print(f"IoU mean {test['iou']['mean']:.3f}")
print(f"best epoch on validation: {record['best']['epoch']} of {len(record['curve'])}")
print(f"time {record['cost']['wall_seconds']:.0f} s on {record['cost']['device']}")

# %% [markdown]
# ## Watching it learn
#
# The same phantom, which the network never trained on, before the first iteration and after each epoch. Move the
# slider (or use the arrow keys).

# %% tags=["hide-input"]
truth = originals.labels[2].numpy()
frames, labels = [], []
for epoch, probability in enumerate(snapshots):
    fig, axes = plt.subplots(1, 2, figsize=(6.0, 3.9))
    axes[0].imshow(probability, cmap="magma", vmin=0, vmax=1)
    axes[0].set_title("probability of lung", fontsize=12)
    axes[1].imshow(
        error_map(watched[0, 0].numpy(), (probability > 0.5).numpy().astype(int), truth)
    )
    axes[1].set_title("decision against truth", fontsize=12)
    for ax in axes:
        ax.set_axis_off()
    error_legend(fig)
    frames.append(png_bytes(fig))
    labels.append(f"after epoch {epoch}" if epoch else "before training")
frames_slider(
    frames,
    labels,
    alt="Probability of lung and error map of one held-out synthetic radiograph: the "
    "lungs appear within the first epochs, the later ones move the border only",
    caption="Left: black is 0, bright is 1. Right: blue was found, orange missed, "
    "pink is not there in truth.",
)

# %% [markdown]
# One epoch is enough to learn roughly where lungs are; all the others go into the border. Even before training the
# picture on the right is a decision, since one of two classes is always ahead, by whatever little.
#
# ## Where it is wrong
#
# A mean hides its cases. Here are the four held-out phantoms with the lowest scores, and one in the middle.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Five held-out synthetic radiographs, the four worst and a middling one, above the same with found lung in blue, missed in orange and invented in pink: the errors are thin lines along the borders and a few patches at the lower edge of the lungs"}}
# (cases, H, W)
probabilities = torch.cat(
    [predict(trainer.net, batch) for batch in originals.images.split(4)]
)
decisions = (probabilities > 0.5).long()
dsc, _ = dice_iou(decisions, originals.labels, num_classes=2)
order = dsc[:, 0].argsort().tolist()
fig, axes = plt.subplots(2, 5, figsize=(6.8, 3.3))
for ax, i in zip(axes.T, [*order[:4], order[len(order) // 2]], strict=True):
    picture = originals.images[i, 0].numpy()
    ax[0].imshow(picture, vmin=-2.5, vmax=2.5)
    ax[0].set_title(f"DSC {dsc[i, 0]:.3f}", fontsize=10)
    ax[1].imshow(error_map(picture, decisions[i].numpy(), originals.labels[i].numpy()))
for ax in axes.flat:
    ax.set_axis_off()
error_legend(fig)
plt.show()

# %% [markdown]
# At this size the outline of two lungs is a fair part of their area, so a border that is off by one pixel costs about
# as much DSC as all else together.
#
# ## Nothing is lost
#
# A run may take days, and machines stop. The trainer writes a *checkpoint* after each epoch and when it is interrupted:
# weights, the optimiser's memory, and the position in the run. Not the state of any random generator: all randomness
# is a *function of the position*, so there is nothing to forget.

# %%
show_source(epoch_batches, start="rng = ", end="draws = ")

# %%
show_source(seed_iteration)

# %% [markdown]
# A checkpoint is written beside the old one, flushed to the disk, and takes its place by being renamed, so at each
# instant there is a whole one:

# %%
show_source(save_checkpoint, start="for path in (*new", end="sync(folder.parent)")

# %% [markdown]
# Now the proof, on a tiny network. One run goes through. The other is interrupted in the middle of its second epoch,
# the way you interrupt it in a terminal with Ctrl-C (or in Jupyter with ■), and resumed by a new trainer.

# %%
tiny = [
    "data.size=[16, 16]",
    "data.options.size=16",
    "data.options.cases=20",
    "train.epochs=3",
]
tiny += [
    "model.options.width=4",
    "model.options.depths=[1]",
    "model.options.bottleneck_depth=1",
]
small = load_config("smoke", tiny)
Trainer(small, runs / "whole", quiet=True).fit()


def ctrl_c(iteration):
    """Before the second iteration of the second epoch, press Ctrl-C."""
    if iteration == interrupted.steps + 2:
        signal.raise_signal(signal.SIGINT)


interrupted = Trainer(small, runs / "halves", on_iteration=ctrl_c, quiet=True)
try:
    interrupted.fit()
except Interrupted as stop:
    print(stop)

resumed = Trainer(small, runs / "halves", resume=True, quiet=True)
print(
    f"resumed in epoch {resumed.position.epoch + 1} after {resumed.position.step} of "
    f"{resumed.steps} iterations"
)
resumed.fit()

files = (
    "last/model.safetensors",
    "last/optimizer.safetensors",
    "best/model.safetensors",
)
for file in files:
    same = (runs / "whole" / file).read_bytes() == (runs / "halves" / file).read_bytes()
    print(f"{file:<28} the same, bit for bit: {same}")
    assert same

# %% [markdown]
# Not "about the same": the same bits, on the same machine and with as many threads. That is worth the trouble, because a
# run that can't be repeated exactly can't be debugged either. Ctrl-C is the gentle case;
# `python tests/training/kill_runs.py` does it the hard way. It kills runs with `kill -9` at random instants, in the
# middle of writing a checkpoint too, and compares the same files.
#
# On a GPU the same bits have a price. Many threads add into one sum there, and floating-point addition depends on the
# order. The network's own parts keep to a fixed order, and with `train.deterministic = true`, the default, so do
# cuDNN's convolutions and attention. Where the last bit doesn't matter, `false` lets cuDNN pick what is fastest.
#
# ## When memory or time is short
#
# Three more settings leave the mathematics alone. Each is off unless a recipe asks for it:
#
# * `train.accumulate = 3` runs a batch in three parts, one after the other, and updates the weights once.
# * `train.checkpointing = true` forgets what happens inside a block of the network, and computes it again when the
#   backward pass asks for it. Below you see what that saves.
# * `train.compile = true` lets PyTorch make one program of the training step; `train.channels_last = true` keeps images
#   in the order that GPU convolutions like best. Both change rounding, so a run can't switch between them half-way.


# %%
def kept(net):
    """Megabytes that a forward pass keeps for the backward pass, without weights."""
    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    sizes = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        net.train()(torch.zeros(1, 1, 64, 64)).sum()
    return sum(sizes.values()) / 1e6


plain, saving = (build_network(recipe["smoke"], gallery.task) for _ in range(2))
blocks = recompute_blocks(saving)
print(
    f"all kept: {kept(plain):.1f} MB; with {len(blocks)} blocks computed twice: "
    f"{kept(saving):.1f} MB"
)
assert kept(saving) < kept(plain) / 3

# %% [markdown]
# ## The same on real radiographs
#
# What you watched above took seconds, on pictures drawn by a program. The curves at the top of this page took longer,
# on the paper's own radiographs; {doc}`07_real_xrays` is about that run.

# %% [markdown]
# ## On your own images
#
# None of this needs a notebook. In a terminal:
#
# ```bash
# lightm train smoke                            # what you just saw
# lightm train smoke --resume                   # after Ctrl-C or a crash
# lightm train released --rehearse              # any recipe, on phantoms
# tensorboard --logdir runs                     # the curves of all runs
# lightm predict runs/smoke image.png mask.png  # the label of each pixel
# lightm evaluate runs/smoke                    # score held-out cases again
# ```
#
# For images of your own, put them beside their label maps under the same names, `mine/images/` and `mine/masks/` (PNG
# or NIfTI; {doc}`../book/data` has the details), and write a recipe:
#
# ```toml
# [data]
# name = "folder"
# root = "mine"
# options = { classes = ["background", "nodule"] }
# size = [256, 256]
#
# [train]
# epochs = 50
# batch_size = 4
# ```
#
# Every setting can be changed on the command line too, `lightm train mine.toml optim.lr=5e-4 model.options.width=16`.
# Begin small: the smallest size at which *you* can see what is to be found, `width=16`, ten epochs. Look at the worst
# cases before you touch the learning rate. These are the files that a run leaves:

# %%
for path in sorted((runs / "first").iterdir()):
    if not path.name.endswith(".previous"):
        print(f"{path.name}/" if path.is_dir() else path.name)

# %% [markdown]
# `record.json` is what you would need to believe the result, or to repeat it: recipe, split, versions, hardware, and
# the score of each case. {doc}`07_real_xrays` reads one.

# %% [markdown]
# ## Try it live
#
# A network that is small enough to learn while you watch: play, pause, and change the
# learning rate in between. The page shows the pictures of a training that nobody touches.

# %%
from lightm_book.live import watch_learning

watch_learning()

# %% [markdown]
# ## Exercises
#
# ★ takes a line, ★★ some thought, ★★★ an afternoon. `check` says whether an answer is
# right, and if it is not, what to think about.

# %% tags=["hide-input"]
from lightm_book.exercises import check

# %% [markdown]
# :::{exercise} ★ Two measures of one overlap
# :label: ex-train-overlap
# A lung has 100 pixels. A network draws 120, of which 80 lie in the lung. Compute DSC
# and IoU.
# :::
#
# :::{hint}
# :class: dropdown
# DSC is twice the intersection over the sum of the two areas; IoU the intersection over
# the union.
# :::
#
# :::{solution} ex-train-overlap
# :class: dropdown
# DSC $= 2 \cdot 80 / (100 + 120) \approx 0.727$; the union has $100 + 120 - 80 = 140$
# pixels, so IoU $= 80/140 \approx 0.571$.
#
# ```python
# overlap = (2 * 80 / (100 + 120), 80 / 140)
# ```
# :::

# %%
overlap = None  # your answer: (DSC, IoU)

check("ex-train-overlap", overlap)

# %% [markdown]
# :::{exercise} ★ Half of the learning rate
# :label: ex-train-half
# After which part of the training has the learning rate of {eq}`eq-poly` fallen to
# half? Give it as a number between 0 and 1.
# :::
#
# :::{hint}
# :class: dropdown
# Solve $(1 - x)^{0.9} = \tfrac12$.
# :::
#
# :::{solution} ex-train-half
# :class: dropdown
# $(1-x)^{0.9} = \tfrac12$ gives $x = 1 - 2^{-1/0.9} \approx 0.537$. With power 1 it
# would be 0.5: the difference is small, as the figure shows.
#
# ```python
# half = 1 - 2 ** (-1 / 0.9)
# ```
# :::

# %%
half = None  # your answer

check("ex-train-half", half)

# %% [markdown]
# :::{exercise} ★★ Nothing there
# :label: ex-train-empty
# A CT slice of 64 × 64 pixels shows no tumour, and the network says so with certainty:
# $p_i = 0$ everywhere. What is the Dice part of {eq}`eq-loss`? What would it be without
# $\epsilon$? And what is it if the network is 1% sure everywhere?
# :::
#
# :::{hint}
# :class: dropdown
# Without a tumour $\sum y_i = 0$: what is left of the fraction in both cases?
# :::
#
# :::{solution} ex-train-empty
# :class: dropdown
# $1 - \epsilon/\epsilon = 0$: nothing to find, nothing found, no loss. Without
# $\epsilon$ it would be 0/0, and one such slice would turn all the weights into NaN. At
# 1% everywhere $\sum p_i = 40.96$, and the Dice part is $1 - 10^{-5}/40.96$, almost 1:
# Dice is a hard judge of empty slices.
#
# ```python
# dice = (0, 1 - 1e-5 / 40.96)
# ```
# :::

# %%
dice = None  # your answer: (if certain, if 1% sure everywhere)

check("ex-train-empty", dice)

# %% [markdown]
# :::{exercise} ★★ One case went wrong
# :label: ex-train-miou
# A paper reports a mean DSC of 0.90 over ten cases and says that nine of them have a
# DSC of 0.99. What is the mean IoU? And what would {eq}`eq-iou-dsc` have given for the
# means?
# :::
#
# :::{hint}
# :class: dropdown
# First the DSC of the tenth case, then the IoU of each.
# :::
#
# :::{solution} ex-train-miou
# :class: dropdown
# The tenth case has $10\cdot0.90 - 9\cdot0.99 = 0.09$. So the mean IoU is
# $\tfrac1{10}(9\cdot\tfrac{0.99}{1.01} + \tfrac{0.09}{1.91}) \approx
# 0.887$, where the formula gives $0.9/1.1 \approx 0.818$. A mean IoU well above the
# formula says that a few cases went badly wrong.
#
# ```python
# mean_iou = (9 * 0.99 / 1.01 + 0.09 / 1.91) / 10
# ```
# :::

# %%
mean_iou = None  # your answer

check("ex-train-miou", mean_iou)

# %% [markdown]
# :::{exercise} ★★★ Open: your own recipe
# :label: ex-train-open
# Change one setting of the recipe `smoke`: the loss, the augmentation, the learning
# rate, the number of images. Write down beforehand what you expect and how large the
# effect should be, train both recipes with three seeds each, and report what came out,
# also if it is nothing.
# :::
#
# :::{hint}
# :class: dropdown
# `lightm train --list` shows the recipes; copy one to a file, change it, and train it
# with `lightm train mine.toml train.seed=1` and so on.
# :::
#
# :::{solution} ex-train-open
# :class: dropdown
# A good report has the prediction, both recipes, all six numbers and not only the
# means, the spread between seeds, and one sentence that the numbers allow. The spread
# is often larger than the effect; that is a finding.
# :::

# %% [markdown]
# ## What to remember
#
# * Cross entropy asks every pixel, Dice asks the region; the sum is what the network is trained on.
# * IoU = DSC/(2 − DSC) for a case; for means it is a lower bound, which makes it a test of tables.
# * The recipe is the experiment: settings, split and seed in one file, with a hash.
# * All randomness is a function of the position, so a run that is killed and resumed ends with the same bits.
#
# **Where to go.** {doc}`07_real_xrays`, where the images are of people; {doc}`../book/command_line` has every command and
# {doc}`../book/data` how to bring images of your own.
