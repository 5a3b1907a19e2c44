"""What the numba kernels are built on: vectors and their mathematics, threads, memory, the cache, tensors as arrays."""
