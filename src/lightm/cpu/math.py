"""exp2, sigmoid and softplus of vectors (vectors.py), to a few units in the last place of float32 or float64.

Constants are computed here rather than copied from a table; the instructions are LLVM's, for vectors of any width.
"""

import math

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.polynomial.chebyshev import chebpts1

from lightm.cpu.vectors import HAS_AVX512, Vector, load, pack, store, unpack


class Lockstep:
    """The parts of a vector while code is written for them: + - * / emit one instruction for each part in turn.

    The parts do not depend on each other, so the processor works on all of them at once, and loads a constant that they
    share once.
    """

    def __init__(self, builder, vector: Vector, parts: list):
        self.builder, self.vector, self.parts = builder, vector, parts

    def each(self, function, *others) -> "Lockstep":
        """`function(part, ...)` for each part, numbers among `others` being the same for all."""
        columns = [self.parts] + [
            other.parts if isinstance(other, Lockstep) else [self.vector.constant(other)] * len(self.parts)
            for other in others
        ]
        return Lockstep(self.builder, self.vector, [function(*row) for row in zip(*columns, strict=True)])

    def _operator(instruction, reflected=False, flags=("contract",)):
        def apply(self, other):
            function = getattr(self.builder, instruction)
            return self.each(lambda x, y: function(*((y, x) if reflected else (x, y)), flags=flags), other)

        return apply

    __add__ = __radd__ = _operator("fadd")
    __sub__, __rsub__ = _operator("fsub"), _operator("fsub", reflected=True)
    __mul__ = __rmul__ = _operator("fmul")
    __truediv__, __rtruediv__ = _operator("fdiv"), _operator("fdiv", reflected=True)

    def where_negative(self, negative, otherwise) -> "Lockstep":
        """`negative` in the lanes where this is below zero, `otherwise` elsewhere."""
        b, zero = self.builder, self.vector.constant(0)
        return self.each(lambda x, y, z: b.select(b.fcmp_ordered("<", x, zero), y, z), negative, otherwise)

    def clamp(self, lowest: float, highest: float) -> "Lockstep":
        """Between two numbers; NaN stays NaN."""
        b = self.builder
        x = self.each(lambda x, low: b.select(b.fcmp_ordered("<", x, low), low, x), lowest)
        return x.each(lambda x, high: b.select(b.fcmp_ordered(">", x, high), high, x), highest)

    def round(self, parts: int = 1) -> tuple["Lockstep", "Lockstep"]:
        """The nearest multiple of 1/parts (a power of two), as a number, and, times parts, in the lowest bits of one.

        Adding 1.5 * 2**mantissa leaves no bits for a fraction; dividing that by `parts` leaves as many as wanted.
        """
        magic = 1.5 * 2**self.vector.mantissa / parts
        shifted = self.each(self.builder.fadd, magic)
        return shifted.each(self.builder.fsub, magic), shifted

    def add_to_exponent(self, k: "Lockstep") -> "Lockstep":
        """This times 2**k, k being in the lowest bits."""
        b, vector = self.builder, self.vector
        places = ir.Constant(vector.bits_type, [vector.mantissa] * vector.lanes)

        def add(x, k):
            k = b.shl(b.bitcast(k, vector.bits_type), places)
            return b.bitcast(b.add(b.bitcast(x, vector.bits_type), k), vector.llvm_type)

        return self.each(add, k)


def _polynomial(coefficients: list[float], x: Lockstep) -> Lockstep:
    """Horner's scheme; coefficients from the constant upwards."""
    result = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        result = x * result + coefficient
    return result


def _exp2_quotient(terms: int, half: float) -> list[float]:
    """The coefficients of q, where 2**f = 1 + f q(f) on [-half, half], interpolated at Chebyshev nodes.

    In this form it is exact at f = 0, because slowly decaying states multiply thousands of factors close to one.
    """
    nodes = _chebyshev_nodes(terms) * half
    q = np.polynomial.Polynomial.fit(nodes, np.expm1(nodes * math.log(2)) / nodes, terms - 1, domain=[])
    return list(q.coef)


def _chebyshev_nodes(count: int) -> np.ndarray:
    """Of [-1, 1], none of them exactly 0 (where the quotient would be 0/0)."""
    nodes = chebpts1(count)
    return np.where(nodes == 0, 1e-3, nodes)


def _exp2_coefficients(bits: int) -> list[float]:
    """2**f on [-1/2, 1/2] as a polynomial, to the precision of the format.

    One degree less would do for a single exponential, but doubles the error of dA over 262144 tokens.
    """
    return [1.0, *_exp2_quotient(6 if bits == 32 else 12, 1 / 2)]


def _power(f: Lockstep, bits: Lockstep) -> Lockstep:
    """2**f * 2**k for |f| <= 1/2: a polynomial, and k (in the lowest bits of `bits`) added to its exponent."""
    return _polynomial(_exp2_coefficients(f.vector.element.bitwidth), f).add_to_exponent(bits)


def _exp2_normal(x: Lockstep) -> Lockstep:
    """2**x for |x| < 126, where the result is a normal number; undefined elsewhere."""
    if HAS_AVX512 and x.vector.lanes == TABLE_SIZE and x.vector.mantissa == 23:  # its instruction looks up 16 at once
        return _exp2_by_table(x)
    k, bits = x.round()
    return _power(x - k, bits)


TABLE_SIZE = 16  # entries, which fill one register of AVX-512 in float32


def _table_quotient() -> list[float]:
    """q of `_exp2_by_table`."""
    return _exp2_quotient(3, 1 / (2 * TABLE_SIZE))


def _exp2_by_table(x: Lockstep) -> Lockstep:
    """`_exp2_normal` with fewer multiplications: x is rounded to k/16 first, and a register is the table for that.

    2**x = 2**e T (1 + f q(f)) with k = 16 e + i, T = 2**(i/16) and f = x - k/16 in [-1/32, 1/32], for which a short q
    will do. As in `_power`, e goes into the exponent last, so that no step before it leaves the range of the format.
    """
    b, bits_type = x.builder, x.vector.bits_type
    nearest, k = x.round(TABLE_SIZE)
    f = x - nearest
    table = np.exp2(np.arange(TABLE_SIZE) / TABLE_SIZE).astype(np.float32).view(np.int32)
    table = ir.Constant(bits_type, [int(entry) for entry in table])
    kind = ir.FunctionType(bits_type, [bits_type, bits_type])
    lookup = cgutils.get_or_insert_function(b.module, kind, "llvm.x86.avx512.permvar.si.512")  # by the lowest 4 bits
    places, exponent = (ir.Constant(bits_type, [number] * x.vector.lanes) for number in (23 - 4, -(2**23)))

    def add_whole_part(x, k):  # k * 2**19 is e in the exponent's place, and i below it
        e = b.and_(b.shl(b.bitcast(k, bits_type), places), exponent)
        return b.bitcast(b.add(b.bitcast(x, bits_type), e), x.type)

    T = k.each(lambda k: b.bitcast(b.call(lookup, [table, b.bitcast(k, bits_type)]), k.type))
    return (T * (f * _polynomial(_table_quotient(), f)) + T).each(add_whole_part, k)


def _exp2(x: Lockstep) -> Lockstep:
    """2**x; 0 and infinity where it leaves the range of the exponent's bits. The same bits as `_exp2_normal` within."""
    return _exp2_normal(x.clamp(-x.vector.bias, x.vector.bias + 1))


def _exp(x: Lockstep) -> Lockstep:
    """e**x, kept between the smallest and the largest normal number.

    The remainder x - k ln 2 is taken in two steps, so that its rounding error does not grow with |x|.
    """
    ln2 = math.log(2)
    high = math.floor(ln2 * 2**14) / 2**14  # few bits: k * high is exact
    end = (x.vector.bias - 1) * ln2
    x = x.clamp(-end, end)
    k, bits = (x * (1 / ln2)).round()
    remainder = (x - k * high) - k * (ln2 - high)
    return _power(remainder * (1 / ln2), bits)


def _sigmoid(x: Lockstep) -> Lockstep:
    """1 / (1 + e**-x), by w = e**-|x| as in `_softplus`: where both are wanted, the compiler computes w once."""
    w = _exp(x.where_negative(x, 0.0 - x))
    return x.where_negative(w, 1.0) / (w + 1.0)


def _softplus(x: Lockstep) -> Lockstep:
    """log(1 + e**x) = max(x, 0) + log(1 + w) with w = e**-|x|.

    log(1 + w) = 2 artanh(s) with s = w / (2 + w) <= 1/3, accurate also for tiny w; artanh(s) / s is smooth in s^2.
    """
    w = _exp(x.where_negative(x, 0.0 - x))
    s = w / (w + 2.0)
    nodes = (chebpts1(5 if x.vector.mantissa == 23 else 11) + 1) / 18  # of s^2, in [0, 1/9]
    values = 2 * np.arctanh(np.sqrt(nodes)) / np.sqrt(nodes)
    series = np.polynomial.Polynomial.fit(nodes, values, len(nodes) - 1, domain=[0, 1 / 9]).convert().coef
    return s * _polynomial(list(series), s * s) + x.where_negative(0.0, x)


def _unary(function, name: str, doc: str):
    def typer(typing_context, x):
        def codegen(context, builder, sig, args):
            return pack(builder, function(Lockstep(builder, x, unpack(builder, args[0]))).parts)

        return x(x), codegen

    typer.__name__ = typer.__qualname__ = name
    typer.__doc__ = doc
    return intrinsic(typer)


exp2 = _unary(_exp2, "exp2", "2**x, lane by lane.")
exp2_normal = _unary(_exp2_normal, "exp2_normal", "2**x, lane by lane, where every |x| < 126: without the clamps.")
sigmoid = _unary(_sigmoid, "sigmoid", "1 / (1 + e**-x), lane by lane.")
softplus = _unary(_softplus, "softplus", "log(1 + e**x), lane by lane.")


@njit(inline="always")
def add_compensated(total, at, error, at_error, value, parts):
    """total[at] += value, keeping in `error` what rounding lost (Kahan's sum)."""
    value = value - load(error, at_error, parts)
    before = load(total, at, parts)
    after = before + value
    store(error, at_error, (after - before) - value)
    store(total, at, after)
