# %% [markdown]
# # The RVM layer
#
# The Residual Vision Mamba (RVM) layer is the paper's own building block: the VSS module of {doc}`03_vss_module`
# between two LayerNorms, with a residual connection whose strength $s$ is learnt, and a linear projection at the
# end. Connection and factor have hardly any parameters. The paper's ablation says that they matter nevertheless, so
# this chapter asks what they *do*: on six tokens, on an image, and over the depth of a network.
#
# You need: {doc}`03_vss_module`.
#
# At the end you can say
# * what the layer computes, which changes of its two terms the second LayerNorm hides, and which it doesn't,
# * how signal and gradient change from layer to layer when the residual connection is taken away, and which part of the
#   VSS module is the reason,
# * what the adjustment factor adds, and what it costs.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call

from lightm.data import load_dataset
from lightm.data.transforms import preprocess
from lightm.models import build_model
from lightm.models.rvm import RVMLayer
from lightm.models.unet import DWConv
from lightm.models.vss import VSSModule, tokens_to_volume, volume_to_tokens
from lightm.training.record import list_records
from lightm_book import ROOT
from lightm_book.compare.rows import experiments
from lightm_book.compare.verdicts import family, standings
from lightm_book.show.blocks import draw_rvm_layer
from lightm_book.show.figures import COLORS, frames_slider, png_bytes, use_style
from lightm_book.show.notebook import check_profile, show_source

run = check_profile(
    profile,
    {
        "smoke": dict(size=64, width=16, steps=30, depth=12, device="cpu"),
        "paper": dict(size=256, width=32, steps=300, depth=24, device="cuda"),
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

# %% tags=["hide-input"] mystnb={"image": {"alt": "Block diagram of the RVM layer. The input goes through LayerNorm and the VSS module; beside them a residual connection scales the input by the adjustment factor s. Their sum goes through a second LayerNorm and the projection. Each box gives its parameters: the VSS module has most, the factor fewest"}}
first = RVMLayer(channels=32, spatial_dims=2, out_channels=64)
draw_rvm_layer(first)
plt.show()
sizes = {name: p.numel() for name, p in first.named_parameters(recurse=False)}
parts = {
    name: sum(p.numel() for p in m.parameters()) for name, m in first.named_children()
}
assert max(parts, key=parts.get) == "mixer" and sizes["s"] < min(parts.values())

# %%
show_source(RVMLayer.forward)

# %% [markdown]
# $s$ has one value per channel and starts at 1. The two LayerNorms have parameters of their own, since the text
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
    """Each token by itself: mean 0 and variance 1, then a learnt scale and shift."""
    centred = x - x.mean(-1, keepdim=True)
    return (
        centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias
    )


norm_in, norm_out, proj = layer.norm_in, layer.norm_out, layer.proj
with torch.no_grad():
    vssm = layer.mixer(layer_norm(x, norm_in.weight, norm_in.bias), grid)  # (1, 6, 4)
    m = vssm + layer.s * x
    out = layer_norm(m, norm_out.weight, norm_out.bias) @ proj.weight.T + proj.bias
    assert torch.allclose(out, layer(x, grid), atol=1e-6)
print("s =", layer.s.data)
for name, tensor in {"M": x, "VSSM(LN(M))": vssm, "M_out": out}.items():
    print(f"{name:<12}{tuple(tensor.shape)}")

# %% [markdown]
# ## What the second LayerNorm hides
#
# LayerNorm divides a token by its standard deviation over the channels. Multiply the whole of $\widetilde M$ by 7 and
# the second LayerNorm takes the 7 out again (but for the small $\varepsilon$ under its root). So a *common factor* of
# both terms means nothing, and where all channels have one $s$, it is the position of a mixing knob, which sets how
# large
# $s \cdot M$ is *beside* $\mathrm{VSSM}(\dots)$:
#
# * $s \to \infty$, alike in all channels: the layer forgets its VSS module and becomes
#   $\mathrm{Projection}(\mathrm{LayerNorm}(M))$, which treats each pixel by itself;
# * $s = 0$: only what the module made of the pixel is left, and of the pixel nothing.
#
# A factor that differs between channels is not hidden. It also weighs the channels against each other, and what
# LayerNorm divides by is common to all of them:

# %%
with torch.no_grad():
    normed = layer.norm_out(m)
    assert torch.allclose(layer.norm_out(7 * m), normed, atol=1e-4)
    one_channel = torch.tensor([7.0, 1.0, 1.0, 1.0])
    changed = (layer.norm_out(one_channel * m) - normed).abs().amax((0, 1))  # (C,)
    print("a factor of 7 in channel 0 only; largest change per channel:")
    print(changed)
    assert (changed > 0.1).all()
    layer.s.fill_(1e6)  # no VSS module any more
    assert torch.allclose(layer(x, grid), layer.proj(layer.norm_out(x)), atol=1e-3)
    layer.s.fill_(0)  # no pixel any more
    assert torch.allclose(layer(x, grid), layer.proj(layer.norm_out(vssm)), atol=1e-6)
    layer.s.fill_(1)

# %% [markdown]
# This also says what the layer is *not*. In a ResNet, or in a Transformer that normalises at the beginning of its
# blocks, the residual connection goes round the whole block, and a signal can pass through all blocks nearly unchanged.
# Here it goes round the first LayerNorm and the VSS module only: the second LayerNorm and the projection lie on every
# path. So let us see how deep it carries.
#
# ## Depth, with and without the connection
#
# The paper motivates its four-layer bottleneck with convergence trouble in deep networks (Section 2.3) and removes the
# connection in its ablation (Table 3). We stack fresh, *untrained* RVM layers, feed them the features of a synthetic
# radiograph, and look at what arrives, and at the gradient that comes back.

# %% tags=["hide-input"]
data = load_dataset("phantom-cxr", cases=24, size=run.size)
cases = [
    preprocess(data.read(c), (run.size,) * 2, data.normalise) for c in data.case_ids
]
images, labels = zip(*cases, strict=True)
images = torch.stack(images).to(run.device)  # (24, 1, H, W)
labels = torch.stack(labels).long().to(run.device)  # (24, H, W)

C, grid = 32, (32, 32)
torch.manual_seed(0)
stem = DWConv(1, C, 2).to(run.device)
small = F.interpolate(images[:1], size=grid, mode="bilinear", antialias=True)
with torch.no_grad():
    features = volume_to_tokens(stem(small))  # (1, L, C)
generator = torch.Generator().manual_seed(1)
readout = torch.randn(features.shape, generator=generator).to(run.device)


def through_layers(seed, **options):
    """Tokens after 0, 1, 2, … fresh layers; the gradient's norm at each, for a random
    linear function of the last."""
    torch.manual_seed(seed)
    layers = [RVMLayer(C, 2, **options).to(run.device) for _ in range(run.depth)]
    states = [features.clone().requires_grad_()]
    for layer in layers:
        states.append(layer(states[-1], grid))
    gradients = torch.autograd.grad((states[-1] * readout).sum(), states)
    norms = [gradient.norm().item() for gradient in gradients]
    return [state.detach() for state in states], norms


# Of white noise, neighbours are independent, and the roughness is 1.
def roughness(tokens):
    """Mean squared difference of neighbours over twice the variance."""
    image = tokens_to_volume(tokens, grid)
    image = image - image.mean((2, 3), keepdim=True)
    return (image.diff(dim=2).square().mean() / (2 * image.square().mean())).item()


variants = {"with residual": {}, "without residual": {"residual": False}}
results = {
    name: [through_layers(seed, **options) for seed in range(3)]
    for name, options in variants.items()
}

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two plots over depth, three runs each. Left: the norm of the gradient stays level with the residual connection; without it, it grows on the way back from layer 12 to the input, along the dotted straight line of a factor of the square root of two per layer. Right: roughness of the features stays below one half with the connection; without it, it rises towards 1, that of white noise"}}
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2))
for (name, runs), color in zip(results.items(), COLORS, strict=False):
    for seed, (states, gradients) in enumerate(runs):
        label = name if seed == 0 else None
        left.semilogy(gradients, color=color, linewidth=1.5, label=label)
        right.plot(
            [roughness(state) for state in states],
            color=color,
            linewidth=1.5,
            label=label,
        )
last = np.mean([gradients[-1] for _, gradients in results["without residual"]])
depths = np.arange(run.depth + 1)
root_two = last * 2 ** ((run.depth - depths) / 2)
left.semilogy(root_two, color=COLORS[-1], linestyle=":", label="√2 per layer")
left.set(xlabel="layer", ylabel="norm of the gradient")
left.set_ylim(top=30 * root_two[0])  # room for the legend
right.set(xlabel="layer", ylabel="roughness", ylim=(0, 1.2))
right.axhline(1, color=COLORS[-1], linestyle=":", linewidth=1)
right.text(0, 1.03, "white noise", fontsize=10)
left.legend(fontsize=10, loc="upper right")
plt.show()


def growth(runs):
    """By which factor the gradient grows per layer, from the last back to the input."""
    return [(gradients[0] / gradients[-1]) ** (1 / run.depth) for _, gradients in runs]


for name, runs in results.items():
    print(f"{name}: gradient × {np.mean(growth(runs)):.1f} per layer")
assert max(growth(results["with residual"])) < 1.1
assert 1.3 < min(growth(results["without residual"]))
assert max(growth(results["without residual"])) < 1.55
assert all(roughness(states[-1]) < 0.6 for states, _ in results["with residual"])
assert all(roughness(states[-1]) > 0.7 for states, _ in results["without residual"])

# %% [markdown]
# Without the connection the gradient grows by about the same factor in every layer, near $\sqrt 2$, and after a dozen
# layers the picture is close to noise. Where does that factor come from? The two LayerNorms take the size of a signal
# out, so what counts is the *relative* change of a token. And the VSS module multiplies two branches that both see the
# same pixel. The relative changes of a product add up, $\mathrm{d}(ab)/(ab) = \mathrm{d}a/a + \mathrm{d}b/b$, and two
# contributions of one size that are independent of each other have together $\sqrt 2$ times that size. This suggests an
# experiment: leave one of the two branches out.


# %%
class Ungated(VSSModule):
    """A VSS module without its second branch."""

    def forward(self, x, grid):
        u = F.silu(self.dwconv(self.in_proj(x), grid))  # (B, L, D)
        return self.out_proj(self.norm(self.ssm(u, grid)))


class OnlyGate(VSSModule):
    """A VSS module without its first branch."""

    def forward(self, x, grid):
        return self.out_proj(F.silu(self.gate_proj(x)))


print("without residual connection:")
for mixer in (VSSModule, Ungated, OnlyGate):
    runs = [through_layers(seed, residual=False, mixer=mixer) for seed in range(3)]
    print(f"  {mixer.__name__:<10} gradient × {np.mean(growth(runs)):.1f} per layer")
    assert (max(growth(runs)) < 1.1) == (mixer is not VSSModule)

torch.manual_seed(0)
layers = [RVMLayer(C, 2).to(run.device) for _ in range(run.depth)]
x, shares = features, []
with torch.no_grad():
    for layer in layers:
        shares.append((layer.mixer(layer.norm_in(x), grid).norm() / x.norm()).item())
        x = layer(x, grid)
print("with it: size of VSSM(LN(M)) beside M in the first and the last layer:", end="")
print(f" {shares[0]:.2f}, {shares[-1]:.2f}")
assert max(shares) < 0.7

# %% [markdown]
# So it is the product that makes the gradient grow, neither branch by itself; and the residual connection prevents it,
# because beside $s \cdot M$ the product is the smaller part of the sum. Step through the layers. (That both channels of
# the input look the same is no accident; {doc}`05_lightm_unet` comes back to it.)

# %% tags=["hide-input"]
frames, steps = [], range(run.depth + 1)
for depth in steps:
    fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.5))
    for k, (name, runs) in enumerate(results.items()):
        tokens = runs[0][0][depth][0].cpu()  # (L, C)
        for ax, channel in zip(axes[2 * k : 2 * k + 2], (4, 9), strict=True):
            image = tokens[:, channel].view(grid)
            low, high = torch.quantile(image, torch.tensor([0.01, 0.99]))
            ax.imshow(image, vmin=low, vmax=high)
            ax.set_title(f"{name}\nchannel {channel}", fontsize=10)
            ax.set_axis_off()
    frames.append(png_bytes(fig))
frames_slider(
    frames,
    [f"after layer {depth}" if depth else "the input" for depth in steps],
    alt="Features of a synthetic radiograph after a number of untrained RVM layers: "
    "with the residual connection the chest stays visible, without it the picture "
    "turns into noise",
    caption="Untrained layers. Each picture is scaled by itself.",
)

# %% [markdown]
# ### And in a network that is trained?
#
# All of this is measured on untrained layers, and it is no verdict on a trained network. A factor of $\sqrt 2$ per
# layer is large over a hundred layers; a path through this network has at most nine. The optimiser (AdamW, or the Adam
# of the authors' trainer) divides each parameter's step by the size of its gradients. And the weights move. So let both
# networks learn, and look at the records of the ablation on real radiographs in {doc}`08_ablations`:


# %% tags=["hide-input"]
def train(name, bottleneck_depth=2):
    """A small network after `run.steps` steps; the last four cases are held out."""
    torch.manual_seed(0)
    options = {"width": run.width, "depths": (1, 1)}
    options |= {"bottleneck_depth": bottleneck_depth}
    model = build_model(name, 2, 1, 2, **options).to(run.device)
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
_, losses_without = train("paper-no-residual")
for name, curve in (("with", losses), ("without", losses_without)):
    end = sum(curve[-4:]) / 4
    print(f"{name:<8} residual connections: loss {curve[0]:.2f} -> {end:.2f}")
    assert end < 0.5 * curve[0]

# %% tags=["hide-input"]
recorded = list_records(ROOT / "results/runs")
pair = ["lightm-unet", "paper-no-residual"]
for experiment in experiments(recorded):
    both = experiment.only(pair)
    if experiment.dataset != "montgomery-shenzhen" or len(both.systems) < 2:
        continue
    row = next(r for r in standings(both, family(recorded)) if r.system == pair[1])
    difference = row.against
    print("real radiographs,", experiment.title.replace(": ", "\n  ") + ":")
    print(f"  without the connections {100 * difference.mean:+.2f} points of DSC,")
    interval = f"{100 * difference.low:+.2f} to {100 * difference.high:+.2f}"
    print(f"  95% interval over {row.runs} runs each {interval}: {row.verdict}")

# %% [markdown]
# Both learn. A growing gradient at the start doesn't keep so shallow a network from training, and records of short runs
# can't say which of the two is better in the end; {doc}`08_ablations` says what they can. What the connection does for
# certain is what was measured above: it keeps the untrained stack well-conditioned, and the more so the deeper it is.
#
# ## The knob in a trained network
#
# What does the factor add to the plain connection? It lets every channel choose its own mixture. Look at where the $s$
# of the small network just trained went from 1.

# %% tags=["hide-input"] mystnb={"image": {"alt": "One column of dots for each RVM layer: the learnt factors of its channels scatter around 1, where they started"}}
factors = {
    name: p.detach()
    for name, p in model.named_parameters()
    if name.endswith(".s") and "decoder" not in name
}
assert all((s != 1).any() for s in factors.values())  # they learn
furthest = max((s - 1).abs().max().item() for s in factors.values())
assert furthest < 0.3  # but don't go far

fig, ax = plt.subplots(figsize=(7.2, 3))
rng = torch.Generator().manual_seed(0)
for column, s in enumerate(factors.values()):
    x_dots = column + 0.25 * (torch.rand(len(s), generator=rng) - 0.5)
    ax.plot(x_dots, s.cpu(), "o", markersize=3, color=COLORS[0])
ax.axhline(1, color=COLORS[-1], linestyle=":", linewidth=1)
places = ["encoder 1", "encoder 2", "bottleneck 1", "bottleneck 2"]
ax.set_xticks(range(len(factors)), places, fontsize=10)
ax.set_ylabel("s, one dot per channel", fontsize=10)
plt.show()

# %% [markdown]
# In so short a training they do not go far. But turn the knob by hand, all layers' $s$ at once, and the prediction
# on a held-out case shows how much depends on the balance. (`functional_call` runs the network with other parameters in
# place of its own.)

# %% tags=["hide-input"]
case = 20


def with_factor(factor):
    """Lung probability (H, W) with every layer's s multiplied by `factor`."""
    scaled = {name: factor * s for name, s in factors.items()}
    with torch.no_grad():
        logits = functional_call(model, scaled, (images[case : case + 1],))
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
    shown = {"image (synthetic)": images[case, 0], "its lungs": labels[case]}
    shown["prediction"] = probability
    for ax, (title, image) in zip(axes, shown.items(), strict=False):
        limits = {} if title.startswith("image") else {"vmin": 0, "vmax": 1}
        ax.imshow(image.cpu(), **limits)
        ax.set_title(title, fontsize=10)
        ax.set_axis_off()
    axes[3].plot(scores, color="darkgray")
    axes[3].plot(k, scores[k], "o", color=COLORS[1])
    axes[3].set(xticks=range(0, len(knob), 2), ylim=(0, 1))
    axes[3].set_xticklabels([f"{f:g}" for f in knob[::2]], fontsize=8)
    axes[3].tick_params(axis="y", labelsize=8)
    axes[3].set_title(f"Dice {scores[k]:.2f}", fontsize=10)
    frames.append(png_bytes(fig))
assert scores[0] < scores[knob.index(1)]
frames_slider(
    frames,
    [f"s × {factor:g}" for factor in knob],
    alt="A synthetic radiograph, its lungs, what a small trained network predicts "
    "while all its factors s are scaled, and its Dice score, which is poor at s = 0 "
    "and recovers as s comes near what was learnt",
    caption="At 0 the layers have lost the pixel itself; far above 1 they hardly look "
    "at its neighbours any more.",
)

# %% [markdown]
# On a phantom, brightness alone nearly decides where the lungs are. So the network can do without much of its VSS
# modules' share (factors above 1), but not without the pixel (factor 0). On a harder task the balance may lie
# elsewhere; that every channel of every layer can find it for itself is what the factor is for.
#
# ## What it costs
#
# "Almost no introduction of new parameters": one number per channel in each of the nine RVM layers. (This is about the
# connection and its factor. The projection behind them is another matter: it has at least $C^2$ weights in each layer.)

# %%
sizes = {}
with torch.device("meta"):  # shapes only, no memory
    for name in ("lightm-unet", "paper-no-adjustment", "paper-no-residual"):
        whole = build_model(name, 2, 1, 2)
        sizes[name] = sum(p.numel() for p in whole.parameters())
        print(f"{name:<22}{sizes[name]:>12,} parameters")
assert sum(isinstance(module, RVMLayer) for module in whole.modules()) == 9
saved = sizes["lightm-unet"] - sizes["paper-no-adjustment"]
share = 100 * saved / sizes["lightm-unet"]
print(f"all the factors s together: {saved:,}, that is {share:.3f} %")
assert saved == 1 * 32 + (64 + 64) + (128 + 128) + 4 * 256  # C of each layer
# without the connection there is nothing to scale:
assert sizes["paper-no-residual"] == sizes["paper-no-adjustment"]
assert share < 0.1

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
# * The layer adds the VSS module's answer and $s$ times its input. The second LayerNorm hides a factor that both terms and
#   all channels share; the mixture that $s$ sets, channel by channel, it does not hide.
# * In a stack of fresh layers without the connection, the gradient grows by about $\sqrt 2$ per layer, because the module
#   multiplies two branches that see the same pixel. With the connection it stays level.
# * Untrained layers are no trained network: a network as shallow as this one learns either way.
# * The factors cost nothing to speak of.
#
# **Where to go.** {doc}`05_lightm_unet` builds the network from this layer. {doc}`08_ablations` takes the connection and
# the factor away and trains.
