"""The Vision State-Space (VSS) Module: Section 2.2 of LightM-UNet, equation (3); after VMamba (arXiv:2401.10166).

Letters: B batch, C channels, D = expansion * C inner channels, L tokens (the product of the spatial sizes, row-major),
N state size, R dt_rank, S spatial sizes. Everything is channels-last: tokens (B, L, C) and a volume (B, C, *S) in
PyTorch's channels_last memory format are views of the same memory, so changing between them copies nothing.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightm.errors import LightMError, suggest
from lightm.kernels.depthwise_conv import depthwise_conv
from lightm.kernels.gated_norm import gated_norm
from lightm.kernels.linear import Linear
from lightm.models.checks import check_counts, check_spatial_dims
from lightm.scan import selective_scan

DWCONVS = ("spatial", "causal")
DIRECTIONS = (1, 2, 4)
CAUSAL_WIDTH = 4  # d_conv of Mamba


def tokens_to_volume(x: Tensor, grid: Sequence[int]) -> Tensor:
    """Tokens (B, L, C) in row-major order -> volume (B, C, *grid), channels_last: a view."""
    # Transposing before unflattening would give strides that PyTorch, for a batch of one, doesn't see as channels_last.
    return x.unflatten(1, tuple(grid)).movedim(-1, 1)


def volume_to_tokens(x: Tensor) -> Tensor:
    """Volume (B, C, *S) -> tokens (B, L, C), last spatial axis fastest: a view if the volume is channels_last."""
    return x.movedim(1, -1).flatten(1, -2)  # in this order also the gradient comes back channels_last


def to_direction(x: Tensor, grid: Sequence[int], direction: int) -> Tensor:
    """Tokens (B, L, C) in the order in which scan direction 0, 1, 2 or 3 reads them.

    0 row-major; 1 the reverse of 0; 2 spatial axes reversed (column-major in 2D); 3 the reverse of 2.
    In 2D the four are VMamba's cross-scan.
    """
    if direction >= 2:
        axes = range(len(grid), 0, -1)
        x = x.unflatten(1, tuple(grid)).permute(0, *axes, len(grid) + 1).flatten(1, -2)  # (B, L, C)
    return x.flip(1) if direction % 2 else x


def from_direction(x: Tensor, grid: Sequence[int], direction: int) -> Tensor:
    """The inverse of `to_direction`: back to row-major order."""
    x = x.flip(1) if direction % 2 else x
    return to_direction(x, tuple(grid)[::-1], 2) if direction >= 2 else x


class SpatialDWConv(nn.Module):
    """The DWConv of VMamba: each token sees its 3^d neighbours on the grid. (B, L, D) -> (B, L, D)."""

    def __init__(self, channels: int, spatial_dims: int):
        super().__init__()
        self.conv = depthwise_conv(channels, spatial_dims)

    def forward(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        return volume_to_tokens(self.conv(tokens_to_volume(x, grid)))


class CausalDWConv(nn.Module):
    """Mamba's convolution: each token sees itself and the 3 before it in row-major order. (B, L, D) -> (B, L, D).

    Written as a 2D convolution over (L, 1), which has a channels_last kernel: faster than Conv1d on a CPU.
    """

    def __init__(self, channels: int, spatial_dims: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, (CAUSAL_WIDTH, 1), groups=channels)

    def forward(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        x = F.pad(x, (0, 0, CAUSAL_WIDTH - 1, 0))  # (B, 3 + L, D): zeros before the first token, none after the last
        return volume_to_tokens(self.conv(tokens_to_volume(x, (x.shape[1], 1))))


DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 1e-1, 1e-4  # Mamba's step sizes Δ at the start


def ssm_parameters(
    channels: int, d_state: int, dt_rank: int
) -> tuple[Linear, Linear, nn.Parameter, nn.Parameter, nn.Parameter]:
    """The parameters of a selective SSM with D channels and N states, started as Mamba starts them.

    x_proj D -> R + 2N, dt_proj R -> D, dt_bias (D,), A_log (D, N) and D (D,). A = -exp(A_log) is -1, -2, ..., -N in
    every channel (S4D-real), D is 1, and dt_bias is set so that Δ starts between 0.001 and 0.1, log-uniformly.
    """
    x_proj = Linear(channels, dt_rank + 2 * d_state, bias=False)
    dt_proj = Linear(dt_rank, channels, bias=False)
    with torch.no_grad():
        dt_proj.weight.uniform_(-1, 1).mul_(dt_rank**-0.5)  # keeps the variance of its input
    log_dt = torch.empty(channels).uniform_(math.log(DT_MIN), math.log(DT_MAX))
    dt = log_dt.exp().clamp(min=DT_FLOOR)
    dt_bias = dt + torch.log(-torch.expm1(-dt))  # the inverse of softplus
    A_log = torch.arange(1.0, d_state + 1).log().repeat(channels, 1)
    parameters = [nn.Parameter(values) for values in (dt_bias, A_log, torch.ones(channels))]
    for parameter in parameters:
        parameter._no_weight_decay = True
    return x_proj, dt_proj, *parameters


class SelectiveSSM(nn.Module):
    """The selective state-space model of Mamba (arXiv:2312.00752, Algorithm 2): B, C and Δ are computed from the input.

    Args: channels D of the input; d_state N; dt_rank R, the rank of the map from input to Δ; scan_backend, a name of
    `lightm.scan.backends()` or "auto". Its parameters and their initial values: `ssm_parameters`.

    A doesn't depend on the input; the decay exp(Δ A) still does, through Δ.
    """

    def __init__(self, channels: int, d_state: int = 16, dt_rank: int = 1, scan_backend: str = "auto"):
        super().__init__()
        self.split = (dt_rank, d_state, d_state)
        self.scan_backend = scan_backend
        self.x_proj, self.dt_proj, self.dt_bias, self.A_log, self.D = ssm_parameters(channels, d_state, dt_rank)

    def forward(self, u: Tensor, z: Tensor | None = None) -> Tensor:
        """u (B, L, D) -> (B, L, D); with a gate z (B, L, D) the output is multiplied by SiLU(z), as in Mamba."""
        dt, B, C = self.x_proj(u).split(self.split, dim=-1)  # (B, L, R), (B, L, N), (B, L, N)
        delta = self.dt_proj(dt)  # (B, L, D), before bias and softplus
        y = selective_scan(
            u.transpose(1, 2),  # (B, D, L): the transposes are views
            delta.transpose(1, 2),
            -torch.exp(self.A_log),  # A < 0, (D, N): the state always decays
            B.transpose(1, 2),  # (B, N, L)
            C.transpose(1, 2),
            self.D,
            z=None if z is None else z.transpose(1, 2),
            delta_bias=self.dt_bias,
            delta_softplus=True,
            backend=self.scan_backend,
        )
        return y.transpose(1, 2)  # (B, L, D)


class VSSModule(nn.Module):
    """Vision State-Space Module, equation (3):

        W1 = LayerNorm(SSM(SiLU(DWConv(Linear(W_in)))))    W2 = SiLU(Linear(W_in))    W_out = Linear(W1 * W2)

    Args:
        channels: C. spatial_dims: 2 or 3.
        expansion: λ, the inner channels are D = λC. The paper leaves its value open; the released code has 2.
        d_state: N, the size of a channel's state. dt_rank: R, default ceil(C / 16) as in Mamba.
        dwconv: "spatial", a depthwise 3^d convolution on the grid as in VMamba, which the paper follows; or "causal",
            Mamba's convolution over the 4 latest tokens, as in the released code. The paper only says "DWConv".
        directions: 1 scans the tokens in row-major order (released code), 2 adds the reverse order, 4 adds
            the order with the spatial axes reversed and its reverse (VMamba). Each direction has an SSM of its own;
            their outputs are summed. The paper leaves it open.
        scan_backend: see `lightm.scan.selective_scan`.

    Linear layers have no bias, as in Mamba and VMamba; they and the convolution start as PyTorch's defaults.
    """

    def __init__(
        self,
        channels: int,
        spatial_dims: int,
        expansion: int = 2,
        d_state: int = 16,
        dt_rank: int | None = None,
        dwconv: str = "spatial",
        directions: int = 1,
        scan_backend: str = "auto",
    ):
        super().__init__()
        if dwconv not in DWCONVS:
            raise LightMError(f"dwconv={dwconv!r} is unknown. {suggest(str(dwconv), DWCONVS)}")
        if directions not in DIRECTIONS:
            raise LightMError(f"directions={directions!r} is unknown. Known: {', '.join(map(str, DIRECTIONS))}.")
        check_spatial_dims(spatial_dims)
        dt_rank = math.ceil(channels / 16) if dt_rank is None else dt_rank
        check_counts(channels=channels, expansion=expansion, d_state=d_state, dt_rank=dt_rank)
        inner = expansion * channels
        self.in_proj = Linear(channels, inner, bias=False)
        self.gate_proj = Linear(channels, inner, bias=False)
        self.dwconv = (SpatialDWConv if dwconv == "spatial" else CausalDWConv)(inner, spatial_dims)
        self.ssms = nn.ModuleList(SelectiveSSM(inner, d_state, dt_rank, scan_backend) for _ in range(directions))
        self.norm = nn.LayerNorm(inner)
        self.out_proj = Linear(inner, channels, bias=False)

    def ssm(self, u: Tensor, grid: Sequence[int]) -> Tensor:
        """(B, L, D) -> (B, L, D): the sum over the directions, each by its own SSM."""
        outputs = (
            from_direction(ssm(to_direction(u, grid, direction)), grid, direction)
            for direction, ssm in enumerate(self.ssms)
        )
        total = next(outputs)
        for y in outputs:
            total = total + y
        return total

    def forward(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        """Tokens x (B, L, C) of a volume with spatial sizes `grid` -> (B, L, C)."""
        if math.prod(grid) != x.shape[1]:
            raise LightMError(
                f"{x.shape[1]} tokens can't fill a grid of {'x'.join(map(str, grid))}: give the grid's sizes."
            )
        u = F.silu(self.dwconv(self.in_proj(x), grid))  # equation (3), W1: SiLU(DWConv(Linear(W_in))), (B, L, D)
        y = self.ssm(u, grid)  # equation (3), W1: SSM(...), (B, L, D)
        z = self.gate_proj(x)  # equation (3), W2: Linear(W_in), (B, L, D)
        w = gated_norm(y, z, self.norm.weight, self.norm.bias)  # equation (3), W1 * W2 = LayerNorm(y) * SiLU(z)
        return self.out_proj(w)  # equation (3), W_out: Linear(W1 * W2), (B, L, C)
