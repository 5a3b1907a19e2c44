/* The selective scan as a serial loop over scalars, forward only: token after token, channel after channel, state after
 * state, with the state in memory and the C library's exponential. llama.cpp's ggml_ssm_scan for Mamba-1 goes this way;
 * this is our own rendering of it, to time that way beside others, and not llama.cpp's code.
 *
 * u, delta, y: (B, L, D)   A, and state for each item: (D, N)   B, C: (B, L, N)   D, bias: (D,)
 * A thread takes the channels `first` to `last`. */
#include <math.h>

void serial_scan(const float *u, const float *delta, const float *A, const float *B, const float *C, const float *D,
                 const float *bias, float *y, float *state, long batch, long length, long channels, long states,
                 long first, long last) {
    for (long b = 0; b < batch; b++) {
        for (long t = 0; t < length; t++) {
            const long row = b * length + t;
            for (long d = first; d < last; d++) {
                const float raw = delta[row * channels + d] + bias[d];
                const float dt = raw <= 20.0f ? log1pf(expf(raw)) : raw;
                const float u_t = u[row * channels + d];
                const float x = dt * u_t;
                float *h = state + (b * channels + d) * states;
                float sum = 0.0f;
                for (long n = 0; n < states; n++) {
                    h[n] = h[n] * expf(dt * A[d * states + n]) + B[row * states + n] * x;
                    sum += h[n] * C[row * states + n];
                }
                y[row * channels + d] = sum + D[d] * u_t;
            }
        }
    }
}
