"""exp2, sigmoid and softplus of vectors (simd.py), to a few units in the last place of float32 or float64.

Constants are computed here rather than copied from a table; the instructions are LLVM's, for vectors of any width.
"""

import math

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from lightm.scan.simd import pack, unpack


def _polynomial(builder, vector, coefficients, x):
    """Horner's scheme; coefficients from the constant upwards."""
    result = vector.constant(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        product = builder.fmul(result, x, flags=("contract",))
        result = builder.fadd(product, vector.constant(coefficient), flags=("contract",))
    return result


def _exp2_coefficients(bits: int) -> list[float]:
    """2**f on [-1/2, 1/2] as 1 + f q(f), q interpolated at Chebyshev nodes, to the precision of the format.

    It is exact at f = 0, because slowly decaying states multiply thousands of factors close to one; and one degree less
    would do for a single exponential, but doubles the error of dA over 262144 tokens.
    """
    degree = 5 if bits == 32 else 11  # odd: no node at 0
    q = np.polynomial.Chebyshev.interpolate(lambda f: np.expm1(f * math.log(2)) / f, degree, domain=[-0.5, 0.5])
    return [1.0, *q.convert(kind=np.polynomial.Polynomial).coef]


def _round(builder, vector, x):
    """The integer next to x, as a number, and in the lowest bits of one (adding 1.5 * 2**mantissa leaves it there)."""
    magic = vector.constant(1.5 * 2**vector.mantissa)
    shifted = builder.fadd(x, magic)
    return builder.fsub(shifted, magic), shifted


def _clamp(builder, vector, x, lowest: float, highest: float):
    lowest, highest = vector.constant(lowest), vector.constant(highest)
    x = builder.select(builder.fcmp_ordered("<", x, lowest), lowest, x)  # in this order NaN stays NaN
    return builder.select(builder.fcmp_ordered(">", x, highest), highest, x)


def _power(builder, vector, f, shifted):
    """2**f * 2**k for |f| <= 1/2: a polynomial, and k (in the lowest bits of `shifted`) added to its exponent."""
    p = _polynomial(builder, vector, _exp2_coefficients(vector.element.bitwidth), f)
    bits = vector.bits_type
    k = builder.shl(builder.bitcast(shifted, bits), ir.Constant(bits, [vector.mantissa] * vector.lanes))
    return builder.bitcast(builder.add(builder.bitcast(p, bits), k), vector.llvm_type)


def _exp2(builder, vector, x):
    """2**x; 0 and infinity where it leaves the range of the exponent's bits."""
    x = _clamp(builder, vector, x, -vector.bias, vector.bias + 1)
    k, shifted = _round(builder, vector, x)
    return _power(builder, vector, builder.fsub(x, k), shifted)


def _exp(builder, vector, x):
    """e**x, kept between the smallest and the largest normal number.

    The remainder x - k ln 2 is taken in two steps, so that its rounding error does not grow with |x|.
    """
    ln2, end = math.log(2), (vector.bias - 1) * math.log(2)
    x = _clamp(builder, vector, x, -end, end)
    k, shifted = _round(builder, vector, builder.fmul(x, vector.constant(1 / ln2)))
    high = math.floor(ln2 * 2**14) / 2**14  # few bits: k * high is exact
    remainder = builder.fsub(x, builder.fmul(k, vector.constant(high)))
    remainder = builder.fsub(remainder, builder.fmul(k, vector.constant(ln2 - high)))
    return _power(builder, vector, builder.fmul(remainder, vector.constant(1 / ln2)), shifted)


def _sigmoid(builder, vector, x):
    one = vector.constant(1)
    return builder.fdiv(one, builder.fadd(one, _exp(builder, vector, builder.fsub(vector.constant(0), x))))


def _softplus(builder, vector, x):
    """log(1 + e**x) = max(x, 0) + log(1 + w) with w = e**-|x|.

    log(1 + w) = 2 artanh(s) = 2 s (1 + s^2/3 + s^4/5 + ...) with s = w / (2 + w) <= 1/3, accurate also for tiny w.
    """
    zero = vector.constant(0)
    negative = builder.fcmp_ordered("<", x, zero)
    w = _exp(builder, vector, builder.select(negative, x, builder.fsub(zero, x)))
    s = builder.fdiv(w, builder.fadd(w, vector.constant(2)))
    terms = 8 if vector.element.bitwidth == 32 else 17  # s^2 <= 1/9
    series = _polynomial(builder, vector, [2 / (2 * k + 1) for k in range(terms)], builder.fmul(s, s))
    return builder.fadd(builder.select(negative, zero, x), builder.fmul(s, series))


def _unary(function, name: str, doc: str):
    def typer(typing_context, x):
        def codegen(context, builder, sig, args):
            return pack(builder, [function(builder, x, part) for part in unpack(builder, args[0])])

        return x(x), codegen

    typer.__name__ = typer.__qualname__ = name
    typer.__doc__ = doc
    return intrinsic(typer)


exp2 = _unary(_exp2, "exp2", "2**x, lane by lane.")
sigmoid = _unary(_sigmoid, "sigmoid", "1 / (1 + e**-x), lane by lane.")
softplus = _unary(_softplus, "softplus", "log(1 + e**x), lane by lane.")
