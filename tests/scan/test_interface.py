"""Around the arithmetic: messages for bad input, the choice of a backend, torch's transforms, threads and forks."""

import logging
import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from lightm.cpu import threads
from lightm.errors import LightMError
from lightm.scan import backends, choose_backend, registry, selective_scan
from lightm.scan.ops import forward_flops

FAST = [name for name, status in backends().items() if status.available and name != "reference"]


def inputs(batch=2, D=16, L=40, N=4, device="cpu", grad=False):
    random = torch.Generator().manual_seed(0)
    shapes = {
        "u": (batch, D, L),
        "delta": (batch, D, L),
        "A": (D, N),
        "B": (batch, N, L),
        "C": (batch, N, L),
        "D": (D,),
        "z": (batch, D, L),
        "delta_bias": (D,),
    }
    tensors = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
    tensors["A"] = -tensors["A"].exp()
    return {name: tensor.to(device).requires_grad_(grad) for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"u": torch.zeros(16, 40)}, LightMError, r"u has shape \(16, 40\); it must have three axes, \(B, D, L\)"),
        ({"delta": torch.zeros(2, 16, 39)}, LightMError, r"delta has shape \(2, 16, 39\).*\(B, D, L\) = \(2, 16, 40\)"),
        ({"delta": torch.zeros(2, 40, 16)}, LightMError, r"pass delta\.transpose\(1, 2\)"),
        ({"A": torch.zeros(4, 16)}, LightMError, r"A has shape \(4, 16\).*\(D, N\) = \(16, N\)"),
        ({"B": torch.zeros(2, 40, 4)}, LightMError, r"B has shape.*pass B\.transpose\(1, 2\)"),
        ({"C": torch.zeros(2, 5, 40)}, LightMError, r"C has shape \(2, 5, 40\).*\(B, N, L\) = \(2, 4, 40\)"),
        ({"D": torch.zeros(15)}, LightMError, r"D has shape \(15,\).*\(D,\) = \(16,\)"),
        ({"z": torch.zeros(1, 16, 40)}, LightMError, r"z has shape \(1, 16, 40\)"),
        ({"delta_bias": torch.zeros(16, 1)}, LightMError, r"delta_bias has shape \(16, 1\)"),
        ({"B": torch.zeros(2, 4, 40, dtype=torch.long)}, TypeError, r"B has dtype torch\.int64.*B\.float\(\)"),
        ({"A": torch.zeros(16, 4, dtype=torch.complex64)}, TypeError, r"A has dtype torch\.complex64.*real"),
        ({"u": [1.0]}, TypeError, r"u must be a torch\.Tensor, not list"),
        ({"z": torch.zeros(2, 16, 40, device="meta")}, LightMError, r"z is on meta but u is on cpu; move z to cpu"),
        ({"backend": "chunkd"}, LightMError, r"Unknown scan backend 'chunkd'\. Did you mean 'chunked'\?"),
    ],
)
def test_bad_input_is_named_with_its_remedy(change, error, message):
    with pytest.raises(error, match=message):
        selective_scan(**{**inputs(), **change})


def test_a_named_backend_that_cannot_run_is_an_error():
    with pytest.raises(LightMError, match=r"The scan backend 'cpu' can't run on meta tensors.*backend='auto'"):
        selective_scan(**inputs(device="meta"), backend="cpu")


def test_every_backend_says_whether_it_can_run_and_auto_says_why():
    assert backends()["cpu"].available
    assert not backends("cuda")["cpu"].available and "CPU" in backends("cuda")["cpu"].reason
    name, why = choose_backend(torch.zeros(1))
    assert name == "cpu" and "numba" in why
    assert choose_backend(torch.zeros(1), "chunked")[0] == "chunked"


def test_auto_falls_back_to_plain_torch_without_numba_and_says_so_once(monkeypatch, caplog):
    real = registry.module

    def module(name):
        if name == "cpu":
            raise ImportError("No module named 'numba'")
        return real(name)

    monkeypatch.setattr(registry, "module", module)
    registry._log_once.cache_clear()
    with caplog.at_level(logging.INFO, logger="lightm.scan"):
        for _ in range(2):
            selective_scan(**inputs())
    registry._log_once.cache_clear()
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert "backend chunked" in messages[0] and "not cpu" in messages[0] and "numba" in messages[0]


def test_meta_tensors_have_shapes_and_gradients():
    tensors = inputs(device="meta", grad=True)
    y, state = selective_scan(**tensors, return_last_state=True)
    assert y.is_meta and y.shape == (2, 16, 40) and state.shape == (2, 16, 4)
    y.sum().backward()
    assert all(tensor.grad.shape == tensor.shape for tensor in tensors.values())


@pytest.mark.parametrize("backend", FAST)
def test_the_operators_pass_torchs_own_checks(backend):
    tensors = {k: v.detach().transpose(1, 2).contiguous() if v.dim() == 3 else v for k, v in inputs(D=5).items()}
    for leaves in (tensors, {**tensors, "D": None, "z": None}):
        arguments = (*(None if x is None else x.clone().requires_grad_() for x in leaves.values()), True, True, backend)
        tests = ("test_schema", "test_autograd_registration", "test_faketensor")
        torch.library.opcheck(torch.ops.lightm.selective_scan.default, arguments, test_utils=tests)


def test_torch_compile_keeps_the_scan_whole():
    tensors = inputs(grad=True)

    def scan(**tensors):
        return selective_scan(**tensors, delta_softplus=True).sin()

    expected = torch.autograd.grad(scan(**tensors).sum(), list(tensors.values()))
    compiled = torch.compile(scan, fullgraph=True, backend="aot_eager")
    found = torch.autograd.grad(compiled(**tensors).sum(), list(tensors.values()))
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


def test_torch_export_keeps_the_scan_as_one_operator():
    class Scan(torch.nn.Module):
        def forward(self, u, delta, A, B, C):
            return selective_scan(u, delta, A, B, C, delta_softplus=True)

    arguments = tuple(inputs()[name] for name in ("u", "delta", "A", "B", "C"))
    exported = torch.export.export(Scan(), arguments)
    assert [str(n.target) for n in exported.graph.nodes if "scan" in str(n.target)] == ["lightm.selective_scan.default"]
    assert torch.equal(exported.module()(*arguments), Scan()(*arguments))


def test_gradient_checkpointing_gives_the_same_gradients():
    tensors = inputs(grad=True)
    names, leaves = list(tensors), list(tensors.values())

    def scan(*leaves):
        return selective_scan(**dict(zip(names, leaves, strict=True)), delta_softplus=True)

    expected = torch.autograd.grad(scan(*leaves).sum(), leaves)
    found = torch.autograd.grad(checkpoint(scan, *leaves, use_reentrant=False).sum(), leaves)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


def test_flop_counter_sees_forward_and_backward():
    tensors = inputs(device="meta", grad=True)
    with FlopCounterMode(display=False) as counter:
        y = selective_scan(**tensors)
    forward = counter.get_total_flops()
    assert forward == forward_flops(2, 40, 16, 4, True, True) == 2 * 40 * 16 * (7 * 4 + 1 + 2 + 1)
    with counter:
        y.sum().backward()
    assert counter.get_total_flops() > forward


@pytest.mark.parametrize("backend", FAST)
def test_double_backward_is_refused(backend):
    tensors = inputs(grad=True)
    y = selective_scan(**tensors, backend=backend)
    (grad,) = torch.autograd.grad(y.sum(), tensors["u"], create_graph=True)
    with pytest.raises(NotImplementedError, match="backend='reference'"):
        grad.sum().backward()


def test_without_gradients_no_states_are_kept():
    tensors = inputs(grad=True)
    assert selective_scan(**tensors).grad_fn.next_functions[0][0].saved_tensors[-1].numel() > 0
    with torch.no_grad():
        assert selective_scan(**tensors).grad_fn is None


def results(tensors):
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in tensors.items()}
    y = selective_scan(**leaves, delta_softplus=True, backend="cpu")
    return [y.detach(), *torch.autograd.grad(y.sum(), list(leaves.values()))]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_any_number_of_threads_gives_the_same_bits(count):
    tensors = inputs(batch=1, D=80, L=100)
    before = torch.get_num_threads()
    expected = results(tensors)
    try:
        torch.set_num_threads(count)
        found = results(tensors)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


def test_python_threads_take_over_where_openmp_cannot_be_reached(monkeypatch):
    tensors = inputs(batch=2, D=80, L=100)
    expected = results(tensors)
    monkeypatch.setattr(threads, "_openmp", lambda: None)
    assert all(torch.equal(x, y) for x, y in zip(results(tensors), expected, strict=True))


def test_an_error_in_a_task_reaches_the_caller(monkeypatch):
    def fail():
        raise RuntimeError("task failed")

    for openmp in (threads._openmp, lambda: None):
        monkeypatch.setattr(threads, "_openmp", openmp)
        with pytest.raises(RuntimeError, match="task failed"):
            threads.run([fail] * 3)


def test_scans_from_several_python_threads_at_once():
    tensors = inputs(batch=2, D=48, L=100)
    expected = results(tensors)
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(results, [tensors] * 6):
            assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


def _child(queue, tensors):
    queue.put([x.numpy() for x in results(tensors)])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this platform cannot fork")
def test_forked_workers_scan_after_the_parent_did():
    tensors = inputs(batch=2, D=48, L=100)
    expected = results(tensors)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_child, args=(queue, tensors), daemon=True) for _ in range(2)]
    for child in children:
        child.start()
    for _ in children:
        found = queue.get(timeout=60)
        assert all(torch.equal(torch.from_numpy(x), y) for x, y in zip(found, expected, strict=True))


def test_kernels_compile_without_a_folder_for_the_cache():
    # A function without a source file is the one for which numba finds no folder.
    from lightm.cpu.cache import kernel

    namespace = {}
    exec("def twice(x):\n    return 2 * x", namespace)
    assert kernel(namespace["twice"])(21) == 42


def test_importing_the_scan_loads_neither_numba_nor_torchs_compiler():
    check = "import sys, lightm.scan; print([m for m in ('numba', 'torch._dynamo') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
