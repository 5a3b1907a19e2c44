"""What stands around the scan, as single passes over memory: each module is one operation that a layer calls by name.

Every function here equals a line or two of plain PyTorch, which its docstring gives, which runs where the kernel can't,
and against which the tests hold it. The CPU kernels are compiled by numba on first use, as the scan's.
"""
