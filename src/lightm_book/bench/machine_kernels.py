"""The three loops that measure a CPU, on the vectors of lightm.cpu.vectors."""

from lightm.cpu.cache import kernel
from lightm.cpu.math import exp2_normal
from lightm.cpu.vectors import lanes, load, store, zeros

PARTS = 8  # vectors at a time: as many as hide the latency of a multiply-add, and fit in the registers of AVX2


@kernel
def exponentials(x, rounds):
    """The sum of 2**x over an array, `rounds` times; two vectors at a time leave registers for the polynomial."""
    step = 2 * lanes(x)
    total = zeros(x, 2)
    for _ in range(rounds):
        for i in range(0, x.size, step):
            total = total + exp2_normal(load(x, i, 2))
    store(x, 0, total)


@kernel
def multiply_adds(x, rounds):
    """x <- x / 2 + 1/4, `rounds` times, for an array of PARTS vectors."""
    half = zeros(x, 1) + 0.5
    quarter = zeros(x, 1) + 0.25
    value = load(x, 0, 8)
    for _ in range(rounds):
        value = value * half + quarter
    store(x, 0, value)


@kernel
def add(a, b, c):
    """c = a + b."""
    step = lanes(a)
    for i in range(0, a.size, step):
        store(c, i, load(a, i, 1) + load(b, i, 1))
