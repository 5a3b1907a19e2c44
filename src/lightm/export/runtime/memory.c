/* What remains of a C library. */
#include "vector.h"

extern unsigned char __heap_base;

/* Where free memory starts; the runtime gives it out itself. */
EXPORT int heap_base(void) { return (int)&__heap_base; }

/* n floats (a multiple of 4) <- 0. */
EXPORT void clear(float *x, int n) {
    for (int i = 0; i < n; i += LANES) store(x + i, splat(0));
}
