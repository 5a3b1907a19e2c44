"""Mamba's block (arXiv:2312.00752, Figure 3), as mamba_ssm's `Mamba` computes it, without its CUDA extension.

Letters: B batch, L tokens, C channels, D = expand * C inner channels, N state size, R rank of Δ.
"""

import math

import torch
from torch import Tensor, nn

from lightm.kernels.causal_conv import causal_conv_silu
from lightm.kernels.linear import linear
from lightm.models.checks import check_counts
from lightm.models.vss import ssm_parameters
from lightm.scan import selective_scan


class Mamba(nn.Module):
    """Tokens (B, L, C) -> (B, L, C): projection, causal convolution, selective scan with a gate, projection.

    Takes the arguments of mamba_ssm's `Mamba` (github.com/state-spaces/mamba, mamba_ssm/modules/mamba_simple.py), has
    its parameters under the same names and in the same shapes, starts them from the same distributions and computes the
    same function, so that a state_dict of either loads into the other:

        in_proj.weight (2D, C)   conv1d.weight (D, 1, d_conv)   conv1d.bias (D,)   x_proj.weight (R + 2N, D)
        dt_proj.weight (D, R)    dt_proj.bias (D,)   A_log (D, N)   D (D,)         out_proj.weight (C, D)

    Args: d_model C, d_state N, d_conv the width of the convolution, expand, dt_rank R ("auto": ceil(C / 16)),
    scan_backend a name of `lightm.scan.backends()`, or "auto".

    As in the fused path of mamba_ssm, the one that runs in training, the weights go directly into functions: `in_proj`,
    `conv1d`, `x_proj`, `dt_proj` and `out_proj` hold them and are never called. Tools that hook the forward of layers,
    such as thop, therefore don't see this block, neither here nor in mamba_ssm.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        dt_rank: int | str = "auto",
        scan_backend: str = "auto",
    ):
        super().__init__()
        dt_rank = math.ceil(d_model / 16) if dt_rank == "auto" else dt_rank
        check_counts(d_model=d_model, d_state=d_state, d_conv=d_conv, expand=expand, dt_rank=dt_rank)
        inner = expand * d_model
        self.split = (dt_rank, d_state, d_state)
        self.scan_backend = scan_backend
        self.in_proj = nn.Linear(d_model, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, d_conv, groups=inner, padding=d_conv - 1)
        self.x_proj, dt_proj, dt_bias, self.A_log, self.D = ssm_parameters(inner, d_state, dt_rank)
        self.dt_proj = nn.Linear(dt_rank, inner)  # unlike SelectiveSSM's it holds the bias of Δ, too
        self.dt_proj.weight, self.dt_proj.bias = dt_proj.weight, dt_bias
        self.out_proj = nn.Linear(inner, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens x (B, L, C), in the order in which they are scanned -> (B, L, C)."""
        u, z = linear(x, self.in_proj.weight).chunk(2, dim=-1)  # both (B, L, D)
        u = causal_conv_silu(u, self.conv1d.weight, self.conv1d.bias)  # (B, L, D)
        dt, B, C = linear(u, self.x_proj.weight).split(self.split, dim=-1)  # (B, L, R), (B, L, N), (B, L, N)
        y = selective_scan(
            u.transpose(1, 2),  # (B, D, L): the transposes are views
            linear(dt, self.dt_proj.weight).transpose(1, 2),  # Δ before its bias and softplus, (B, D, L)
            -torch.exp(self.A_log),  # (D, N)
            B.transpose(1, 2),  # (B, N, L)
            C.transpose(1, 2),
            self.D,
            z=z.transpose(1, 2),
            delta_bias=self.dt_proj.bias,
            delta_softplus=True,
            backend=self.scan_backend,
        )
        return linear(y.transpose(1, 2), self.out_proj.weight)  # (B, L, C)
