"""lightm check says whether a machine is ready, in sentences."""

import pytest

from lightm.cli import check, main


def test_a_machine_that_is_ready_gets_exit_code_0_and_a_line_for_each_check(capsys, monkeypatch):
    monkeypatch.setattr(check, "available_memory", lambda: 8.0)
    monkeypatch.setattr(check, "DISK", 0.0)
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "NOT YET" not in out and out.count("ready  ") == 6 and "This machine is ready" in out
    assert "The selective scan compiles and runs (backend" in out and "takes a training step (loss" in out


def test_what_is_not_ready_says_what_to_do_and_gives_exit_code_1(capsys, monkeypatch):
    monkeypatch.setattr(check, "available_memory", lambda: 1.0)
    monkeypatch.setattr(check, "DISK", 1e9)
    monkeypatch.setattr(check, "training_step", lambda: 1 / 0)
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "NOT YET  1.0 GB of memory are free: close programs until 4 are." in out
    assert "make room for" in out and "ZeroDivisionError" in out and "3 of these must be put right" in out


@pytest.mark.parametrize(("free", "ready"), [(None, True), (4.0, True), (3.9, False)])
def test_memory_is_judged_where_the_system_says_it(free, ready):
    assert check.memory(free)[0] is ready
