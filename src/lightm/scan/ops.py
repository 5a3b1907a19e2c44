"""The scan as two operators of torch, `lightm::selective_scan` and its backward.

As operators they have shapes on the meta device, stay whole under torch.compile and torch.export, and are counted by
torch.utils.flop_counter. Here time comes before channels; `lightm.scan.selective_scan` is the public face.

    u, delta, z: (B, L, D)   A: (D, N)   B, C: (B, L, N)   D, delta_bias: (D,), each of any floating dtype

y has u's dtype, every gradient its input's. The last state and what is kept for backward have the dtype of the
arithmetic, float32 or float64. A backend gets all tensors in that dtype, unless it sets `READS_ANY_DTYPE`, because it
converts in registers what would otherwise be copied through memory. What is kept is flat: a shape that has the number
of chunks in it, which may be one, would tie an exported graph to a range of lengths.
"""

import math
from types import ModuleType

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from lightm.cpu.arrays import under_torch_func
from lightm.scan import registry
from lightm.scan.inputs import ScanInputs

# Not torch.library.custom_op, whose wrapper imports torch's compiler at the first call (two seconds).
_INPUTS = (
    "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z,"
    " Tensor? delta_bias, bool delta_softplus"
)
torch.library.define(
    "lightm::selective_scan",
    f"({_INPUTS}, bool keep_states, str backend) -> (Tensor, Tensor, Tensor)",
)
torch.library.define(
    "lightm::selective_scan_backward",
    f"(Tensor grad_y, Tensor? grad_last_state, {_INPUTS}, Tensor states, str backend) -> ({', '.join(['Tensor'] * 8)})",
)


def arithmetic_dtype(*tensors: Tensor | None) -> torch.dtype:
    """float64 if any tensor has it, else float32."""
    return torch.float64 if any(x is not None and x.dtype == torch.float64 for x in tensors) else torch.float32


def _choose(backend: str, x: ScanInputs) -> ModuleType:
    return registry.module(registry.choose(backend, x.u.device, arithmetic_dtype(*x.tensors))[0])


def _readable(module: ModuleType, x: ScanInputs) -> ScanInputs:
    """The inputs in the dtype that the backend reads."""
    if getattr(module, "READS_ANY_DTYPE", False):
        return x
    dtype = arithmetic_dtype(*x.tensors)
    return x.map(lambda tensor: tensor.to(dtype))


@torch.library.impl("lightm::selective_scan", "CompositeExplicitAutograd")
def _scan(*arguments) -> tuple[Tensor, Tensor, Tensor]:
    """y (B, L, D), the last state (B, D, N), and what the backend keeps for its backward pass (`keep_states`)."""
    *inputs, keep_states, backend = arguments
    x = ScanInputs(*inputs)
    module = _choose(backend, x)
    with torch.autocast(x.u.device.type, enabled=False):
        y, last_state, states = module.forward(_readable(module, x), keep_states)
    return y.to(x.u.dtype), last_state, states.view(-1)


@torch.library.register_fake("lightm::selective_scan")
def _(*arguments):
    *inputs, keep_states, backend = arguments
    x = ScanInputs(*inputs)
    batch, length, channels = x.u.shape
    d_state = x.A.shape[1]
    dtype, module = arithmetic_dtype(*x.tensors), _choose(backend, x)
    kept = math.prod(module.states_shape(batch, length, channels, d_state)) if keep_states else 0
    last_state, kept = x.u.new_empty((batch, channels, d_state), dtype=dtype), x.u.new_empty((kept,), dtype=dtype)
    return x.u.new_empty((batch, length, channels)), last_state, kept


@torch.library.impl("lightm::selective_scan_backward", "CompositeExplicitAutograd")
def _scan_backward(grad_y: Tensor, grad_last_state: Tensor | None, *arguments) -> tuple[Tensor, ...]:
    """Gradients of u, delta, A, B, C, D, z, delta_bias; an empty tensor for an input that is None."""
    *inputs, states, backend = arguments
    x = ScanInputs(*inputs)
    module = _choose(backend, x)
    states = states.view(module.states_shape(*x.u.shape, x.A.shape[1]))
    with torch.autocast(x.u.device.type, enabled=False):
        if not getattr(module, "READS_ANY_DTYPE", False):
            grad_y, grad_last_state = (g if g is None else g.to(states.dtype) for g in (grad_y, grad_last_state))
        grads = module.backward(grad_y, grad_last_state, _readable(module, x), states)
    pairs = zip(grads, x.tensors, strict=True)
    return tuple(x.u.new_empty((0,)) if grad is None else grad.to(tensor.dtype) for grad, tensor in pairs)


@torch.library.register_fake("lightm::selective_scan_backward")
def _(grad_y, grad_last_state, *arguments):
    x = ScanInputs(*arguments[:9])
    return tuple(x.u.new_empty((0,)) if tensor is None else tensor.new_empty(tensor.shape) for tensor in x.tensors)


def _keep_for_backward(ctx, inputs, output):
    *tensors, ctx.delta_softplus, _keep_states, ctx.backend = inputs
    ctx.save_for_backward(*tensors, output[2])
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)


def _gradients(ctx, grad_y, grad_last_state, _grad_states):
    *tensors, states = ctx.saved_tensors
    if grad_y is None:  # only the last state was used
        grad_y = torch.zeros_like(tensors[0])
    backward = _ScanBackward.apply if under_torch_func() else torch.ops.lightm.selective_scan_backward
    grads = backward(grad_y, grad_last_state, *tensors, ctx.delta_softplus, states, ctx.backend)
    wanted = zip(grads, tensors, strict=True)
    return *(None if tensor is None else grad for grad, tensor in wanted), None, None, None


def _refuse(ctx, *grads):
    raise NotImplementedError(
        "The selective scan's gradient can't be differentiated again; selective_scan(..., backend='reference') can."
    )


torch.library.register_autograd("lightm::selective_scan", _gradients, setup_context=_keep_for_backward)


def _refuse_forward_mode(ctx, *tangents):
    raise NotImplementedError(
        "The selective scan has no forward-mode derivative (jvp); selective_scan(..., backend='reference') has."
    )


torch.library.register_autograd("lightm::selective_scan_backward", _refuse)


class _Scan(torch.autograd.Function):
    """The same derivative for torch.func, whose transforms don't know those of `register_autograd`.

    It stays for gradients of each sample (vmap of grad) and for functional training loops, which need it.
    """

    forward = staticmethod(lambda *inputs: torch.ops.lightm.selective_scan(*inputs))
    setup_context = staticmethod(_keep_for_backward)
    backward = staticmethod(_gradients)
    jvp = staticmethod(_refuse_forward_mode)
    vmap = staticmethod(lambda info, dims, *inputs: _one_by_one(_Scan, info.batch_size, dims, inputs))


class _ScanBackward(torch.autograd.Function):
    forward = staticmethod(lambda *inputs: torch.ops.lightm.selective_scan_backward(*inputs))
    setup_context = staticmethod(lambda ctx, inputs, output: None)
    backward = staticmethod(_refuse)
    vmap = staticmethod(lambda info, dims, *inputs: _one_by_one(_ScanBackward, info.batch_size, dims, inputs))


def _one_by_one(function, size: int, dims: tuple, inputs: tuple):
    """vmap as a loop: calls `function` with each slice of the inputs that are batched, and stacks what it returns."""
    slices = [[x if d is None else x.select(d, i) for x, d in zip(inputs, dims, strict=True)] for i in range(size)]
    outputs = [torch.stack(results) for results in zip(*(function.apply(*x) for x in slices), strict=True)]
    return tuple(outputs), (0,) * len(outputs)


def scan(*inputs) -> tuple[Tensor, Tensor, Tensor]:
    """The operator `lightm::selective_scan`, also under torch.func's grad and vmap."""
    return (_Scan.apply if under_torch_func() else torch.ops.lightm.selective_scan)(*inputs)


def forward_flops(batch: int, length: int, channels: int, d_state: int, has_D: bool, has_z: bool) -> int:
    """Floating-point operations of a forward scan; an exponential counts as one and a multiply-add as two.

    Per token, channel and state: delta A, exp, (delta u) B, and the multiply-adds a h + b and y + C h: 7. Per token and
    channel: delta u, a multiply-add for D, a product for the gate. Softplus and SiLU are not counted, as is usual for
    activations.
    """
    tokens = batch * length * channels
    return tokens * (7 * d_state + 1 + 2 * has_D + has_z)


@register_flop_formula(torch.ops.lightm.selective_scan)
def _(u, delta, A, B, C, D=None, z=None, *args, out_shape=None, **kwargs) -> int:
    batch, length, channels = u
    return forward_flops(batch, length, channels, A[1], D is not None, z is not None)


def backward_flops(batch: int, length: int, channels: int, d_state: int, has_D: bool, has_z: bool) -> int:
    """The same for the backward pass, which computes the states a second time.

    Per state: recomputed (5), g = dy C + g (2), a g (1), a g h (1), and five sums (2 each).
    """
    return batch * length * channels * (19 * d_state + 4 + 2 * has_D + 4 * has_z)


@register_flop_formula(torch.ops.lightm.selective_scan_backward)
def _(grad_y, grad_last_state, u, delta, A, B, C, D=None, z=None, *args, out_shape=None, **kwargs) -> int:
    batch, length, channels = u
    return backward_flops(batch, length, channels, A[1], D is not None, z is not None)
