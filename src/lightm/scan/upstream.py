"""mamba_ssm's CUDA kernel, where its extension `selective_scan_cuda` is really there.

`import mamba_ssm` proves nothing: its newer builds leave this extension out unless MAMBA_KEEP_CUDA_BUILD=TRUE was set.
The extension's two functions are called as mamba_ssm.ops.selective_scan_interface calls them
(https://github.com/state-spaces/mamba). It takes channels before time, so tensors are transposed on the way in and out;
u, delta, B, C and z of one dtype, float32, bfloat16 or float16, so others are made float32; and at most 256 states. Its
gradient ignores what comes in through the last state; where there is such a gradient, plain PyTorch computes instead.
"""

import torch
from torch import Tensor

from lightm.errors import LightMError
from lightm.scan import chunked
from lightm.scan.inputs import ScanInputs

READS_ANY_DTYPE = True  # see ops.py
ARITHMETIC = (torch.float32,)  # the dtypes in which it can compute
MOST_STATES = 256
CHUNK = 2048  # tokens between the states that it keeps


def unavailable(device: torch.device) -> str:
    """Why this backend can't run on `device`; empty if it can."""
    if device.type != "cuda":
        return "it is for CUDA tensors"
    try:
        _extension()
    except ImportError as error:
        return f"mamba_ssm's extension selective_scan_cuda can't be imported ({error})"
    return ""


def states_shape(batch: int, length: int, channels: int, d_state: int) -> tuple[int, ...]:
    """Shape of what `forward` keeps for `backward`: decay and state of each of the extension's chunks."""
    return (batch, channels, (length + CHUNK - 1) // CHUNK, 2 * d_state)


def forward(inputs: ScanInputs, keep_states: bool) -> tuple[Tensor, Tensor, Tensor]:
    """y (B, L, D), last state (B, D, N), kept states (`states_shape`) or an empty tensor; see chunked.forward."""
    u, A = inputs.u, inputs.A
    _check(u, A)
    if 0 in (*u.shape, A.shape[1]):
        y, last_state, _ = chunked.forward(inputs.map(Tensor.float), False)
        kept = states_shape(*u.shape, A.shape[1]) if keep_states else (0,)
        return y, last_state, last_state.new_zeros(kept)
    out, states, *gated = _extension().fwd(*_channels_first(inputs), inputs.delta_softplus)
    y = (gated[0] if inputs.z is not None else out).transpose(1, 2).contiguous()
    last_state = states[:, :, -1, 1::2].contiguous()
    return y, last_state, states if keep_states else last_state.new_empty(0)


def backward(
    grad_y: Tensor, grad_last_state: Tensor | None, inputs: ScanInputs, states: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of u, delta, A, B, C, D, z, delta_bias (None where the input is None), in the layout of `forward`."""
    u, A = inputs.u, inputs.A
    if grad_last_state is not None or 0 in (*u.shape, A.shape[1]):
        widened = inputs.map(Tensor.float)
        _, _, states = chunked.forward(widened, True)
        return chunked.backward(grad_y.float(), grad_last_state, widened, states)
    arguments = _channels_first(inputs)
    states = states.view(states_shape(*u.shape, A.shape[1]))
    # The gate's gradient needs the output before the gate, one more tensor to keep: it is computed again.
    out = None if inputs.z is None else _extension().fwd(*arguments, inputs.delta_softplus)[0]
    grad = grad_y.to(arguments[0].dtype).transpose(1, 2).contiguous()
    du, ddelta, dA, dB, dC, dD, dbias, *dz = _extension().bwd(
        *arguments, grad, states, out, None, inputs.delta_softplus, False
    )
    by_token = [x.transpose(1, 2) for x in (du, ddelta, dB.squeeze(1), dC.squeeze(1), *dz)]
    du, ddelta, dB, dC = (x.contiguous() for x in by_token[:4])
    return (
        du,
        ddelta,
        dA,
        dB,
        dC,
        None if inputs.D is None else dD,
        None if inputs.z is None else by_token[4].contiguous(),
        None if inputs.delta_bias is None else dbias,
    )


def _extension():
    import selective_scan_cuda

    return selective_scan_cuda


def _check(u: Tensor, A: Tensor) -> None:
    if A.shape[1] > MOST_STATES:
        raise LightMError(
            f"A has {A.shape[1]} states per channel; mamba_ssm's kernel takes up to {MOST_STATES}: use another backend."
        )


def _channels_first(inputs: ScanInputs) -> tuple[Tensor | None, ...]:
    """u, delta, A, B, C, D, z, delta_bias as the extension takes them: tokens (B, D, L), B and C (B, 1, N, L)."""
    u, delta, A, B, C, D, z, delta_bias = inputs.tensors
    dtypes = {x.dtype for x in (u, delta, B, C, z) if x is not None}
    dtype = u.dtype if len(dtypes) == 1 and u.dtype in (torch.bfloat16, torch.float16) else torch.float32

    def transposed(x: Tensor | None) -> Tensor | None:
        return None if x is None else x.to(dtype).transpose(1, 2).contiguous()

    def weight(x: Tensor | None) -> Tensor | None:
        return None if x is None else x.float().contiguous()

    return (
        transposed(u),
        transposed(delta),
        weight(A),
        transposed(B).unsqueeze(1),
        transposed(C).unsqueeze(1),
        weight(D),
        transposed(z),
        weight(delta_bias),
    )
