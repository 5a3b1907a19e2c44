"""Every implementation of the scan passes the conformance file, the file is not stale, and it notices wrong scans."""

import json

import numpy as np
import pytest

from lightm.errors import LightMError
from lightm_book.conformance import PLACES, cases, load_cases, wasm
from lightm_book.conformance.faults import FAULTS
from lightm_book.conformance.numpy_scan import scan
from lightm_book.conformance.places import triton_device
from lightm_book.conformance.torch_scan import results_of

CASES = load_cases()
LONGEST_INTERPRETED = 65  # tokens: Triton's interpreter takes half a minute for the two longer ones


def passes(place, chosen):
    if reason := place.unavailable():
        pytest.skip(reason)
    wrong = {
        (case, name): share
        for case, found in place.errors(chosen).items()
        for name, share in found.items()
        if share > 1
    }
    assert not wrong


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_an_implementation_passes_every_case(place):
    interpreted = place.name == "Triton" and triton_device() == "interpreter"
    passes(place, [case for case in CASES if not interpreted or case.sizes["L"] <= LONGEST_INTERPRETED])


def test_onnx_passes_with_the_tokens_in_many_chunks(monkeypatch):
    monkeypatch.setattr("lightm.export.onnx_scan.CHUNK_NUMBERS", 24)
    passes(next(place for place in PLACES if place.name == "ONNX"), CASES)


@pytest.mark.parametrize("backend", ["chunked", "cpu"])
def test_in_double_precision_the_answers_agree_to_as_many_digits_as_are_written(backend):
    for case in CASES:
        for name, x in results_of(case, backend, "cpu", np.float64).items():
            assert cases.error(case.expected[name], x) < 1e-5, (case.name, name)  # of 1e-5


def test_the_file_is_what_the_description_of_the_cases_makes():
    assert cases.stale() == ""


@pytest.fixture(scope="module")
def made():
    return cases.make_cases()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda file: file["cases"].pop(), "other cases"),
        (lambda file: file["cases"][3].update(softplus=True), "other cases"),
        (lambda file: file["cases"][2]["inputs"].pop("D"), "inputs of 'skip'"),
        (lambda file: file["cases"][1]["inputs"].update(u=[0.0] * 21), "inputs of 'plain'"),
        (lambda file: file["cases"][0]["expected"].update(y=[0.0]), "answers of 'one token'"),
        (lambda file: file["cases"][0]["expected"].update(y=[0.0, 0.0]), "can't be read"),
        (lambda file: file.pop("cases"), "can't be read"),
    ],
)
def test_a_stale_file_is_noticed_and_the_remedy_named(change, complaint, tmp_path, monkeypatch, made):
    file = json.loads(cases.FILE.read_text("utf-8"))
    change(file)
    monkeypatch.setattr(cases, "FILE", tmp_path / "scan.json")
    monkeypatch.setattr(cases, "make_cases", lambda: made)
    cases.FILE.write_text(json.dumps(file))
    assert complaint in cases.stale() and "python -m lightm_book.conformance" in cases.stale()
    cases.write_cases()
    assert cases.stale() == ""


def test_the_file_alone_says_what_a_port_must_know():
    file = json.loads(cases.FILE.read_text("utf-8"))
    assert file["tolerance"] == {"relative": 1e-5, "absolute": 1e-30}
    assert cases.FILE.stat().st_size < 300_000 and len({case["name"] for case in file["cases"]}) == len(file["cases"])
    for case in file["cases"]:
        arrays = {**case["inputs"], **case["expected"]}
        assert {"u", "delta", "A", "B", "C", "grad_y"} <= set(case["inputs"]) and case["why"]
        assert {f"grad_{name}" for name in case["inputs"]} - {"grad_grad_y"} | {"y", "last_state"} == set(
            case["expected"]
        )
        for name, values in arrays.items():
            axes = file["shapes"].get(name) or file["shapes"][name.removeprefix("grad_")]
            assert len(values) == np.prod([case["sizes"][letter] for letter in axes.split()])
            assert np.isfinite(values).all()
        for values in case["inputs"].values():
            assert (np.float32(values) == np.float64(values)).all()


def test_the_cases_cover_what_a_port_gets_wrong():
    sizes = [case.sizes for case in CASES]
    lengths = {size["L"] for size in sizes}
    assert {1, 31, 32, 33, 65, 257} <= lengths and max(size["B"] for size in sizes) > 1
    assert any(size["D"] % 2 and size["N"] % 2 and size["L"] % 2 and size["D"] > 1 for size in sizes)
    signs = [np.sign(case.inputs["A"]).max() for case in CASES]
    assert {-1, 0, 1} <= set(signs) and min(case.inputs["A"].min() for case in CASES) <= -1000
    for name in ("D", "z", "delta_bias"):
        assert {name in case.inputs for case in CASES} == {True, False}
    assert {case.softplus for case in CASES} == {True, False}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_scan_is_noticed(fault):
    noticed = [
        case.name
        for case in CASES
        if cases.error(case.expected["y"], FAULTS[fault]({**case.arguments(), "softplus": case.softplus})) > 1
    ]
    assert noticed


def test_an_answer_of_the_wrong_shape_or_with_nan_or_none_at_all_is_wrong():
    y = CASES[1].expected["y"]
    assert cases.error(y, y) == 0
    for found in (None, y[:, :-1], np.where(y == y.max(), np.nan, y), y + 1.1e-5 * np.abs(y).max()):
        assert cases.error(y, found) > 1


def test_the_numpy_scan_can_keep_its_states_and_works_on_no_tokens():
    x = CASES[1].arguments()
    states = np.empty((7, 1, 3, 2), np.float32)
    _, last = scan(**x, states=states)
    assert (states[-1] == last).all()
    y, last = scan(**{name: value[:, :0] if value.ndim == 3 else value for name, value in x.items()})
    assert y.shape == (1, 0, 3) and not last.any()


def test_a_node_that_is_missing_or_ends_is_an_error_with_a_remedy(monkeypatch):
    if not wasm.unavailable():
        with wasm.WebAssemblyScan() as session, pytest.raises(LightMError, match="node ended"):
            session.run()  # nothing was loaded
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(LightMError, match=r"install Node\.js"):
        wasm.WebAssemblyScan()
