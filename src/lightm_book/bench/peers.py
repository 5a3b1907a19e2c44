"""The contenders: every backend of this package, and the other implementations of the scan that are installed here.

Each is called as its authors meant it, through their own function where they have one, on inputs in the layout that it
works in, so that nobody pays for a transposition. What is not installed is named with the line that installs it.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lightm.errors import LightMError, suggest
from lightm.scan import backends, selective_scan
from lightm.scan.inputs import ScanInputs, turn
from lightm_book.bench import serial
from lightm_book.bench.measure import HELPERS
from lightm_book.conformance import numpy_scan, onnxruntime_scan, wasm

Scan = Callable[[ScanInputs], Tensor]


@dataclass(frozen=True)
class Contender:
    """One way to compute the scan. layout: "tokens", inputs and result are (B, L, X), or "channels", (B, X, L)."""

    name: str
    what: str
    scan: Scan = field(repr=False)
    layout: str = "tokens"
    version: str = ""
    forward_only: bool = False  # it has no gradient
    ours: bool = False  # of this repository
    # Of what runs in another process: puts the inputs there, untimed, and gives the forward pass without transport.
    prepare: Callable[[ScanInputs], Callable[[], None]] | None = field(default=None, repr=False)
    # Numbers for each token, channel and state, as measured: held at the peak of a forward pass, at that of a forward
    # and a backward pass, and kept from the one to the other.
    holds: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Absent:
    """A peer that can't run here, and what to do about it."""

    name: str
    what: str
    reason: str


def ours(device: torch.device, names: list[str] | None = None) -> list[Contender | Absent]:
    """This package's backends on `device`: those in `names`, or all that can run there. Unknown names: LightMError."""
    known = backends(device)
    for name in names or ():
        if name not in known:
            raise LightMError(f"Unknown scan backend {name!r}. {suggest(name, known)}")
    found: list[Contender | Absent] = []
    for name, status in known.items():
        if name not in names if names is not None else not status.available:
            continue
        label = f"lightm {name}"
        if status.available:
            holds = _OUR_HOLDS.get(name, (0.0, 0.0, 0.0))
            found.append(Contender(label, status.reason, _our_scan(name), ours=True, holds=holds))
        else:
            found.append(Absent(label, "a backend of lightm", status.reason))
    return found


_OUR_HOLDS = {"reference": (0.8, 6.5, 2.2), "chunked": (0.6, 1.9, 0.1)}  # the compiled one holds next to nothing


def _our_scan(backend: str) -> Scan:
    def scan(x):
        return turn(selective_scan(**x.turned().named(), delta_softplus=True, backend=backend))

    return scan


def peers(device: torch.device, names: list[str] | None = None) -> list[Contender | Absent]:
    """The peers for `device`: those in `names`, or all that don't take minutes to prepare. Unknown: LightMError."""
    for name in names or ():
        if name not in PEERS:
            raise LightMError(f"There is no peer {name!r}. {suggest(name, PEERS)}")
    if names is None:
        names = [name for name in PEERS if device.type != "cpu" or name not in SLOW_TO_PREPARE_ON_A_CPU]
    return [find(name, device) for name in PEERS if name in names]


def find(name: str, device: torch.device) -> Contender | Absent:
    """One contender by its name in a record: a peer, or `lightm BACKEND`."""
    if name.startswith("lightm "):
        return ours(device, [name.removeprefix("lightm ")])[0]
    return PEERS[name](device)


def _missing(name: str, what: str, package: str, line: str) -> Absent:
    return Absent(name, what, f"{package} is not installed: {line}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _mamba_py(device: torch.device) -> Contender | Absent:
    """https://github.com/alxndrTL/mamba.py: Blelloch's scan over (B, L, D, N) tensors, backward by hand."""
    name, what = "mamba.py", "all tokens at once in rounds, (B, L, D, N) in memory"
    if not _installed("mambapy"):
        return _missing(name, what, "mambapy", "pip install mambapy")
    from mambapy.mamba import MambaBlock

    def scan(x):
        dt = F.softplus(x.delta + x.delta_bias)
        return MambaBlock.selective_scan(None, x.u, dt, x.A, x.B, x.C, x.D)  # it has no use for self

    return Contender(name, what, scan, version=_version("mambapy"), holds=(5.8, 9.5, 3.1))


def _combine(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Two steps h -> a h + b, one after the other."""
    return left[0] * right[0], right[0] * left[1] + right[1]


def _by_associative_scan(mode: str) -> Scan:
    from torch._higher_order_ops.associative_scan import associative_scan

    def scan(x):
        dt = F.softplus(x.delta + x.delta_bias)  # (B, L, D)
        a = torch.exp(dt.unsqueeze(-1) * x.A)  # (B, L, D, N)
        b = (dt * x.u).unsqueeze(-1) * x.B.unsqueeze(2)  # (B, L, D, N)
        h = associative_scan(_combine, (a, b), dim=1, combine_mode=mode)[1]  # (B, L, D, N)
        return (h @ x.C.unsqueeze(-1)).squeeze(-1) + x.D * x.u

    return scan


def _associative(device: torch.device) -> Contender | Absent:
    """PyTorch's own prototype, https://github.com/pytorch/pytorch, torch/_higher_order_ops/associative_scan.py."""
    name, what = "associative_scan", "torch's associative_scan over (B, L, D, N)"
    if not _installed("torch._higher_order_ops.associative_scan"):
        return Absent(name, what, "this version of torch does not have it; 2.9 and newer do")
    return Contender(name, what, _by_associative_scan("generic"), version=torch.__version__, holds=(9.5, 11.5, 7.2))


def _associative_compiled(device: torch.device) -> Contender | Absent:
    name, what = "associative_scan-compiled", "the same under torch.compile"
    if not _installed("torch._higher_order_ops.associative_scan"):
        return Absent(name, what, "this version of torch does not have it; 2.9 and newer do")
    if device.type == "cpu" and serial.compiler() is None:
        return Absent(name, what, "torch.compile needs a C++ compiler, such as gcc")
    mode = "pointwise" if device.type == "cuda" else "generic"
    scan = torch.compile(_by_associative_scan(mode), dynamic=False)
    return Contender(name, what, scan, version=torch.__version__, holds=(9.5, 11.5, 7.2))


def _transformers(device: torch.device) -> Contender | Absent:
    """https://github.com/huggingface/transformers, models/mamba: what runs where no kernel is installed."""
    name, what = "transformers", "Hugging Face's loop over time on a (B, D, L, N) tensor"
    if not _installed("transformers.models.mamba.modeling_mamba"):
        return _missing(name, what, "transformers", "pip install transformers")
    from transformers.models.mamba import modeling_mamba

    theirs = getattr(modeling_mamba, "mamba_selective_scan", None)
    if theirs is None:
        return Absent(name, what, "this version of transformers has the scan inside its layer; 5.20 and newer don't")

    def scan(x):
        return theirs(**x.named(), delta_softplus=True)

    number = _version("transformers")
    return Contender(name, what, scan, "channels", number, holds=(3.3, 14.8, 3.1))


def _mamba_ssm_reference(device: torch.device) -> Contender | Absent:
    """https://github.com/state-spaces/mamba, mamba_ssm/ops/selective_scan_interface.py: the authors' own definition."""
    name, what = "mamba_ssm-reference", "the loop over time by Mamba's authors, on a (B, D, L, N) tensor"
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_ref
    except (ImportError, RuntimeError):
        return _missing(name, what, "mamba_ssm", _CUDA_LINE)

    def scan(x):
        return selective_scan_ref(**x.named(), delta_softplus=True)

    return Contender(name, what, scan, "channels", _version("mamba_ssm"), holds=(3.3, 14.8, 3.1))


_CUDA_LINE = 'pip install --no-build-isolation "lightm[cuda]"'


def _mamba_ssm(device: torch.device) -> Contender | Absent:
    """The CUDA kernel of Mamba's authors, from the same package."""
    name, what = "mamba_ssm", "the CUDA kernel by Mamba's authors, a row of the sequence a thread block"
    if device.type != "cuda":
        return Absent(name, what, "it needs an NVIDIA GPU")
    try:
        import selective_scan_cuda  # noqa: F401  (mamba_ssm imports without it, and then has no scan)
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except (ImportError, RuntimeError):
        return _missing(name, what, "mamba_ssm with selective_scan_cuda", _CUDA_LINE)

    def scan(x):
        return selective_scan_fn(**x.named(), delta_softplus=True)

    return Contender(name, what, scan, "channels", _version("mamba_ssm"))


def _serial_c(device: torch.device) -> Contender | Absent:
    """serial_scan.c, our rendering of the way that llama.cpp's ggml_ssm_scan goes; not llama.cpp itself."""
    name, what = "serial-c", "our rendering of llama.cpp's way: a scalar loop in C, forward only"
    if device.type != "cpu":
        return Absent(name, what, "it is for the CPU")
    if reason := serial.unavailable():
        return Absent(name, what, reason)
    return Contender(name, what, serial.scan, forward_only=True)


def _numpy(device: torch.device) -> Contender | Absent:
    """lightm_book.conformance.numpy_scan, the port to start from."""
    name, what = "numpy", "this book's loop over time in NumPy, timed forward only"
    if device.type != "cpu":
        return Absent(name, what, "it needs tensors of the CPU")

    def scan(x):
        return torch.from_numpy(numpy_scan.scan(**_arrays(x), softplus=x.delta_softplus)[0])

    return Contender(name, what, scan, version=np.__version__, forward_only=True, ours=True)


def _onnxruntime(device: torch.device) -> Contender | Absent:
    """https://onnxruntime.ai, on the nodes that `lightm export --onnx` makes for a scan."""
    name, what = "onnxruntime", "the scan of our ONNX export: LinearAttention in chunks, forward only"
    if device.type != "cpu":
        return Absent(name, what, "it needs tensors of the CPU")
    if reason := onnxruntime_scan.unavailable():
        return Absent(name, what, reason)

    @cache
    def session(names, channels, states, softplus, threads):
        return onnxruntime_scan.OnnxScan(list(names), channels, states, softplus, threads)

    def scan(x):
        arrays = _arrays(x)
        run = session(tuple(arrays), *x.A.shape, x.delta_softplus, torch.get_num_threads())
        return torch.from_numpy(run(arrays))

    return Contender(name, what, scan, version=_version("onnxruntime"), forward_only=True)


def _webassembly(device: torch.device) -> Contender | Absent:
    """The module of lightm.export, in node: one thread, vectors of four."""
    name, what = "webassembly", "the scan of the exported page, in node, on one thread, forward only"
    if device.type != "cpu":
        return Absent(name, what, "it needs tensors of the CPU")
    if reason := wasm.unavailable():
        return Absent(name, what, reason)

    @cache
    def process():
        started = wasm.WebAssemblyScan()  # one for all shapes; it ends with this program
        HELPERS.add(started.pid)
        return started

    def prepare(x):
        process().load(_arrays(x), x.delta_softplus)
        return process().run

    def scan(x):
        prepare(x)()
        return torch.from_numpy(process().read()["y"].copy())

    return Contender(name, what, scan, version=wasm.version(), forward_only=True, ours=True, prepare=prepare)


def _arrays(x: ScanInputs) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in x.named().items()}


PEERS = {
    "mamba.py": cache(_mamba_py),
    "associative_scan": cache(_associative),
    "associative_scan-compiled": cache(_associative_compiled),
    "transformers": cache(_transformers),
    "mamba_ssm-reference": cache(_mamba_ssm_reference),
    "mamba_ssm": cache(_mamba_ssm),
    "serial-c": cache(_serial_c),
    "numpy": cache(_numpy),
    "onnxruntime": cache(_onnxruntime),
    "webassembly": cache(_webassembly),
}
SLOW_TO_PREPARE_ON_A_CPU = ("associative_scan-compiled",)  # compiled anew for every shape; takes part when it is named
