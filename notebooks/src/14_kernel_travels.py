# %% [markdown]
# # The kernel travels
#
# The selective scan is one line of mathematics. In this repository it is written
# seven times: as a loop in PyTorch, in NumPy, in chunks, for numba, for Triton, in C for
# WebAssembly, and as a graph of ONNX. A port to an eighth place, to Rust, Swift or CUDA,
# begins with two questions: what may change, and how do I know that I am done? This
# chapter answers the first by reading the seven, and the second with a file.
#
# You need: {doc}`02_selective_scan`. What takes time, and why, is the subject of
# {doc}`11_fast_scan`.
#
# At the end you can say
# * which freedom a port has, and which it has not,
# * where each place keeps its states, and what it does at the same time,
# * what a test of a numerical kernel must contain to notice the usual mistakes,
# * how far apart seven correct implementations are in speed.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %% tags=["hide-input"]
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import lightm
from lightm.scan import chunked, cpu_forward, reference
from lightm_book import ROOT
from lightm_book.bench.record import load_bench
from lightm_book.conformance import PLACES, cases, load_cases, numpy_scan
from lightm_book.conformance.faults import FAULTS
from lightm_book.conformance.places import triton_device
from lightm_book.show.figures import COLORS, frames_slider, use_style
from lightm_book.show.notebook import check_profile, show_file, show_source
from lightm_book.show.tables import table

# of the cases that Triton's interpreter gets, in tokens: it is slow
LONGEST = max(case.sizes["L"] for case in load_cases())
run = check_profile(profile, {"smoke": {"longest": 8}, "paper": {"longest": LONGEST}})
use_style()
PACKAGE = Path(lightm.__file__).parent

# %% [markdown]
# ## The definition, as a file
#
# For each channel and state, from $h_0 = 0$, with
# $s_t = \operatorname{softplus}(\Delta_t + b)$ or $\Delta_t$ itself:
#
# $$
# h_t = e^{s_t A}\,h_{t-1} + s_t B_t u_t, \qquad
# y_t = (C_t \cdot h_t + D u_t) \cdot \operatorname{SiLU}(z_t) .
# $$ (eq-travel)
#
# $D$, the gate $z$, the bias $b$ and the softplus are optional. That is the same for all
# seven. So there can be *one* test for all of them: small inputs, and what must come out.
# It is a JSON file, because every language reads JSON. It begins with the shapes and the
# tolerance, and then has one case after the other:

# %%
show_file(cases.FILE, end='"name": "one token"')

# %% [markdown]
# Lists are flat, in row-major order, so `u` of the shape `B L D` has its channels side by
# side. This is the smallest case, with its gradients: `grad_y` is the gradient of some
# loss by $y$, and `grad_u` what it becomes at $u$.

# %%
show_file(cases.FILE, start='"name": "one token"', end="grad_C")

# %%
file = json.loads(cases.FILE.read_text("utf-8"))
first = file["cases"][0]
u, delta, A, B, C = (first["inputs"][name][0] for name in ("u", "delta", "A", "B", "C"))
print(f"h = delta B u = {delta} x {B} x {u} = {delta * B * u:.9f}")
print(f"y = C h       = {C} x h = {C * delta * B * u:.9f}")
assert np.isclose(C * delta * B * u, first["expected"]["y"][0])
assert first["expected"]["grad_A"] == [0]  # the state before the first token is zero

# %% [markdown]
# All answers are computed by the definition and its automatic differentiation, in
# float64. The inputs are multiples of 1/256. So float32 holds them exactly, and two ports
# that differ do not differ in what they *read*. Each case is there for a reason:

# %%
CASES = load_cases()
assert len(PLACES) == 7
rows = []
for case in CASES:
    given = [name for name in ("D", "z", "delta_bias") if name in case.inputs]
    given += ["softplus"] * case.softplus
    rows.append((case.name, *case.sizes.values(), ", ".join(given), case.why))
table(["case", "B", "L", "D", "N", "optional", "because"], rows, align=":--")

# %% [markdown]
# ### How near is near enough?
#
# Seven programs do not give the same bits. Sums are taken in another order; $e^x$ is a
# library's here and a polynomial there. So an answer passes if no entry is further from
# the right one than
#
# $$ 10^{-5} \cdot \max |\text{right answers of this array}| + 10^{-30}. $$
#
# Relative to the *largest* entry, because a sum of large terms that nearly cancel can't
# be right to many digits of the small result. The second term is for results that
# underflow to zero in float32, and should. The tolerance is a compromise: rounding must
# pass, and mistakes must not. Both are checked below.
#
# ## Seven places
#
# ### A loop
#
# The definition. Time is a loop of Python; within a token, PyTorch works on all channels
# and states. Gradients come from autograd, which keeps every state.

# %%
show_source(reference.scan, start="for u_t", end="y.append")

# %% [markdown]
# ### NumPy
#
# The same loop without PyTorch. This is the one to start a port from: no framework, no
# cleverness, one file.

# %%
show_source(numpy_scan.scan, start="dt = step_sizes", end="return y, h")

# %% [markdown]
# What is gone is autograd. Whoever leaves PyTorch has to write the gradient. Here are
# chapter 2's equations {eq}`eq-adjoint` and {eq}`eq-gradients`, from the last token to
# the first:

# %%
show_source(numpy_scan.gradients, start="for t in reversed", end="g = decay * g")

# %% [markdown]
# Two functions are more delicate than they look, in any language. $\log(1 + e^x)$
# overflows for large $x$, and for very negative $x$ the 1 swallows $e^x$. NumPy's
# `logaddexp` does neither. In float32:

# %%
x = np.array([-20, 90], np.float32)
with np.errstate(over="ignore"):
    plain = np.log(1 + np.exp(x))
stable = numpy_scan.step_sizes(x, None, softplus=True)
for at, naive, right in zip(x, plain, stable, strict=True):
    print(f"x = {at:3.0f}   log(1 + exp(x)) = {naive:<6} logaddexp(0, x) = {right:.6g}")
assert plain[0] == 0 and np.isinf(plain[1])

# %% [markdown]
# ### PyTorch, in chunks
#
# Chapter 2's three sweeps. The loop is over the tokens *of a chunk*; one step of it
# advances all chunks, channels and states. That needs one state for each chunk instead of
# one, and the decays are computed twice.

# %%
show_source(chunked._advance)

# %% [markdown]
# ### numba
#
# Compiled for the processor that is there. Now every loop is written out, and so their
# order is a decision. Tokens are innermost, and a few states of neighbouring channels
# stay in registers while they go by. `h_t` below is one such tile of states:

# %%
show_source(cpu_forward.forward_task, start="B_t = spread", end="store(out, at")

# %%
print(f"{cpu_forward.CHUNK} tokens at a time, {cpu_forward.TILE} states in registers")

# %% [markdown]
# ### Triton
#
# A GPU wants thousands of programs at the same time. The sequence is cut in chunks, as in
# PyTorch's version, and a program has one chunk of 32 channels with all their states in
# its registers. `token(…, k)` picks a token out of a block that was read at once; `a` and
# `x` are decays and inputs:

# %%
show_file(PACKAGE / "scan/gpu_forward.py", start="hs = tl.zeros", end="y_t = tl.sum")

# %% [markdown]
# ### WebAssembly
#
# The page that `lightm export --html` writes runs this, in C with vectors of four
# numbers. It is numba's plan with less: no threads, and four channels instead of eight or
# sixteen. `exp2_of` is a polynomial, as in numba's kernel. There is no gradient, because
# the page does not train, and no gate, which is part of another kernel there: the program
# that runs the cases (`wasm.js`) multiplies it on.

# %%
loop = "for (int t = 0; t < T; t++, B += ld"
show_file(PACKAGE / "export/runtime/scan.c", start=loop, end="store(yt, read")

# %% [markdown]
# ### ONNX
#
# A graph of operators has no loop of ours at all, and a node for each token would be
# 65,536 nodes for an image of 256 × 256. There is an operator that carries a state by
# itself: `LinearAttention`, made for language models, whose state is a matrix for each
# head. With one head a channel, keys of $N$ numbers and values of one, that matrix *is*
# the state of {eq}`eq-travel`. The decay, $\Delta A$ before the exponential, is an input,
# and so it has to be there as a tensor: $N$ times as large as $u$. Hence chunks again.
# Softplus, skip and gate are nodes around this one.

# %%
show_file(PACKAGE / "export/onnx_scan.py", start="def step(", end="return h, y")

# %% [markdown]
# ## What changes, and what stays
#
# What changes is *the order*: which numbers are worked on at the same time, and where the
# states lie meanwhile.

# %%
table(
    ["place", "one after the other", "at the same time", "the states are", "gradient"],
    [
        ("loop", "tokens", "channels, states", "a tensor", "autograd"),
        ("NumPy", "tokens", "channels, states", "an array", "written"),
        ("PyTorch chunks", "tokens of a chunk", "all else", "a tensor", "written"),
        ("numba", "chunks, channels, tokens", "a vector", "in registers", "written"),
        ("Triton", "tokens of a chunk", "all else", "in registers", "written"),
        ("WebAssembly", "channels, tokens", "a vector", "in registers", "none"),
        ("ONNX", "chunks", "the operator's choice", "a tensor", "none"),
    ],
    align=":--",
)

# %% [markdown]
# The slider shows the order for 64 tokens of 32 channels. A colour is a moment: cells of
# one colour are computed together, dark ones first. (For the picture numba has vectors of
# eight, Triton's chunks have eight tokens, ONNX's sixteen; real ones are longer.)

# %% tags=["hide-input"]
L, D = 64, 32
token, channel = np.arange(L)[None, :], np.arange(D)[:, None]
each = np.zeros((D, L), int)
K = chunked.chunk_length(L)


def in_vectors(width, chunk):
    """Chunk by chunk; in it `width` channels at a time; in these token by token."""
    blocks = D // width
    return (token // chunk * blocks + channel // width) * chunk + token % chunk


ORDERS = {
    "loop, NumPy": token + each,
    "PyTorch chunks": token % K + each,
    "numba": in_vectors(8, cpu_forward.CHUNK),
    "Triton": token % 8 + each,
    "WebAssembly": in_vectors(4, 64),
    "ONNX": token // 16 + each,
}
frames, labels = [], []
for name, order in ORDERS.items():
    moments = order.max() + 1
    assert len(np.unique(order)) == moments  # no moment passes without work
    fig, ax = plt.subplots(figsize=(6.4, 3.4))
    picture = ax.imshow(order / (moments - 1), cmap="viridis", extent=(0, L, D, 0))
    ax.set(xlabel="token", ylabel="channel")
    ax.set(xticks=range(0, L + 1, 16), yticks=range(0, D + 1, 8))
    bar = fig.colorbar(picture, ticks=(0, 1), shrink=0.8)
    bar.set_ticklabels(["first", "last"])
    frames.append(fig)
    labels.append(f"{name}: {moments} moments, {L * D // moments} cells in each")
frames_slider(
    frames,
    labels,
    alt="Tokens from left to right, channels from top to bottom, coloured by when they "
    "are computed. The loop is one gradient from left to right; in chunks, the "
    "gradient is repeated in each chunk; numba and WebAssembly have small blocks of "
    "channels one after the other; ONNX has a few broad stripes",
    caption="The same numbers in six orders. In a row, the state goes to the right.",
)

# %% [markdown]
# What stays is the recurrence *along a row*. Each state is multiplied by its decay and
# gets its input, exactly once for each token, and no place divides by a decay. Where a
# row is cut, equation {eq}`eq-carry` carries the state over the cut. So a port may choose
# the order of everything but the tokens of one state, and may cut even those.
#
# ## Do they still compute the same?
#
# All seven on all cases, output, last state and all gradients as far as a place has them.
# Where there is no GPU, Triton's kernels run in Triton's interpreter, which is slow: here
# it gets the short cases only, in `make test` all but the two longest.

# %% tags=["nbval-ignore-output"]
# Not compared by nbval: what is installed differs between machines.
rows = []
for place in PLACES:
    if reason := place.unavailable():
        rows.append((place.name, "–", "–", reason))
        continue
    slow = place.name == "Triton" and triton_device() == "interpreter"
    chosen = [case for case in CASES if not slow or case.sizes["L"] <= run.longest]
    errors = place.errors(chosen)
    compared = [share for found in errors.values() for share in found.values()]
    assert max(compared) <= 1, (place.name, errors)
    rows.append((place.name, len(chosen), len(compared), "passed"))
table(["place", "cases", "arrays compared", "result"], rows)

# %% [markdown]
# ## Would they notice?
#
# A test that nothing can fail is worth nothing. So here are wrong scans, each with a
# mistake that is easily made in a port. This is one of them:

# %%
show_source(FAULTS["state not carried into the next 64 tokens"])

# %%
noticed = {}
for name, wrong in FAULTS.items():
    for case in CASES:
        y = wrong({**case.arguments(), "softplus": case.softplus})
        if cases.error(case.expected["y"], y) > 1:
            noticed.setdefault(name, []).append(case.name)
assert noticed.keys() == FAULTS.keys()  # every one of them
rows = [(name, len(found), found[-1]) for name, found in noticed.items()]
table(["mistake", f"of {len(CASES)} cases notice it", "for example"], rows)

# %% [markdown]
# The table is worth reading from its small numbers. Only one case shows that a bias is
# forgotten where there is no softplus, and only two that `log(1 + exp(x))` is not enough;
# random inputs of a usual size would have passed. A state that is not carried is found by
# nothing shorter than the chunk. *The cases that matter are the odd ones*: one more than
# a block, one step of zero, a decay of nothing.

# %%
rare = [name for name, found in noticed.items() if len(found) <= 3]
usual = {"plain", "skip", "gate", "softplus", "even sizes"}
missed = [name for name, found in noticed.items() if not usual & set(found)]
print(f"noticed by at most three cases: {len(rare)} of {len(FAULTS)} mistakes")
assert noticed["bias only where there is a softplus"] == ["bias"]
assert len(noticed["softplus as log(1 + exp(x))"]) == 2
cut_at_64 = noticed["state not carried into the next 64 tokens"]
assert all(case.sizes["L"] > 64 for case in CASES if case.name in cut_at_64)
print(f"missed by the five plainest cases: {', '.join(missed)}")
assert len(missed) >= 3

# %% [markdown]
# ## What each place costs
#
# A record of all of them, one after the other in one process on one thread: the forward
# pass of LightM-UNet's first stage for an image of 256 × 256. Other programs ran at the
# same time, so seconds are not shown. The contenders took turns, and of each one its
# *shortest* sample counts, which others disturbed least: the *ratios* of these are what
# can be read, and only whether they are 3, 30 or 300. Triton is missing, since it needs a
# GPU for this.

# %%
record = load_bench(ROOT / "results/bench/scan-cpu-travels.json")
[row] = record["shapes"]
entries = {entry["name"]: entry for entry in row["contenders"]}
timed = {name: entry["forward"] for name, entry in entries.items() if entry["forward"]}
disturbed = sum(times["disturbed"] for times in timed.values())
samples = sum(len(times["samples_s"]) for times in timed.values())
print("B, D, L, N:", ", ".join(map(str, row["shape"])))
print(f"samples while others used over a quarter of a core: {disturbed} of {samples}")
for name, entry in entries.items():
    if entry["reason"]:
        print(f"left out: {name}, {entry['reason']}")

# %% tags=["hide-input"] mystnb={"image": {"alt": "Horizontal bars on a logarithmic axis, times as multiples of numba's. numba is the fastest, then come WebAssembly, PyTorch in chunks, ONNX and NumPy; the loop in PyTorch takes more than a hundred times as long as numba"}}
PLACE_OF = {
    "lightm cpu": "numba",
    "webassembly": "WebAssembly",
    "lightm chunked": "PyTorch chunks",
    "onnxruntime": "ONNX",
    "numpy": "NumPy",
    "lightm reference": "loop",
}
took = {PLACE_OF[name]: min(times["samples_s"]) for name, times in timed.items()}
ratio = {name: seconds / took["numba"] for name, seconds in took.items()}
order = sorted(ratio, key=ratio.get)
fig, ax = plt.subplots(figsize=(6.4, 3.2))
ax.barh(order, [ratio[name] for name in order], color=COLORS[0])
for i, name in enumerate(order):
    ax.text(1.08 * ratio[name], i, f"{ratio[name]:.0f} ×", va="center")
ax.invert_yaxis()
ax.set(xscale="log", xlim=(0.5, 4 * max(ratio.values())))
ax.set_xlabel("time, as a multiple of numba's")
plt.show()
assert order == ["numba", "WebAssembly", "PyTorch chunks", "ONNX", "NumPy", "loop"]
assert ratio["loop"] > 100

# %% [markdown]
# Correct is not fast, and nothing in the conformance file looks at a clock. The loop and
# NumPy do the same arithmetic in the same order, and differ in what a *call* costs. In
# chunks there are fewer and larger calls. WebAssembly's plan is numba's, with narrower
# vectors and fewer instructions to choose from. And in ONNX's graph the decays, which
# numba and WebAssembly make for a few tokens and forget, are tensors; how much of its
# time that takes has not been measured.

# %%
pairs = (("loop", "NumPy"), ("loop", "PyTorch chunks"), ("WebAssembly", "numba"))
for slow, fast in pairs:
    print(f"{slow} : {fast} = {took[slow] / took[fast]:.0f}")

# %% [markdown]
# ## Your own place
#
# A port is done when it passes. What it needs is `scan.json`, which lies in
# `src/lightm_book/conformance`, and a program that reads JSON. {doc}`../book/reference`
# has the description of the file under `lightm_book.conformance.cases`. An order that has
# served us:
#
# 1. `one token`, then `plain`: shapes, strides and the order of loops.
# 2. `skip`, `gate`, `bias`, `softplus`: what stands around the recurrence.
# 3. The odd sizes: the ends of vectors, tiles and chunks.
# 4. Long and no memory, the large and tiny steps: the exponential and the softplus.
# 5. The gradients, if there will be any, in the same order.

# %% [markdown]
# ## Exercises
#
# ★ takes a line, ★★ some thought, ★★★ an afternoon. `check` says whether an answer is
# right, and if it is not, what to think about.

# %% tags=["hide-input"]
from lightm_book.exercises import check

# %% [markdown]
# :::{exercise} ★ How many bits?
# :label: ex-travel-bits
# A port computes without any error, and then rounds its results to the nearest number
# of a format with $p$ significant bits, the leading one included. (Nothing overflows or
# underflows.) Every result shall pass the file's relative tolerance of $10^{-5}$. What
# is the smallest $p$?
# :::
#
# :::{hint}
# :class: dropdown
# Between $1$ and $2$ the neighbours of such a format are $2^{1-p}$ apart. How far from
# a number is the nearest of them at most?
# :::
#
# :::{solution} ex-travel-bits
# :class: dropdown
# Rounding to the nearest changes a number by $2^{-p}$ of it at most, and $2^{-p} \le
# 10^{-5}$ needs $p \ge 16.6$. float32 has 24 bits, so seven are left for what rounding
# does *on the way* to a result. Half precision (11) and bfloat16 (8) cannot pass: a
# port to these needs a tolerance of its own, and a reason for it.
#
# ```python
# bits = np.ceil(-np.log2(1e-5))
# ```
# :::

# %%
bits = None  # your answer

check("ex-travel-bits", bits)

# %% [markdown]
# :::{exercise} ★ All decays at once
# :label: ex-travel-decays
# Without chunks, ONNX's graph would hold the decays of all tokens. How many MiB is that
# in float32 for $L = 65{,}536$ tokens, $D = 64$ channels and $N = 16$ states, and how
# many in chunks of 64 tokens?
# :::
#
# :::{hint}
# :class: dropdown
# There is one decay for each token, channel and state.
# :::
#
# :::{solution} ex-travel-decays
# :class: dropdown
# $4 \cdot L \cdot D \cdot N$ bytes: 256 MiB for one image, and a quarter of a MiB in
# chunks, which stays in a cache.
#
# ```python
# mebibytes = tuple(4 * tokens * 64 * 16 / 2**20 for tokens in (65536, 64))
# ```
# :::

# %%
mebibytes = None  # your answer: (all at once, in chunks)

check("ex-travel-decays", mebibytes)

# %% [markdown]
# :::{exercise} ★★ The eighth
# :label: ex-travel-port
# Write `my_scan(u, delta, A, B, C)` for *one* item, with nothing optional, in plain
# Python. $u$ and $\Delta$ are lists of $L$ lists of $D$ numbers, $B$ and $C$ of $L$
# lists of $N$, $A$ of $D$ lists of $N$; it returns $y$ as a list of lists. `check` runs
# it on all cases of the file that have nothing optional.
# :::
#
# :::{hint}
# :class: dropdown
# Three nested loops, over tokens, channels and states, will do. The state is a list of
# lists that lives outside of all of them.
# :::
#
# :::{solution} ex-travel-port
# :class: dropdown
# The order of the loops over channels and states is free; that of the tokens is not.
#
# ```python
# def my_scan(u, delta, A, B, C):
#     h = [[0.0 for _ in row] for row in A]
#     out = []
#     for u_t, s_t, B_t, C_t in zip(u, delta, B, C):
#         y_t = []
#         for d, (u_d, s_d) in enumerate(zip(u_t, s_t)):
#             for n in range(len(B_t)):
#                 h[d][n] = np.exp(s_d * A[d][n]) * h[d][n] + s_d * B_t[n] * u_d
#             y_t.append(sum(c * x for c, x in zip(C_t, h[d])))
#         out.append(y_t)
#     return out
# ```
# :::


# %%
def my_scan(u, delta, A, B, C):
    return None  # your answer: y, L lists of D numbers


check("ex-travel-port", my_scan)

# %% [markdown]
# :::{exercise} ★★ What short cases let pass
# :label: ex-travel-wrong
# A file of cases is only as good as its cases. Write a *wrong* scan that every case of
# at most 16 tokens lets pass, and that every longer one notices. `wrong_scan(x)` takes
# the arguments of `numpy_scan.scan` as a dictionary and returns $y$.
# :::
#
# :::{hint}
# :class: dropdown
# `FAULTS` has one that is nearly it.
# :::
#
# :::{solution} ex-travel-wrong
# :class: dropdown
# Forget the state after 16 tokens, as a kernel does that was only tried on one chunk.
#
# ```python
# def wrong_scan(x):
#     pieces = []
#     for t in range(0, x["u"].shape[1], 16):
#         cut = {k: v[:, t : t + 16] if np.ndim(v) == 3 else v for k, v in x.items()}
#         pieces.append(numpy_scan.scan(**cut)[0])
#     return np.concatenate(pieces, 1)
# ```
# :::


# %%
def wrong_scan(x):
    return None  # your answer: y, (B, L, D)


check("ex-travel-wrong", wrong_scan)

# %% [markdown]
# :::{exercise} ★★★ Open: a place of your own
# :label: ex-travel-open
# Port the scan to a language or a device that is not among the seven. Before you begin,
# fill in its row of the table in "What changes, and what stays", and write down which
# cases you expect to fail first. Go through the file in the order above, and keep a
# list of what failed and why. Then find a mistake that the file does *not* notice, and
# a case that does.
# :::
#
# :::{hint}
# :class: dropdown
# Start from `numpy_scan`. For the last part, list what your place does that no other
# does: another vector width, another exponential, another way to cut. Which sizes and
# values does the file have just beside these borders?
# :::
#
# :::{solution} ex-travel-open
# :class: dropdown
# A good answer compares its prediction with what failed, and names for each failure the
# line that caused it. It times nothing before all cases pass. Its new case is small,
# says what it is there for, and comes with the wrong scan that all older cases let pass.
# :::

# %% [markdown]
# ## In short
#
# * A port may choose what it does at the same time and where its states lie. Along a row
#   the recurrence stays, and a cut needs a carry.
# * Without autograd the gradient has to be written: it is the same scan from the last
#   token to the first.
# * One file of small cases in a format that everybody reads holds all places to one
#   definition. The odd cases are the ones that find mistakes.
# * Seven correct implementations lie orders of magnitude apart in speed. Conformance says
#   nothing about that, and no benchmark says anything about conformance.
