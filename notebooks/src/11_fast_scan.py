# %% [markdown]
# # How fast can a scan be?
#
# {doc}`02_selective_scan` said what the selective scan computes, and ended with implementations that agree to six
# digits and differ by orders of magnitude in time. This chapter is about those orders of magnitude. It begins with the
# least that any implementation must do, and the most that this machine can do in a second. Then it walks from the loop
# to the compiled kernel, and before each step is measured it is predicted: where does the time go, and what is the
# next thing to remove?
#
# You need: {doc}`02_selective_scan`. That it takes a computer longer to fetch a number from memory than to multiply it
# is all you need to know about computers.
#
# At the end you can say
# * how to find a bound that no implementation can undercut, and what it is made of,
# * why a loop in Python is slow, and why its gradient can be quadratically slower,
# * why doing all tokens at once does not help on a CPU, and what chunks, registers and recomputation each buy,
# * why a large GPU is mostly idle on LightM-UNet's scans, and what can be done about it.
#
# Two kinds of numbers stand here. Small measurements are made live, on the machine that ran this page; they show the
# reason for a step and differ from run to run. The comparison itself is read from records under `results/bench`, which
# `lightm-book bench` wrote while other programs were stopped; each record names its machine and versions, and marks samples
# that something disturbed all the same. The machine is a small virtual one: a tenth more or less means nothing.

# %% tags=["parameters"]
profile = "smoke"  # "smoke": seconds on two CPU cores; "paper": a GPU

# %% tags=["hide-input"]
import math
import textwrap
import time
from collections import Counter
from dataclasses import asdict

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from lightm.scan import chunked, cpu_forward, reference, selective_scan
from lightm_book import ROOT
from lightm_book.bench.inputs import Shape, random_inputs
from lightm_book.bench.machine import Machine, machine
from lightm_book.bench.peers import find
from lightm_book.bench.record import curve, list_bench
from lightm_book.bench.roofline import bound, scan_counts
from lightm_book.show.figures import COLORS, INK, frames_slider, use_style
from lightm_book.show.notebook import check_profile, show_source
from lightm_book.show.tables import table

run = check_profile(
    profile,
    {
        "smoke": {"loop_tokens": 1024, "counted_tokens": [64, 128, 256, 512]},
        "paper": {
            "loop_tokens": 4096,
            "counted_tokens": [64, 128, 256, 512, 1024, 2048],
        },
    },
)
use_style()
records = list_bench(ROOT / "results/bench")
names = ("shapes", "kept", "lengths", "262144", "long", "memory")
shapes, kept, lengths, longer, long, memory = (
    records[f"scan-cpu-{name}"] for name in names
)
here = shapes["environment"]["hardware"]


def timed(name, key):
    """Tokens -> seconds of one contender at D = 64, N = 16, from four records."""
    at_example = {L: s for L, s in curve(shapes, name, key).items() if L == 65536}
    return dict(
        sorted(
            {
                **curve(lengths, name, key),
                **at_example,
                **curve(longer, name, key),
                **curve(long, name, key),
            }.items()
        )
    )


print(
    f"the records: {here['cpu']}, {here['threads']} threads, {lengths['finished'][:10]}"
)

# %% [markdown]
# ## In one picture
#
# Six ways to compute the same scan and its gradients, forwards and backwards, by what *one token* costs. Slide through the
# lengths: where the bars stop shrinking, the overhead of a call no longer matters, and what is left is the price of the
# method. The axis is logarithmic; each large tick is a factor of ten.

# %% tags=["hide-input"]
drawn = {
    "lightm reference": ("loop", COLORS[6], "x"),
    "transformers": ("loop, indexed", COLORS[3], "D"),
    "associative_scan": ("associative_scan", COLORS[5], "v"),
    "mamba.py": ("mamba.py", COLORS[1], "s"),
    "lightm chunked": ("chunked", COLORS[4], "o"),
    "lightm cpu": ("compiled", COLORS[0], "^"),
}
names, labels_of = list(drawn), [label for label, _, _ in drawn.values()]
curves = [timed(name, "forward_backward") for name in names]
frames, captions = [], []
for L in sorted(curves[-1]):
    fig, ax = plt.subplots(figsize=(6.4, 3.2))
    values = [1e6 * points[L] / L if L in points else np.nan for points in curves]
    ax.barh(
        labels_of,
        values,
        color=[color for _, color, _ in drawn.values()],
    )
    for i, value in enumerate(values):
        ax.text(
            0.012 if np.isnan(value) else 1.1 * value,
            i,
            "–" if np.isnan(value) else f"{value:.3g}",
            va="center",
        )
    for text in ax.texts:
        text.set_in_layout(False)
    ax.set(xscale="log", xlim=(0.01, 5e4), xlabel="µs per token, forward + backward")
    ax.set_ylim(len(names) - 0.4, -0.6)  # also where a bar is missing
    frames.append(fig)
    captions.append(
        f"{L:,} tokens: {sum(not np.isnan(v) for v in values)} of {len(values)} "
        "measured"
    )
frames_slider(
    frames,
    captions,
    alt="Bars on a logarithmic axis, the time per token of each implementation. With "
    "more tokens most bars shrink to a "
    "constant, the indexed loop's grows, and one after the other disappears; the "
    "compiled one is shortest throughout",
    caption="Time for one token against the length of the sequence. A dash: not "
    "measured, out of memory or patience.",
)

# %% [markdown]
# ## What must be done
#
# The example of this chapter is the first stage of LightM-UNet for one image of 256 × 256 pixels: $L = 65536$ tokens,
# $D = 64$ inner channels, $N = 16$ states. Whoever computes the scan, and however, has to do three kinds of work:
#
# * **Exponentials.** Every token, channel and state has its decay $e^{\Delta_t A}$.
# * **Operations.** The products and sums around it.
# * **Bytes.** The inputs must come from memory at least once, and the results go there at least once.
#
# All three are formulas in the sizes, and the package has them in one place:

# %%
show_source(scan_counts)

# %% tags=["hide-input"]
example = Shape(batch=1, channels=64, length=65536, d_state=16)
counts = {
    "forward": scan_counts(example, False),
    "forward_backward": scan_counts(example, True),
}
WORK = ("exponentials", "operations", "bytes")
table(
    ["", *WORK],
    [
        (name.replace("_", " + "), *(f"{getattr(c, what):,}" for what in WORK))
        for name, c in counts.items()
    ],
)

# %% [markdown]
# Formulas can be wrong. PyTorch's own counter watches the operator while it runs; it counts an exponential of the
# scan as an operation, and leaves the softplus out:

# %%
small = Shape(1, 64, 128, 16)
leaves = random_inputs(small).turned().map(torch.Tensor.requires_grad_).named()
with FlopCounterMode(display=False) as counter:
    selective_scan(**leaves, delta_softplus=True, backend="chunked").sum().backward()
c = scan_counts(small, True)
assert counter.get_total_flops() == c.operations + 2 * small.states
print(f"PyTorch counts {counter.get_total_flops():,}; the formula has the same")

# %% [markdown]
# ## What a machine can do
#
# A processor has a speed for each kind of work. They can be measured with loops that do nothing else: exponentials of
# numbers that lie in the fastest cache, multiply-adds of numbers in registers, sums of arrays far larger than any
# cache. This is the machine of the records, and the one that runs this page:

# %% tags=["hide-input", "nbval-ignore-output"]
# Measured on whatever machine runs this page, so the second row is not compared.
recorded, this = Machine(**shapes["machine"]), machine(torch.device("cpu"))
rows = [
    (
        name,
        f"{m.exponentials / 1e9:.1f} G",
        f"{m.operations / 1e9:.0f} G",
        f"{m.bytes / 1e9:.0f} G",
    )
    for name, m in {
        "the records' machine": recorded,
        "this one, just now": this,
    }.items()
]
table(["a second's worth", *WORK], rows)

# %% [markdown]
# Divide what must be done by what can be done, and there is a *bound*: no implementation with these counts can be
# faster. Moving and computing can overlap, so the longer of the two decides; exponentials and other operations go
# through the same units of a CPU one after the other, so their times add up. This is the *roofline* model
# {cite}`williams2009roofline`:

# %%
show_source(bound)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two horizontal bars for each of the two passes. The bar of computing, most of it exponentials, is several times as long as the bar of moving bytes"}}
fig, ax = plt.subplots(figsize=(6.4, 2.8))
labels = []
for i, (name, c) in enumerate(counts.items()):
    exponentials, operations = (
        c.exponentials / recorded.exponentials,
        c.operations / recorded.operations,
    )
    moving = c.bytes / recorded.bytes
    y = 2.5 * i
    ax.barh(
        y, 1e3 * exponentials, color=COLORS[1], label="exponentials" if not i else None
    )
    ax.barh(
        y,
        1e3 * operations,
        left=1e3 * exponentials,
        color=COLORS[5],
        label="operations" if not i else None,
    )
    ax.barh(y + 1, 1e3 * moving, color=COLORS[0], label="bytes" if not i else None)
    labels += [(y, name.replace("_", " + ") + ": computing"), (y + 1, "moving")]
ax.set_yticks(*zip(*labels, strict=True))
ax.invert_yaxis()
ax.set_xlabel("milliseconds on the records' machine")
ax.legend(fontsize=10)
plt.show()
for name, c in counts.items():
    share = c.exponentials / recorded.exponentials / bound(c, recorded)
    print(
        f"{name:<17} bound {1e3 * bound(c, recorded):5.1f} ms, of which exponentials "
        f"{share:.0%}"
    )

# %% [markdown]
# So on a CPU *the scan is mostly its exponentials*, and never the bytes, if it is done well. The rest of the
# chapter is about what it takes to do it well, and what happens otherwise.
#
# ## Step 0: the loop
#
# The definition, a loop over time in Python:

# %%
show_source(reference.scan, start="decay = torch.exp", end="y.append")

# %% [markdown]
# *Prediction.* Each line is several calls of PyTorch. A call costs some microseconds before any arithmetic begins:
# Python looks the name up, PyTorch finds the kernel for these types, allocates the result, and writes down what the
# gradient will need. Let us count the calls for one more token, and time the kinds of calls that the loop consists of.


# %% tags=["hide-input"]
class Operations(TorchDispatchMode):
    """Counts PyTorch's operations, and the numbers that each of them writes."""

    def __init__(self):
        super().__init__()
        self.calls, self.written = Counter(), Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.calls[name] += 1
        if isinstance(result, torch.Tensor) and not func.is_view:
            self.written[name] += result.numel()
        return result


def calls_of(function):
    """The operations of `function()`, and those of its gradients: two counters."""
    with Operations() as forwards:
        y = function()
    with Operations() as backwards:
        y.sum().backward()
    return forwards, backwards


def tensors(length, channels=64, d_state=16):
    """Inputs of a scan as `selective_scan` wants them, (B, D, L), with gradients."""
    x = random_inputs(Shape(1, channels, length, d_state)).turned()
    return x.map(torch.Tensor.requires_grad_).named()


def scan_with(backend, x):
    """A scan without arguments, to be counted or timed."""
    return lambda: selective_scan(**x, delta_softplus=True, backend=backend)


a, b = (calls_of(scan_with("reference", tensors(L))) for L in (64, 65))
per_token = [
    long.calls.total() - short.calls.total() for short, long in zip(a, b, strict=True)
]
print(
    f"operations for one more token: {per_token[0]} forwards, {per_token[1]} backwards"
)

# %% tags=["hide-input", "nbval-ignore-output"]
# Times differ from run to run, so this output is not compared.


def seconds(call, repeats=5):
    """The shortest of a few calls."""
    took = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    return min(took)


one, row = torch.ones(64, 16), torch.ones(64)
kinds = (
    lambda: row[..., None] * one,
    one.exp,
    lambda: one + one,
    lambda: one.sum(-1),
    lambda: row[..., None],
)
# Two of the five are two calls.
overhead = seconds(lambda: [kind() for kind in kinds for _ in range(200)]) / (200 * 7)
L = run.loop_tokens
x = tensors(L)
with torch.no_grad():
    loop = seconds(scan_with("reference", x), 2) / L
print(f"one call on 64 x 16 numbers: {1e6 * overhead:.1f} µs")
print(
    f"predicted for a token: {per_token[0]} x {1e6 * overhead:.1f} = "
    f"{1e6 * per_token[0] * overhead:.0f} µs"
)
print(f"measured:              {1e6 * loop:.0f} µs")
print(
    "what the arithmetic of a token would need: "
    f"{1e6 * bound(scan_counts(Shape(1, 64, 1, 16), False), this):.2f} µs"
)

# %% [markdown]
# The loop spends nearly all of its time *around* the arithmetic. That has a consequence which can be checked on the
# record: a token costs the loop the same, however little there is to do in it.

# %% tags=["hide-input"]
loop_curve, ours_curve = (
    timed(name, "forward") for name in ("lightm reference", "lightm cpu")
)
L = max(loop_curve)
print(
    f"the loop at {L:,} tokens: {1e6 * loop_curve[L] / L:.1f} µs per token; compiled: "
    f"{1e6 * ours_curve[L] / L:.2f} µs"
)
assert loop_curve[L] > 10 * ours_curve[L]

# %% [markdown]
# ## Step 0 gone wrong: a gradient that is quadratic
#
# There is an innocent way to write the same loop: take token $t$ out of the sequence with `u[:, :, t]`. This is how
# the reference implementations of Mamba do it. The forward pass hardly notices. But how does autograd undo an index? The
# gradient of `u[:, :, t]` with respect to `u` is a tensor of *the size of all of `u`*, zero except at $t$. One such tensor
# is written for every token: $L$ tokens, $L$ numbers each.
#
# *Prediction:* the numbers written in the backward pass grow with $L^2$. It can be counted without a clock.


# %%
def indexed(a, b):
    """h_t = a_t h_{t-1} + b_t with an index a token; a, b (D, L) -> (D, L)."""
    h, states = torch.zeros(len(a)), []
    for t in range(a.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return torch.stack(states, 1)


def unbound(a, b):
    """The same; the sequence is taken apart once, its gradient put together once."""
    h, states = torch.zeros(len(a)), []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states, 1)


written = {}
for function in (indexed, unbound):
    for L in run.counted_tokens:
        a, b = (torch.rand(8, L).requires_grad_() for _ in range(2))
        written[function.__name__, L] = calls_of(lambda f=function, a=a, b=b: f(a, b))[
            1
        ].written.total() / (8 * L)
print("numbers written in the backward pass, for each token and channel")
print("tokens     " + "".join(f"{L:>10}" for L in run.counted_tokens))
for function in (indexed, unbound):
    print(
        f"{function.__name__:<11}"
        + "".join(f"{written[function.__name__, L]:>10.1f}" for L in run.counted_tokens)
    )
first, last = run.counted_tokens[0], run.counted_tokens[-1]
assert written["indexed", last] > 0.8 * last / first * written["indexed", first]
assert written["unbound", last] < 1.1 * written["unbound", first]

# %% [markdown]
# With an index, twice the tokens write twice as much *for each token*. `unbind` takes the sequence apart in one
# operation, whose gradient is one `stack`: the numbers per token stay as they are. That is the whole difference between
# a reference that can be used for a thousand tokens and one that can't.

# %% tags=["hide-input"]
peer = "transformers"
theirs, ours_loop = (
    timed(name, "forward_backward") for name in (peer, "lightm reference")
)
both = sorted(set(theirs) & set(ours_loop))
print("forward + backward, the record:")
for L in both:
    print(
        f"L = {L:>6,}:  indexed ({peer}) {1e6 * theirs[L] / L:>8.0f} µs per token,  "
        f"unbind {1e6 * ours_loop[L] / L:>6.0f} µs"
    )
assert theirs[both[-1]] / ours_loop[both[-1]] > 2

# %% [markdown]
# ## Step 1: all tokens at once
#
# The overhead of a call is the same for ten numbers and for ten million. So do all tokens in a few calls: the rounds
# of chapter 2, or Blelloch's tree. mamba.py does this, with a hand-written backward pass, and torch's own
# `associative_scan`. Both need $a_t$ and $b_t$ for all tokens, and therefore tensors with an entry for every token,
# channel *and state*.
#
# *Prediction.* The number of calls grows with $\log L$ only, so the overhead is gone. What is left is what the calls do:
# they write large tensors, and read two for each that they write. Counted for torch's `associative_scan` on a short
# sequence (the number of tensors hardly depends on its length):

# %% tags=["hide-input"]
their_scan = find("associative_scan", torch.device("cpu")).scan
tensors_written = {}
for L in (256, 1024):
    leaves = random_inputs(Shape(1, 8, L, 4)).map(torch.Tensor.requires_grad_)
    with torch.no_grad(), Operations() as forwards:
        their_scan(leaves)
    with Operations() as whole:
        torch.autograd.grad(
            their_scan(leaves), leaves.named().values(), torch.ones(1, L, 8)
        )
    for key, counter in zip(counts, (forwards, whole), strict=True):
        tensors_written[key] = counter.written.total() / (L * 8 * 4)
    shown = ", ".join(
        f"{key.replace('_', ' + ')}: {number:.1f}"
        for key, number in tensors_written.items()
    )
    print(f"{L:>5} tokens: {forwards.calls.total()} calls forward;", end=" ")
    print(f"tensors written: {shown}")

# %% [markdown]
# At the example's size, a pass over one such tensor takes a time that we can tell from the machine's bytes per second. Three
# passes for each tensor that is written is the prediction:

# %% tags=["hide-input"]
tensor_bytes = 4 * example.states
once = tensor_bytes / recorded.bytes
print(
    f"one (B, L, D, N) tensor: {tensor_bytes / 2**20:,.0f} MiB, {1e3 * once:.1f} ms "
    "to read or write"
)
for key, number in tensors_written.items():
    found = curve(shapes, "associative_scan", key)[example.length]
    print(
        f"{key.replace('_', ' + '):<18} predicted {3 * number * once:.2f} s, the "
        f"record {found:.2f} s"
    )
for name in ("mamba.py", "associative_scan"):
    held = curve(memory, name, "forward_backward", "memory_bytes")
    L = max(L for L in held if held[L])
    print(
        f"{name} holds {held[L] / (4 * 64 * 16 * L):.1f} such tensors at once "
        f"(measured, L = {L:,})"
    )

# %% [markdown]
# The record is above the prediction. Where is the rest? Some of it is arithmetic, but most is in a place where few look:
# the memory is *new*. A tensor this large is given back to the operating system when it is freed, and asked for again
# at the next call. Fresh memory must be filled with zeros by the system, page by page, at the first touch. Live:

# %% tags=["hide-input", "nbval-ignore-output"]
# Times differ from run to run, so this output is not compared.
size = 2**24
old = np.zeros(size, np.float32)
fresh = seconds(lambda: np.empty(size, np.float32).fill(1.0), 3)
again = seconds(lambda: old.fill(1.0), 3)
print(
    f"writing {4 * size / 2**20:.0f} MiB: into fresh memory "
    f"{4 * size / fresh / 1e9:.1f} GB/s,"
)
print(f"into memory that was touched before {4 * size / again / 1e9:.1f} GB/s")

# %% [markdown]
# A program can keep what it freed (`lightm.cpu.memory`; the commands of `lightm` do). There is a record of that, too:

# %%
for name in ("mamba.py", "lightm chunked", "lightm cpu"):
    usual, keeping = (
        curve(record, name, "forward_backward")[example.length]
        for record in (shapes, kept)
    )
    print(
        f"{name:<15} forward + backward {1e3 * usual:>8,.0f} ms; where freed memory "
        f"is kept {1e3 * keeping:>8,.0f} ms"
    )
assert kept["kept_memory"] and not shapes["kept_memory"]
gain = {
    name: curve(shapes, name, "forward_backward")[example.length]
    / curve(kept, name, "forward_backward")[example.length]
    for name in ("mamba.py", "lightm cpu")
}
assert gain["mamba.py"] > gain["lightm cpu"]

# %% [markdown]
# How much is gained differs from run to run and from one way to the other: that is the system's doing, and a call of the
# slow ones takes seconds, so there are few of them in the record.
#
# The bound of this way is not the exponentials any more. It is memory: having enough, filling it, and moving it once
# for every round.
#
# ## Step 2: in chunks, in PyTorch
#
# Chapter 2's three sweeps let all *chunks* advance side by side, one token at a time. A call now works on one state for
# each chunk, $M \times D \times N$ numbers, with $M \approx \sqrt L$.
#
# *Prediction.* The number of calls grows with $\sqrt L$, and the largest tensor with $\sqrt L$ as well. Both at once:


# %%
head = f"{'tokens':>8}{'calls, forward':>16}{'loop':>10}"
print(head + f"{'one state per chunk':>21}{'one per token':>15}")
calls = {}
for L in (1024, 4096, 16384):
    x = random_inputs(Shape(1, 4, L, 2))
    with Operations() as counter:
        chunked.forward(x, False)
    calls[L] = counter.calls.total()
    chunks = -(-L // chunked.chunk_length(L))
    numbers = chunks * 64 * 16, L * 64 * 16
    print(f"{L:>8,}{calls[L]:>16,}{L * per_token[0]:>10,}", end="")
    print(f"{4 * numbers[0] / 2**10:>16,.0f} KiB{4 * numbers[1] / 2**10:>10,.0f} KiB")
# Sixteen times the tokens, about four times the calls.
assert calls[16384] / calls[1024] < 6

# %% [markdown]
# The tensor of one step now fits in the processor's second or third cache, and no call has less to do than a few
# microseconds' worth. It is plain PyTorch, so it runs on any device that PyTorch knows. But every step still writes
# its decays, reads them back, writes the states, reads them back: from cache, not from memory, but
# traffic all the same. The record, at the example's size:

# %%
rows = []
for row in shapes["shapes"]:
    if row["shape"] != list(asdict(example).values()):
        continue
    for entry in sorted(
        row["contenders"], key=lambda e: -(e["forward"] or {}).get("median_s", 0)
    ):
        if not (entry["forward"] or {}).get("median_s"):
            continue
        found = [(entry[key] or {}).get("median_s") for key in counts]
        shown = [f"{1e3 * t:,.1f}" if t else "–" for t in found]
        rows.append(
            (
                f"`{entry['name']}`",
                *shown,
                f"{bound(counts['forward'], recorded) / found[0]:.1%}",
            )
        )
table(["", "forward, ms", "forward + backward, ms", "bound reached"], rows)

# %% [markdown]
# (*lightm reference* is step 0, *transformers* the same with an index, *mamba.py* and *associative_scan* step 1,
# *lightm chunked* step 2. *serial-c* is a scalar loop in C, our rendering of the way that llama.cpp goes: compiled, and
# yet far from the bound. The next section says why.)
#
# ## Step 3: the compiled kernel
#
# What remains is to do for the processor what it can't do for itself, in the order of what it brings.
#
# **States in registers.** The recurrence goes token by token, but a state is needed only by the next token of the same
# channel. If tokens are the innermost loop, four states of eight or sixteen channels stay in registers from the first
# token of a chunk to the last, and never see a cache.
#
# **Vectors over channels.** Channels do not meet, so neighbouring ones can share an instruction. This is the recurrence;
# what `load` and `spread` give, and `h_t`, are registers full of channels, four states of each:

# %%
show_source(
    cpu_forward.forward_task, start="B_t = spread(B_data", end="store(out, at, load(out"
)

# %% [markdown]
# **The exponential.** The C library computes one $e^x$ at a time. A vector unit has no instruction for it either, but
# it has multiply-adds, and chapter 2 has the polynomial and, for registers of sixteen numbers, the table: about a dozen
# instructions for 8 or 16 exponentials.

# %% tags=["hide-input", "nbval-ignore-output"]
# Times differ from run to run, so this output is not compared.
values = np.linspace(-1, 0, 2**16)
scalar = len(values) / seconds(lambda: [math.exp(v) for v in values])
numpys = len(values) / seconds(lambda: np.exp(values.astype(np.float32)))
print(
    f"exponentials per second: in Python {scalar / 1e6:,.0f} M; numpy "
    f"{numpys / 1e6:,.0f} M on one thread;"
)
print(
    f"the kernel's {this.exponentials / 1e6:,.0f} M on all {torch.get_num_threads()} "
    "threads"
)

# %% [markdown]
# **Recomputation.** The backward pass needs the states. Keep them, or compute them again? Chapter 2 gave the argument
# of memory. Here is the argument of *time*, predicted from the machine of the records: keeping means to write one
# (B, L, D, N) tensor and to read it back; computing again means its exponentials a second time.

# %%
c = counts["forward"]
keep = 2 * tensor_bytes / recorded.bytes
again = bound(c, recorded)
print(
    f"keep all states: {1e3 * keep:.0f} ms at least, {tensor_bytes / 2**20:.0f} MiB; "
    f"  compute again: {1e3 * again:.0f} ms"
)
assert again < keep
print(
    f"keep one state in {cpu_forward.KEPT}: "
    f"{tensor_bytes / cpu_forward.KEPT / 2**20:.0f} MiB"
)

# %% [markdown]
# Keeping gains nothing even while the memory is warm. In fresh memory, at the rate measured above, it loses by far.
# And the memory saved is often the difference between an image that fits and one that doesn't.
#
# **Memory that is there in time.** The bound says that moving the bytes takes a fraction of the time of computing,
# and that the two can overlap. They do not overlap by themselves: a processor guesses what will be read next, but a
# row of channels here, a row of $B_t$ there, and backwards in the backward pass, is more than it guesses. So the kernel
# asks for each line of memory one block ahead, a few lines per token, also for the lines that it is going to write:

# %%
show_source(cpu_forward.forward_task, start="if n == 0:", end="prefetch(z_data")

# %% [markdown]
# There is a record of the kernel as it was before it did so for more than its inputs (and before it had the table of
# powers), and one of the kernel since, made one after the other:

# %% tags=["hide-input"]
before, since = records["scan-cpu-unfetched"], records["scan-cpu-fetched"]
assert before["command"] == since["command"] and before["kept_memory"]
for key in counts:
    then, now = (curve(record, "lightm cpu", key) for record in (before, since))
    for L in then:
        print(
            f"{key.replace('_', ' + '):<18} L = {L:>7,}: {1e3 * then[L]:6.1f} ms "
            f"before, {1e3 * now[L]:6.1f} ms since"
        )

# %% [markdown]
# **Results in large pages.** Outputs and gradients are new memory at every call, and the system clears new memory page
# by page, as seen above. Linux also has pages of 2 MiB, and clears one of them faster than 512 small ones. It gives
# them to who asks (`lightm.cpu.memory.new_empty`).
#
# **One pool of threads.** Batch items and blocks of channels are independent, so there is enough for every core.
# The tasks run on the very threads that PyTorch uses; a second pool of threads would find the first one still spinning
# on the cores, waiting for PyTorch's next operation.

# %% tags=["hide-input"]
best, sizes = {}, {}
for record in (shapes, longer, kept):
    for row in record["shapes"]:
        freed = "kept" if record["kept_memory"] else "given back"
        where = f"{tuple(row['shape'])}, memory {freed}"
        sizes[where] = entries = {entry["name"]: entry for entry in row["contenders"]}
        for key in counts:
            best[where, key] = (
                row["bound_s"][key] / entries["lightm cpu"][key]["median_s"]
            )
print("share of the bound that the compiled kernel reaches, (B, D, L, N):")
for (where, key), share in best.items():
    print(f"{where:<44} {key.replace('_', ' + '):<18} {share:.0%}")
assert all(share < 1 for share in best.values())  # a bound is a bound

# %% [markdown]
# No share is above one, as it must be. What is missing is known: in the loops, loading $B_t$ and $C_t$ and
# spreading them over the lanes, the softplus, and in the backward pass five sums that the bound counts as if every
# multiply-add met the next one in a register. And outputs and gradients can be new memory, for us as for everybody; the
# peers, with more of it, gain more where it is kept.
#
# A word of caution: the machine of the records is virtual, and what its neighbours do is not seen from inside. The bound
# takes the best rates of several tries, while a kernel's time is a median, slow moments of the machine included.
#
# How much is it all together? The ratios to each peer:

# %%
rows = []
for where, entries in sizes.items():
    for name, entry in entries.items():
        if name == "lightm cpu" or entry["reason"]:
            continue
        shown = []
        for key in counts:
            theirs = (entry[key] or {}).get("median_s")
            shown.append(
                f"{theirs / entries['lightm cpu'][key]['median_s']:,.0f} ×"
                if theirs
                else "–"
            )
        if shown != ["–", "–"]:
            rows.append((where, f"`{name}`", *shown))
table(["(B, D, L, N)", "peer", "forward", "forward + backward"], rows)

# %% [markdown]
# The comparison is as fair as we could make it: everyone gets the layout that they work in, results and all gradients are
# compared with float64 before anything is timed, calls alternate in one process. These peers were not written to be the fastest
# on a CPU. mamba.py was written to be read, and taught many people how the scan works. `lightm-book bench scan --peers`
# repeats the table on your machine.
#
# ## Against the length
#
# The paper's claim about Mamba is that its cost is linear in the number of tokens. Here it is, from 256 tokens to two
# million, the 128 × 128 × 128 voxels of the paper's CT volumes. A curve ends where memory ended, or patience, or what we
# asked for: a record holds the reason of each contender that it skipped. Memory was measured at fewer lengths, in a
# process of its own for each point.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two plots on logarithmic axes against the number of tokens. Time: the compiled scan lies lowest, the nearer to a dashed line, the bound, the longer the sequence; chunked lies above it, mamba.py and associative_scan close together above that, the loop above them, the indexed loop highest, and it ends first. Memory: the compiled scan holds least, then chunked; mamba.py and associative_scan lie far above both"}}
fig, axes = plt.subplots(1, 2, figsize=(7.2, 4.4))
for name, (label, color, marker) in drawn.items():
    style = {"color": color, "marker": marker, "markersize": 4, "label": label}
    took, held = (
        timed(name, "forward_backward"),
        curve(memory, name, "forward_backward", "memory_bytes"),
    )
    axes[0].loglog(list(took), list(took.values()), **style)
    axes[1].loglog(list(held), [size / 2**20 for size in held.values()], **style)
least = {
    L: bound(scan_counts(example.at_length(L), True), recorded)
    for L in timed("lightm cpu", "forward")
}
axes[0].loglog(
    list(least), list(least.values()), "--", color=INK, linewidth=1, label="bound"
)
axes[0].set(xlabel="tokens L", ylabel="seconds, forward + backward")
axes[1].set(xlabel="tokens L", ylabel="MiB beside the inputs, at most")
fig.legend(handles=axes[0].get_lines(), loc="outside lower center", ncols=4, fontsize=9)
plt.show()

# %% tags=["hide-input"]
for name in ("lightm cpu", "lightm chunked", "mamba.py"):
    held = curve(memory, name, "forward_backward", "memory_bytes")
    sizes_of = (f"{size / L:,.0f} at {L:,}" for L, size in held.items())
    text = f"{name}, bytes per token: {', '.join(sizes_of)}"
    print(textwrap.fill(text, 88, subsequent_indent="    "))
points = timed("lightm cpu", "forward_backward")
tail = {L: s for L, s in points.items() if L >= 2**14}
slope = np.polyfit(np.log(list(tail)), np.log(list(tail.values())), 1)[0]
print(
    f"compiled, from {min(tail):,} to {max(tail):,} tokens: time grows as L to the "
    f"power {slope:.2f}"
)
assert max(points) == 2**21 and 0.8 < slope < 1.1
ended = {}
for row in lengths["shapes"] + longer["shapes"] + long["shapes"]:
    for entry in row["contenders"]:
        reason = (entry["forward_backward"] or {}).get("skipped")
        if entry["name"] in drawn and reason:
            ended.setdefault(
                entry["name"],
                f"{drawn[entry['name']][0]}, at {row['shape'][2]:,} tokens: {reason}",
            )
for text in ended.values():
    print(textwrap.fill(text, 88, subsequent_indent="    "))

# %% [markdown]
# ## A network around it
#
# A scan that takes no time makes a network faster by the share that the scan had, and not more. Whole training steps
# of LightM-UNet, from the records: forward, loss, backward, update.

# %%
rows = []
for record in records.values():
    if record["kind"] != "step":
        continue
    size = " × ".join(map(str, record["size"]))
    for entry in record["contenders"]:
        if entry["step"]:
            name = "as it comes" if entry["name"] == "lightm" else entry["name"]
            memory_is = "kept" if record["kept_memory"] else "given back"
            rows.append(
                (
                    f"{size}, {record['batch']}",
                    memory_is,
                    f"`{name}`",
                    f"{entry['step']['median_s']:.2f}",
                )
            )
table(["image, batch", "freed memory", "scan", "seconds per step"], rows)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Horizontal bars, the parts of a training step: the projections are longest, then the scan, then many shorter ones; the loss is last"}}
parts = next(
    record["parts"]
    for record in records.values()
    if record["kind"] == "step" and record["parts"]
)
shares = {
    name: sum(times.values()) / parts["total_ms"]
    for name, times in parts["parts"].items()
}
fig, ax = plt.subplots(figsize=(6.4, 3.4))
order = sorted(shares, key=shares.__getitem__)
ax.barh(order, [100 * shares[name] for name in order], color=COLORS[0])
ax.set_xlabel("percent of a training step, compiled scan")
plt.show()
assert math.isclose(sum(shares.values()), 1, rel_tol=1e-6)

# %% [markdown]
# Once the scan is fast, the rest of the network is what takes the time. That is as it should be: it has more
# arithmetic to do.
#
# ## On a GPU: few long rows
#
# A GPU is not one fast processor but a hundred multiprocessors, each of which wants a dozen groups of 32 threads to be
# busy. Mamba's authors gave each *row* of the scan, a channel of an image, to one block of threads, which walks along
# the row chunk by chunk. For language that is right: thousands of rows (batch times channels), short sequences. Count
# the rows of LightM-UNet's first stage:

# %%
# NVIDIA's data sheet of the H200: multiprocessors, Hz at most, bytes per second; of each
# multiprocessor in a cycle, the exponentials and multiply-adds.
multiprocessors, clock, bandwidth, exponentials_a_cycle, multiply_adds_a_cycle = (
    132,
    1.98e9,
    4.8e12,
    16,
    128,
)
print(f"{'':<34}{'rows':>7}{'tokens':>12}{'chunks in series':>18}")
for name, batch, D, L in [
    ("language: batch 8, D = 5120", 8, 5120, 2048),
    ("512 x 512, batch 12", 12, 64, 512**2),
    ("128 x 128 x 128, batch 2", 2, 64, 128**3),
]:
    print(f"{name:<34}{batch * D:>7,}{L:>12,}{L // 2048:>18,}")
assert 2 * 64 < multiprocessors

# %% [markdown]
# In 3D there are fewer rows than multiprocessors, and each of them has a thousand chunks to walk through, one after
# the other. The chip is mostly idle, not because there is little to do but because it is all in single file.
#
# The way out is chapter 2's again, equation {eq}`eq-carry`: cut each row into chunks that run side by side. Three
# phases: (1) every chunk's end state from zero, and the sum of its $\Delta$; (2) the carry from chunk to chunk, short;
# (3) every chunk once more, from its right state. The price is exact: $u$, $\Delta$ and $B$ are read twice, and the decays are
# computed twice. Counted for the forward pass, beside one pass that reads everything once:


# %%
def three_phases(shape, K):
    """Programs, exponentials and bytes of a forward pass in chunks of K tokens.

    In blocks of 32 channels, float32.
    """
    chunks = -(-shape.length // K)
    tokens = shape.batch * shape.length
    between = shape.batch * chunks * shape.channels * shape.d_state  # one state a chunk
    # Phase 1 reads u, delta, B and writes end states.
    numbers = tokens * (2 * shape.channels + shape.d_state) + between
    numbers += 2 * between  # phase 2 reads them and writes what enters each chunk
    # Phase 3 is the scan.
    numbers += tokens * (3 * shape.channels + 2 * shape.d_state) + between
    return (
        shape.batch * chunks * -(-shape.channels // 32),
        2 * shape.states,
        4 * numbers,
    )


volume = Shape(2, 64, 128**3, 16)
once = scan_counts(volume, False)
print(
    f"one pass: {volume.batch * volume.channels} rows, {once.exponentials / 1e9:.1f} "
    f"G exponentials, {once.bytes / 1e9:.1f} GB"
)
for K in (256, 1024, 4096):
    programs, exponentials, moved = three_phases(volume, K)
    print(
        f"K = {K:>4}: {programs:>6,} programs, {exponentials / 1e9:.1f} G "
        f"exponentials, {moved / 1e9:.1f} GB"
    )
assert three_phases(volume, 1024)[2] < 2.2 * once.bytes

# %% [markdown]
# Less than twice the bytes, exactly twice the exponentials, and thousands of programs instead of 128. What would that
# give? A *prediction* for an H200, from counts and the data sheet's numbers above, not a measurement:

# %%
cycles = multiprocessors * clock  # of all multiprocessors, a second
h200 = Machine(
    exponentials_a_cycle * cycles,
    2 * multiply_adds_a_cycle * cycles,
    bandwidth,
    "NVIDIA's data sheet",
)
for name, shape in {
    "512 x 512, batch 12": Shape(12, 64, 512**2, 16),
    "128^3, batch 2": volume,
}.items():
    one = bound(scan_counts(shape, False), h200)
    _, exponentials, moved = three_phases(shape, 1024)
    three = max(exponentials / h200.exponentials, moved / h200.bytes)
    print(
        f"{name:<20} forward: bound {1e3 * one:.2f} ms; in three phases at least "
        f"{1e3 * three:.2f} ms (predicted)"
    )

# %% [markdown]
# The backend `gpu` (Triton) goes this way, forwards and backwards, and sums $\bar B$ and $\bar C$ over the channels without
# atomic additions, so that gradients are the same bits in every run. Its correctness is tested on the CPU in Triton's
# interpreter. A record of its speed on a GPU beside mamba_ssm's kernel is still to come; `lightm-book bench scan --device
# cuda --peers` on a machine that has one makes it.

# %% [markdown]
# ## Exercises
#
# ★ takes a line, ★★ some thought, ★★★ an afternoon. `check` says whether an answer is
# right, and if it is not, what to think about.

# %% tags=["hide-input"]
from lightm_book.exercises import check

# %% [markdown]
# :::{exercise} ★ What has to move
# :label: ex-fast-bytes
# The forward scan reads $u$ and $\Delta$ and writes $y$, each with $D = 64$ channels
# and $L = 65{,}536$ tokens in float32. How many bytes is that? ($B$ and $C$ are shared
# by the channels; leave them out.)
# :::
#
# :::{hint}
# :class: dropdown
# Three arrays, four bytes per element.
# :::
#
# :::{solution} ex-fast-bytes
# :class: dropdown
# $3 \cdot 64 \cdot 65{,}536 \cdot 4 = 50{,}331{,}648$ bytes. The states are not among
# them: a compiled scan keeps them in registers.
#
# ```python
# moved = 3 * 64 * 65536 * 4
# ```
# :::

# %%
moved = None  # your answer

check("ex-fast-bytes", moved)

# %% [markdown]
# :::{exercise} ★ What stays slow
# :label: ex-fast-amdahl
# In some network the scan takes nine tenths of a training step. Somebody makes the scan
# 150 times as fast. By what factor does the step become faster?
# :::
#
# :::{hint}
# :class: dropdown
# How much of the step's time is left?
# :::
#
# :::{solution} ex-fast-amdahl
# :class: dropdown
# What is left of the step is $0.1 + 0.9 / 150$, and the factor is its inverse: less
# than ten, whatever happens to the scan. This is Amdahl's law.
#
# ```python
# speedup = 1 / (0.1 + 0.9 / 150)
# ```
# :::

# %%
speedup = None  # your answer

check("ex-fast-amdahl", speedup)

# %% [markdown]
# :::{exercise} ★★ Fewer states
# :label: ex-fast-states
# With fewer states per channel there are fewer exponentials, but as many bytes of $u$,
# $\Delta$ and $y$. For which $N$ is the forward pass on the records' machine limited by
# memory rather than by computing? Give the largest such $N$ (0 if there is none), for
# $D = 64$.
# :::
#
# :::{hint}
# :class: dropdown
# `scan_counts(Shape(1, 64, 65536, N), False)` has bytes, exponentials and operations;
# `recorded` what the machine does of each in a second.
# :::
#
# :::{solution} ex-fast-states
# :class: dropdown
# Compare the two times for $N = 1, 2, \dots$
#
# ```python
# shapes = list_bench(ROOT / "results/bench")["scan-cpu-shapes"]
# rates = Machine(**shapes["machine"])
#
#
# def limited_by_memory(N):
#     c = scan_counts(Shape(1, 64, 65536, N), False)
#     computing = c.exponentials / rates.exponentials + c.operations / rates.operations
#     return c.bytes / rates.bytes > computing
#
#
# largest_n = max([N for N in range(1, 17) if limited_by_memory(N)], default=0)
# ```
# :::

# %%
largest_n = None  # your answer

check("ex-fast-states", largest_n)

# %% [markdown]
# :::{exercise} ★★ An index per token
# :label: ex-fast-unbind
# `cumulative(x)` below is a running sum, written with an index per token. Write
# `linear(x)`, which gives the same and whose backward pass writes a number of elements
# that is linear in the length, without `cumsum`.
# :::
#
# :::{hint}
# :class: dropdown
# The gradient of `x[t]` is as long as `x`. Which function takes a tensor apart in one
# call?
# :::
#
# :::{solution} ex-fast-unbind
# :class: dropdown
# `unbind` has one backward step for all tokens; an index has one for each, and each
# writes a whole row.
#
# ```python
# def linear(x):
#     total, sums = torch.zeros(()), []
#     for value in x.unbind(0):
#         total = total + value
#         sums.append(total)
#     return torch.stack(sums)
# ```
# :::


# %%
def cumulative(x):
    total, sums = torch.zeros(()), []
    for t in range(len(x)):
        total = total + x[t]
        sums.append(total)
    return torch.stack(sums)


# %%
def linear(x):
    return None  # your answer


check("ex-fast-unbind", linear)

# %% [markdown]
# :::{exercise} ★★★ Open: find the next bottleneck
# :label: ex-fast-open
# Profile a training step of a small LightM-UNet on your machine
# (`lightm-book bench step` times its parts). Write down beforehand which part you
# expect to take most time. Then choose the largest part that isn't the scan: count its
# bytes and operations, compare with what your machine can do, and say whether a better
# kernel could help.
# :::
#
# :::{hint}
# :class: dropdown
# A bound from counting is the best case; the distance from it is what a kernel could
# gain.
# :::
#
# :::{solution} ex-fast-open
# :class: dropdown
# A good answer has the guess, the measured shares with their spread, a count for one
# part, and a conclusion that may well be 'nothing to gain here'. It repeats the
# measurement, and says what else ran on the machine.
# :::

# %% [markdown]
# ## What to remember
#
# * Count first: exponentials, operations, bytes. What the machine does of each in a second gives a bound, and says what
#   is worth removing. On a CPU the scan is mostly its exponentials.
# * A loop in Python pays for calls, not for arithmetic; with an index a token its gradient is quadratic.
# * All tokens at once pays for memory, most of all for memory that is new. Chunks keep the pieces in the cache; a
#   compiled kernel keeps the states in registers and computes them twice rather than keep them.
# * Time and memory of the compiled scan grow linearly to two million tokens.
# * On a GPU the trouble is not the work but the single file, and the remedy is the same equation as in the chunks.
#
# **Where to go.** {doc}`13_cost` has the memory and the time of whole networks; {doc}`../book/reproduce` says how to measure
# all of this on a GPU; {doc}`../book/reference` lists the backends.
