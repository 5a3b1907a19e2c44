"""The GPU kernels compiled ahead of time for GPUs that are not here: types, atomics, number of exponentials."""

import re

import pytest

triton = pytest.importorskip("triton", reason="Triton is not installed; it comes with PyTorch's GPU builds on Linux")


def compiled(kernel, capability, dtype, arithmetic="fp32", states=16, **flags):
    """The kernel compiled for a GPU that need not be here, with strides of 1 along channels and states."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    read_as_they_are = ("u", "delta", "B", "C", "z", "grad_y", "y", "du", "ddelta", "dz")
    numbers = ("zero", "L", "D", "N", "K", "M", "channel_blocks", "batch", "groups", "group_blocks", "slots")
    constants = {
        **{"S": 4, "SUB": 64, "BLOCK_N": states, "BLOCK_D": 32, "ROWS": 16, "BLOCK": 64},
        **{"ACC": triton.language.float64 if arithmetic == "fp64" else triton.language.float32, "REVERSE": True},
        **{name: True for name in ("SOFTPLUS", "HAS_BIAS", "HAS_D", "HAS_Z", "HAS_LAST", "HAS_FIRST")},
        **flags,
    }
    signature, values, attributes = {}, {}, {}
    for i, name in enumerate(kernel.arg_names):
        if name in constants or name in ("u_d", "delta_d", "B_n", "C_n", "z_d", "grad_y_d"):
            signature[name], values[name] = "constexpr", constants.get(name, 1)
        elif name in numbers or re.fullmatch(r"\w+_[bldn]", name):
            signature[name] = "i32"
        else:
            signature[name] = f"*{dtype}" if name in read_as_they_are else f"*{arithmetic}"
        if signature[name].startswith("*") or name in ("D", "N", "K", "L"):
            attributes[(i,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constexprs=values, attrs=attributes)
    options = {"num_warps": max(states // 16, 1)}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def kernels():
    from lightm.scan import gpu_backward, gpu_forward

    return {
        "chunk_ends": gpu_forward.chunk_ends,
        "carry": gpu_forward.carry,
        "outputs": gpu_forward.outputs,
        "sweep": gpu_backward.sweep,
        "gradients": gpu_backward.gradients,
    }


# A call with these numbers compiles them in, as Triton does with every 1.
ONES = {name: 1 for name in ("batch", "L", "D", "N", "M", "channel_blocks", "groups", "group_blocks")}
CONFIGURATIONS = [  # kernel, compute capability, dtype of the inputs; T4 is 7.5, A100 8.0, H200 9.0
    ("chunk_ends", 75, "bf16", {}),
    ("carry", 80, "fp32", {}),
    ("outputs", 75, "bf16", {}),
    ("outputs", 90, "fp32", {"HAS_Z": False}),
    ("sweep", 80, "fp16", {}),
    ("gradients", 75, "bf16", {}),
    ("gradients", 90, "fp32", {"states": 1, "BLOCK_D": 1, **ONES}),
    ("sweep", 90, "fp32", {"states": 1, "BLOCK_D": 1, **ONES}),
    ("outputs", 80, "fp64", {"arithmetic": "fp64"}),
    ("sweep", 75, "fp32", {"arithmetic": "fp64"}),
    ("gradients", 80, "fp64", {"arithmetic": "fp64"}),
    ("outputs", 90, "fp32", {"states": 64}),
]


@pytest.mark.parametrize(
    "name, capability, dtype, flags",
    CONFIGURATIONS,
    ids=["-".join([c[0], f"sm{c[1]}", c[2], *c[3]]) for c in CONFIGURATIONS],
)
def test_kernels_compile_for_gpus_that_are_not_here(name, capability, dtype, flags):
    from lightm.scan import gpu

    if gpu.interpreted():
        pytest.skip("TRITON_INTERPRET=1: there is nothing to compile")
    code = compiled(kernels()[name], capability, dtype, **flags)
    assembly = code.asm["ptx"]
    assert not re.search(r"^\s*(@%p\d+ )?(atom|red)\.", assembly, re.MULTILINE), "an atomic would sum in any order"
    assert code.metadata.shared <= 48 * 1024
    if name in ("chunk_ends", "sweep", "outputs") and not {"arithmetic", "BLOCK_D"} & set(flags):
        # A tile of 4 tokens x 16 states x 32 channels has 64 decays a thread; were a tensor's layout another than
        # gpu_math.py says, threads would repeat each other's work. Softplus and the gate need a few per channel.
        exponentials = len(re.findall(r"ex2\.approx", assembly))
        assert 64 <= exponentials <= 64 + 4 * 2, exponentials
