"""The operations around the scan, each as a single pass over memory, and each in a module of its own.

Every function here equals a line or two of plain PyTorch, which its docstring gives, which runs where the kernel can't,
and against which the tests hold it. The CPU kernels are compiled by numba on first use, as the scan's.
"""
