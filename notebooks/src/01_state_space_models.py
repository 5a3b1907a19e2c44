# %% [markdown]
# # State-space models
#
# A convolution looks at a neighbourhood. Attention looks at everything, and pays for every pair of pixels. A
# *state-space model* (SSM) walks along a sequence once and carries a few numbers with it, its *state*, in which it
# keeps what it has seen. LightM-UNet is built on that idea. This chapter is the mathematics of it, from a leaking
# cup to a chest radiograph, and every formula is run.
#
# You need: what a convolution is, exponentials, and matrices as far as eigenvalues. Nothing of control theory.
#
# At the end you can say
# * how a differential equation becomes a loop over pixels, and what that costs in accuracy,
# * why the same loop is a convolution, and when it stops being one,
# * how far back a state remembers, in pixels, and what "back" means in an image,
# * what Mamba's *selection* gives up, and what it gets for it.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from numpy.polynomial import legendre
from torch import nn

from lightm.data import load_dataset
from lightm.models.vss import SelectiveSSM
from lightm.scan import selective_scan
from lightm.ssm import (
    RULES,
    convolve,
    convolve_fft,
    discretise,
    hippo_legs,
    impulse_response,
    kernel,
    mamba,
    read_out,
    recurrence,
    s4d_lin,
    s4d_real,
    spectral_radius,
    states,
    transfer_function,
    zoh,
)
from lightm_book.show.figures import COLORS, frames_slider, use_style
from lightm_book.show.notebook import check_profile, show_source

run = check_profile(profile, {"smoke": {"steps": 120}, "paper": {"steps": 1000}})
use_style()
torch.set_printoptions(precision=3, sci_mode=False)
f64 = torch.float64  # the claims of this chapter are exact, so it computes with 16 digits

data = load_dataset("phantom-cxr", cases=8, size=128)
case = data.read(data.case_ids[1])
image = torch.from_numpy(case.image[0]).to(f64) / 255  # (H, W)
mask = torch.from_numpy(case.label).to(f64)  # (H, W), 1 in the lungs
row = image[56]  # (L,), the running example: one row through both lungs

# %% [markdown]
# ## Why an image network would want this
#
# > Expanding upon the groundwork laid by classical SSM research, modern SSMs (e.g., Mamba) not only establish
# > long-range dependencies but also demonstrate linear complexity concerning input size, making Mamba a strong
# > competitor to CNN and Transformer on the lightweight road of UNet.
# >
# > — {cite}`liao2024lightmunet`, Section 1
#
# Two promises: *long range*, and *linear* cost. For the second, count the multiplications for one channel. An SSM with
# $N$ states does three for every pixel and state, as we shall see; attention does two for every pair of the $L$ pixels,
# one to compare them and one to add them up.

# %%
N = 16
print(f"{'input':<16}{'pixels L':>12}{'SSM: 3 L N':>14}{'attention: 2 L²':>20}")
for name, L in [("64 x 64", 64**2), ("512 x 512", 512**2), ("128 x 128 x 128", 128**3)]:
    print(f"{name:<16}{L:>12,}{3 * L * N:>14,}{2 * L**2:>20,}")

# %% [markdown]
# The first promise is the harder one. The chapter comes back to it when it measures how long a state remembers.
#
# ## One state: a cup that leaks
#
# Pour water into a cup with a hole. The level $h$ rises with what you pour in, $u$, and falls the faster the fuller
# the cup is:
#
# $$ h'(t) = A\,h(t) + B\,u(t), \qquad A = -a < 0. $$ (eq-cup)
#
# $h'$ is the rate at which $h$ changes. With no more water coming, $h(t) = h(0)\,e^{-at}$: the cup forgets
# exponentially, half of its content every $\ln 2 / a$. That is all the memory there is in a linear SSM. The rest is
# having several cups, with holes of different sizes, and pipes between them:
#
# $$
# \begin{aligned}
# h'(t) &= A\,h(t) + B\,u(t) && \text{the state, } N \text{ numbers} \\
# y(t) &= C\,h(t) + D\,u(t) && \text{what is read off it}
# \end{aligned}
# $$ (eq-ssm)
#
# | symbol | what it is | size |
# |:--:|---|---|
# | $u(t)$, $y(t)$ | input and output at time $t$ | one number each |
# | $h(t)$ | the state | $N$ |
# | $A$ | how the state moves by itself | $N \times N$, or $N$ numbers if it is diagonal |
# | $B$ | how the input enters the state | $N$ |
# | $C$ | how the state is read | $N$ |
# | $D$ | a direct path from input to output | one number |
#
# This is the classical research that the quotation speaks of; it goes back to Kalman {cite}`kalman1960filtering`.
# (Papers on S4 call the state $x$. Here $x$ is kept for the tokens of a network.)
#
# To see what such a system does, knock on it once. A very short pulse of area 1 at $t = 0$ puts $B$ into the state;
# from there it moves by itself, and the output is the *impulse response*
#
# $$ y(t) = C\,e^{At} B . $$ (eq-impulse)

# %%
show_source(impulse_response)

# %% mystnb={"image": {"alt": "Four impulse responses over eight time units: a fast and a slow exponential decay, a difference of the two that starts at zero, rises and falls, and a decaying oscillation"}}
t = torch.linspace(0, 8, 400, dtype=f64)
one = torch.ones(1, dtype=f64)
two = torch.tensor([1.0, -1.0], dtype=f64)
fast_slow = torch.tensor([-0.5, -2.0], dtype=f64)
spinning = torch.tensor([[-0.3, -2.0], [2.0, -0.3]], dtype=f64)  # two states that feed each other
curves = {
    "one state, A = -2": impulse_response(-2 * one, one, one, t),
    "one state, A = -0.5": impulse_response(-0.5 * one, one, one, t),
    "two states, slow minus fast": impulse_response(fast_slow, two.abs(), two, t),
    "two coupled states": impulse_response(spinning, one.repeat(2), torch.tensor([0.5, 0.5], dtype=f64), t),
}
for name, y in curves.items():
    plt.plot(t, y, label=name)
plt.axhline(0, color="black", linewidth=0.5)
plt.xlabel("time")
plt.ylabel("impulse response")
plt.legend(fontsize=10)
plt.show()
assert torch.allclose(curves["one state, A = -2"], torch.exp(-2 * t))
assert torch.allclose(curves["two states, slow minus fast"], torch.exp(-0.5 * t) - torch.exp(-2 * t))

# %% [markdown]
# ### Do the pipes matter? Diagonal systems
#
# The last curve came from a full matrix $A$. But almost every matrix can be diagonalised, $A = V \Lambda V^{-1}$.
# In the coordinates $V^{-1}h$ the cups don't talk to each other any more, and the output is the same:

# %%
eigenvalues, V = torch.linalg.eig(spinning)
B_full, C_full = one.repeat(2), torch.tensor([0.5, 0.5], dtype=f64)
B_diagonal = torch.linalg.solve(V, B_full.to(V.dtype))  # V⁻¹ B
C_diagonal = C_full.to(V.dtype) @ V  # C V
terms = C_diagonal * B_diagonal * torch.exp(t[:, None] * eigenvalues)  # (T, N)
print("eigenvalues:", eigenvalues)
assert torch.allclose(terms.sum(-1).real, curves["two coupled states"])

# %% [markdown]
# So nothing is lost by taking $A$ diagonal, as long as its entries may be *complex*: a pair $-0.3 \pm 2i$ is a decaying
# oscillation. This is S4D {cite}`gu2022s4d`. Mamba goes one step further and takes them *real*, which rules
# oscillations out, and so does the network of this book.
#
# > The most popular form of structure is diagonal, which we also use.
# >
# > — {cite}`gu2023mamba`, Section 2
#
# ## From a function to pixels: discretisation
#
# A pixel is a number, not a function of time. The natural reading is that the input is *held* at $u_t$ while the scan
# passes over the pixel, for a time $\Delta$, the *step*. Then {eq}`eq-ssm` can be solved exactly. For one state, over
# one pixel,
#
# $$
# h(t + \Delta) = e^{\Delta A} h(t) + \Big(\int_0^\Delta e^{sA}\,ds\Big) B\,u_t
#               = \underbrace{e^{\Delta A}}_{\bar A}\, h(t)
#               + \underbrace{\frac{e^{\Delta A} - 1}{A}\,B}_{\bar B}\, u_t .
# $$ (eq-zoh)
#
# > The first stage transforms the "continuous parameters" $(\Delta, A, B)$ to "discrete parameters"
# > $(\bar A, \bar B)$ through fixed formulas […]. Various rules can be used such as the zero-order hold (ZOH) […].
# >
# > — {cite}`gu2023mamba`, Section 2
#
# This is zero-order hold. A formula with $A^{-1}$ is useless for $A = 0$, a cup without a hole. The package computes
# the integral, which is harmless:

# %%
show_source(zoh)

# %% [markdown]
# The last three lines treat a full matrix by a trick: while $u$ is held, its derivative is zero, so $u$ can be
# appended to the state, and one matrix exponential gives $\bar A$ and $\bar B$ together.
#
# Other rules are approximations of {eq}`eq-zoh`. Here are all four for $A = -1$, $B = 1$ and a long step:

# %%
print("A = -1, B = 1, Δ = 0.5")
for name in RULES:
    A_bar, B_bar = discretise(-one, one, 0.5, name)
    print(f"{name:<10} Ā = {A_bar.item():.4f}   B̄ = {B_bar.item():.4f}")

assert math.isclose(zoh(-one, one, 0.5)[0].item(), math.exp(-0.5))
A_bar, B_bar = zoh(0 * one, one, 0.5)  # a cup without a hole adds everything up
assert A_bar.item() == 1 and B_bar.item() == 0.5

# %% [markdown]
# How wrong are they? Take the row through the lungs as a function that is constant on each pixel, cut every pixel
# into $m$ steps of length $\Delta = 1/m$, and compare the output at the ends of the pixels with the exact one.

# %% mystnb={"image": {"alt": "Error against step size on logarithmic axes. Forward Euler and Mamba's rule fall along lines of slope one, the bilinear rule along slope two, zero-order hold lies at rounding error"}}
A = s4d_real(4)  # -1, -2, -3, -4
B, C = torch.ones(4, dtype=f64), torch.tensor([1.0, -2.0, 2.0, -1.0], dtype=f64)
pixels = row[:24]


def at_pixel_ends(rule, m):
    """The output after each pixel when a pixel takes m steps."""
    y = recurrence(*discretise(A, B, 1 / m, rule), C, pixels.repeat_interleave(m))
    return y[m - 1 :: m]


parts = np.array([4, 8, 16, 32, 64, 128])
exact = at_pixel_ends("zoh", 1)
errors = {rule: [(at_pixel_ends(rule, m) - exact).abs().max().item() for m in parts] for rule in RULES}
for (rule, error), marker in zip(errors.items(), "os^v", strict=True):
    plt.loglog(1 / parts, error, marker=marker, label=rule)
plt.xlabel("step Δ, in pixels")
plt.ylabel("largest error")
plt.legend()
plt.show()

order = {rule: math.log2(error[-2] / error[-1]) for rule, error in errors.items() if rule != "zoh"}
print("halving Δ divides the error by:", ", ".join(f"{rule} {2**p:.1f}" for rule, p in order.items()))
assert max(errors["zoh"]) < 1e-12  # however many steps: exact
assert abs(order["bilinear"] - 2) < 0.1 and abs(order["euler"] - 1) < 0.1 and abs(order["mamba"] - 1) < 0.1

# %% [markdown]
# Forward Euler has a second flaw: with a step that is long for the state ($\Delta > 2/|A|$) it doesn't forget, it
# explodes. The others never do.

# %%
for name, rule in RULES.items():
    radius = [spectral_radius(rule(-4 * one, one, delta)[0]) for delta in (0.1, 0.45, 0.55, 10.0)]
    print(f"{name:<10} |Ā| for A = -4 and Δ = 0.1, 0.45, 0.55, 10: ", "  ".join(f"{r:6.3f}" for r in radius))
    assert (max(radius) < 1) == (name != "euler")

# %% [markdown]
# ### Mamba's rule
#
# Mamba's paper gives {eq}`eq-zoh`, its published code uses the simpler $\bar B = \Delta B$, and so does everything
# built on it, this book included:

# %%
show_source(mamba)

# %% [markdown]
# First order, like Euler: is that sloppy? Two identities say what it means.
#
# * Its kernel is the continuous impulse response {eq}`eq-impulse`, sampled and multiplied by $\Delta$. Engineers know it
#   as *impulse invariance*.
# * For a diagonal $A$, every state is that of zero-order hold times a constant, $z/(e^z - 1)$ with $z = \Delta A$.
#   A constant factor on $B$ changes nothing that learning couldn't: the two rules describe the same set of models,
#   as long as $\Delta$ is a constant.

# %%
delta = 0.3
K = kernel(*mamba(A, B, delta), C, 20)
assert torch.allclose(K, delta * impulse_response(A, B, C, delta * torch.arange(20, dtype=f64)), atol=1e-14)

z = delta * A
factor = z / torch.expm1(z)
assert torch.allclose(states(*mamba(A, B, delta), row), states(*zoh(A, B, delta), row) * factor, atol=1e-12)
print("A:     ", A)
print("factor:", factor)

# %% [markdown]
# ### What $\Delta$ means for an image
#
# If the step is the width of a pixel in millimetres times a speed, the *same* continuous system reads images of any
# resolution. Halve the pixels, halve $\Delta$, and the output is the same:

# %%
coarse = recurrence(*zoh(A, B, 0.2), C, row)
fine = recurrence(*zoh(A, B, 0.1), C, row.repeat_interleave(2))
assert torch.allclose(fine[1::2], coarse, atol=1e-13)

# %% [markdown]
# A network doesn't know the spacing, it *learns* $\Delta$. But this is why one thinks of $\Delta$ as time spent on a
# token: large $\Delta$, the token counts and the past fades; $\Delta = 0$, the token is skipped.
#
# ## The recurrence
#
# What is left of the differential equation is a loop:
#
# $$ h_t = \bar A\,h_{t-1} + \bar B\,u_t, \qquad y_t = C\,h_t + D\,u_t . $$ (eq-recurrence)

# %%
show_source(states)

# %% [markdown]
# On six pixels, with one state, $A = -1$ and $\Delta = 0.5$. Check a line by hand: $\bar A$ times the line before,
# plus $\bar B$ times the new input.

# %%
u = torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0, 2.0], dtype=f64)
A_bar, B_bar = zoh(-one, one, 0.5)
h = states(A_bar, B_bar, u)  # (L, N)
print(f"Ā = {A_bar.item():.3f}, B̄ = {B_bar.item():.3f}")
for step, (u_t, h_t) in enumerate(zip(u, h[:, 0], strict=True), 1):
    print(f"t = {step}   u = {u_t:.0f}   h = {h_t:.3f}")
assert torch.allclose(h[1:, 0], A_bar * h[:-1, 0] + B_bar * u[1:])

# %% [markdown]
# ## The same numbers as a convolution
#
# Put the recurrence into itself, starting from $h_0 = 0$:
#
# $$
# h_1 = \bar B u_1, \qquad
# h_2 = \bar A \bar B u_1 + \bar B u_2, \qquad
# h_3 = \bar A^2 \bar B u_1 + \bar A \bar B u_2 + \bar B u_3, \quad \dots
# $$
#
# The factor of an input depends only on how long ago it came. That is a convolution,
#
# $$
# y_t = \sum_{k=0}^{t-1} K_k\,u_{t-k}, \qquad
# K = (C\bar B,\; C\bar A\bar B,\; C\bar A^2\bar B,\; \dots),
# $$ (eq-kernel)
#
# with a kernel as long as the input. (A direct path $D$ adds to $K_0$.)
#
# > […] the model can be computed in two ways, either as a linear recurrence (2) or a global convolution (3).
# >
# > — {cite}`gu2023mamba`, Section 2

# %%
show_source(kernel)

# %%
show_source(convolve)

# %% [markdown]
# As a matrix, $y = Mu$: a triangle, because nothing comes from the future, with the kernel along its diagonals.

# %%
K = kernel(A_bar, B_bar, one, len(u))
M = torch.stack([F.pad(K, (k, 0))[: len(u)] for k in range(len(u))], dim=1)  # (L, L), column k: K shifted down by k
print(M)
y = recurrence(A_bar, B_bar, one, u)
assert torch.allclose(M @ u, y) and torch.allclose(convolve(u, K), y)

# %% [markdown]
# A CNN has kernels that are 3 or 7 pixels wide. This one is as long as the image row and has $3N + 1$ parameters whatever the
# length. The price is its shape: a sum of exponentials.
#
# A kernel of length $L$ costs $L^2$ multiplications if it is applied directly. The fast Fourier transform turns a
# convolution into a product and costs about $L \log L$:

# %%
show_source(convolve_fft)

# %% [markdown]
# Now the claim of this section for larger systems: a full matrix, a real diagonal, a complex diagonal, each with the three
# rules that don't explode, on the row through the lungs. Four ways to compute, one result.

# %%
generator = torch.Generator().manual_seed(0)
full = torch.randn(4, 4, dtype=f64, generator=generator) - 4 * torch.eye(4, dtype=f64)
systems = {
    "full": (full, B, C),
    "real diagonal": (s4d_real(4), B, C),
    "complex diagonal": (s4d_lin(8), B.to(torch.complex128), C.to(torch.complex128)),
}
worst = 0.0
for A_, B_, C_ in systems.values():
    for rule in ("zoh", "bilinear", "mamba"):
        A_bar, B_bar = discretise(A_, B_, 0.1, rule)
        y = recurrence(A_bar, B_bar, C_, row, D=0.5)
        K = kernel(A_bar, B_bar, C_, len(row), D=0.5)
        toeplitz = torch.stack([F.pad(K, (k, 0))[: len(row)] for k in range(len(row))], dim=1)
        for other in (convolve(row, K), convolve_fft(row, K), toeplitz @ row):
            worst = max(worst, (other - y).abs().max().item())
assert worst < 1e-12

# %% [markdown]
# ### What passes the filter
#
# A convolution has a transfer function: what it does to an oscillation of each frequency. (In imaging, its magnitude
# is called the modulation transfer function.) It is the sum over the kernel, and for an SSM it has a closed form,
#
# $$ H(z) = \sum_k K_k z^{-k} = C\,(I - \bar A/z)^{-1}\bar B + D, \qquad z = e^{i\omega}. $$

# %% mystnb={"image": {"alt": "Magnitude of the transfer function against frequency up to half a cycle a pixel. A single real state is a low-pass filter, the difference of two states stops what is constant and lets the rest pass, a complex state has a sharp peak at its own frequency"}}
frequency = torch.linspace(0, 0.5, 400, dtype=f64)  # cycles a pixel
z = torch.exp(2j * math.pi * frequency)
complex_one = torch.ones(1, dtype=torch.complex128)
filters = {
    "one real state": (-0.3 * one, 0.3 * one, one),
    "two real states": (torch.tensor([-0.2, -2.0], dtype=f64), torch.tensor([0.2, 2.0], dtype=f64), two),
    "one complex state": (torch.tensor([-0.1 + 1j]), 0.1 * complex_one, complex_one),
}
for name, (A_, B_, C_) in filters.items():
    A_bar, B_bar = zoh(A_.to(B_.dtype), B_, 1.0)
    H = transfer_function(A_bar, B_bar, C_, z)
    K = kernel(A_bar, B_bar, C_, 400)
    assert torch.allclose(H, (K * z[:, None] ** -torch.arange(400)).sum(-1), atol=1e-9)
    plt.plot(frequency, H.abs(), label=name)
plt.xlabel("cycles a pixel")
plt.ylabel("|H|")
plt.legend()
plt.show()

# %% [markdown]
# ## Linear, and the same everywhere
#
# A convolution has two properties, and a system that has both is a convolution. It is *linear*: the answer to a sum
# is the sum of the answers. It is *time-invariant*: if the input comes later, the output comes later and is otherwise
# the same.
#
# > […] the model's dynamics are constant through time. In other words $(\Delta, A, B, C)$, and consequently
# > $(\bar A, \bar B)$ as well, are fixed for all time-steps. This property is called *linear time invariance (LTI)*,
# > which is deeply connected to recurrence and convolutions.
# >
# > — {cite}`gu2023mamba`, Section 2


# %%
def lti(u):
    """A time-invariant smoother: one state, gain 1 for a constant input."""
    return recurrence(*zoh(-one, one, 0.2), one, u)


def later(u, k):
    """The same sequence k pixels later, zeros before it, cut to its length."""
    return F.pad(u, (k, 0))[..., : u.shape[-1]]


other_row = image[90]
assert torch.allclose(lti(2 * row - 3 * other_row), 2 * lti(row) - 3 * lti(other_row))  # linear
assert torch.allclose(lti(later(row, 10)), later(lti(row), 10))  # time-invariant

# %% [markdown]
# ## How far back it remembers
#
# In a diagonal system, $k$ steps multiply a state by $e^{\Delta A k}$. It has lost half of what it knew after
#
# $$ k_{1/2} = \frac{\ln 2}{\Delta\,|A|} \quad \text{pixels}. $$ (eq-half-life)
#
# Only the product $\Delta |A|$ counts. Move the slider: on the left the kernel, on the right what it makes of the row
# through the lungs.

# %%
frames, labels = [], []
for delta in (2.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01):
    A_bar, B_bar = zoh(-one, one, delta)
    K = kernel(A_bar, B_bar, one, len(row))
    half_life = math.log(2) / delta
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.9), width_ratios=(1, 1.6))
    axes[0].bar(range(len(row)), K / K[0], width=1.0)
    axes[0].axvline(half_life, color=COLORS[1], linestyle="--")
    axes[0].set(xlim=(-1, len(row)), ylim=(0, 1), xlabel="pixels ago", title="kernel, relative")
    axes[1].plot(row, color="lightgray", label="input")
    axes[1].plot(convolve_fft(row, K), label="output")
    axes[1].set(ylim=(0, 1), xlabel="pixel", title="one row")
    axes[1].legend(fontsize=10, loc="lower right")
    frames.append(fig)
    labels.append(f"Δ = {delta}, half-life {half_life:.1f} pixels")
    left = read_out(one, A_bar**half_life)  # what a state of 1 is after one half-life
    assert math.isclose(left.item(), 0.5)
frames_slider(
    frames,
    labels,
    alt="Left, an exponential kernel that gets longer as the step gets smaller; right, a row of a synthetic "
    "radiograph, first followed closely by the output, then smoothed and delayed, in the end hardly followed at all",
    caption="A = -1. The dashed line is the half-life. Short memory copies, long memory averages, and comes late.",
)

# %% [markdown]
# The output is late: the scan knows only what it has passed. That is what one reads in a *causal* model, and one
# reason why image models scan in more than one direction.
#
# Mamba's diagonal is $A = (-1, -2, \dots, -N)$, called S4D-Real: sixteen half-lives in one channel. Together with
# $\Delta$, which starts between 0.001 and 0.1 and differs between channels, a layer has memories of many lengths:

# %%
print("half-lives in pixels, A = -1, -2, -4, -8, -16")
for delta in (0.1, 0.01, 0.001):
    half_lives = math.log(2) / (delta * s4d_real(16).abs())
    print(f"Δ = {delta:<6}", "  ".join(f"{half_lives[n - 1]:7.1f}" for n in (1, 2, 4, 8, 16)))

# %% [markdown]
# ### What a state can hold
#
# Sixteen exponentials sound poor. How much of the past can sixteen numbers hold? There is an $A$ that was *derived* from
# this question: HiPPO-LegS {cite}`gu2020hippo`, with which S4 {cite}`gu2022s4` began. Its states are the coefficients
# of the past in Legendre polynomials, the recent past finely, the distant past coarsely. So one can look into the
# state and *draw* what it remembers.

# %% mystnb={"image": {"alt": "A row of a synthetic radiograph and its reconstruction from the final state alone, for 4, 16 and 64 states: more states show more detail, always best near the right end, where the scan stands"}}
fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.7), sharey=True)
delta = 3 / len(row)  # the whole row lies within three time constants
ago = torch.arange(len(row), dtype=f64).flip(0) + 0.5  # pixels between the middle of each pixel and the end
missed = {}
for ax, N in zip(axes, (4, 16, 64), strict=True):
    A_legs, B_legs = hippo_legs(N)
    h = states(*zoh(A_legs, B_legs, delta), row)[-1]  # (N,): all that is left of the row
    scale = np.sqrt(2 * np.arange(N) + 1)
    recalled = legendre.legval(2 * np.exp(-delta * ago.numpy()) - 1, h.numpy() * scale)  # Σ h_n L_n
    missed[N] = np.sqrt(np.mean((recalled - row.numpy())[-96:] ** 2))
    ax.plot(row, color="lightgray", linewidth=3)
    ax.plot(recalled, linewidth=1.5)
    ax.set(ylim=(0, 1.1), title=f"{N} states", xlabel="pixel")
plt.show()
print("error of the last 96 pixels:", ", ".join(f"{N} states {e:.3f}" for N, e in missed.items()))
assert missed[4] > missed[16] > missed[64]

# %% [markdown]
# A state is a *compression* of the past, and $A$ decides what is kept. Mamba starts from the simpler S4D-Real and leaves
# the question of what to keep to the input. That is selection, below.
#
# ## From a row to an image
#
# > Specifically, given a feature map […], the Encoder Block initially flattens and transposes the feature map into a
# > shape of $(\check L, \check C)$, where $\check L = \check H \times \check W \times \check D$.
# >
# > — {cite}`liao2024lightmunet`, Section 2.2
#
# *Flattening* lays the rows of an image one behind the other: pixel (row $i$, column $j$) becomes token $iW + j$. The
# scan goes along the first row, jumps back to the left edge, and goes on. "The past" of a pixel is everything above it,
# and what is left of it in its own row. How much of that past is still there when the scan arrives?
#
# The slider shows it for one pixel. On the left, the weight of every earlier pixel in the output at the orange dot. On
# the right, what this SSM makes of the image, our *synthetic* radiograph with fewer pixels, so that one can see them.

# %%
small = load_dataset("phantom-cxr", cases=2, size=48)  # the same patients
picture = torch.from_numpy(small.read(small.case_ids[1]).image[0]).to(f64) / 255  # (H, W)
H, W = picture.shape
tokens = picture.flatten()  # (L,), row-major
i, j = 30, 15  # the pixel we ask for
now = i * W + j
frames, labels = [], []
for half_life in (1, 4, 12, 48, 192, 768):
    A_bar, B_bar = zoh(-one, one, math.log(2) / half_life)
    K = kernel(A_bar, B_bar, one, len(tokens))
    weight = torch.full_like(tokens, math.nan)
    weight[: now + 1] = K[: now + 1].flip(0)  # token s has weight K_{now - s}
    fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.8))
    axes[0].imshow(torch.log10(weight / K[0]).clamp(-4).view(H, W), cmap="viridis", vmin=-4, vmax=0)
    axes[0].plot(j, i, "o", color=COLORS[1], markersize=5)
    axes[0].set_title("weight (log)", fontsize=11)
    axes[1].imshow(picture, vmin=0, vmax=1)
    axes[1].set_title("image (synthetic)", fontsize=11)
    axes[2].imshow(convolve_fft(tokens, K).view(H, W), vmin=0, vmax=1)
    axes[2].set_title("output", fontsize=11)
    for ax in axes:
        ax.set_axis_off()
    frames.append(fig)
    labels.append(f"half-life {half_life} pixels = {half_life / W:.3g} rows")
    above = (weight[now - W] / weight[now]).item()  # the pixel right above, one row ago
    assert math.isclose(above, 0.5 ** (W / half_life))
frames_slider(
    frames,
    labels,
    alt="Left, the weight of earlier pixels for one pixel: at first a short streak to its left, then a fading row, then "
    "several fading rows above, in the end all of the image above it. Right, the output: the radiograph smeared to the "
    "right, then striped, in the end vertical smears and a blank",
    caption="Yellow: weight as of the pixel itself. Dark: a ten-thousandth or less. White: the future, not seen.",
)

# %% [markdown]
# Three things to take along.
#
# * The neighbour on the left is one token away, the neighbour *above* is $W$ tokens away. Its weight is
#   $2^{-W/k_{1/2}}$. For a state to see it well, the half-life has to exceed the width of the image.
# * With such a half-life everything in between weighs about as much, and single pixels disappear in the average. With
#   constant parameters a state can't keep one old thing and drop the newer ones.
# * The end of a row is the direct past of the next row's beginning, from the other side of the patient.
#
# The last point can be made exact. Scan each row by itself, every time from an empty state, and compare. What the
# flattened scan has in addition is the state $h$ in which it finished the row above:
#
# $$ y^{\text{flat}}_{ij} - y^{\text{row}}_{ij} = C\,\bar A^{\,j+1}\, h_{i-1,\,W-1}. $$

# %% mystnb={"image": {"alt": "Three pictures: the output when each row is scanned by itself, dark at the left edge; the output of the flattened scan, bright at the left edge where it carries over from the row above; and the difference, which fades from the left edge to the right"}}
A_bar, B_bar = zoh(-one, one, math.log(2) / 6)
flat = recurrence(A_bar, B_bar, one, tokens).view(H, W)
by_row = recurrence(A_bar, B_bar, one, picture)  # (H, W): the rows are a batch
at_row_end = states(A_bar, B_bar, tokens).view(H, W, 1)[:, -1]  # (H, N)
carried = F.pad(at_row_end[:-1], (0, 0, 1, 0))  # the state that each row inherits; none for the first
inherited = carried @ (A_bar ** torch.arange(1, W + 1)[:, None]).T  # (H, W)
assert torch.allclose(flat - by_row, inherited, atol=1e-12)

fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.8))
for ax, result, name in zip(axes, (by_row, flat, inherited), ("row by row", "flattened", "difference"), strict=True):
    ax.imshow(result, vmin=0, vmax=1)
    ax.set_title(name, fontsize=12)
    ax.set_axis_off()
plt.show()

# %% [markdown]
# The network keeps the flattened order; {doc}`03_vss_module` adds other orders and a small 2D convolution before the
# scan, and shows what that does for the pixel above.
#
# ## Selection: parameters that depend on the input
#
# > One method of incorporating a selection mechanism into models is by letting their parameters that affect
# > interactions along the sequence […] be input-dependent. […] This loses the equivalence to convolutions (3) with
# > implications for its efficiency, discussed next.
# >
# > — {cite}`gu2023mamba`, Section 3.2
#
# That is Mamba's step: $\Delta_t$, $B_t$ and $C_t$ are computed from the token $u_t$. With constants in their place,
# Mamba's scan is the recurrence of this chapter, to the last digit:

# %%
A, B, C = s4d_real(4), torch.ones(4, dtype=f64), torch.tensor([1.0, -2.0, 2.0, -1.0], dtype=f64)
L = len(row)
y = selective_scan(
    row.view(1, 1, L),  # u (B, D, L): one sequence, one channel
    torch.full((1, 1, L), 0.1, dtype=f64),  # delta (B, D, L)
    A.view(1, 4),  # (D, N)
    B.view(1, 4, 1).expand(1, 4, L),  # (B, N, L)
    C.view(1, 4, 1).expand(1, 4, L),  # (B, N, L)
)
assert torch.allclose(y.flatten(), recurrence(*mamba(A, B, 0.1), C, row), atol=1e-13)

# %% [markdown]
# ### A filter that forgets at edges
#
# What could $\Delta_t$ be good for? A noisy image should be averaged over many pixels, but not across the border of
# an organ. The time-invariant smoother has one $\Delta$ and has to choose. A selective one reads $\Delta_t$ off the
# image: long memory in flat parts, and *forget everything* where the intensity jumps. In a network a convolution
# before the scan lets $\Delta_t$ see such a jump; here it is written by hand. ($B_t$ is chosen so that a constant
# input gives that constant, whatever $\Delta_t$.)


# %%
def edge_keeper(u, jump=0.6, slow=0.2, fast=20.0):
    """Smooths u (B, L) along its length, and starts afresh wherever it jumps: (B, L)."""
    delta, B = edge_steps(u, jump, slow, fast)
    return scan_with(u, delta, B)


def edge_steps(u, jump=0.6, slow=0.2, fast=20.0):
    """Δ_t and B_t (B, L) that u selects."""
    step = F.pad(u, (1, 0)).diff(dim=-1).abs()  # |u_t - u_{t-1}|
    delta = torch.where(step > jump, fast, slow).to(u.dtype)
    return delta, -torch.expm1(-delta) / delta  # B_t Δ_t + exp(-Δ_t) = 1


def scan_with(u, delta, B):
    """The scan with A = -1, C = 1 and the given Δ_t, B_t: (B, L) -> (B, L)."""
    minus_one, ones = -torch.ones(1, 1, dtype=u.dtype), torch.ones_like(u)
    return selective_scan(u[:, None], delta[:, None], minus_one, B[:, None], ones[:, None])[:, 0]


generator = torch.Generator().manual_seed(0)
noisy = mask + 0.12 * torch.randn(mask.shape, dtype=f64, generator=generator)  # (H, W)
kept = edge_keeper(noisy)  # every row is a sequence


def rms(x):
    return x.square().mean().sqrt().item()


smoothed = {d: recurrence(*zoh(-one, one, d), one, noisy) for d in np.geomspace(0.03, 3, 13)}
best = min(smoothed, key=lambda d: rms(smoothed[d] - mask))
print(f"error before {rms(noisy - mask):.3f}, best constant Δ {rms(smoothed[best] - mask):.3f}, ", end="")
print(f"Δ selected by the input {rms(kept - mask):.3f}")
assert rms(kept - mask) < 0.55 * rms(smoothed[best] - mask)

# %% mystnb={"image": {"alt": "Top: a noisy lung mask, the same smoothed by a constant step, still noisy and a little blurred, and smoothed by a selected step, smooth with sharp borders. Bottom: one row of each"}}
fig, axes = plt.subplots(2, 3, figsize=(7.2, 4.6), height_ratios=(1.6, 1))
results = {"lung mask + noise": noisy, f"constant Δ = {best:.2f}": smoothed[best], "Δ from the input": kept}
for (top, bottom), (name, result) in zip(axes.T, results.items(), strict=True):
    top.imshow(result, vmin=-0.3, vmax=1.3)
    top.set_title(name, fontsize=12)
    top.set_axis_off()
    bottom.plot(result[56], linewidth=1.2)
    bottom.plot(mask[56], color="black", linewidth=0.8)
    bottom.set(ylim=(-0.5, 1.5), yticks=(0, 1), xlabel="row 56")
plt.show()

# %% [markdown]
# ### Why this is no convolution
#
# Hold the selected $\Delta_t$ and $B_t$ fixed, and the output is still linear in what passes through: $y = M u$. Column
# $s$ of $M$ is the answer to a pulse at pixel $s$. For a convolution, all columns are the same, each shifted down by one
# more. Here they aren't: what a pixel leaves behind depends on where it lies and ends at the next border.

# %% mystnb={"image": {"alt": "Two lower triangular matrices. Constant step: the same fading stripe along the whole diagonal. Selected step: separate triangular blocks, one for each stretch between two borders, with nothing below them"}}
L = len(row)
pulses = torch.eye(L, dtype=f64)  # one sequence for each pulse
delta, B_t = edge_steps(noisy[56:57])
frozen = scan_with(pulses, delta.expand(L, L), B_t.expand(L, L)).T  # (L, L), column s: the answer to a pulse at s
constant = recurrence(*zoh(-one, one, 0.2), one, pulses).T
assert torch.allclose(frozen @ noisy[56], kept[56])  # it is the selective filter, for this row
assert torch.allclose(constant[1:, 1:], constant[:-1, :-1])  # shifted along the diagonal: the same
assert not torch.allclose(frozen[1:, 1:], frozen[:-1, :-1], atol=1e-3)

fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.6))
for ax, M, name in zip(axes, (constant, frozen), ("constant Δ", "Δ selected by row 56"), strict=True):
    ax.imshow(M, cmap="viridis", vmax=0.1)
    ax.set(title=name, xlabel="input pixel s", ylabel="output pixel t")
plt.show()

# %% [markdown]
# So here is the counterexample. Add a faint spot to the row, at one pixel and then ten pixels further on. It is too
# faint to change the selection, so the row around it is treated as before. A convolution gives the same answer ten
# pixels later. The selective filter doesn't:

# %%
spot, shift = 0.05, 10
at = torch.where(mask[56] > 0)[0][0].item() - 15  # before the border of the first lung
rows = noisy[56].repeat(3, 1)
rows[1, at] += spot
rows[2, at + shift] += spot
assert torch.equal(edge_steps(rows)[0][0], edge_steps(rows)[0][2])  # the selection is the same

mismatch = {}
for name, system in {"constant Δ": lti, "selected Δ": edge_keeper}.items():
    plain, early, late = system(rows)
    mismatch[name] = ((late - plain) - later(early - plain, shift)).abs().max().item() / spot
    print(f"{name}: answer to the later spot, minus the shifted answer to the earlier one: {mismatch[name]:.3f}")
assert mismatch["constant Δ"] < 1e-12 < 0.01 < mismatch["selected Δ"]

# %% [markdown]
# :::{note}
# A fine point that is often told wrongly. Shift the *whole* input, and the output of a selective scan shifts with
# it, because $\Delta_t$ is the same function of the token at every position. As a map from input to output it
# is time-invariant. What it has lost is *linearity*: the answer to a sum is not the sum of the answers. Mamba's word
# "time-varying" is about the linear system that you get when the selected parameters are held fixed, the matrix $M$
# above.
# :::

# %%
u = noisy[56:58]  # two rows
assert torch.allclose(edge_keeper(later(u, 10)), later(edge_keeper(u), 10))  # the whole input later: output later
not_linear = rms(edge_keeper(u[:1] + u[1:]) - edge_keeper(u[:1]) - edge_keeper(u[1:]))
print(f"answer to a sum minus sum of the answers: {not_linear:.3f}; for the constant Δ: ", end="")
print(f"{rms(lti(u[0] + u[1]) - lti(u[0]) - lti(u[1])):.3f}")
assert not_linear > 0.01

# %% [markdown]
# How bad would it be to replace it by a convolution nevertheless? Over the rows of eight images, fit the *best* kernel
# of the full length $L$, in the sense of least squares, to inputs and outputs. For the time-invariant smoother it finds
# the kernel. For the selective one an error stays, and no kernel whatsoever has a smaller one.


# %%
def past_of(u):
    """Every pixel with its past: u (B, L) -> (B L, L), column k is the input k pixels ago."""
    L = u.shape[-1]
    return F.pad(u, (L - 1, 0)).unfold(-1, L, 1).flip(-1).reshape(-1, L)


masks = torch.stack([torch.from_numpy(data.read(c).label[8::16]).to(f64) for c in data.case_ids]).flatten(0, 1)
inputs = masks + 0.12 * torch.randn(masks.shape, dtype=f64, generator=generator)  # (64, L): 8 rows of 8 images
left = {}
for name, system in {"constant Δ": lti, "selected Δ": edge_keeper}.items():
    output = system(inputs)
    K = torch.linalg.lstsq(past_of(inputs), output.reshape(-1, 1)).solution[:, 0]
    left[name] = rms(convolve_fft(inputs, K) - output) / rms(output)
    print(f"{name}: the best convolution leaves {100 * left[name]:.0f}% of the output unexplained (rms)")
assert left["constant Δ"] < 1e-9 and left["selected Δ"] > 0.05

# %% [markdown]
# ### What selection buys: remembering one thing
#
# > We argue that a fundamental problem of sequence modeling is *compressing context into a smaller state*.
# >
# > — {cite}`gu2023mamba`, Section 3.1
#
# Mamba's test for this is *selective copying*: remember a few marked tokens among many others, wherever they are. Here
# is a small relative. Each token has a value $v_t$, and a few are marked, $m_t = 1$. Asked for at every token: the value
# at the *last mark*. (A radiologist's version: what was the intensity at the last border that I crossed?)


# %%
def marked_values(batch, L=48, generator=None):
    """Values v, marks m, both (B, L), and the value at the last mark so far (B, L); the first token is marked."""
    v = torch.rand(batch, L, generator=generator, dtype=f64) * 2 - 1
    m = (torch.rand(batch, L, generator=generator, dtype=f64) < 0.1).to(f64)
    m[:, 0] = 1
    last = (m * torch.arange(L)).cummax(-1).values.long()
    return v, m, v.gather(-1, last)


v, m, wanted = marked_values(1, L=12, generator=torch.Generator().manual_seed(3))
for name, line in (("v", v), ("m", m), ("wanted", wanted)):
    print(f"{name:<8}", " ".join(f"{x:5.1f}" for x in line[0]))

# %% [markdown]
# A time-invariant system can't do it. To be generous, we give it $v$, $m$, and even the product $v m$ as inputs, and
# for each the best of all kernels. For the selective system, one state is enough, and its weights can be written down:
# $\Delta_t$ large at a mark, so that the old value is wiped out and the new one comes in, and $\Delta_t = 0$ elsewhere,
# so that nothing happens.

# %%
generator = torch.Generator().manual_seed(0)
v, m, wanted = marked_values(400, generator=generator)
inputs = torch.cat([past_of(x) for x in (v, m, v * m)], dim=1)  # (B L, 3 L)
kernels = torch.linalg.lstsq(inputs, wanted.reshape(-1, 1)).solution

v, m, wanted = marked_values(400, generator=generator)  # new sequences
by_convolution = torch.cat([past_of(x) for x in (v, m, v * m)], dim=1) @ kernels
error_convolution = rms(by_convolution.view_as(wanted) - wanted) / rms(wanted)

delta = 30 * m  # e^-30 of the old value stays
by_selection = scan_with(v, delta, torch.full_like(v, 1 / 30))  # B = 1/30: at a mark Δ B = 1
error_selection = rms(by_selection - wanted) / rms(wanted)
print(f"best convolution: {100 * error_convolution:.0f}% of the signal missed; one selective state: ", end="")
print(f"{100 * error_selection:.0f}%")
assert error_convolution > 0.3 and error_selection < 1e-10

# %% [markdown]
# Can it be *learnt*? Take the package's selective SSM as it starts in a network, 16 channels with one state each, between
# two linear layers, and train it for a few seconds on this task.

# %% mystnb={"image": {"alt": "Error against training steps: it falls from one and passes below the dashed line of the best convolution early on"}}
torch.manual_seed(0)
lift, ssm, read = nn.Linear(2, 16), SelectiveSSM(channels=16, d_state=1), nn.Linear(16, 1)
parameters = [p for part in (lift, ssm, read) for p in part.parameters()]
optimiser = torch.optim.Adam(parameters, lr=5e-2)
generator = torch.Generator().manual_seed(1)
curve = []
for step in range(run.steps):
    v, m, wanted = (x.float() for x in marked_values(32, generator=generator))
    y = read(ssm(lift(torch.stack([v, m], dim=-1))))[..., 0]  # (B, L)
    loss = (y - wanted).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    for group in optimiser.param_groups:
        group["lr"] = 5e-2 * (1 - step / run.steps)
    curve.append(loss.sqrt().item() / rms(wanted))

plt.plot(curve, label="selective SSM, learning")
plt.axhline(error_convolution, color=COLORS[1], linestyle="--", label="best of all convolutions")
plt.ylim(0, 1.3)
plt.xlabel("training step")
plt.ylabel("share of the signal missed")
plt.legend()
plt.show()
assert np.mean(curve[-10:]) < 0.3 * error_convolution

# %% [markdown]
# Selection costs the convolution, and with it the FFT: the scan has to be done step by step, or by another parallel
# method. That is the subject of {doc}`02_selective_scan`.

# %% [markdown]
# ## Try it live
#
# Choose a pixel and a step, constant or selected by the pixels, and see what a state
# with $A = -1$ still holds there of every other pixel. In a running notebook the picture
# is computed anew with every move; the page shows some of its pictures.

# %%
from lightm_book.live import explore_scan

explore_scan()

# %% [markdown]
# ## Exercises
#
# ★ takes a line, ★★ some thought, ★★★ an afternoon. `check` says whether an answer is
# right, and if it is not, what to think about.

# %% tags=["hide-input"]
from lightm_book.exercises import check

# %% [markdown]
# :::{exercise} ★ Half of it a row later
# :label: ex-ssm-row
# An image is 256 pixels wide and is scanned row-major. Which $\Delta$ makes a state
# with $A = -1$ remember *half* of what it saw one row above?
# :::
#
# :::{hint}
# :class: dropdown
# What is left of a state after $k$ pixels is $e^{A \Delta k}$.
# :::
#
# :::{solution} ex-ssm-row
# :class: dropdown
# The half-life {eq}`eq-half-life` has to be 256 pixels:
# $\Delta = \ln 2 / 256 \approx 0.0027$. It lies near the lower end of the range in
# which Mamba starts, and only the slowest of the sixteen states, $A = -1$, has it
# there.
#
# ```python
# delta = math.log(2) / 256
# ```
# :::

# %%
delta = None  # your answer

check("ex-ssm-row", delta)

# %% [markdown]
# :::{exercise} ★ A cup without a hole
# :label: ex-ssm-sum
# With $A = 0$, $B = C = 1$ and $\Delta = 1$, what are $\bar A$ and $\bar B$ under
# zero-order hold, and what does the recurrence compute from a row? Write that as one
# call of a torch function of `u`, a tensor `(L,)`.
# :::
#
# :::{hint}
# :class: dropdown
# Write down $h_1$, $h_2$ and $h_3$ as sums of inputs.
# :::
#
# :::{solution} ex-ssm-sum
# :class: dropdown
# $\bar A = e^0 = 1$, and $\bar B = \int_0^1 e^{0}\,ds = 1$: the state adds everything
# up. It has a memory without end and can't tell anything apart in it.
#
# ```python
# def running(u):
#     return u.cumsum(0)
# ```
# :::


# %%
def running(u):
    return None  # your answer


check("ex-ssm-sum", running)

# %% [markdown]
# :::{exercise} ★★ The kernel without a loop
# :label: ex-ssm-vandermonde
# For a diagonal $A$, the kernel is $K_k = \sum_n C_n \bar B_n \bar A_n^k$. Compute it
# without a loop, as one product of a matrix with a vector. `A_bar`, `B_bar` and `C` are
# tensors `(N,)`; the result is `(length,)`.
# :::
#
# :::{hint}
# :class: dropdown
# One row of the matrix for each $k$, from 0 on, and one column for each state.
# :::
#
# :::{solution} ex-ssm-vandermonde
# :class: dropdown
# The matrix $\bar A_n^k$ is called Vandermonde's.
#
# ```python
# def my_kernel(A_bar, B_bar, C, length):
#     powers = A_bar ** torch.arange(length)[:, None]  # (length, N)
#     return powers @ (C * B_bar)  # (length,)
# ```
# :::


# %%
def my_kernel(A_bar, B_bar, C, length):
    return None  # your answer


check("ex-ssm-vandermonde", my_kernel)

# %% [markdown]
# :::{exercise} ★★ A row that bites its tail
# :label: ex-ssm-wrap
# A friend writes the FFT convolution without padding, as in the cell below. Which
# pixels of a row does it get wrong, and where do the errors come from? Then repair it
# with the second argument of `rfft` and `irfft`, for every length and every kernel.
# :::
#
# :::{hint}
# :class: dropdown
# The discrete Fourier transform takes the row for a ring. How many places does the ring
# need, so that the end of the row doesn't reach its beginning?
# :::
#
# :::{solution} ex-ssm-wrap
# :class: dropdown
# On a ring the end of the row comes 'before' its beginning, so the first pixels are
# wrong, the more so the longer the memory. The full convolution of two rows of $L$
# values has $2L - 1$, so that many places are enough, and fewer are not: a fixed number
# of zeros works only for short memories.
#
# ```python
# def ring(u, K):
#     n = 2 * len(u) - 1
#     return torch.fft.irfft(torch.fft.rfft(u, n) * torch.fft.rfft(K, n), n)[: len(u)]
# ```
# :::


# %%
def ring(u, K):
    return torch.fft.irfft(torch.fft.rfft(u) * torch.fft.rfft(K), len(u))  # your change


check("ex-ssm-wrap", ring)

# %% [markdown]
# :::{exercise} ★★★ Open: where should the step start?
# :label: ex-ssm-open
# Mamba's steps start between 0.001 and 0.1 whatever the image. Propose a rule that
# takes the width of the image into account. Say what you would measure to find out
# whether it helps a segmentation, and which result would convince you that it does not.
# :::
#
# :::{hint}
# :class: dropdown
# The half-life in pixels is $\ln 2 / (\Delta |A|)$; `SelectiveSSM` makes $\Delta$ from
# a bias that is drawn once.
# :::
#
# :::{solution} ex-ssm-open
# :class: dropdown
# A good answer ties the range of $\Delta$ to the width, so that some states outlive a
# row, and notes that the bias is learnt, so the start may not matter after training. It
# trains both with several seeds, names the measure (DSC, or the influence of a pixel on
# the one below it) beforehand, and says how large a difference would have to be to be
# seen ({doc}`08_ablations`).
# :::

# %% [markdown]
# ## In short
#
# * A state-space model keeps $N$ leaking numbers. Zero-order hold turns it into a loop over pixels without error;
#   Mamba's rule differs by a constant factor a state, as long as $\Delta$ is constant.
# * With constant parameters the loop is a convolution with a kernel as long as the input, and exponential.
# * A state forgets half in $\ln 2 / (\Delta|A|)$ tokens. In a flattened image the pixel above is a whole row of tokens ago.
# * With $\Delta_t$, $B_t$, $C_t$ read off the input, the scan can forget at an edge and hold what matters. It is then
#   neither linear nor a convolution.
#
# Next: {doc}`02_selective_scan` computes such a scan fast, forwards and backwards.
