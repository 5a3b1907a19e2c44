/* What looks at neighbours on the grid: convolutions, pooling, up-sampling. One row of W pixels at a time, (W, C). */
#include "vector.h"

/* One output row of a depthwise 3 x 3 convolution with zeros around the picture. up, mid, down: the rows of the input
(a row of zeros beyond its border). weight: (9, C), row by row of the filter. activate: 1 for SiLU on top. */
EXPORT void conv3x3_row(const float *up, const float *mid, const float *down, const float *weight, const float *bias,
                        float *out, int W, int C, int activate) {
    const float *rows[3] = {up, mid, down};
    for (int x = 0; x < W; x++)
        for (int c = 0; c < C; c += LANES) {
            v4 sum = load(bias + c);
            for (int r = 0; r < 3; r++) {
                const float *row = rows[r] + x * C + c, *w = weight + 3 * r * C + c;
                if (x > 0) sum += load(row - C) * load(w);
                sum += load(row) * load(w + C);
                if (x + 1 < W) sum += load(row + C) * load(w + 2 * C);
            }
            store(out + x * C + c, activate ? silu(sum) : sum);
        }
}

/* Mamba's convolution with SiLU: each token sees itself and the 3 before it. x: (L, C), before it there are
zeros. weight: (4, C), the latest token last. From the last token to the first, so that out may be x. */
EXPORT void causal_conv(const float *x, const float *weight, const float *bias, float *out, int L, int C) {
    for (int t = L - 1; t >= 0; t--)
        for (int c = 0; c < C; c += LANES) {
            v4 sum = load(bias + c);
            for (int back = 0; back < 4 && back <= t; back++)
                sum += load(x + (t - back) * C + c) * load(weight + (3 - back) * C + c);
            store(out + t * C + c, silu(sum));
        }
}

/* Max-pooling by 2: rows a, b (W, C) -> out (W / 2, C). */
EXPORT void max_pool_row(const float *a, const float *b, float *out, int W, int C) {
    for (int x = 0; x < W; x += 2, a += 2 * C, b += 2 * C, out += C)
        for (int c = 0; c < C; c += LANES) {
            v128_t top = wasm_f32x4_pmax((v128_t)load(a + c), (v128_t)load(a + C + c));
            v128_t bottom = wasm_f32x4_pmax((v128_t)load(b + c), (v128_t)load(b + C + c));
            store(out + c, (v4)wasm_f32x4_pmax(top, bottom));
        }
}

/* Bilinear up-sampling by 2, pixel centres aligned: out (2W, C) lies between the rows near and far (W, C), with 3/4 of
the near one. At the ends of a row the pixel itself is its own neighbour. */
EXPORT void upsample_row(const float *near, const float *far, float *out, int W, int C) {
    for (int x = 0; x < W; x++) {
        int left = x ? x - 1 : x, right = x + 1 < W ? x + 1 : x;
        for (int c = 0; c < C; c += LANES) {
            v4 here = 0.75f * load(near + x * C + c) + 0.25f * load(far + x * C + c);
            v4 before = 0.75f * load(near + left * C + c) + 0.25f * load(far + left * C + c);
            v4 after = 0.75f * load(near + right * C + c) + 0.25f * load(far + right * C + c);
            store(out + 2 * x * C + c, 0.75f * here + 0.25f * before);
            store(out + (2 * x + 1) * C + c, 0.75f * here + 0.25f * after);
        }
    }
}
