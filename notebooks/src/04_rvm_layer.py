# %% [markdown]
# # The RVM layer
#
# The Residual Vision Mamba (RVM) layer is the paper's own building block: the VSS module of {doc}`03_vss_module`
# between two LayerNorms, with a residual connection whose strength $s$ is learnt, and a linear projection at the
# end. It adds almost no parameters. The paper's ablation says that it matters nevertheless, so this chapter asks
# what the factor and the connection *do*: on six tokens, on an image, and over the depth of a network.
#
# At the end you can say
# * what the four lines of the layer compute, and why only the *ratio* of its two terms counts,
# * what goes wrong with signal and gradient when the residual connection is taken away,
# * what the adjustment factor adds, and what it costs.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %%
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch.func import functional_call

from lightm.data import load_dataset
from lightm.data.transforms import preprocess
from lightm.models import build_model
from lightm.models.rvm import RVMLayer
from lightm.models.unet import DWConv
from lightm.models.vss import tokens_to_volume, volume_to_tokens
from lightm_book.show.figures import frames_slider, png_bytes, use_style
from lightm_book.show.notebook import check_profile, show_source

run = check_profile(
    profile,
    {
        "smoke": {"size": 64, "width": 16, "steps": 30, "depth": 12, "device": "cpu"},
        "paper": {"size": 256, "width": 32, "steps": 300, "depth": 24, "device": "cuda"},
    },
)
use_style()
torch.manual_seed(0)
torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## What the paper says
#
# > Specifically, LightM-UNet utilizes advanced residual connections and adjustment factors to further enhance the
# > long-range spatial modeling capability of SSM, with almost no introduction of new parameters and computational
# > complexity. […] the RVM Layer initially employs LayerNorm followed by the VSSM to capture spatial long-range
# > dependencies. Subsequently, it utilizes an adjustment factor $s \in \mathbb{R}^{\check C}$ in the residual
# > connection for better performance.
# >
# > — {cite}`liao2024lightmunet`, Section 2.2
#
# $$
# \widetilde{M} = \mathrm{VSSM}(\mathrm{LayerNorm}(M_{in})) + s \cdot M_{in}
# $$ (eq-rvm-residual)
#
# $$
# M_{out} = \mathrm{Projection}(\mathrm{LayerNorm}(\widetilde{M}))
# $$ (eq-rvm-projection)

# %%
show_source(RVMLayer.forward)

# %% [markdown]
# $s$ has one value a channel and starts at 1. The two LayerNorms have parameters of their own, since the text
# speaks of "another LayerNorm". The projection may change the number of channels: the last layer of each encoder
# block doubles them.
#
# ## Six tokens
#
# Equations {eq}`eq-rvm-residual` and {eq}`eq-rvm-projection` by hand, on a grid of 2 by 3 with four channels:

# %%
grid = (2, 3)
layer = RVMLayer(channels=4, spatial_dims=2, out_channels=8)
x = torch.randn(1, 6, 4)  # (B, L, C)


def layer_norm(x, weight, bias, eps=1e-5):
    """Each token by itself: its C values get mean 0 and variance 1, then a learnt scale and shift."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias


with torch.no_grad():
    vssm = layer.mixer(layer_norm(x, layer.norm_in.weight, layer.norm_in.bias), grid)  # (1, 6, 4)
    m = vssm + layer.s * x
    out = layer_norm(m, layer.norm_out.weight, layer.norm_out.bias) @ layer.proj.weight.T + layer.proj.bias
    assert torch.allclose(out, layer(x, grid), atol=1e-6)
print("s =", layer.s.data)
print("M:", tuple(x.shape), " VSSM(LN(M)):", tuple(vssm.shape), " M_out:", tuple(out.shape))

# %% [markdown]
# ## Only the ratio counts
#
# LayerNorm divides by the token's standard deviation. Multiply $\widetilde M$ by 7 and the second LayerNorm takes
# the 7 out again. So the size of $s$ by itself means nothing; what counts is how large $s \cdot M$ is *beside*
# $\mathrm{VSSM}(\dots)$. $s$ is the position of a mixing knob:
#
# * $s \to \infty$: the layer forgets its VSS module and becomes $\mathrm{Projection}(\mathrm{LayerNorm}(M))$, which
#   treats each pixel by itself;
# * $s = 0$: only what the module made of the pixel is left, and of the pixel nothing.

# %%
with torch.no_grad():
    assert torch.allclose(layer.norm_out(7 * m), layer.norm_out(m), atol=1e-4)
    layer.s.fill_(1e6)
    assert torch.allclose(layer(x, grid), layer.proj(layer.norm_out(x)), atol=1e-3)  # no VSS module any more
    layer.s.fill_(0)
    assert torch.allclose(layer(x, grid), layer.proj(layer.norm_out(vssm)), atol=1e-6)  # no pixel any more
    layer.s.fill_(1)

# %% [markdown]
# This also says what the layer is *not*. In a Transformer, or in a ResNet, the residual connection goes round the
# whole block, and a signal can pass through all blocks unchanged. Here it goes round the VSS module only: the
# second LayerNorm and the projection lie on every path. So let us see how deep it carries.
#
# ## Depth, with and without the connection
#
# The paper motivates its four-layer bottleneck with convergence trouble in deep networks (Section 2.3) and removes
# the connection in its ablation (Table 3). We stack fresh, untrained RVM layers, feed them the features of a
# *synthetic* radiograph, and look at what arrives, and at the gradient that comes back.

# %%
data = load_dataset("phantom-cxr", cases=24, size=run.size)
images, labels = zip(*(preprocess(data.read(c), (run.size,) * 2, data.normalise) for c in data.case_ids), strict=True)
images = torch.stack(images).to(run.device)  # (24, 1, H, W)
labels = torch.stack(labels).long().to(run.device)  # (24, H, W)

C, grid = 32, (32, 32)
torch.manual_seed(0)
stem = DWConv(1, C, 2).to(run.device)
small = F.interpolate(images[:1], size=grid, mode="bilinear", antialias=True)
with torch.no_grad():
    features = volume_to_tokens(stem(small))  # (1, L, C)


def through_layers(seed, **options):
    """Token tensors after 0, 1, 2, … fresh layers, each with the gradient of a random read-out of the last one."""
    torch.manual_seed(seed)
    layers = [RVMLayer(C, 2, **options).to(run.device) for _ in range(run.depth)]
    states = [features.clone().requires_grad_()]
    for layer in layers:
        states.append(layer(states[-1], grid))
    readout = torch.randn(features.shape, generator=torch.Generator().manual_seed(1)).to(run.device)
    gradients = torch.autograd.grad((states[-1] * readout).sum(), states)
    return [state.detach() for state in states], [gradient.norm().item() for gradient in gradients]


def roughness(tokens):
    """Mean squared difference of neighbouring pixels over twice the variance: 1 for white noise, 0 for a flat image."""
    image = tokens_to_volume(tokens, grid)
    image = image - image.mean((2, 3), keepdim=True)
    return (image.diff(dim=2).square().mean() / (2 * image.square().mean())).item()


variants = {"with residual": {}, "without residual": {"residual": False}}
seeds = range(3)
results = {name: [through_layers(seed, **options) for seed in seeds] for name, options in variants.items()}

# %% mystnb={"image": {"alt": "Two plots over depth, three runs each. Left: the norm of the gradient stays level with the residual connection; without it, it grows about fiftyfold on the way back from layer 12 to the input. Right: roughness of the features stays below one half with the connection; without it, it rises to 1, that of white noise"}}
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2))
for (name, runs), color in zip(results.items(), ("#0072B2", "#D55E00"), strict=True):
    for seed, (states, gradients) in enumerate(runs):
        label = name if seed == 0 else None
        left.semilogy(gradients, color=color, linewidth=1.5, label=label)
        right.plot([roughness(state) for state in states], color=color, linewidth=1.5, label=label)
left.set(xlabel="layer", ylabel="norm of the gradient")
right.set(xlabel="layer", ylabel="roughness", ylim=(0, 1.2))
right.axhline(1, color="black", linestyle=":", linewidth=1)
right.text(0, 1.03, "white noise", fontsize=10)
left.legend(fontsize=10)
plt.show()

growth = {
    name: [gradients[0] / gradients[-1] for _, gradients in runs] for name, runs in results.items()
}  # of the gradient, from the last layer back to the input
for name, factors in growth.items():
    print(
        f"{name}: gradient at the input / at layer {run.depth} =", ", ".join(f"{float(f'{f:.1g}'):g}" for f in factors)
    )
assert max(growth["with residual"]) < 5 < 10 < min(growth["without residual"])
assert all(roughness(states[-1]) < 0.6 for states, _ in results["with residual"])
assert all(roughness(states[-1]) > 0.7 for states, _ in results["without residual"])

# %% [markdown]
# Without the connection each layer passes on only what its VSS module says. A fresh module's output is small and
# nearly the same for all pixels, and the LayerNorm behind it blows up what little differs between them: the
# gradient grows layer by layer, and after a dozen layers the picture is noise. With the connection both stay level.
# Step through the layers. (That both channels of the input look the same is no accident; {doc}`05_lightm_unet` comes
# back to it.)

# %%
frames, steps = [], range(run.depth + 1)
for depth in steps:
    fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.5))
    for k, (name, runs) in enumerate(results.items()):
        for ax, channel in zip(axes[2 * k : 2 * k + 2], (4, 9), strict=True):
            image = runs[0][0][depth][0, :, channel].view(grid).cpu()
            low, high = torch.quantile(image, torch.tensor([0.01, 0.99]))
            ax.imshow(image, vmin=low, vmax=high)
            ax.set_title(f"{name}\nchannel {channel}", fontsize=10)
            ax.set_axis_off()
    frames.append(png_bytes(fig))
frames_slider(
    frames,
    [f"after layer {depth}" if depth else "the input" for depth in steps],
    alt="Features of a synthetic radiograph after a number of untrained RVM layers: with the residual connection the "
    "chest stays visible, without it the picture turns into noise",
    caption="Untrained layers. Each picture is scaled by itself.",
)

# %% [markdown]
# This is a statement about the *start* of training. Training can undo it in part, and in a network of nine layers
# with a U-shape around them there are other ways for the gradient. What the connection is worth after training is
# measured in {doc}`08_ablations`.
#
# ## The knob in a trained network
#
# What does the factor add to the plain connection? It lets every channel choose its own mixture. We train a very
# small network on the phantoms, as in the last chapter, and look at where its $s$ went from 1.


# %%
def train(name):
    """A small network after `run.steps` steps; the last four cases are held out."""
    torch.manual_seed(0)
    model = build_model(name, 2, 1, 2, width=run.width, depths=(1, 1), bottleneck_depth=2).to(run.device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for step in range(run.steps):
        batch = torch.arange(4 * step, 4 * step + 4) % 20
        loss = F.cross_entropy(model(images[batch]), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return model, losses


model, losses = train("lightm-unet")
assert sum(losses[-4:]) / 4 < 0.5 * losses[0]
factors = {name: p.detach() for name, p in model.named_parameters() if name.endswith(".s") and "decoder" not in name}
assert all((s != 1).any() for s in factors.values())  # they learn

# %% mystnb={"image": {"alt": "One column of dots for each RVM layer: the learnt factors of its channels scatter around 1, where they started"}}
fig, ax = plt.subplots(figsize=(7.2, 3))
rng = torch.Generator().manual_seed(0)
for column, s in enumerate(factors.values()):
    ax.plot(column + 0.25 * (torch.rand(len(s), generator=rng) - 0.5), s.cpu(), "o", markersize=3, color="#0072B2")
ax.axhline(1, color="black", linestyle=":", linewidth=1)
places = ["encoder 1", "encoder 2", "bottleneck, layer 1", "bottleneck, layer 2"]
ax.set_xticks(range(len(factors)), places, fontsize=10)
ax.set_ylabel("s, one dot a channel", fontsize=10)
plt.show()

# %% [markdown]
# In so short a training they do not go far. But turn the knob by hand, all layers' $s$ at once, and the prediction
# on a held-out case shows what hangs on the balance. (`functional_call` runs the network with other parameters in
# place of its own.)

# %%
case = 20


def with_factor(factor):
    """Lung probability (H, W) with every layer's s multiplied by `factor`."""
    with torch.no_grad():
        logits = functional_call(model, {name: factor * s for name, s in factors.items()}, (images[case : case + 1],))
    return logits.softmax(1)[0, 1]


def dice(probability):
    predicted, true = probability > 0.5, labels[case] == 1
    return (2 * (predicted & true).sum() / (predicted.sum() + true.sum())).item()


knob = [0, 0.125, 0.25, 0.5, 1, 2, 4, 8, 16]
probabilities = [with_factor(factor) for factor in knob]
scores = [dice(probability) for probability in probabilities]
frames = []
for k, probability in enumerate(probabilities):
    fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.2))
    for ax, image, title in zip(
        axes,
        (images[case, 0], labels[case], probability),
        ("image (synthetic)", "its lungs", "prediction"),
        strict=False,
    ):
        ax.imshow(
            image.cpu(), vmin=None if title.startswith("image") else 0, vmax=None if title.startswith("image") else 1
        )
        ax.set_title(title, fontsize=10)
        ax.set_axis_off()
    axes[3].plot(scores, color="lightgray")
    axes[3].plot(k, scores[k], "o", color="#D55E00")
    axes[3].set(xticks=range(len(knob)), ylim=(0, 1))
    axes[3].set_xticklabels([f"{f:g}" for f in knob], fontsize=7, rotation=60)
    axes[3].tick_params(axis="y", labelsize=8)
    axes[3].set_title(f"Dice {scores[k]:.2f}", fontsize=10)
    frames.append(png_bytes(fig))
assert scores[0] < scores[knob.index(1)]
frames_slider(
    frames,
    [f"s × {factor:g}" for factor in knob],
    alt="A synthetic radiograph, its lungs, what a small trained network predicts while all its factors s are scaled, "
    "and its Dice score, which is poor at s = 0 and recovers as s comes near what was learnt",
    caption="At 0 the layers have lost the pixel itself; far above 1 they hardly look at its neighbours any more.",
)

# %% [markdown]
# Lungs on a phantom are easy: mostly darkness tells them. So the network can do without much of its VSS modules'
# share (factors above 1), but not without the pixel (factor 0). On a harder task the balance may lie elsewhere;
# that every channel of every layer can find it for itself is what the factor is for.
#
# ## What it costs
#
# "Almost no introduction of new parameters": one number a channel in each of the nine RVM layers.

# %%
sizes = {}
with torch.device("meta"):  # shapes only, no memory
    for name in ("lightm-unet", "paper-no-adjustment", "paper-no-residual"):
        sizes[name] = sum(p.numel() for p in build_model(name, 2, 1, 2).parameters())
        print(f"{name:<22}{sizes[name]:>12,} parameters")
saved = sizes["lightm-unet"] - sizes["paper-no-adjustment"]
print(f"all the factors s together: {saved:,}, that is {100 * saved / sizes['lightm-unet']:.3f} %")
assert saved == 1 * 32 + (64 + 64) + (128 + 128) + 4 * 256  # C of each layer
assert sizes["paper-no-residual"] == sizes["paper-no-adjustment"]  # without the connection there is nothing to scale

# %% [markdown]
# The claim holds.

# %% [markdown]
# ## Exercises
#
# ★ takes a line, ★★ some thought, ★★★ an afternoon. `check` says whether an answer is
# right, and if it is not, what to think about.

# %% tags=["hide-input"]
from lightm_book.exercises import check

# %% [markdown]
# :::{exercise} ★ Ten times as much of both
# :label: ex-rvm-ratio
# Somebody multiplies the adjustment factors $s$ by 10, and the VSS module's last linear
# map, too. By which factor does the output of the layer's second LayerNorm change?
# :::
#
# :::{hint}
# :class: dropdown
# What does LayerNorm make of $x$ and of $10\,x$?
# :::
#
# :::{solution} ex-rvm-ratio
# :class: dropdown
# By 1: not at all, but for LayerNorm's $\epsilon$. Only the ratio of the two terms
# counts.
#
# ```python
# factor = 1
# ```
# :::

# %%
factor = None  # your answer

check("ex-rvm-ratio", factor)

# %% [markdown]
# :::{exercise} ★ All adjustment factors
# :label: ex-rvm-factors
# How many adjustment factors, numbers in the vectors $s$ of its RVM layers, does the 2D
# network have? It has 1, 2 and 2 layers in the encoder blocks, with 32, 64 and 128
# channels at their input, and 4 in the bottleneck with 256.
# :::
#
# :::{hint}
# :class: dropdown
# The last layer of a block doubles the channels at its *output*; $s$ multiplies the
# input.
# :::
#
# :::{solution} ex-rvm-factors
# :class: dropdown
# $32 + 2 \cdot 64 + 2 \cdot 128 + 4 \cdot 256 = 1440$: almost no parameters, as the
# paper says.
#
# ```python
# factors = 32 + 2 * 64 + 2 * 128 + 4 * 256
# ```
# :::

# %%
factors = None  # your answer

check("ex-rvm-factors", factors)

# %% [markdown]
# :::{exercise} ★★ The gradient of s
# :label: ex-rvm-gradient
# Let $G$ be the gradient of a loss with respect to $\widetilde M$, a tensor of shape
# $(B, L, C)$. Write the gradient with respect to $s$ in terms of $G$ and $M_{in}$, then
# as one line of PyTorch.
# :::
#
# :::{hint}
# :class: dropdown
# Which entries of $\widetilde M$ does $s_c$ appear in, and what does it multiply there?
# :::
#
# :::{solution} ex-rvm-gradient
# :class: dropdown
# In {eq}`eq-rvm-residual` $s_c$ multiplies $M_{in}$ in channel $c$ of every token of
# every case, so
# $\partial\,\mathrm{loss}/\partial s_c = \sum_{b, l} G_{blc} M_{in, blc}$.
#
# ```python
# def gradient_of_s(G, M):
#     return (G * M).sum((0, 1))  # (C,)
# ```
# :::


# %%
def gradient_of_s(G, M):
    return None  # your line


check("ex-rvm-gradient", gradient_of_s)

# %% [markdown]
# :::{exercise} ★★ Every pixel for itself
# :label: ex-rvm-identity
# Which single parameter of an RVM layer can be set to zero so that no pixel sees
# another, but still itself, whatever the rest is? Write its name, as in
# `RVMLayer(4, 2).named_parameters()`. There is more than one.
# :::
#
# :::{hint}
# :class: dropdown
# Two parts let pixels meet, both inside the VSS module. What must be zero so that
# nothing of them reaches the output?
# :::
#
# :::{solution} ex-rvm-identity
# :class: dropdown
# `mixer.out_proj.weight`: then the VSS module returns zero, and $s \cdot M$, the
# LayerNorm and the projection work on each token by itself. `mixer.gate_proj.weight`
# does it too: a gate of SiLU(0) = 0 closes the module.
#
# ```python
# name = "mixer.out_proj.weight"
# ```
# :::

# %%
name = None  # your answer: the name of a parameter, as a string

check("ex-rvm-identity", name)

# %% [markdown]
# :::{exercise} ★★★ Open: what do the factors learn?
# :label: ex-rvm-open
# Take a trained network (`lightm train smoke` makes one in a minute or two) and look at
# its factors $s$, layer by layer. They started at 1. Where did they go? Compare with a
# network that was trained with other seeds, and say what your finding could mean for
# the paper's ablation, and what it can't.
# :::
#
# :::{hint}
# :class: dropdown
# `lightm.inference.Predictor` loads a run; the parameters of its `model` whose names
# end in `.s` are the factors (the decoder has some, too). Only the ratio to the other
# term counts.
# :::
#
# :::{solution} ex-rvm-open
# :class: dropdown
# A good answer shows distributions with several seeds, doesn't read size as importance
# (LayerNorm makes only the ratio count, so the other term's size is needed as well),
# and keeps apart what a layer *uses* from what the network would *lose* without it.
# :::

# %% [markdown]
# ## In short
#
# * The layer mixes two terms, and LayerNorm makes only their ratio count. $s$ sets that ratio, channel by channel.
# * Without the connection a stack of fresh layers turns an image into noise and its gradient explodes.
# * The factors cost nothing to speak of.
#
# Next: {doc}`05_lightm_unet` builds the network from this layer.
