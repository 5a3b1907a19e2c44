"""Benchmarks: contenders are checked first, counts are right, records are whole. No test looks at a time."""

import copy
import json
import subprocess
import sys
from dataclasses import asdict

import pytest
import torch

from lightm.errors import LightMError
from lightm.models import build_model
from lightm.scan import selective_scan
from lightm.scan.inputs import turn
from lightm_book import ROOT
from lightm_book.bench import bench_scan, bench_step, measure, peers, serial
from lightm_book.bench.inputs import Shape, random_inputs
from lightm_book.bench.machine import Machine
from lightm_book.bench.measure import alternate
from lightm_book.bench.memory import in_own_process
from lightm_book.bench.peers import Absent, Contender, find
from lightm_book.bench.record import check_bench, curve, list_bench
from lightm_book.bench.roofline import bound, scan_counts
from lightm_book.bench.scan import contender_call, laid_out, relative_errors
from lightm_book.bench.swap import as_ours, replaced_scan, scans_of
from lightm_book.bench.tables import bench_table
from lightm_book.cli import main
from lightm_book.conformance import wasm

CPU = torch.device("cpu")
SMALL = Shape(2, 8, 40, 4)


def quietly(line: str) -> None:
    """A benchmark's progress goes nowhere."""


@pytest.fixture(autouse=True)
def any_machine(monkeypatch):
    """A machine of round numbers: the real one takes seconds to measure."""
    round_machine = Machine(1e9, 1e11, 1e10, "made up")
    monkeypatch.setattr("lightm_book.bench.scan.machine", lambda device: round_machine)


@pytest.fixture
def another_peer(monkeypatch):
    """Adds peers for one test: `another_peer(name, scan)`, the scan in the layout of tokens."""

    def add(name, scan, **options):
        monkeypatch.setitem(peers.PEERS, name, lambda device: Contender(name, "for the test", scan, **options))

    yield add
    relative_errors.cache_clear()


def right(x):
    return turn(selective_scan(**x.turned().named(), delta_softplus=True, backend="reference"))


# ---- Who takes part -------------------------------------------------------------------------------


# torch.compile takes a minute for this one; `lightm-book bench` checks it as the others before it times it.
@pytest.mark.parametrize("name", [name for name in peers.PEERS if name != "associative_scan-compiled"])
def test_a_peer_is_right_or_says_how_to_get_it(name):
    found = find(name, CPU)
    if isinstance(found, Absent):
        assert any(word in found.reason for word in ("pip install", "needs", "compiler", "repository", "version"))
    else:
        assert max(relative_errors(name, SMALL, CPU).values()) < 1e-5


@pytest.mark.skipif(serial.compiler() is None, reason="no C compiler here")
def test_the_serial_loop_in_c_is_the_scan_whatever_the_threads():
    inputs = random_inputs(Shape(2, 7, 33, 3))
    one, three = [], []
    before = torch.get_num_threads()
    for threads, kept in ((1, one), (3, three)):
        torch.set_num_threads(threads)
        kept.append(serial.scan(inputs))
    torch.set_num_threads(before)
    assert torch.equal(one[0], three[0])
    with pytest.raises(ValueError, match="contiguous"):
        serial.scan(inputs._replace(u=turn(inputs.u)))
    with pytest.raises(ValueError, match="no gate"):
        serial.scan(inputs._replace(z=inputs.u))


@pytest.mark.skipif(bool(wasm.unavailable()), reason=wasm.unavailable())
def test_what_runs_in_another_process_is_timed_without_transport_and_its_memory_is_not_guessed():
    found = find("webassembly", CPU)
    inputs = random_inputs(SMALL)
    run = found.prepare(inputs)
    assert run() is None  # the result stays where it is
    assert torch.allclose(found.scan(inputs), right(inputs), atol=1e-5)
    assert measure.HELPERS
    record = bench_scan([SMALL], backends=[], peer_names=["webassembly"], repeats=1, report=quietly)
    [entry] = record["shapes"][0]["contenders"]
    assert entry["ours"] and entry["forward"]["median_s"] > 0 and "memory_bytes" not in entry["forward"]
    assert entry["forward_backward"] is None or "skipped" in entry["forward_backward"]


def test_a_wrong_contender_is_named_and_not_timed(another_peer):
    another_peer("wrong", lambda x: right(x._replace(delta_bias=x.delta_bias + 0.01)))
    another_peer("broken", lambda x: 1 / 0)
    record = bench_scan(
        [SMALL], backends=["reference"], peer_names=["wrong", "broken"], repeats=1, memory=False, report=quietly
    )
    ours, wrong, broken = record["shapes"][0]["contenders"]
    assert ours["reason"] == "" and ours["forward_backward"]["median_s"] > 0
    assert "is off by" in wrong["reason"] and wrong["forward"] is None
    assert broken["reason"] == "it failed: division by zero" and broken["forward_backward"] is None


def test_a_wrong_gradient_is_found_where_the_output_is_right(another_peer):
    def detached(x):
        return right(x) + 0.1 * (x.D - x.D.detach()).sum()

    another_peer("half right", detached)
    record = bench_scan([SMALL], backends=[], peer_names=["half right"], repeats=1, memory=False, report=quietly)
    assert "gradient of D is off by" in record["shapes"][0]["contenders"][0]["reason"]


def test_what_would_need_more_memory_than_is_free_is_skipped(another_peer):
    another_peer("greedy", right, holds=(1e9, 1e9, 0.0))
    record = bench_scan([SMALL], backends=[], peer_names=["greedy"], repeats=1, memory=False, report=quietly)
    assert "GiB are free" in record["shapes"][0]["contenders"][0]["forward"]["skipped"]


def test_what_would_take_longer_than_patience_is_skipped_at_the_longer_shape(another_peer):
    another_peer("slow", right)
    shapes = [SMALL.at_length(2), SMALL.at_length(5000)]
    record = bench_scan(
        shapes,
        backends=[],
        peer_names=["slow"],
        repeats=1,
        memory=False,
        patience=1e-9,
        forward_only=True,
        report=quietly,
    )
    short, long = (row["contenders"][0] for row in record["shapes"])
    assert short["forward"]["median_s"] > 0 and "judging by 2,8,2,4" in long["forward"]["skipped"]


# ---- Measuring -------------------------------------------------------------------------------------


def test_contenders_take_turns_and_a_slow_one_is_called_less_often(monkeypatch):
    clock, order = [0.0], []
    monkeypatch.setattr("lightm_book.bench.measure.time.perf_counter", lambda: clock[0])

    def taking(name, seconds):
        def call():
            order.append(name)
            clock[0] += seconds

        return call

    timed = alternate({"fast": taking("fast", 1), "slow": taking("slow", 4), "endless": taking("endless", 99)}, 3, 10)
    assert order == ["fast", "slow", "endless", "fast", "slow", "fast", "slow", "fast"]
    assert [timed[name]["median_s"] for name in ("fast", "slow", "endless")] == [1, 4, 99]
    assert [timed[name]["warm"] for name in ("fast", "slow", "endless")] == [True, True, False]
    assert len(timed["endless"]["samples_s"]) == 1


def test_memory_is_what_a_call_adds_at_its_peak_in_a_process_of_its_own():
    size = 2**25
    script = (  # in a process that nobody told to keep its freed memory, as the command line does
        "import torch; from lightm_book.bench.memory import added_by; ones, cpu = torch.ones, torch.device('cpu')\n"
        f"print(added_by(lambda: ones({size}), cpu), added_by(lambda: ones({size}).sum() + ones({size}).sum(), cpu))"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert [int(added) for added in printed.split()] == [pytest.approx(4 * size, rel=0.05)] * 2
    shape = Shape(1, 16, 32768, 4)
    request = {"kind": "scan", "threads": 1, "name": "lightm cpu", "shape": str(shape), "backward": False}
    output = 4 * shape.length * shape.channels
    assert 0.99 * output <= in_own_process(request, 60) < 3 * output  # Linux counts pages in batches: a few may lack


def test_counts_grow_as_the_formulas_say_and_the_bound_is_the_slower_of_moving_and_computing():
    small, large = (scan_counts(Shape(1, 64, L, 16), True) for L in (1024, 4096))
    assert asdict(large) == {key: 4 * value for key, value in asdict(small).items()}
    forward = scan_counts(Shape(1, 64, 1024, 16), False)
    assert forward.exponentials == 1024 * 64 * 17 and forward.bytes == 4 * 1024 * (3 * 64 + 2 * 16)
    assert bound(forward, Machine(1e30, 1e30, 1e9, "")) == forward.bytes / 1e9
    computing = forward.exponentials / 1e6 + forward.operations / 1e9
    assert bound(forward, Machine(1e6, 1e9, 1e30, "")) == pytest.approx(computing)


def test_layouts_hold_the_same_numbers():
    inputs = random_inputs(SMALL, gate=True)
    turned = laid_out(inputs, "channels", CPU)
    assert turned.u.is_contiguous() and turned.z.is_contiguous() and torch.equal(turn(turned.u), inputs.u)
    assert torch.equal(turned.A, inputs.A)
    inputs = random_inputs(SMALL)
    found = contender_call(find("lightm cpu", CPU), inputs, True)()
    assert [x.shape for x in found[1:]] == [x.shape for x in inputs.named().values()]


# ---- A network on another scan ------------------------------------------------------------------------


def test_a_network_runs_on_another_scan_and_gives_the_same_image(another_peer):
    calls = []

    def counted(x):
        calls.append(1)
        return right(x)

    another_peer("counted", counted)
    torch.manual_seed(0)
    network = build_model("lightm-unet", 2, 3, 2, width=4, scan_backend="chunked").eval()
    image = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        expected = network(image)
        with replaced_scan(as_ours(find("counted", CPU))):
            found = network(image)
    assert torch.allclose(found, expected, atol=1e-4) and len(calls) == 9
    shapes = scans_of("lightm-unet", (16, 16), 1, (3, 2), width=4)
    assert len(shapes) == 9 and shapes[0] == Shape(1, 8, 256, 16)


def test_a_training_step_is_compared_with_the_same_network_on_other_scans(another_peer):
    another_peer("same", right)
    another_peer("other", lambda x: x.u + x.A.sum() * x.delta + x.B.sum() + x.C.sum())
    record = bench_step(
        "lightm-unet",
        (16, 16),
        1,
        peer_names=["same", "other"],
        repeats=1,
        memory=False,
        parts=False,
        report=quietly,
        width=8,
    )
    found = {row["name"]: row for row in record["contenders"]}
    assert list(found) == ["lightm", "lightm chunked", "same", "other"]
    assert found["same"]["step"]["median_s"] > 0 and found["other"]["step"] is None
    assert "its loss in step 1" in found["other"]["reason"]
    assert "training step" in bench_table(record)


# ---- Records and the command line ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def record():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lightm_book.bench.scan.machine", lambda device: Machine(1e9, 1e11, 1e10, "made up"))
        return bench_scan([SMALL], backends=["chunked"], repeats=2, memory=False, report=quietly)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: r.pop("environment"), "lacks environment"),
        (lambda r: r.update(schema=0), "is no benchmark of schema 1"),
        (lambda r: r.update(kind="race"), "is no benchmark"),
        (lambda r: r["shapes"][0].pop("bound_s"), "lacks bound_s"),
        (lambda r: r["shapes"][0]["contenders"][0].pop("what"), "lacks what"),
        (lambda r: r["shapes"][0]["contenders"][0]["forward"].update(median_s=1e-9), "is not that of its samples"),
        (lambda r: r["shapes"][0]["contenders"][0].update(reason="it is wrong"), "has times and a reason"),
    ],
)
def test_a_damaged_record_is_refused(record, damage, message):
    check_bench(record)
    damaged = copy.deepcopy(record)
    damage(damaged)
    with pytest.raises(LightMError, match=message):
        check_bench(damaged)


def test_a_curve_has_the_points_that_were_measured(record):
    expected = record["shapes"][0]["contenders"][0]["forward"]["median_s"]
    assert curve(record, "lightm chunked", "forward") == {SMALL.length: expected}
    assert curve(record, "lightm chunked", "forward", "memory_bytes") == curve(record, "nobody", "forward") == {}


def test_records_of_the_repository_are_whole_clean_and_name_no_place():
    records = list_bench(ROOT / "results" / "bench")
    assert records
    for name, found in records.items():
        assert found["environment"]["git"]["dirty"] is False, name
        assert "/" not in found["command"] and found["finished"], name


def test_the_command_writes_the_whole_file_and_prints_a_table(tmp_path, capsys):
    out = tmp_path / "scan.json"
    words = ["bench", "scan", "--shape", str(SMALL), "--backend", "chunked", "--repeats", "1", "--no-memory"]
    assert main([*words, "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert check_bench(found)["command"] == "lightm-book " + " ".join(words)
    assert "lightm chunked" in capsys.readouterr().out and [path.name for path in tmp_path.iterdir()] == ["scan.json"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("bench", "Say what to time: scan or step."),
        ("bench scna", "invalid choice: 'scna'"),
        ("bench scan --shape 1,2,3", "'1,2,3' is not a shape; write B,D,L,N"),
        ("bench scan --shape 1,2,0,4", "'1,2,0,4' is not a shape"),
        ("bench scan --peers mambapy", "There is no peer 'mambapy'. Did you mean 'mamba.py'?"),
        ("bench scan --backend cup", "Unknown scan backend 'cup'. Did you mean 'cpu'?"),
        ("bench scan --device gpu0", "There is no device 'gpu0' here"),
        ("bench scan --peer", "No use for '--peer'; did you mean --peers? See `lightm-book bench scan --help`."),
        ("bench scan --json none/scan.json", "none/scan.json can't be written"),
        ("bench scan --repeats 0", "--repeats and --threads are whole numbers above 0"),
        ("bench step --model lightmunet", "There is no model 'lightmunet'."),
        ("bench step --size 20", "must be divisible by 8"),
        ("bench step --options width", "'width' is not a setting; write key=value"),
    ],
)
def test_a_mistake_gets_one_sentence_before_anything_is_measured(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert err.startswith("lightm-book: ") and err.count("\n") == 1 and sentence in err and not out


@pytest.mark.parametrize("kind", ["scan", "step"])
def test_each_benchmark_has_help_with_an_example(kind, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["bench", kind, "--help"])
    assert stop.value.code == 0 and f"\n  lightm-book bench {kind}" in capsys.readouterr().out.partition("examples:")[2]


def test_the_package_of_benchmarks_is_imported_without_a_network():
    code = "import sys, lightm_book.bench.scan; sys.exit('monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
