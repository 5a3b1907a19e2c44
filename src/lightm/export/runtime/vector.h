#pragma once
/* Four floats at a time, and the functions of them that the network needs. Every kernel includes this file.

Letters as in lightm.models.vss: L tokens, C channels, D inner channels, N states. Activations lie token by token,
(L, C) row-major, and C is always a multiple of LANES: the runtime pads weights with zeros, so padded channels stay 0.
*/
#include <wasm_simd128.h>

#define LANES 4
#define EXPORT __attribute__((visibility("default")))
typedef float v4 __attribute__((vector_size(16)));
typedef int i4 __attribute__((vector_size(16)));
typedef float v4_unaligned __attribute__((vector_size(16), aligned(4)));

static inline v4 load(const float *p) { return *(const v4_unaligned *)p; }
static inline void store(float *p, v4 x) { *(v4_unaligned *)p = x; }
static inline v4 splat(float x) { return (v4){x, x, x, x}; }
/* pmax and pmin are one x86 instruction each; max and min of WebAssembly are six, for the sake of NaN and -0. */
static inline v4 at_least(v4 x, float low) { return (v4)wasm_f32x4_pmax((v128_t)splat(low), (v128_t)x); }
static inline v4 at_most(v4 x, float high) { return (v4)wasm_f32x4_pmin((v128_t)splat(high), (v128_t)x); }
static inline float sum_of(v4 x) { return x[0] + x[1] + x[2] + x[3]; }

/* 2^x for x <= 126; anything below -126 gives 2^-126, which is as good as 0. Relative error 2e-7.

Adding 1.5 * 2^23 rounds x to a whole number n, which then stands in the low bits of the sum; 2^(x - n) is a minimax
polynomial, and n is added to its exponent. Its first coefficient is 1 and not the 1.00000007 that would fit best: at
small steps a state decays by factors just below 1, thousands of them, and each would be too large by the same bit. */
static inline v4 exp2_of(v4 x) {
    x = at_least(x, -126.0f);
    v4 shifted = x + 12582912.0f;
    i4 n = (i4)shifted - 0x4B400000;
    v4 f = x - (shifted - 12582912.0f);  /* -1/2 to 1/2 */
    v4 f2 = f * f;                       /* Estrin's order: shorter chains of operations than Horner's */
    v4 low = (0.693146978f * f + 1.0f) + f2 * (0.0555073374f * f + 0.240222421f);
    v4 p = low + (f2 * f2) * (0.00132647268f * f + 0.00967151267f);
    return (v4)((i4)p + (n << 23));
}

static inline v4 exp_of(v4 x) { return exp2_of(at_most(x * 1.44269504f, 126.0f)); }

/* x * sigmoid(x) */
static inline v4 silu(v4 x) { return x / (exp_of(-x) + 1.0f); }

/* log(1 + e^x) = max(x, 0) + log(1 + e), e = exp(-|x|). With s = e / (2 + e) the logarithm is 2 artanh(s), a series in
s^2 that keeps its relative accuracy where e is tiny: a small step size must not lose digits to the 1. */
static inline v4 softplus(v4 x) {
    v4 e = exp_of((v4)((i4)x | (int)0x80000000));
    v4 s = e / (e + 2.0f), q = s * s;
    v4 p = 0.28178333f * q + 0.27960603f;
    p = p * q + 0.40024910f;
    p = p * q + 0.66666315f;
    p = p * q + 2.00000001f;
    return at_least(x, 0.0f) + s * p;
}
