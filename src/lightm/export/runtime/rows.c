/* What happens to each token by itself: norms, gates, sums. */
#include "vector.h"

typedef struct { v4 mean, scale; } moments;

/* Mean and 1 / sqrt(variance + eps) of the first `count` of C channels; the padded ones are 0. Two passes: the first
finds the mean, the second sums squares about it, which loses no digits. */
static inline moments moments_of(const float *x, int C, int count) {
    v4 sum = splat(0), squares = splat(0);
    for (int c = 0; c < C; c += LANES) sum += load(x + c);
    float mean = sum_of(sum) / count;
    for (int c = 0; c < C; c += LANES) {
        v4 off = load(x + c) - mean;
        squares += off * off;
    }
    float variance = (sum_of(squares) - (C - count) * mean * mean) / count;
    return (moments){splat(mean), splat(1 / __builtin_sqrtf(at_least(splat(variance), 0)[0] + 1e-5f))};
}

/* out (T, C) = LayerNorm(x (T, C)) over the first `count` channels; weight and bias are 0 in the padded ones. */
EXPORT void layer_norm(const float *x, const float *weight, const float *bias, float *out, int T, int C, int count) {
    for (int t = 0; t < T; t++, x += C, out += C) {
        moments m = moments_of(x, C, count);
        for (int c = 0; c < C; c += LANES)
            store(out + c, (load(x + c) - m.mean) * m.scale * load(weight + c) + load(bias + c));
    }
}

/* out (T, D) = LayerNorm(y (T, D)) * SiLU(z (T, D)): the product of equation (3). */
EXPORT void gated_norm(const float *y, const float *z, const float *weight, const float *bias, float *out, int T, int D,
                       int count) {
    for (int t = 0; t < T; t++, y += D, z += D, out += D) {
        moments m = moments_of(y, D, count);
        for (int d = 0; d < D; d += LANES)
            store(out + d, ((load(y + d) - m.mean) * m.scale * load(weight + d) + load(bias + d)) * silu(load(z + d)));
    }
}

/* m (T, C) += s (C) * x (T, C): the adjusted residual connection, equation (1). */
EXPORT void add_scaled(float *m, const float *x, const float *s, int T, int C) {
    for (int t = 0; t < T; t++, m += C, x += C)
        for (int c = 0; c < C; c += LANES) store(m + c, load(m + c) + load(s + c) * load(x + c));
}

/* out (n) += x (n); n a multiple of 4. */
EXPORT void add(float *out, const float *x, int n) {
    for (int i = 0; i < n; i += LANES) store(out + i, load(out + i) + load(x + i));
}

/* x (n) <- max(x, 0) */
EXPORT void relu(float *x, int n) {
    for (int i = 0; i < n; i += LANES) store(x + i, at_least(load(x + i), 0));
}

/* Tokens gathered from, or scattered to, places `stride` tokens apart (it may be negative): how a scan direction other
than row-major reads the grid. many (.., C) and few (T, C); scattering adds. */
EXPORT void gather(const float *many, int stride, float *few, int T, int C) {
    for (int t = 0; t < T; t++, many += stride * C, few += C)
        for (int c = 0; c < C; c += LANES) store(few + c, load(many + c));
}

EXPORT void scatter_add(float *many, int stride, const float *few, int T, int C) {
    for (int t = 0; t < T; t++, many += stride * C, few += C)
        for (int c = 0; c < C; c += LANES) store(many + c, load(many + c) + load(few + c));
}
