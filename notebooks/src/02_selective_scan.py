# %% [markdown]
# # The selective scan
#
# Chapter 1 ended with a loop that is no convolution any more. This chapter is about that loop alone: what it computes,
# why it can be cut into pieces that run side by side although every step needs the one before, how its gradient runs
# the other way, and what all of it costs. At the end, implementations that have hardly a line in common give the same
# numbers.
#
# You need: {doc}`01_state_space_models`, and the chain rule.
#
# At the end you can say
# * what `selective_scan` computes, by heart and with a pencil,
# * why a recurrence can be computed in parallel, and why its natural shortcut fails,
# * how to derive its gradient, and why the states are computed twice,
# * what costs time and what costs memory, and how both grow with the image.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %% tags=["hide-input"]
import math
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from lightm.cpu import math as vector_math
from lightm.data import load_dataset
from lightm.models import build_model
from lightm.scan import (
    backends,
    chunked,
    cpu_backward,
    cpu_forward,
    reference,
    selective_scan,
)
from lightm_book.show.figures import COLORS, frames_slider, use_style
from lightm_book.show.notebook import check_profile, show_source

run = check_profile(
    profile,
    {
        "smoke": {"device": "cpu", "log2_longest": (10, 12, 14, 16)},
        "paper": {"device": "cuda", "log2_longest": (12, 16, 21, 21)},
    },
)
use_style()
torch.set_printoptions(precision=3, sci_mode=False)
f64 = torch.float64

# %% [markdown]
# ## The definition
#
# For one sequence, $D$ channels and $N$ states per channel, with $h_0 = 0$:
#
# $$
# \begin{aligned}
# h_t &= \exp(\Delta_t A)\; h_{t-1} + \Delta_t B_t u_t \\
# y_t &= C_t \cdot h_t + D\,u_t
# \end{aligned}
# $$ (eq-scan)
#
# $u_t$, $\Delta_t$ and $y_t$ have one number per channel. $A$ is a table $(D, N)$ of negative numbers. $B_t$ and $C_t$
# have $N$ numbers, *shared by all channels*; $C_t \cdot h_t$ is a sum over the states. Nothing in {eq}`eq-scan` lets
# two channels or two states meet, except that sum. So the whole chapter can think about one channel and one state:
#
# $$
# h_t = a_t\,h_{t-1} + b_t, \qquad a_t = e^{\Delta_t A}, \qquad b_t = \Delta_t B_t u_t .
# $$ (eq-scalar)
#
# Five tokens, one channel, one state. The second column is what is left of the old state, the third is what comes in.
# Check a line with a pencil.

# %%
u = torch.tensor([1.0, 2.0, 0.0, 1.0, 3.0], dtype=f64)
delta = torch.tensor([0.5, 0.5, 2.0, 0.0, 0.5], dtype=f64)
B = torch.tensor([1.0, 1.0, 1.0, 1.0, 2.0], dtype=f64)
C = torch.tensor([1.0, 1.0, 1.0, 2.0, 1.0], dtype=f64)
A = torch.tensor([[-1.0]], dtype=f64)

a, b = torch.exp(delta * A[0, 0]), delta * B * u
h, kept = 0.0, []
for t in range(5):
    h = a[t] * h + b[t]
    kept.append(h)
    print(f"t = {t + 1}   a = {a[t]:.3f}   b = {b[t]:.3f}   h = {h:.3f}", end="")
    print(f"   y = {C[t] * h:.3f}")


def one_channel(u, delta, A, B, C, **options):
    """The package's scan of one sequence, channel and state: all but A are (L,)."""
    u, delta, B, C = (x.view(1, 1, -1) for x in (u, delta, B, C))
    return selective_scan(u, delta, A, B, C, **options)


y = one_channel(u, delta, A, B, C).flatten()
assert torch.allclose(y, C * torch.stack(kept))

# %% tags=["hide-input"] mystnb={"image": {"alt": "Five tokens on an axis of time. The state jumps up when a token comes in and decays while it lasts; during the long third token it falls almost to zero, the fourth has no length and changes nothing, the fifth brings the largest jump"}}
fig, ax = plt.subplots(figsize=(7.2, 2.6))
clock, before = 0.0, 0.0
for t in range(5):
    time_in = torch.linspace(0, delta[t], 50)
    ax.plot(clock + time_in, before * torch.exp(-time_in), color=COLORS[0])
    clock += delta[t].item()
    decayed = before * a[t].item()
    ax.plot([clock, clock], [decayed, kept[t]], color=COLORS[1], linestyle=":")
    ax.plot(clock, kept[t], "o", color=COLORS[1])
    name = "$h_3$, $h_4$" if t == 2 else f"$h_{t + 1}$"
    if t != 3:  # the fourth lies on the third
        ax.annotate(name, (clock, kept[t]), (6, 4), textcoords="offset points")
    before = kept[t].item()
ax.set(xlabel="time: the sum of the steps Δ", ylabel="state", ylim=(0, 3.7))
plt.show()

# %% [markdown]
# The state decays along the blue lines while a token lasts, and the token comes in at its end (dotted). At $t = 3$ a
# large $\Delta$ wipes the state out. At $t = 4$ the step is zero: the token is not seen, whatever it says,
# and the state stays. In a network both are *selected* by the token itself.
#
# The package has {eq}`eq-scan` as a loop, line by line. It is the *reference*: everything faster is held to it.

# %%
show_source(reference.scan, start="h = u.new_zeros", end="y.append")

# %% [markdown]
# ### The same as a matrix
#
# Put the recurrence into itself, as in chapter 1. The way from $u_s$ to $y_t$ goes through every decay between them:
#
# $$ y_t = \sum_{s \le t} M_{ts}\,u_s, \qquad M_{ts} = C_t\,\big(a_t a_{t-1} \cdots a_{s+1}\big)\,\Delta_s B_s . $$ (eq-matrix)

# %%
M = torch.zeros(5, 5, dtype=f64)
for t in range(5):
    for s in range(t + 1):
        M[t, s] = C[t] * a[s + 1 : t + 1].prod() * delta[s] * B[s]
print(M)
assert torch.allclose(M @ u, y)

# %% [markdown]
# Nobody computes the scan that way, with $L^2$ entries for $L$ tokens. But the matrix shows what the scan is: like
# attention, a table of how much every token takes from every earlier one. Column 4 is zero: no token hears the one with
# $\Delta = 0$.
#
# What is special about this table? Not its rank: with no zero column it would have full rank, as every triangular
# matrix without a zero on the diagonal. It is what lies *off* the diagonal. Cut the sequence in two behind any token.
# The block of $M$ that says what the later tokens (rows) take from the earlier ones (columns) has rank at most $N$,
# because everything that crosses the cut goes through the $N$ numbers of the state. A triangular matrix with this
# property, for every cut, is called *$N$-semiseparable* {cite}`dao2024mamba2`. It is the reason why $N$ numbers can
# stand for all of the past.

# %%
print("rank of the whole matrix:", torch.linalg.matrix_rank(M).item())
cut_ranks = [torch.linalg.matrix_rank(M[k:, :k]).item() for k in range(1, 5)]
print("ranks of the blocks below the four cuts:", cut_ranks)
assert torch.linalg.matrix_rank(M) == 4 and max(cut_ranks) == 1  # one state


def scan_matrix(delta, A, B, C):
    """M of a scan with one channel, (L, L): delta (L,), A (N,), B, C (N, L)."""
    L = len(delta)
    pulses = torch.eye(L, dtype=delta.dtype)[:, None]  # (L, 1, L), one per sequence
    steps = delta.expand(L, 1, L)
    y = selective_scan(pulses, steps, A[None], B.expand(L, -1, L), C.expand(L, -1, L))
    return y[:, 0].T  # column s: the answer to a pulse at token s


N, L = 3, 24
generator = torch.Generator().manual_seed(4)
steps = 0.1 + torch.rand(L, generator=generator, dtype=f64)
B_t, C_t = torch.randn(2, N, L, generator=generator, dtype=f64)
rates = -torch.arange(1.0, N + 1, dtype=f64)
M_three = scan_matrix(steps, rates, B_t, C_t)
ranks = [torch.linalg.matrix_rank(M_three[k:, :k]).item() for k in range(1, L)]
print(f"{N} states, {L} tokens: rank {torch.linalg.matrix_rank(M_three)} as a whole,")
print("below the cuts", *ranks)
assert torch.linalg.matrix_rank(M_three) == L and max(ranks) == N

# %% [markdown]
# The likeness to attention can be made exact. If all states of a channel share one decay, the decays come out of the
# sum over the states, and
#
# $$ M_{ts} = (a_t \cdots a_{s+1})\; C_t \cdot B_s\,\Delta_s , $$ (eq-duality)
#
# which is attention without the softmax: queries $C_t$, keys $\Delta_s B_s$, values $u_s$, and instead of a mask of
# zeros and ones one that fades with the distance. A recurrence in $O(L)$ and a masked product of matrices in $O(L^2)$
# are then two ways to compute the same thing. That is the *state space duality* on which Mamba-2 {cite}`dao2024mamba2`
# is built. Mamba, and LightM-UNet, have a decay for each state; their $M$ is a sum of $N$ such tables.

# %%
shared = scan_matrix(steps, rates[:1].expand(N), B_t, C_t)
log_decay = (steps * rates[0]).cumsum(0)  # of the product a_1 ... a_t
fading = torch.exp(log_decay[:, None] - log_decay).tril()  # (L, L), a_t ... a_{s+1}
attention = C_t.T @ (steps * B_t)  # (L, L), queries times keys
assert torch.allclose(shared, fading * attention)

one_each = [
    scan_matrix(steps, rates[n : n + 1], B_t[n : n + 1], C_t[n : n + 1])
    for n in range(N)
]
assert torch.allclose(sum(one_each), M_three)

# %% [markdown]
# ## Why a recurrence can be parallel
#
# > To avoid the sequential recurrence, we observe that despite not being linear it can still be parallelized with a
# > work-efficient parallel scan algorithm […].
# >
# > — {cite}`gu2023mamba`, Section 3.3
#
# ("Not linear" is meant as in chapter 1: nonlinear in the *input*. In the state, {eq}`eq-scalar` is linear, and only
# therefore what follows works. A recurrence with a $\tanh$ around it can't be done this way.)
#
# What a token does to the state is a function, $f_t(h) = a_t h + b_t$, which two numbers describe. Do token 1, then
# token 2:
#
# $$ f_2(f_1(h)) = a_2 (a_1 h + b_1) + b_2 = \underbrace{a_2 a_1}_{a}\,h + \underbrace{a_2 b_1 + b_2}_{b} . $$ (eq-compose)
#
# *Two tokens are again such a function*, with two new numbers. And composing functions is associative,
# $f_3 \circ (f_2 \circ f_1) = (f_3 \circ f_2) \circ f_1$. So what tokens 2 and 3 do together can be found out without
# waiting for token 1.


# %%
def then(first, second):
    """What two steps (a, b) do one after the other: `f2(f1(h))` as a pair."""
    return second[0] * first[0], second[0] * first[1] + second[1]


steps = list(zip(a, b, strict=True))
first_two = then(steps[0], steps[1])
left = then(then(then(first_two, steps[2]), steps[3]), steps[4])  # the loop
tree = then(first_two, then(then(steps[2], steps[3]), steps[4]))  # two halves
print(f"one by one: a = {left[0]:.4f}, b = {left[1]:.4f}")
print(f"as a tree:  a = {tree[0]:.4f}, b = {tree[1]:.4f}")
assert torch.allclose(torch.stack(left), torch.stack(tree))  # brackets don't matter
assert torch.allclose(left[1], kept[-1])  # from the zero state, b is the last state
swapped = then(steps[1], steps[0])  # the order does
assert not torch.allclose(torch.stack(first_two), torch.stack(swapped))

# %% [markdown]
# So *all* states can be had in a few rounds {cite}`blelloch1990prefix,martin2018parallelizing,smith2023s5`. In round
# $r = 1, 2, \dots$ every token joins what it has with what the token $2^{r-1}$ places before it has. After it, token $t$
# holds the joint effect of the $2^r$ tokens up to $t$. After $\lceil\log_2 L\rceil$ rounds that is everything from the
# beginning.


# %%
def doubling(a, b):
    """All states of h_t = a_t h_{t-1} + b_t, and what rounds leave; a, b (..., L)."""
    rounds = [(a, b)]
    reach = 1
    while reach < b.shape[-1]:
        a_before = F.pad(a, (reach, 0), value=1)[..., :-reach]  # (1, 0) does nothing
        b_before = F.pad(b, (reach, 0))[..., :-reach]
        a, b = then((a_before, b_before), (a, b))
        rounds.append((a, b))
        reach *= 2
    return b, rounds


assert torch.allclose(doubling(a, b)[0], torch.stack(kept))

# %% [markdown]
# Step through the rounds for 16 tokens. On the left, which tokens each token knows of; on the right, its number $b$
# beside the state $h_t$ that we are after.

# %% tags=["hide-input"]
generator = torch.Generator().manual_seed(2)
L = 16
a16 = torch.exp(-0.6 * torch.rand(L, generator=generator, dtype=f64))
b16 = torch.rand(L, generator=generator, dtype=f64)
wanted, rounds = doubling(a16, b16)
frames, labels = [], []
for number, (_, b_now) in enumerate(rounds):
    reach = 2**number
    done = int((b_now - wanted).abs().lt(1e-12).sum())
    known = np.array([[t - reach < s <= t for s in range(L)] for t in range(L)])
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.3), width_ratios=(1, 1.5))
    axes[0].imshow(known, cmap="Blues", vmax=1.4, extent=(0.5, L + 0.5, L + 0.5, 0.5))
    axes[0].set(xlabel="token", ylabel="known to token t")
    axes[1].bar(range(1, L + 1), b_now, color=COLORS[4], label="b after this round")
    axes[1].plot(
        range(1, L + 1), wanted, "o", color=COLORS[1], markersize=5, label="state $h_t$"
    )
    axes[1].set(xlabel="token t", ylim=(0, 1.5 * wanted.max()))
    axes[1].legend(fontsize=10, loc="upper left")
    frames.append(fig)
    after = f"after round {number}: {done} of {L} are done"
    labels.append(after if number else "before the first round")
    assert done == min(reach, L)
frames_slider(
    frames,
    labels,
    alt="Left, a lower triangular table whose band along the diagonal doubles in "
    "width every round until it fills the triangle. Right, bars that reach more and "
    "more of the dots, from the left",
    caption="All tokens work at the same time. Sixteen need four rounds, a million "
    "need twenty.",
)

# %% [markdown]
# ### What it costs
#
# Rounds are not work. The loop does one step per token, doubling joins pairs $\log_2 L$ times per token. (Blelloch's
# tree gets by with about two joins per token, in twice the rounds.) Worse is the *memory*: $a$ and $b$ have an entry
# for every token, channel *and state*. In the first stage of LightM-UNet, $D = 64$ and $N = 16$; for one image that
# makes

# %%
first = build_model("lightm-unet", 2, 1, 2).encoder[0].stack.layers[0].mixer
D, N = first.ssms[0].A_log.shape
assert (D, N) == (64, 16)
print(
    f"{'image':<18}{'tokens, steps of the loop':>26}{'rounds':>8}{'a or b alone':>15}"
)
for name, L in [("64 x 64", 64**2), ("512 x 512", 512**2), ("128 x 128 x 128", 128**3)]:
    gigabytes = 4 * L * D * N / 2**30
    print(f"{name:<18}{L:>26,}{math.ceil(math.log2(L)):>8}{gigabytes:>11.2f} GiB")
assert math.ceil(math.log2(16)) == 4 and math.ceil(math.log2(10**6)) == 20

# %% [markdown]
# An implementation in plain PyTorch that holds $a$ and $b$ for all tokens at once runs out of memory on images. Mamba's
# answer:
#
# > The selection mechanism is designed to overcome the limitations of LTI models; at the same time, we therefore need
# > to revisit the computation problem of SSMs. We address this with three classical techniques: kernel fusion,
# > parallel scan, and recomputation.
# >
# > — {cite}`gu2023mamba`, Section 3.3
#
# *Fusion*: $a_t$ and $b_t$ are made, used and forgotten inside the loop. *Recomputation* comes with the gradient.
#
# ## The shortcut that fails
#
# There is a formula without a loop. With $P_t = a_1 a_2 \cdots a_t$, divide {eq}`eq-scalar` by $P_t$:
#
# $$ \frac{h_t}{P_t} = \frac{h_{t-1}}{P_{t-1}} + \frac{b_t}{P_t} \quad\Longrightarrow\quad
#    h_t = P_t \sum_{s \le t} \frac{b_s}{P_s} , $$
#
# two cumulative sums ($\log P_t$ is one as well). The formula is correct, and useless in floating point: $P_t$ is a
# product of thousands of numbers below one, and soon it is rounded to zero.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Relative error against the token, on a logarithmic axis. The shortcut's error climbs a hundredfold within a few hundred tokens, and there its curve ends, because the product of the decays is zero. The chunked scan stays at rounding error to the last token"}}
L = 2048
generator = torch.Generator().manual_seed(0)
delta_long = 0.05 + 0.3 * torch.rand(L, generator=generator)
b_long = torch.randn(L, generator=generator)
a_long = torch.exp(-delta_long)
P = torch.cumsum(-delta_long, 0).exp()
shortcut = P * torch.cumsum(b_long / P, 0)
exact = doubling(a_long.to(f64), b_long.to(f64))[0]
ones = torch.ones(L)
by_chunks = one_channel(
    b_long / delta_long, delta_long, -torch.ones(1, 1), ones, ones, backend="chunked"
).flatten()

for name, h in {"shortcut": shortcut, "in chunks": by_chunks}.items():
    error = (h.to(f64) - exact).abs() / exact.abs().mean()
    plt.semilogy(error.clamp(min=1e-9), label=name, linewidth=1)
plt.xlabel("token")
plt.ylabel("relative error")
plt.legend()
plt.show()
assert not shortcut.isfinite().all()
assert (by_chunks.to(f64) - exact).abs().max() < 1e-5

# %% [markdown]
# ## In chunks
#
# The way out keeps the idea of {eq}`eq-compose`, but joins few and large pieces. Cut the $L$ tokens into $M$ chunks of
# $K$. A chunk is one function, too:
#
# $$ H_{m+1} = P_m\,H_m + h_m^{\text{end}}, \qquad P_m = \exp\Big(A \sum_{t \in \text{chunk } m} \Delta_t\Big). $$ (eq-carry)
#
# $H_m$ is the state that enters chunk $m$, and $h_m^{\text{end}}$ the state that it reaches *from zero*. Three sweeps:
#
# 1. All chunks at once, from zero states: $K$ steps give every $h_m^{\text{end}}$.
# 2. From chunk to chunk: $M$ steps of {eq}`eq-carry` give every $H_m$.
# 3. All chunks at once again, now from the right states: $K$ steps give the outputs.
#
# $P_m$ is the exponential of a sum. It may become zero, and should, if a chunk forgets everything. Nothing is divided
# by it. Here are the three sweeps in the package, and behind them what one step does and what sweep 2 does:

# %%
show_source(chunked._forward, start="h = torch.zeros_like", end="torch.matmul")

# %%
show_source(chunked._advance)

# %%
show_source(chunked._carry)

# %% [markdown]
# By hand, with $K = 4$ chunks of four for the sixteen tokens of the slider:

# %%
chunks_a, chunks_b = a16.view(4, 4), b16.view(4, 4)  # (M, K)
ends = doubling(chunks_a, chunks_b)[0][:, -1]  # (M,), sweep 1
P = chunks_a.prod(-1)
entering = [torch.tensor(0.0, dtype=f64)]
for m in range(4):  # sweep 2
    entering.append(P[m] * entering[m] + ends[m])
from_right_state = chunks_b.clone()
from_right_state[:, 0] += chunks_a[:, 0] * torch.stack(entering[:4])
print("from zero:", ends)
print("entering: ", torch.stack(entering[:4]))
in_chunks = doubling(chunks_a, from_right_state)[0].flatten()  # sweep 3
assert torch.allclose(in_chunks, wanted)

# %% [markdown]
# With $K = \sqrt L$ that is $3\sqrt L$ steps instead of $L$, about twice the arithmetic, and memory for $M = \sqrt L$
# states instead of $L$. It is ordinary PyTorch, so it runs wherever PyTorch does: backend `chunked`.
#
# ## The gradient, by hand
#
# Training needs the derivative of a loss $\mathcal L$ with respect to all six inputs. Write $\mathrm{d}x$ for
# $\partial \mathcal L / \partial x$, as the code does (`dy`, `dB`); bars are taken, $\bar A$ and $\bar B$ are discretised
# matrices. The network hands us $\mathrm{d}y_t$. Take one channel, and call the gradient of the state
# $g_t = \mathrm{d}h_t$. A state is used twice: for the output at $t$, and for the state at $t + 1$. So by the chain rule
#
# $$ g_t = C_t\,\mathrm{d}y_t + a_{t+1}\,g_{t+1}, \qquad g_{L+1} = 0 . $$ (eq-adjoint)
#
# This is *the same recurrence, backwards in time*, fed by $\mathrm{d}y$. The decay that let $h$ forget its past lets
# the gradient forget its future. Everything else follows from where each input stands in {eq}`eq-scan`:
#
# $$
# \begin{aligned}
# \mathrm{d}C_t &= \textstyle\sum_d \mathrm{d}y_t\,h_t && C_t \text{ is shared by the channels } d \\
# \mathrm{d}B_t &= \textstyle\sum_d \Delta_t u_t\,g_t && B_t \text{ as well} \\
# \mathrm{d}u_t &= \Delta_t \textstyle\sum_n B_t\,g_t + D\,\mathrm{d}y_t \\
# \mathrm{d}\Delta_t &= u_t \textstyle\sum_n B_t\,g_t + \sum_n A\,q_t && \text{with } q_t = a_t\,h_{t-1}\,g_t \\
# \mathrm{d}A &= \textstyle\sum_t \Delta_t\,q_t && A \text{ serves every token} \\
# \mathrm{d}D &= \textstyle\sum_t u_t\,\mathrm{d}y_t
# \end{aligned}
# $$ (eq-gradients)
#
# $q_t$ is the gradient of the *exponent*: the derivative of $e^x$ is $e^x$, so $\Delta_t A$ receives $a_t h_{t-1} g_t$.
# (With several sequences in a batch, $\mathrm{d}A$ and $\mathrm{d}D$ are also sums over them.) A {term}`softplus` in
# front of the scan multiplies $\mathrm{d}\Delta_t$ by its derivative, the gradient of a bias of $\Delta$ is the sum of
# that over the tokens, and a gate behind the scan multiplies $\mathrm{d}y_t$.
#
# Is it right? The equations, letter for letter, against PyTorch's automatic differentiation of the loop:


# %%
def gradients_by_hand(u, delta, A, B, C, D, dy):
    """The two equations above: u, delta, dy (D, L), A (D, N), B, C (N, L), D."""
    L = u.shape[-1]
    a = torch.exp(delta[:, None] * A[:, :, None])  # (D, N, L)
    b = (delta * u)[:, None] * B  # (D, N, L)
    h = doubling(a, b)[0]  # (D, N, L)
    before = F.pad(h, (1, 0))[..., :L]  # h_{t-1}
    a_next = F.pad(a, (0, 1))[..., 1:]  # a_{t+1}
    fed = C * dy[:, None]  # (D, N, L)
    g = doubling(a_next.flip(-1), fed.flip(-1))[0].flip(-1)  # the scan, backwards
    q = a * before * g
    gB = (g * B).sum(1)  # (D, L)
    return {
        "u": delta * gB + D[:, None] * dy,
        "delta": u * gB + (A[..., None] * q).sum(1),
        "A": (delta[:, None] * q).sum(-1),
        "B": ((delta * u)[:, None] * g).sum(0),
        "C": (dy[:, None] * h).sum(0),
        "D": (u * dy).sum(-1),
    }


def random_inputs(D, L, N, dtype=f64, batch=1, seed=0):
    """Inputs of a scan as in a network: tokens last, but channels contiguous."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=f64).to(dtype)

    return {
        "u": normal(batch, L, D).transpose(1, 2),
        "delta": F.softplus(normal(batch, L, D) - 3).transpose(1, 2),
        "A": -torch.arange(1, N + 1, dtype=dtype).repeat(D, 1),
        "B": normal(batch, L, N).transpose(1, 2),
        "C": normal(batch, L, N).transpose(1, 2),
        "D": normal(D),
    }


inputs = {name: x.requires_grad_() for name, x in random_inputs(D=3, L=20, N=4).items()}
dy = torch.randn(1, 3, 20, dtype=f64, generator=torch.Generator().manual_seed(1))
selective_scan(**inputs, backend="reference").backward(dy)
with torch.no_grad():
    flat = {name: x[0] if x.dim() == 3 else x for name, x in inputs.items()}
    by_hand = gradients_by_hand(**flat, dy=dy[0])
for name, x in inputs.items():
    found = x.grad[0] if x.dim() == 3 else x.grad
    assert torch.allclose(by_hand[name], found, rtol=1e-10), name
    print(f"gradient of {name:<6} {tuple(found.shape)!s:<8}  by hand = by autograd")

# %% [markdown]
# ### The states, once more
#
# {eq}`eq-gradients` wants the states $h_t$ from the last to the first, and the forward pass met them from the first to
# the last. There are three ways to have them:
#
# * *Keep all*: what automatic differentiation does. $N$ times the memory of the input, the GiB of the table above.
# * *Run the recurrence backwards*, $h_{t-1} = (h_t - b_t) / a_t$. It takes no memory and gives no result: each step
#   divides by a number below one, so rounding errors grow exactly as fast as the state forgot.

# %%
h = doubling(a_long, b_long)[0]  # float32
back = h[-1]
for t in range(L - 1, L - 201, -1):
    back = (back - b_long[t]) / a_long[t]
error = abs(back - h[L - 201])
print(f"200 tokens back, h is {h[L - 201]:.3f};")
print(f"reconstructed from the end it is wrong by more than {1e6:,.0f}")
assert error > 1e6

# %% [markdown]
# * *Keep some, recompute the rest.* Mamba's third technique:
#
# > […] the intermediate states are not stored but recomputed in the backward pass when the inputs are loaded from HBM
# > to SRAM.
# >
# > — {cite}`gu2023mamba`, Section 3.3
#
# ({term}`HBM` is a GPU's large memory, {term}`SRAM` the small and fast one beside its arithmetic.) With the state in
# front of every chunk kept, the backward pass goes through the chunks from the last to the first; in each it runs
# forwards once more, and then backwards. `chunked`, whose chunks have about $\sqrt L$ tokens, keeps some states of
# each, one in 16 tokens, which saves it a sweep; the compiled backend keeps one in 32. This is the compiled one, its
# backward sweep over a chunk, token by token. The letters are those of {eq}`eq-adjoint` and {eq}`eq-gradients`; `h` is
# the state before the token once the line `h = load(hs, ...)` has run:

# %%
show_source(
    cpu_backward.backward_task, start="g_k = dy_k * C_k + g_k", end="store(sum_qA"
)

# %% [markdown]
# ### What a gradient can reach
#
# {eq}`eq-adjoint` says that a gradient travels back until something forgets. On an image that can be seen. Let
# $\Delta$ be large where a synthetic radiograph is dark, so that the scan forgets in the lungs, and ask for the
# gradient of the output at one pixel (the dot) with respect to all pixels. The tokens are the image, column by column.

# %% tags=["hide-input"]
data = load_dataset("phantom-cxr", cases=2, size=64)
image = torch.from_numpy(data.read(data.case_ids[1]).image[0]) / 255  # (H, W)
H, W = image.shape
tokens = image.T.flatten()  # (L,), by columns: the way leads through a lung
selected = torch.where(tokens < 0.62, 0.5, 0.002)  # Δ


def reach_of(row, column):
    """|d output at a pixel / d input| for every pixel, (H, W)."""
    x = tokens.clone().requires_grad_()
    ones = torch.ones_like(x)
    y = one_channel(x, selected, -torch.ones(1, 1), 1 / selected, ones).flatten()
    (gradient,) = torch.autograd.grad(y[column * H + row], x)
    return gradient.abs().view(W, H).T


frames, labels = [], []
dots = [(10, 18), (20, 18), (34, 18), (52, 18), (60, 18), (34, 32), (60, 46)]
for row, column in dots:
    reach = reach_of(row, column)
    fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.8))
    shown = {"image (synthetic)": image, "Δ": selected.view(W, H).T, "gradient": reach}
    for ax, (name, picture) in zip(axes, shown.items(), strict=True):
        cmap = "gray" if name.startswith("image") else "viridis"
        ax.imshow(picture, cmap=cmap, vmin=0)
        ax.plot(column, row, "o", color=COLORS[1], markersize=5)
        ax.set_title(name, fontsize=12)
        ax.set_axis_off()
    frames.append(fig)
    labels.append(f"pixel in row {row}, column {column}")
    now = column * H + row
    so_far = selected[: now + 1].cumsum(0)
    decays = torch.exp(so_far - so_far[-1])  # a_t a_{t-1} ... a_{s+1}
    past, future = reach.T.flatten().split([now + 1, H * W - now - 1])
    assert torch.allclose(past, decays, rtol=1e-3, atol=1e-6)
    assert not future.any()  # nothing from the future
frames_slider(
    frames,
    labels,
    alt="Left, a synthetic radiograph with a dot. Middle, the step sizes, large in "
    "the lungs. Right, the gradient: a bright stripe upwards from the dot and over "
    "the columns before it, which ends where it meets a lung",
    caption="Bright: the output at the dot depends on this pixel. Where Δ is large "
    "the scan forgets, and the gradient stops.",
)

# %% [markdown]
# ## Inside the compiled kernel
#
# On the CPU, `selective_scan` runs code that numba compiles on first use. The algorithm is the loop: chunk by chunk,
# with four states of eight or sixteen neighbouring channels in the processor's vector registers. This is what the inner
# loop does for one token ({doc}`11_fast_scan` speaks of what else happens there, and of the time that it takes):

# %%
show_source(
    cpu_forward.forward_task, start="B_t = spread(B_data", end="store(out, at, load(out"
)

# %% [markdown]
# The decays do not depend on the token before, so they come first, in a loop of their own. There the processor works on
# several tokens at once, while the recurrence has to wait for each:

# %%
show_source(cpu_forward.store_decays, start="if normal", end="exp2(")

# %% [markdown]
# `load`, `spread` and `store` move vectors (`spread` copies one number to every lane); the arithmetic is {eq}`eq-scan`.
# Two details are worth knowing because they decide speed and accuracy.
#
# **The exponential.** There is one per token, channel and state, as many as $a$ had entries in the table above, and by
# the measurements of {doc}`11_fast_scan` a well-made scan on a CPU spends most of its time on them. Computers count in
# powers of two, so $A$ is multiplied by $\log_2 e$ beforehand and the kernel computes $2^x$. With $k$ the integer
# nearest to $x$,
#
# $$ 2^x = 2^k \cdot 2^{f}, \qquad |f| \le \tfrac12 . $$
#
# Multiplying by $2^k$ is adding $k$ to the exponent bits of a floating-point number. What is left, $2^f$ on a short
# interval, is well approximated by a polynomial. Its coefficients are near those of the Taylor series, $(\ln 2)^n/n!$,
# moved a little so that the error is spread evenly:

# %%
coefficients = vector_math._exp2_coefficients(32)
print("n        Taylor     the kernel's")
for n, c in enumerate(coefficients):
    print(f"{n}   {math.log(2) ** n / math.factorial(n):.9f}   {c:.9f}")
f = np.linspace(-0.5, 0.5, 1001)
terms = [math.log(2) ** n / math.factorial(n) for n in range(len(coefficients))]
taylor = np.polynomial.Polynomial(terms)(f) / 2**f - 1
kernels = np.polynomial.Polynomial(coefficients)(f) / 2**f - 1
print("largest relative error: ", end="")
print(f"Taylor {abs(taylor).max():.1e}, the kernel's {abs(kernels).max():.1e}")
assert abs(kernels).max() < 2**-24 < abs(taylor).max()  # below the rounding of float32

# %% [markdown]
# Where a register holds sixteen numbers ({term}`AVX-512`), it can hold a table: the sixteen powers $2^{i/16}$, which
# one instruction looks up for sixteen numbers at once. Then $x$ is rounded to a multiple of $1/16$ instead of an
# integer, what is left is sixteen times shorter, and fewer coefficients do:

# %%
quotient = vector_math._table_quotient()
assert len(quotient) < len(coefficients) - 1  # above, the 1 of 1 + f (...) counts too
f = np.linspace(-1 / 32, 1 / 32, 1001)
by_table = (1 + f * np.polynomial.Polynomial(quotient)(f)) / 2**f - 1
terms = " + ".join(f"{c:.7f} f^{n}" for n, c in enumerate(quotient))
print(f"2^f = 1 + f ({terms}),  |f| <= 1/32")
print(f"largest relative error: {abs(by_table).max():.1e}")
assert abs(by_table).max() < 2**-24

# %% [markdown]
# **Long sums.** $\mathrm{d}A$, $\mathrm{d}D$ and the gradient of the bias add up a term for every token. In float32,
# adding a small number to a large sum loses the small one's last digits; over all tokens of an image the loss shows.
# Kahan's sum keeps what was lost in a second variable and adds it back at the next step:

# %%
show_source(cpu_backward.add_compensated)


# %%
def plain_and_compensated(values):
    """The sum of float32 values one by one, without and with compensation."""
    plain = total = lost = np.float32(0)
    for value in values:
        plain = plain + value
        value = value - lost
        after = total + value
        lost = (after - total) - value
        total = after
    return plain, total


values = np.random.default_rng(0).random(2**16, dtype=np.float32)
exact = values.astype(np.float64).sum()
plain, compensated = plain_and_compensated(values)
for name, total in {"plain": plain, "compensated": compensated}.items():
    print(f"{name:<12} relative error {abs(total - exact) / exact:.0e}")
errors = [abs(total - exact) / exact for total in (compensated, plain)]
assert errors[0] < 1e-7 < 1e-6 < errors[1]

# %% [markdown]
# ## They all agree
#
# The implementations of the same definition that this machine can run, on sizes chosen to be awkward (nothing is a
# multiple of anything), with bias, softplus and gate. Compared are the output and all eight gradients, with the loop in
# float64.


# %%
def results(backend, inputs, dtype):
    """The output and every gradient."""
    leaves = {name: x.detach().to(dtype).requires_grad_() for name, x in inputs.items()}
    y = selective_scan(**leaves, delta_softplus=True, backend=backend)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(9))
    return [y, *torch.autograd.grad(y, list(leaves.values()), dy.to(dtype))]


odd = random_inputs(D=5, L=211, N=3, dtype=torch.float32, batch=2)
odd["delta"] = odd["delta"] - 3
odd |= {"z": odd["u"].flip(-1), "delta_bias": torch.linspace(-2, 2, 5)}
exact = results("reference", odd, f64)
for name, status in backends().items():
    if not status.available:
        print(f"{name:<10} {status.reason}")
        continue
    errors = [
        ((x.to(f64) - y).norm() / y.norm()).item()
        for x, y in zip(results(name, odd, torch.float32), exact, strict=True)
    ]
    assert max(errors) < 1e-6, (name, errors)
    print(f"{name:<10} {status.reason}")
    print(f"{'':<10} {len(errors)} results, all within 1e-6")

# %% [markdown]
# `lightm info` prints this list for your machine and says which one is used. For every other combination of sizes there
# are the package's tests.
#
# ## What it costs: memory
#
# How much does a forward pass keep until the backward pass? PyTorch lets us ask: it calls a hook for every tensor that it
# puts aside. Counted here in bytes, without the inputs themselves, for $D = 64$ channels and $N = 16$ states.
# *doubling* is the function from above, with nothing but PyTorch's own differentiation.


# %%
def scan_by_doubling(u, delta, A, B, C, D):
    """The scan in rounds over (B, D, N, L) tensors, as above."""
    a = torch.exp(delta[:, :, None] * A[..., None])
    b = (delta * u)[:, :, None] * B[:, None]
    return (doubling(a, b)[0] * C[:, None]).sum(2) + D[:, None] * u


contenders = {
    "loop": lambda **inputs: selective_scan(**inputs, backend="reference"),
    "doubling": scan_by_doubling,
    "chunked": lambda **inputs: selective_scan(**inputs, backend="chunked"),
}
if backends()["cpu"].available:
    contenders["compiled"] = lambda **inputs: selective_scan(**inputs, backend="cpu")
device = {name: "cpu" if name == "compiled" else run.device for name in contenders}
markers = dict(zip(contenders, "osv^", strict=False))


def leaves_for(name, L):
    inputs = random_inputs(D=64, L=L, N=16, dtype=torch.float32)
    return {key: x.to(device[name]).requires_grad_() for key, x in inputs.items()}


def kept_bytes(name, L):
    """Bytes that the forward pass keeps for the backward pass, without its inputs."""
    leaves = leaves_for(name, L)
    given = {x.untyped_storage().data_ptr() for x in leaves.values()}
    kept = {}

    def pack(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        y = contenders[name](**leaves)
    return sum(size for address, size in kept.items() if address not in given), y


log2_longest = dict(zip(contenders, run.log2_longest, strict=False))
lengths = {
    name: [2**k for k in range(6, log2_longest[name] + 1, 2)] for name in contenders
}
kept = {name: [kept_bytes(name, L)[0] for L in lengths[name]] for name in contenders}
for name in contenders:
    L = lengths[name][-1]
    each = kept[name][-1] / L / 64 / 4
    print(f"{name:<10} L = {L:<7,} numbers kept per token and channel {each:7.2f}")


def states_kept(name):
    """Kept by the longest run, as a multiple of all its states."""
    return kept[name][-1] / (4 * 64 * 16 * lengths[name][-1])


assert "compiled" not in contenders or states_kept("compiled") == 1 / 32  # half of u
assert states_kept("chunked") == 1 / 16  # as much as u
assert states_kept("loop") > 2  # every state, more than twice
for name in set(contenders) - {"doubling"}:  # four times the tokens, four times as much
    assert abs(kept[name][-1] / kept[name][-2] - 4) < 0.05, name

# %% [markdown]
# ## What it costs: time
#
# Forwards and backwards, the median of three, on the machine that built this page. On logarithmic axes, a time that is
# proportional to the number of tokens is a line of slope one. By the number of operations, the loop, the chunks and the
# compiled kernel are proportional, as {cite:t}`liao2024lightmunet` say of Mamba, and doubling is not: it does $\log_2
# L$ times as much. What a clock shows is flatter at first, while the fixed cost of a call weighs more than the tokens;
# the last slope of each line is printed under the figure. *Which* multiple of the tokens it is, is another matter.
#
# Memory is proportional to the tokens, too (for doubling, with its rounds, a little more than that). Keeping only the
# state in front of every one of `chunked`'s chunks would take $\sqrt L$ states instead; it keeps as much as one input
# has, and is faster for it. The compiled kernel's chunks are short so that they fit in the processor's cache, and what
# it keeps is half of that.


# %%
def seconds(name, L):
    """Time of a forward and a backward pass, the median of three."""
    leaves = leaves_for(name, L)
    samples = []
    for _ in range(4):  # the first one warms up
        start = time.perf_counter()
        contenders[name](**leaves).sum().backward()
        if device[name] == "cuda":
            torch.cuda.synchronize()
        samples.append(time.perf_counter() - start)
    return float(np.median(samples[1:]))


took = {name: [seconds(name, L) for L in lengths[name]] for name in contenders}

# %% tags=["nbval-ignore-output", "hide-input"] mystnb={"image": {"alt": "Two plots on logarithmic axes against the number of tokens. Memory kept for the backward pass: nearly straight and parallel lines, doubling highest, then the loop, far below both the chunked scan and lowest the compiled one. Time: the loop and doubling need most, the chunked scan less for long sequences, the compiled scan least at every length"}}
# Times differ from run to run, so this output is not compared.
fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.6))
for name in contenders:
    style = {"marker": markers[name], "markersize": 4, "label": name}
    axes[0].loglog(lengths[name], [size / 2**20 for size in kept[name]], **style)
    axes[1].loglog(lengths[name], took[name], **style)
axes[0].set(xlabel="tokens L", ylabel="kept for backward, MiB")
axes[1].set(xlabel="tokens L", ylabel="seconds, there and back")
axes[0].legend(fontsize=10)
plt.show()
for name in contenders:
    L, s = lengths[name][-1], took[name][-1]
    slope = math.log(s / took[name][-2]) / math.log(L / lengths[name][-2])
    print(f"{name:<10} L = {L:<7,} {1e6 * s / L:9.2f} µs per token, slope {slope:.2f}")

# %% [markdown]
# ## Exercises
#
# ★ takes a line, ★★ some thought, ★★★ an afternoon. `check` says whether an answer is
# right, and if it is not, what to think about.

# %% tags=["hide-input"]
from lightm_book.exercises import check

# %% [markdown]
# :::{exercise} ★ Three tokens at once
# :label: ex-scan-compose
# Three tokens have $(a, b) = (0.5, 1)$, $(0, 2)$ and $(1, 3)$, in this order. Which
# single step $(a, b)$ has the same effect as all three? Guess first what $a$ must be.
# :::
#
# :::{hint}
# :class: dropdown
# Apply the three functions $h \mapsto a h + b$, one after the other, to an unknown $h$.
# :::
#
# :::{solution} ex-scan-compose
# :class: dropdown
# $a = 0$: the second token forgets everything. By {eq}`eq-compose`, tokens 2 and 3
# together are $(1 \cdot 0,\ 1 \cdot 2 + 3) = (0, 5)$, and token 1 before them changes
# nothing.
#
# ```python
# step = (0, 5)
# ```
# :::

# %%
step = None  # your answer: (a, b)

check("ex-scan-compose", step)

# %% [markdown]
# :::{exercise} ★★ A running maximum in rounds
# :label: ex-scan-max
# A running maximum, $h_t = \max(h_{t-1}, u_t)$, is a recurrence, too. Can it be
# computed in $\log_2 L$ rounds? Write `doubling_max(u)` for `u` `(L,)` in the manner of
# `doubling`, without torch's own `cummax`.
# :::
#
# :::{hint}
# :class: dropdown
# All that doubling needs is that brackets don't matter: what are they for $\max$? And
# which value, put before the row, changes no maximum?
# :::
#
# :::{solution} ex-scan-max
# :class: dropdown
# $\max(\max(x, y), z) = \max(x, \max(y, z))$. A token is described by one number,
# joining is `torch.maximum`, and $-\infty$ changes nothing. (0 does, if all tokens are
# negative.)
#
# ```python
# def doubling_max(u):
#     reach = 1
#     while reach < u.shape[-1]:
#         before = F.pad(u, (reach, 0), value=-torch.inf)[..., :-reach]
#         u = torch.maximum(before, u)
#         reach *= 2
#     return u
# ```
# :::


# %%
def doubling_max(u):
    return None  # your answer


check("ex-scan-max", doubling_max)

# %% [markdown]
# :::{exercise} ★★ An image in two halves
# :label: ex-scan-stream
# An image arrives in two halves, and the second has to be scanned without looking at
# the first again. `selective_scan` has no argument for an initial state, but
# `return_last_state=True` gives the last one, $h$. Complete the output of the second
# half: by how much does a state $h$ at its beginning change $y_t$? (One channel, one
# state: `delta` and `C` are `(L,)`, `h` and `A` numbers.)
# :::
#
# :::{hint}
# :class: dropdown
# How much of $h$ is left after the first token of the second half, and after $t$ of
# them?
# :::
#
# :::{solution} ex-scan-stream
# :class: dropdown
# Equation {eq}`eq-carry` again: after $t$ tokens $e^{A \sum \Delta} h$ of it is left,
# and it is read by $C_t$.
#
# ```python
# def from_state(h, delta, A, C):
#     return C * torch.exp(A * delta.cumsum(0)) * h
# ```
# :::


# %%
def from_state(h, delta, A, C):
    return None  # your answer: what h adds to the outputs, (L,)


check("ex-scan-stream", from_state)

# %% [markdown]
# :::{exercise} ★★ The gradient of the gate
# :label: ex-scan-gate
# The scan of a network is followed by a gate, $o_t = y_t \cdot \mathrm{SiLU}(z_t)$ with
# $\mathrm{SiLU}(z) = z\,\sigma(z)$. Derive the gradient $\bar z_t$ from the output
# $y_t$ before the gate and the gradient $\bar o_t$ of the output after it. All three
# are `(L,)`; `do` is $\bar o$.
# :::
#
# :::{hint}
# :class: dropdown
# The product rule for $z\,\sigma(z)$, with $\sigma' = \sigma (1 - \sigma)$; then the
# chain rule.
# :::
#
# :::{solution} ex-scan-gate
# :class: dropdown
# $\bar z_t = \bar o_t\, y_t\, \mathrm{SiLU}'(z_t)$ with
# $\mathrm{SiLU}'(z) = \sigma(z) + z\,\sigma(z)(1 - \sigma(z))$.
#
# ```python
# def gate_gradient(y, z, do):
#     s = torch.sigmoid(z)
#     return do * y * s * (1 + z * (1 - s))
# ```
# :::


# %%
def gate_gradient(y, z, do):
    return None  # your answer


check("ex-scan-gate", gate_gradient)

# %% [markdown]
# :::{exercise} ★★★ Open: how long should a chunk be?
# :label: ex-scan-open
# The chunked scan has a free choice, the length of a chunk. Write down what grows and
# what shrinks with it: calls, work, memory. Predict the best length for your machine,
# then measure it for two sequence lengths. Where was the prediction wrong, and why?
# :::
#
# :::{hint}
# :class: dropdown
# Inside a chunk all pairs or all rounds, between chunks one state: count the elements
# that each writes.
# :::
#
# :::{solution} ex-scan-open
# :class: dropdown
# A good answer counts before it measures, repeats the measurement and shows its spread,
# and separates what depends on the length of the sequence from what depends on the
# machine's caches. {doc}`11_fast_scan` does this for the package's own backends.
# :::

# %% [markdown]
# ## In short
#
# * A token does $h \mapsto a_t h + b_t$ to a state. Two tokens in a row do the same with other numbers, so the scan
#   can be bracketed as one likes: token by token, in rounds, or in chunks.
# * As a matrix the scan is $N$-semiseparable: its blocks off the diagonal have rank $N$ at most. With one decay for all
#   states it is attention without softmax under a fading mask, Mamba-2's duality.
# * Dividing by the decays loses everything; multiplying by them never does.
# * The gradient is the same scan from the last token to the first. It needs the states, and keeping a few of them and
#   computing the others again takes far less memory than keeping all.
# * Operations are proportional to the tokens, and so is memory. A loop in Python, one in rounds and a compiled one agree
#   to six digits and differ by orders of magnitude in both.
#
# **Where to go.** {doc}`03_vss_module` puts the scan into a network, and makes $\Delta$, $B$ and $C$ from the image.
# {doc}`11_fast_scan` asks how fast a scan can be, and {doc}`../book/what_came_after` where Mamba-2's duality has led.
