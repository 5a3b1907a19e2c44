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

# %% tags=["hide-input"]
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from numpy.polynomial import legendre
from torch import nn

from lightm.counting import scan_macs
from lightm.data import load_dataset
from lightm.models.vss import DT_MAX, DT_MIN, SelectiveSSM
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
f64 = torch.float64  # the claims of this chapter are exact: compute with 16 digits
one = torch.ones(1, dtype=f64)

data = load_dataset("phantom-cxr", cases=8, size=128)
case = data.read(data.case_ids[1])
image = torch.from_numpy(case.image[0]).to(f64) / 255  # (H, W)
mask = torch.from_numpy(case.label).to(f64)  # (H, W), 1 in the lungs
row = image[56]  # (L,), the running example: one row through both lungs

# %% [markdown]
# Here is the whole idea in one picture. On the left is a synthetic radiograph with one row marked; on the right, that
# row and two states that walk along it from left to right. Each state is a single number, which every pixel changes a
# little. One forgets fast and follows the row, the other forgets slowly and averages it. What such a state is, and what
# decides how fast it forgets, is the subject of this chapter.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Left, a synthetic chest radiograph with a horizontal line through both lungs. Right, the intensities along that line, dark in the lungs, with two curves: the state that forgets fast follows the dips into the lungs closely, the one that forgets slowly rises gradually from zero and hardly dips at all"}}
fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.9), width_ratios=(1, 1.7))
axes[0].imshow(image)
axes[0].axhline(56, color=COLORS[1])
axes[0].set_axis_off()
axes[1].plot(row, color="darkgray", linewidth=3, label="the row")
for delta, color, name in ((0.5, COLORS[0], "fast"), (0.03, COLORS[1], "slowly")):
    walk = recurrence(*zoh(-one, one, delta), one, row)  # (L,)
    axes[1].plot(walk, color=color, label=f"forgets {name}")
axes[1].set(xlabel="pixel", ylim=(0, 1.35))
axes[1].legend(fontsize=10, ncols=3, loc="upper left", columnspacing=1)
plt.show()

# %% [markdown]
# ## Why an image network would want this
#
# > Expanding upon the groundwork laid by classical SSM research, modern SSMs (e.g., Mamba) not only establish
# > long-range dependencies but also demonstrate linear complexity concerning input size, making Mamba a strong
# > competitor to CNN and Transformer on the lightweight road of UNet.
# >
# > — {cite}`liao2024lightmunet`, Section 1
#
# Two promises: *long range*, and *linear* cost. For the second, count the multiplications for one channel, without the
# linear layers that both need around them. Mamba's scan with $N$ states does $4N + 2$ for every pixel
# ({doc}`09_counting` goes through them); attention does two for every pair of the $L$ pixels, one to compare them and
# one to add them up.

# %%
N = 16
sizes = {"64 x 64": 64**2, "512 x 512": 512**2, "128 x 128 x 128": 128**3}
print(f"{'input':<16}{'pixels L':>12}{'scan: (4N + 2) L':>18}{'attention: 2 L²':>20}")
for name, L in sizes.items():
    print(f"{name:<16}{L:>12,}{scan_macs((1, 1, L), N):>18,}{2 * L**2:>20,}")
    assert scan_macs((1, 1, L), N) == (4 * N + 2) * L

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
# exponentially, half of its content every $\ln 2 / a$. A linear SSM is several such cups, with holes of different
# sizes, and pipes between them:
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
# To see what such a system does, strike it once, like a bell. A very short pulse of area 1 at $t = 0$ puts $B$ into the
# state; from there it moves by itself, and the output (without $D$) is the *impulse response*
#
# $$ y(t) = C\,e^{At} B . $$ (eq-impulse)

# %%
show_source(impulse_response)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Four impulse responses over eight time units: a fast and a slow exponential decay, a difference of the two that starts at zero, rises and falls, and a decaying oscillation"}}
t = torch.linspace(0, 8, 400, dtype=f64)
two = torch.tensor([1.0, -1.0], dtype=f64)
fast_slow = torch.tensor([-0.5, -2.0], dtype=f64)
spinning = torch.tensor([[-0.3, -2.0], [2.0, -0.3]], dtype=f64)  # each feeds the other
half = torch.tensor([0.5, 0.5], dtype=f64)
curves = {
    "one state, A = -2": impulse_response(-2 * one, one, one, t),
    "one state, A = -0.5": impulse_response(-0.5 * one, one, one, t),
    "two states, slow minus fast": impulse_response(fast_slow, two.abs(), two, t),
    "two coupled states": impulse_response(spinning, one.repeat(2), half, t),
}
for name, y in curves.items():
    plt.plot(t, y, label=name)
plt.axhline(0, color=COLORS[-1], linewidth=0.5)
plt.xlabel("time")
plt.ylabel("impulse response")
plt.legend(fontsize=10)
plt.show()
assert torch.allclose(curves["one state, A = -2"], torch.exp(-2 * t))
slow_minus_fast = torch.exp(-0.5 * t) - torch.exp(-2 * t)
assert torch.allclose(curves["two states, slow minus fast"], slow_minus_fast)

# %% [markdown]
# ### Do the pipes matter? Diagonal systems
#
# The last curve came from a full matrix $A$. If $A$ has $N$ independent eigenvectors, the columns of $V$, it can be
# diagonalised, $A = V \Lambda V^{-1}$. In the coordinates $V^{-1}h$ no cup is connected to another, and the output is
# the same:

# %%
eigenvalues, V = torch.linalg.eig(spinning)
B_diagonal = torch.linalg.solve(V, one.repeat(2).to(V.dtype))  # V⁻¹ B
C_diagonal = half.to(V.dtype) @ V  # C V
terms = C_diagonal * B_diagonal * torch.exp(t[:, None] * eigenvalues)  # (T, N)
print("eigenvalues:", eigenvalues)
assert torch.allclose(terms.sum(-1).real, curves["two coupled states"])

# %% [markdown]
# So a diagonal $A$ does what a full one does, if its entries may be *complex*: the pair $-0.3 \pm 2i$ is a decaying
# oscillation. There are two reservations.
#
# * A *defective* matrix has too few eigenvectors. The smallest example is a cup that leaks into another like it: the
#   second one answers with $t\,e^{-t}$, which is no sum of two exponentials. Two nearly equal exponentials come close,
#   at the price of large weights that nearly cancel.
# * A matrix that can be diagonalised on paper may be out of reach for floating point: rounding errors can grow by the
#   condition number of $V$. For HiPPO, the matrix with which S4 {cite}`gu2022s4` began (see the
#   {ref}`deeper part <ssm-deeper>`), that number grows exponentially with $N$.

# %%
defective = torch.tensor([[-1.0, 1.0], [0.0, -1.0]], dtype=f64)
C_out, B_in = torch.eye(2, dtype=f64)  # in at the second state, out at the first
leaking = impulse_response(defective, B_in, C_out, t)
assert torch.allclose(leaking, t * torch.exp(-t))
for gap in (0.1, 0.01, 0.001):
    near = (torch.exp(-t) - torch.exp(-(1 + gap) * t)) / gap
    error = (near - leaking).abs().max().item()
    print(
        f"two exponentials with weights ±{1 / gap:<6.0f} miss t exp(-t) by {error:.5f}"
    )
    assert error < gap

for N in (4, 8, 16):
    condition = torch.linalg.cond(torch.linalg.eig(hippo_legs(N)[0]).eigenvectors)
    print(f"HiPPO, N = {N:>2}: condition number of V {condition.item():.0e}")
assert condition > 1e10  # more than float32, with 7 digits, can take

# %% [markdown]
# That is why S4 keeps HiPPO in another form, diagonal plus low rank, and why S4D {cite}`gu2022s4d` starts from other
# matrices, which are diagonal from the outset. Mamba goes one step further and takes the entries *real*, which rules
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
# Other rules approximate {eq}`eq-zoh`. Here are four rules for $A = -1$, $B = 1$ and a long step:

# %%
print("A = -1, B = 1, Δ = 0.5")
for name in RULES:
    A_bar, B_bar = discretise(-one, one, 0.5, name)
    print(f"{name:<10} Ā = {A_bar.item():.4f}   B̄ = {B_bar.item():.4f}")

# By hand, from their formulas:
by_hand = {"bilinear": (0.75 / 1.25, 0.5 / 1.25), "euler": (0.5, 0.5)}
by_hand["zoh"] = math.exp(-0.5), 1 - math.exp(-0.5)
for name, pair in by_hand.items():
    assert np.allclose([x.item() for x in discretise(-one, one, 0.5, name)], pair)
A_bar, B_bar = zoh(0 * one, one, 0.5)  # a cup without a hole adds everything up
assert A_bar.item() == 1 and B_bar.item() == 0.5

# %% [markdown]
# How wrong are they? Take the row through the lungs as a function that is constant on each pixel, cut every pixel
# into $m$ steps of length $\Delta = 1/m$, and compare the output at the ends of the pixels with the exact one.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Error against step size on logarithmic axes. Forward Euler and Mamba's rule fall along lines of slope one, the bilinear rule along slope two, zero-order hold lies at rounding error"}}
A = s4d_real(4)  # -1, -2, -3, -4
B, C = torch.ones(4, dtype=f64), torch.tensor([1.0, -2.0, 2.0, -1.0], dtype=f64)
pixels = row[:24]


def at_pixel_ends(rule, m):
    """The output after each pixel when a pixel takes m steps."""
    y = recurrence(*discretise(A, B, 1 / m, rule), C, pixels.repeat_interleave(m))
    return y[m - 1 :: m]


parts = np.array([4, 8, 16, 32, 64, 128])
exact = at_pixel_ends("zoh", 1)
errors = {
    rule: [(at_pixel_ends(rule, m) - exact).abs().max().item() for m in parts]
    for rule in RULES
}
for (rule, error), marker in zip(errors.items(), "os^v", strict=True):
    plt.loglog(1 / parts, error, marker=marker, label=rule)
plt.xlabel("step Δ, in pixels")
plt.ylabel("largest error")
plt.legend()
plt.show()

assert max(errors["zoh"]) < 1e-12  # however many steps: exact
print("halving Δ divides the error by:")
for rule, slope in {"bilinear": 2, "euler": 1, "mamba": 1}.items():
    halved = errors[rule][-2] / errors[rule][-1]
    print(f"  {rule:<10}{halved:.2f}")
    assert abs(math.log2(halved) - slope) < 0.1

# %% [markdown]
# Forward Euler has a second flaw. For a real $A < 0$ and a step that is long for it ($\Delta > 2/|A|$) the state
# doesn't forget, it explodes. With the others it never does.

# %%
deltas = (0.1, 0.45, 0.55, 10.0)
print("|Ā|, A = -4", *(f"Δ = {delta:<4}" for delta in deltas))
for name, rule in RULES.items():
    radius = [spectral_radius(rule(-4 * one, one, delta)[0]) for delta in deltas]
    print(f"{name:<10}", *(f"{r:8.3f}" for r in radius))
    assert (max(radius) < 1) == (name != "euler")

# %% [markdown]
# ### Mamba's rule
#
# Mamba's paper gives {eq}`eq-zoh`. Its published code uses the simpler $\bar B = \Delta B$, and so does this book:

# %%
show_source(mamba)

# %% [markdown]
# First order, like Euler: is that sloppy? Two identities say what it means.
#
# * Its kernel is the continuous impulse response {eq}`eq-impulse`, sampled and multiplied by $\Delta$. Engineers know
#   it as *impulse invariance*.
# * For a diagonal $A$, every state is that of zero-order hold times a number, $z/(e^z - 1)$ with $z = \Delta A$.

# %%
delta = 0.3
K = kernel(*mamba(A, B, delta), C, 20)
sampled = impulse_response(A, B, C, delta * torch.arange(20, dtype=f64))
assert torch.allclose(K, delta * sampled, atol=1e-14)

z = delta * A
factor = z / torch.expm1(z)
by_mamba, by_zoh = states(*mamba(A, B, delta), row), states(*zoh(A, B, delta), row)
assert torch.allclose(by_mamba, by_zoh * factor, atol=1e-12)
print("A:     ", A)
print("factor:", factor)

# %% [markdown]
# In a single channel with a constant $\Delta$, the factor can be moved into $B$, and the two rules describe the same
# set of models. In Mamba they don't. There, all channels share $B$ and $C$, while $A$ and $\Delta$, and with them the
# factor, are a channel's own; and a $\Delta$ that is selected changes the factor from token to token. No common $B$ and
# $C$ can make up for different factors, because exponentials with different rates are linearly independent:


# %%
def best_match(deltas, length=60):
    """What the best common B and C for these Δ miss of zero-order hold."""
    wanted = torch.cat([kernel(*zoh(A, B, d), C, length) for d in deltas])
    answers = [
        torch.cat([kernel(*mamba(A_n, one, d), one, length) for d in deltas])
        for A_n in A.split(1)
    ]
    answers = torch.stack(answers, dim=1)  # (channels * length, N)
    weights = torch.linalg.lstsq(answers, wanted[:, None]).solution[:, 0]  # C_n B_n
    return ((answers @ weights - wanted).norm() / wanted.norm()).item()


alone, shared = best_match([0.3]), best_match([0.05, 0.3])
print(f"Mamba's rule misses zero-order hold by {100 * alone:.1f}% in one channel,")
print(f"by {100 * shared:.1f}% in two channels that share B and C")
assert alone < 1e-9 and shared > 0.01

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
# With a diagonal $\bar A$ that is three multiplications per pixel and state and one for $D$, $3N + 1$: fewer than the
# $4N + 2$ from above, because constant $\bar A$ and $\bar B$ are computed once and not for every token.
#
# Six pixels, one state, $A = -1$ and $\Delta = 0.5$. Check a line by hand: $\bar A$ times the line before, plus $\bar
# B$ times the new input. The cell also solves the differential equation by its integral, $h(t) = \int_0^t e^{-(t-s)}
# u(s)\,ds$, and finds the same states.

# %%
u = torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0, 2.0], dtype=f64)
A_bar, B_bar = zoh(-one, one, 0.5)
h = states(A_bar, B_bar, u)  # (L, N)
print(f"Ā = {A_bar.item():.3f}, B̄ = {B_bar.item():.3f}")
for step, (u_t, h_t) in enumerate(zip(u, h[:, 0], strict=True), 1):
    print(f"t = {step}   u = {u_t:.0f}   h = {h_t:.3f}")

ends = 0.5 * torch.arange(1, 7, dtype=f64)  # the time at which each pixel ends
since = ends[:, None] - ends  # (L, L), from the end of pixel s to the end of pixel t
integral = (torch.exp(-since) - torch.exp(-(since + 0.5))).tril()  # over pixel s
assert torch.allclose(h[:, 0], integral @ u)

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
shifted = [F.pad(K, (k, 0))[: len(u)] for k in range(len(u))]
M = torch.stack(shifted, dim=1)  # (L, L), column k: K shifted down by k
print(M)
y = recurrence(A_bar, B_bar, one, u)
assert torch.allclose(M @ u, y) and torch.allclose(convolve(u, K), y)

# %% [markdown]
# A CNN has kernels that are 3 or 7 pixels wide. This one is as long as the image row, and $2N + 1$ numbers describe it
# whatever its length: the $N$ decays $\bar A_n$, the $N$ weights $C_n \bar B_n$, and $D$. The price is its shape: a sum
# of exponentials.
#
# A kernel of length $L$ costs of the order of $L^2$ multiplications if it is applied directly. The fast Fourier
# transform turns a convolution into a product and costs of the order of $L \log L$:

# %%
show_source(convolve_fft)

# %% [markdown]
# Now the claim of this section for larger systems: a full matrix, a real diagonal, a complex diagonal, each with the
# three rules that don't explode, on the row through the lungs. Four ways to compute give one result.

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
        shifted = [F.pad(K, (k, 0))[: len(row)] for k in range(len(row))]
        toeplitz = torch.stack(shifted, dim=1)  # (L, L)
        for other in (convolve(row, K), convolve_fft(row, K), toeplitz @ row):
            worst = max(worst, (other - y).abs().max().item())
assert worst < 1e-12

# %% [markdown]
# ## Linear, and the same everywhere
#
# A convolution has two properties, and a causal system on sequences that has both is a convolution. It is *linear*: the
# answer to a sum is the sum of the answers, and twice the input gives twice the output. It is *time-invariant*: if the
# input comes later, the output comes later and is otherwise the same.
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
mixed = lti(2 * row - 3 * other_row)
assert torch.allclose(mixed, 2 * lti(row) - 3 * lti(other_row))  # linear
assert torch.allclose(lti(later(row, 10)), later(lti(row), 10))  # time-invariant

# %% [markdown]
# ## How far back it remembers
#
# In a real diagonal system, $k$ steps multiply a state by $e^{\Delta A k}$. It has lost half of what it knew after
#
# $$ k_{1/2} = \frac{\ln 2}{\Delta\,|A|} \quad \text{pixels}. $$ (eq-half-life)
#
# Only the product $\Delta |A|$ counts for that. Move the slider: on the left the kernel, on the right what it makes of
# the row through the lungs.

# %% tags=["hide-input"]
frames, labels = [], []
for delta in (2.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01):
    A_bar, B_bar = zoh(-one, one, delta)
    pulse = F.pad(one, (0, len(row) - 1))  # 1, 0, 0, ...
    K = recurrence(A_bar, B_bar, one, pulse)
    half_life = math.log(2) / delta
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.9), width_ratios=(1, 1.6))
    axes[0].bar(range(len(row)), K / K[0], width=1.0)
    axes[0].axvline(half_life, color=COLORS[1], linestyle="--")
    axes[0].set(
        xlim=(-1, len(row)), ylim=(0, 1), xlabel="pixels ago", title="kernel, relative"
    )
    axes[1].plot(row, color="darkgray", label="input")
    axes[1].plot(convolve_fft(row, K), label="output")
    axes[1].set(ylim=(0, 1), xlabel="pixel", title="one row")
    axes[1].legend(fontsize=10, loc="lower right")
    frames.append(fig)
    labels.append(f"Δ = {delta}, half-life {half_life:.1f} pixels")
    lost = (K <= K[0] / 2).nonzero()[0].item()  # seen in the answer to the pulse
    assert lost == math.ceil(half_life)
frames_slider(
    frames,
    labels,
    alt="Left, an exponential kernel that gets longer as the step gets smaller; "
    "right, a row of a synthetic radiograph, first followed closely by the output, "
    "then smoothed and delayed, in the end hardly followed at all",
    caption="A = -1. The dashed line is the half-life. Short memory copies; long "
    "memory averages, and comes late.",
)

# %% [markdown]
# The output is late: the scan knows only what it has passed. A model with this property is called *causal*. It is one
# reason why image models scan in more than one direction.
#
# Mamba's diagonal is $A = (-1, -2, \dots, -N)$, called S4D-Real: with $N = 16$ that is sixteen half-lives in one
# channel. Together with $\Delta$, which starts between 0.001 and 0.1 and differs between channels, a layer has memories
# of many lengths:

# %%
print("half-lives in pixels, A = -1, -2, -4, -8, -16")
for delta in (DT_MAX, 0.01, DT_MIN):
    half_lives = math.log(2) / (delta * s4d_real(16).abs())
    print(f"Δ = {delta:<6}", *(f"{half_lives[n - 1]:8.1f}" for n in (1, 2, 4, 8, 16)))
assert (DT_MIN, DT_MAX) == (0.001, 0.1)

# %% [markdown]
# A state is a *compression* of the past, and $A$ decides what is kept. (The {ref}`deeper part <ssm-deeper>` shows an
# $A$ that was derived from the question what to keep.) Mamba starts from the simple S4D-Real and leaves the question of
# what to keep to the input. That is selection, below.
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
# the right, what this SSM makes of the image, the same radiograph with fewer pixels, so that one can see them.

# %% tags=["hide-input"]
small = load_dataset("phantom-cxr", cases=2, size=48)  # the same cases
picture = torch.from_numpy(small.read(small.case_ids[1]).image[0])  # (H, W)
picture = picture.to(f64) / 255
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
    shades = torch.log10(weight / K[0]).clamp(-4).view(H, W)
    axes[0].imshow(shades, cmap="viridis", vmin=-4, vmax=0)
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
    pulses = torch.zeros(2, H, W, dtype=f64)  # one at the pixel itself, one above it
    pulses[0, i, j] = pulses[1, i - 1, j] = 1
    itself, above = recurrence(A_bar, B_bar, one, pulses.flatten(1))[:, now].tolist()
    assert math.isclose(above / itself, 2 ** (-W / half_life), rel_tol=1e-6)
frames_slider(
    frames,
    labels,
    alt="Left, the weight of earlier pixels for one pixel: at first a short streak to "
    "its left, then a fading row, then several fading rows above, in the end nearly "
    "the same weight for all of the image above it. Right, the output: the radiograph "
    "smeared to the right, then horizontal stripes, in the end a plain gradient from "
    "dark to gray",
    caption="Yellow: weight as of the pixel itself. Dark: a ten-thousandth or less. "
    "Empty: the future, not seen.",
)

# %% [markdown]
# Three things follow.
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

# %% tags=["hide-input"] mystnb={"image": {"alt": "Three pictures: the output when each row is scanned by itself, dark at the left edge; the output of the flattened scan, bright at the left edge where it carries over from the row above; and the difference, which fades from the left edge to the right"}}
A_bar, B_bar = zoh(-one, one, math.log(2) / 6)
flat = recurrence(A_bar, B_bar, one, tokens).view(H, W)
by_row = recurrence(A_bar, B_bar, one, picture)  # (H, W): the rows are a batch
at_row_end = states(A_bar, B_bar, tokens).view(H, W, 1)[:, -1]  # (H, N)
carried = F.pad(at_row_end[:-1], (0, 0, 1, 0))  # each row inherits it; the first none
inherited = carried @ (A_bar ** torch.arange(1, W + 1)[:, None]).T  # (H, W)
assert torch.allclose(flat - by_row, inherited, atol=1e-12)

shown = {"row by row": by_row, "flattened": flat, "difference": inherited}
fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.8))
for ax, (name, result) in zip(axes, shown.items(), strict=True):
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
# Mamba's scan is the recurrence of this chapter:

# %%
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
    """Smooths u (B, L) along its length, starting afresh where it jumps: (B, L)."""
    delta, B = edge_steps(u, jump, slow, fast)
    return scan_with(u, delta, B)


def edge_steps(u, jump=0.6, slow=0.2, fast=20.0):
    """Δ_t and B_t (B, L) that u selects."""
    step = F.pad(u, (1, 0)).diff(dim=-1).abs()  # |u_t - u_{t-1}|
    delta = torch.where(step > jump, fast, slow).to(u.dtype)
    return delta, -torch.expm1(-delta) / delta  # B_t Δ_t + exp(-Δ_t) = 1


def scan_with(u, delta, B):
    """The scan with A = -1, C = 1 and the given Δ_t, B_t: (B, L) -> (B, L)."""
    A, C = -torch.ones(1, 1, dtype=u.dtype), torch.ones_like(u)
    u, delta, B, C = (x[:, None] for x in (u, delta, B, C))  # (B, 1, L)
    return selective_scan(u, delta, A, B, C)[:, 0]


generator = torch.Generator().manual_seed(0)
noisy = mask + 0.12 * torch.randn(mask.shape, dtype=f64, generator=generator)  # (H, W)
kept = edge_keeper(noisy)  # every row is a sequence


def rms(x):
    return x.square().mean().sqrt().item()


smoothed = {
    d: recurrence(*zoh(-one, one, d), one, noisy) for d in np.geomspace(0.03, 3, 13)
}
best = min(smoothed, key=lambda d: rms(smoothed[d] - mask))
print(f"error before: {rms(noisy - mask):.3f}")
print(f"after the best constant Δ: {rms(smoothed[best] - mask):.3f}")
print(f"after a Δ selected by the input: {rms(kept - mask):.3f}")
assert rms(kept - mask) < 0.55 * rms(smoothed[best] - mask)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Top: a noisy lung mask, the same smoothed by a constant step, still noisy and a little blurred, and smoothed by a selected step, smooth with sharp borders. Bottom: one row of each"}}
fig, axes = plt.subplots(2, 3, figsize=(7.2, 4.6), height_ratios=(1.6, 1))
results = {
    "lung mask + noise": noisy,
    f"constant Δ = {best:.2f}": smoothed[best],
    "Δ from the input": kept,
}
for (top, bottom), (name, result) in zip(axes.T, results.items(), strict=True):
    top.imshow(result, vmin=-0.3, vmax=1.3)
    top.set_title(name, fontsize=12)
    top.set_axis_off()
    bottom.plot(result[56], linewidth=1.2)
    bottom.plot(mask[56], color=COLORS[1], linewidth=0.8)
    bottom.set(ylim=(-0.5, 1.5), yticks=(0, 1), xlabel="row 56")
plt.show()

# %% [markdown]
# ### Why this is no convolution
#
# Hold the selected $\Delta_t$ and $B_t$ fixed, and the output is still linear in what passes through: $y = M u$. Column
# $s$ of $M$ is the answer to a pulse at pixel $s$. For a convolution, all columns are the same, each shifted down by one
# more. Here they aren't: what a pixel leaves behind depends on where it lies and ends at the next border.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two lower triangular matrices. Constant step: the same fading stripe along the whole diagonal. Selected step: separate triangular blocks, one for each stretch between two borders, with nothing below them"}}
L = len(row)
pulses = torch.eye(L, dtype=f64)  # one sequence for each pulse
delta, B_t = edge_steps(noisy[56:57])
frozen = scan_with(pulses, delta.expand(L, L), B_t.expand(L, L)).T
constant = lti(pulses).T  # (L, L), column s: the answer to a pulse at s
assert torch.allclose(frozen @ noisy[56], kept[56])  # the selective filter of this row
assert torch.allclose(constant[1:, 1:], constant[:-1, :-1])  # equal along diagonals
assert not torch.allclose(frozen[1:, 1:], frozen[:-1, :-1], atol=1e-3)

fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.6))
shown = {"constant Δ": constant, "Δ selected by row 56": frozen}
for ax, (name, M) in zip(axes, shown.items(), strict=True):
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
selected = edge_steps(rows)[0]
assert torch.equal(selected[0], selected[1])  # the selection is the same
assert torch.equal(selected[0], selected[2])

mismatch = {}
print("answer to the later spot, minus the shifted answer to the earlier one")
for name, system in {"constant Δ": lti, "selected Δ": edge_keeper}.items():
    plain, early, late = system(rows)
    difference = (late - plain) - later(early - plain, shift)
    mismatch[name] = difference.abs().max().item() / spot
    print(f"  {name}: {mismatch[name]:.3f}")
assert mismatch["constant Δ"] < 1e-12 < 0.01 < mismatch["selected Δ"]

# %% [markdown]
# :::{note}
# A fine point that is often told wrongly. Shift the *whole* input, with zeros before it, and the output of a selective
# scan shifts with it, because $\Delta_t$ is the same function of the token at every position. As a map from input to
# output it is time-invariant. What it has lost is *linearity*: the answer to a sum is not the sum of the answers.
# Mamba's word "time-varying" is about the linear system that you get when the selected parameters are held fixed, the
# matrix $M$ above.
# :::

# %%
u = noisy[56:58]  # two rows
assert torch.allclose(edge_keeper(later(u, 10)), later(edge_keeper(u), 10))


def not_additive(system):
    """How far the answer to a sum is from the sum of the answers."""
    return rms(system(u[:1] + u[1:]) - system(u[:1]) - system(u[1:]))


print("answer to a sum minus sum of the answers:")
print(
    f"  constant Δ {not_additive(lti):.3f}, selected Δ {not_additive(edge_keeper):.3f}"
)
assert not_additive(lti) < 1e-12 < 0.01 < not_additive(edge_keeper)

# %% [markdown]
# How bad would it be to replace it by a convolution nevertheless? Over the rows of eight images, fit the *best* kernel
# of the full length $L$, in the sense of least squares, to inputs and outputs. For the time-invariant smoother it finds
# the kernel. For the selective one an error stays, and on these rows no causal kernel has a smaller one.


# %%
def past_of(u):
    """u (B, L) -> (B L, L): for every pixel its past, column k is k pixels ago."""
    L = u.shape[-1]
    return F.pad(u, (L - 1, 0)).unfold(-1, L, 1).flip(-1).reshape(-1, L)


every16th = [torch.from_numpy(data.read(c).label[8::16]) for c in data.case_ids]
masks = torch.cat(every16th).to(f64)  # (64, L): 8 rows of 8 images
inputs = masks + 0.12 * torch.randn(masks.shape, dtype=f64, generator=generator)
left = {}
print("left unexplained by the best convolution (rms)")
for name, system in {"constant Δ": lti, "selected Δ": edge_keeper}.items():
    output = system(inputs)
    K = torch.linalg.lstsq(past_of(inputs), output.reshape(-1, 1)).solution[:, 0]
    left[name] = rms(convolve_fft(inputs, K) - output) / rms(output)
    print(f"  {name}: {100 * left[name]:.0f}% of the output")
assert left["constant Δ"] < 1e-9 and left["selected Δ"] > 0.05

# %% [markdown]
# ### What selection buys: remembering one thing
#
# > We argue that a fundamental problem of sequence modeling is *compressing context into a smaller state*.
# >
# > — {cite}`gu2023mamba`, Section 3.1
#
# Mamba's test for this is *selective copying*: remember a few marked tokens among many others, wherever they are. Here
# is a simpler task of the same kind. Each token has a value $v_t$, and a few are marked, $m_t = 1$. The question at
# every token is: what was the value at the *last mark*? (On an image: what was the intensity at the last border?)


# %%
def marked_values(batch, L=48, generator=None):
    """Values v, marks m and the value at the last mark so far, each (B, L)."""
    v = torch.rand(batch, L, generator=generator, dtype=f64) * 2 - 1
    m = (torch.rand(batch, L, generator=generator, dtype=f64) < 0.1).to(f64)
    m[:, 0] = 1  # the first token is always marked
    last = (m * torch.arange(L)).cummax(-1).values.long()
    return v, m, v.gather(-1, last)


v, m, wanted = marked_values(1, L=12, generator=torch.Generator().manual_seed(3))
for name, line in (("v", v), ("m", m), ("wanted", wanted)):
    print(f"{name:<8}", " ".join(f"{x:5.1f}" for x in line[0]))

# %% [markdown]
# A linear time-invariant system can't do it. To be generous, we give it $v$, $m$, and even the product $v m$ as inputs,
# and for each the best of all kernels. For the selective system, one state is enough, and its weights can be written
# down:
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
B_t = torch.full_like(v, 1 / 30)  # at a mark Δ B = 1
by_selection = scan_with(v, delta, B_t)
error_selection = rms(by_selection - wanted) / rms(wanted)
print(f"signal missed by the best convolution:  {100 * error_convolution:3.0f}%")
print(f"signal missed by one selective state:   {100 * error_selection:3.0f}%")
assert error_convolution > 0.3 and error_selection < 1e-10

# %% [markdown]
# Can it be *learnt*? Take the package's selective SSM as it starts in a network, 16 channels with one state each,
# between two linear layers, and train it for a few seconds on this task.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Error against training steps: it falls from one and passes below the dashed line of the best convolution early on"}}
torch.manual_seed(0)
lift, ssm, read = (
    nn.Linear(2, 16),
    SelectiveSSM(channels=16, d_state=1),
    nn.Linear(16, 1),
)
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
best = "best of all convolutions"
plt.axhline(error_convolution, color=COLORS[1], linestyle="--", label=best)
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
# (ssm-deeper)=
# ## Deeper: frequencies, and what a state can hold
#
# Nothing after this part needs it. It is for readers who want to see time-invariant state-space models from two more
# sides: what they do to each frequency, and how much of the past $N$ numbers can hold.
#
# ### What passes the filter
#
# A convolution has a transfer function: what it does to an oscillation of each frequency. (In imaging, its magnitude,
# scaled to 1 at frequency zero, is called the modulation transfer function.) It is a sum over the kernel, and for an
# SSM whose $\bar A$ has all eigenvalues inside the unit circle, that sum has a closed form,
#
# $$ H(z) = \sum_{k \ge 0} K_k z^{-k} = C\,(I - \bar A/z)^{-1}\bar B + D, \qquad z = e^{i\omega}. $$

# %% tags=["hide-input"] mystnb={"image": {"alt": "Magnitude of the transfer function against frequency up to half a cycle per pixel. A single real state is a low-pass filter, the difference of two states stops what is constant and lets most of the rest pass, a complex state has a sharp peak at its own frequency"}}
frequency = torch.linspace(0, 0.5, 400, dtype=f64)  # cycles per pixel
z = torch.exp(2j * math.pi * frequency)
complex_one = torch.ones(1, dtype=torch.complex128)
fast_and_slow = torch.tensor([-0.2, -2.0], dtype=f64)
filters = {
    "one real state": (-0.3 * one, 0.3 * one, one),
    "two real states": (fast_and_slow, -fast_and_slow, two),
    "one complex state": (torch.tensor([-0.1 + 1j]), 0.1 * complex_one, complex_one),
}
for name, (A_, B_, C_) in filters.items():
    A_bar, B_bar = zoh(A_.to(B_.dtype), B_, 1.0)
    H = transfer_function(A_bar, B_bar, C_, z)
    K = kernel(A_bar, B_bar, C_, 400)
    series = (K * z[:, None] ** -torch.arange(400)).sum(-1)
    assert torch.allclose(H, series, atol=1e-9)
    plt.plot(frequency, H.abs(), label=name)
plt.xlabel("cycles per pixel")
plt.ylabel("|H|")
plt.legend()
plt.show()

# %% [markdown]
# ### What a state can hold
#
# Sixteen exponentials sound poor. How much of the past can sixteen numbers hold? There is an $A$ that was *derived*
# from this question: HiPPO-LegS {cite}`gu2020hippo`, in the time-invariant form with which S4 {cite}`gu2022s4` began.
# Let
# $L_n(x) = \sqrt{2n + 1}\,P_n(2x - 1)$ be Legendre's polynomials, scaled and shifted so that they are orthonormal on
# $[0, 1]$. HiPPO's $A$ and $B$ are such that its states are
#
# $$ h_n(t) = \int_0^\infty e^{-\tau} L_n(e^{-\tau})\, u(t - \tau)\, d\tau . $$ (eq-hippo)
#
# With $x = e^{-\tau}$, which maps the whole past to the interval from 1 (now) to 0 (long ago), the integral is
# $\int_0^1 L_n(x)\,u\,dx$: the states are the coefficients of the past in the basis $L_n$. So it can be *drawn* from the
# state alone,
#
# $$ u(t - \tau) \approx \sum_{n < N} h_n(t)\, L_n(e^{-\tau}), $$ (eq-recall)
#
# the best approximation by $N$ terms in the sense of least squares over $x$. It is fine for what is recent and coarse
# for what is long ago.

# %%
delta = 3 / len(row)  # the whole row lies within three time constants
x_edge = np.exp(-delta * np.arange(len(row), -1, -1))  # (L + 1,), the pixels' borders


def legs_integral(n, x):
    """The integral of L_n from 0 to x."""
    P = legendre.legint(np.eye(n + 1)[n], lbnd=-1)
    return math.sqrt(2 * n + 1) * legendre.legval(2 * x - 1, P) / 2


memory = {N: states(*zoh(*hippo_legs(N), delta), row)[-1] for N in (4, 16, 64)}
for N, h in memory.items():  # h (N,): all that is left of the row
    over_pixels = np.stack([np.diff(legs_integral(n, x_edge)) for n in range(N)])
    assert np.allclose(h, over_pixels @ row.numpy(), atol=1e-9)

# %% tags=["hide-input"] mystnb={"image": {"alt": "A row of a synthetic radiograph and its reconstruction from the final state alone, for 4, 16 and 64 states: 4 states show its rough shape only, 64 states nearly every dip, and the detail is finest near the right end, where the scan stands"}}
fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.7), sharey=True)
ago = np.arange(len(row))[::-1] + 0.5  # pixels from the middle of each pixel to the end
missed = {}
for ax, (N, h) in zip(axes, memory.items(), strict=True):
    scale = np.sqrt(2 * np.arange(N) + 1)
    recalled = legendre.legval(2 * np.exp(-delta * ago) - 1, h.numpy() * scale)
    missed[N] = np.sqrt(np.mean((recalled - row.numpy())[-96:] ** 2))
    ax.plot(row, color="darkgray", linewidth=3)
    ax.plot(recalled, linewidth=1.5)
    ax.set(ylim=(0, 1.1), title=f"{N} states", xlabel="pixel")
plt.show()
for N, error in missed.items():
    print(f"{N:>2} states: error of the last 96 pixels {error:.3f}")
assert missed[4] > missed[16] > missed[64]

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
# * A state-space model keeps $N$ leaking numbers. For an input that is constant on each pixel, zero-order hold turns it
#   into a loop over pixels without error.
# * Mamba's rule gives each state another constant factor. One channel with a constant $\Delta$ can absorb it in $B$;
#   channels that share $B$ and $C$ can't.
# * With constant parameters the loop is a convolution with a kernel as long as the input, a sum of exponentials.
# * A real state forgets half in $\ln 2 / (\Delta|A|)$ tokens. In a flattened image the pixel above is a whole row of
#   tokens ago.
# * With $\Delta_t$, $B_t$, $C_t$ computed from the input, the scan can forget at an edge and hold what matters. It is then
#   no longer linear in its input, and no convolution.
#
# **Where to go.** {doc}`02_selective_scan` computes such a scan fast, forwards and backwards. If you would rather see
# first where the network uses it, {doc}`03_vss_module` can be read now. {doc}`../book/notation` has all letters on one
# page.
