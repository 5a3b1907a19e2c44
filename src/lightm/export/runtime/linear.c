/* Linear layers: most of the network's multiplications. */
#include "vector.h"

/* out (T, K) = x (T, C) W + bias (K). ldx, ldo: floats from one token to the next. W lies in panels of 8 columns, each
(C, 8), the last one (C, 4) if K is not a multiple of 8: the inner loop then reads it from end to end.

A tile of 4 tokens x 8 columns has 8 sums in registers; every loaded weight serves four tokens, every value 8 columns.
*/
#define TILE(TOKENS, VECTORS)                                                                                          \
    static inline void tile_##TOKENS##_##VECTORS(const float *x, int ldx, const float *w, const float *bias,           \
                                                 float *out, int ldo, int C) {                                         \
        v4 sum[TOKENS][VECTORS];                                                                                       \
        for (int j = 0; j < VECTORS; j++)                                                                              \
            for (int i = 0; i < TOKENS; i++) sum[i][j] = bias ? load(bias + j * LANES) : splat(0);                     \
        for (int c = 0; c < C; c++) {                                                                                  \
            v4 b[VECTORS];                                                                                             \
            for (int j = 0; j < VECTORS; j++) b[j] = load(w + j * LANES);                                              \
            for (int i = 0; i < TOKENS; i++) {                                                                         \
                v4 a = splat(x[i * ldx + c]);                                                                          \
                for (int j = 0; j < VECTORS; j++) sum[i][j] += a * b[j];                                               \
            }                                                                                                          \
            w += VECTORS * LANES;                                                                                      \
        }                                                                                                              \
        for (int i = 0; i < TOKENS; i++)                                                                               \
            for (int j = 0; j < VECTORS; j++) store(out + i * ldo + j * LANES, sum[i][j]);                             \
    }
TILE(4, 2)
TILE(1, 2)
TILE(4, 1)
TILE(1, 1)

EXPORT void linear(const float *x, int ldx, const float *w, const float *bias, float *out, int ldo, int T, int C,
                   int K) {
    for (int k = 0; k < K; k += 2 * LANES) {
        const float *b = bias ? bias + k : 0, *panel = w + k * C;
        int two = k + LANES < K, t = 0;
        for (; t + 4 <= T; t += 4)
            if (two) tile_4_2(x + t * ldx, ldx, panel, b, out + t * ldo + k, ldo, C);
            else tile_4_1(x + t * ldx, ldx, panel, b, out + t * ldo + k, ldo, C);
        for (; t < T; t++)
            if (two) tile_1_2(x + t * ldx, ldx, panel, b, out + t * ldo + k, ldo, C);
            else tile_1_1(x + t * ldx, ldx, panel, b, out + t * ldo + k, ldo, C);
    }
}
