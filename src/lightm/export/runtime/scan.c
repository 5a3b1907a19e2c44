/* The selective scan, a chunk of tokens at a time. */
#include "vector.h"

/* delta (T, D) <- softplus(delta + bias) * scale, in place. scale is 1 but for experiments with the step size. */
EXPORT void step_size(float *delta, const float *bias, float scale, int T, int D) {
    for (int t = 0; t < T; t++, delta += D)
        for (int d = 0; d < D; d += LANES) store(delta + d, softplus(load(delta + d) + load(bias + d)) * scale);
}

/* h <- exp(delta A) h + delta u B, y = C h + skip u, over T tokens.

u, delta, y: (T, D). BC: token t's B is at BC + t * ld, its C at BC + t * ld + N. A: (D / 4, N, 4), times log2(e), so
that exp is 2^x. h: (D / 4, N, 4), the state that one chunk hands to the next. skip: (D), the parameter D of the paper.
N must be a multiple of 4.

Lanes are channels. Four states of four channels stay in registers while all tokens of the chunk go by; y is summed up
over the groups of four states, in the first-level cache. */
EXPORT void scan(const float *u, const float *delta, const float *A, const float *BC, int ld, const float *skip,
                 float *h, float *y, int T, int D, int N) {
    for (int d = 0; d < D; d += LANES) {
        v4 through = load(skip + d);
        for (int n = 0; n < N; n += 4) {
            const float *a = A + d * N + n * LANES;
            float *state = h + d * N + n * LANES;
            v4 a0 = load(a), a1 = load(a + 4), a2 = load(a + 8), a3 = load(a + 12);
            v4 h0 = load(state), h1 = load(state + 4), h2 = load(state + 8), h3 = load(state + 12);
            const float *B = BC + n, *C = BC + N + n, *ut = u + d, *dt = delta + d;
            float *yt = y + d;
            for (int t = 0; t < T; t++, B += ld, C += ld, ut += D, dt += D, yt += D) {
                v4 step = load(dt), value = load(ut), x = step * value;
                h0 = exp2_of(step * a0) * h0 + x * B[0];
                h1 = exp2_of(step * a1) * h1 + x * B[1];
                h2 = exp2_of(step * a2) * h2 + x * B[2];
                h3 = exp2_of(step * a3) * h3 + x * B[3];
                v4 read = (h0 * C[0] + h1 * C[1]) + (h2 * C[2] + h3 * C[3]);
                store(yt, read + (n ? load(yt) : through * value));
            }
            store(state, h0), store(state + 4, h1), store(state + 8, h2), store(state + 12, h3);
        }
    }
}
