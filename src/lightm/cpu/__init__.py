"""What numba kernels stand on: vectors, vector mathematics, threads, memory, and tensors as arrays."""
