"""The scans of `lightm.scan` on the cases: outputs, and gradients as autograd has them."""

import numpy as np
import torch
from numpy.typing import NDArray

from lightm.scan import selective_scan
from lightm.scan.inputs import ScanInputs
from lightm_book.conformance.cases import Case


def results_of(case: Case, backend: str, device: str, dtype: type = np.float32) -> dict[str, NDArray]:
    """y, last_state, and grad_X for each input X, in the layout of the file; computed in `dtype`."""
    leaves = {name: torch.from_numpy(x).to(device).requires_grad_() for name, x in case.arguments(dtype).items()}
    inputs = ScanInputs(**leaves, delta_softplus=case.softplus).turned()  # (B, L, X) -> (B, X, L)
    y, state = selective_scan(*inputs, return_last_state=True, backend=backend)
    y = y.transpose(1, 2)  # (B, L, D)
    grad_y = torch.from_numpy(case.inputs["grad_y"].astype(dtype)).to(device)
    grads = torch.autograd.grad(y, list(leaves.values()), grad_y)
    found = {"y": y, "last_state": state} | {f"grad_{name}": x for name, x in zip(leaves, grads, strict=True)}
    return {name: x.detach().cpu().numpy() for name, x in found.items()}
