"""Consoles, notebooks and paths that a program does not choose: none of them ends a command."""

import os
import subprocess
import sys

import pytest

from lightm.cli import LIGHTM
from lightm_book.cli import LIGHTM_BOOK

SCRIPT = """
import os, sys
from lightm.cli.parser import Program

def run(args):
    print("1 → 2 µs")
    print("… 3", file=sys.stderr)
    print(os.environ.get("MPLBACKEND"))

sys.exit(Program("p", "", "", [lambda command: command("show", run, "", "", "")]).run(["show"]))
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_what_a_console_can_not_show_is_replaced_and_the_backend_of_a_notebook_is_not_asked_for(encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding, "MPLBACKEND": "module://no.such.backend"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    shown = {"ascii": "1 ? 2 ?s", "cp1252": "1 ? 2 µs", "utf-8": "1 → 2 µs"}[encoding]
    assert done.stdout.decode(encoding).splitlines() == [shown, "None"]
    assert done.stderr.decode(encoding).endswith(" 3\n")


@pytest.mark.parametrize("program", [LIGHTM, LIGHTM_BOOK], ids=lambda program: program.name)
def test_a_tilde_in_a_path_is_the_home_folder_even_where_the_shell_leaves_it(program, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    words = {"lightm": ["train", "smoke", "--out=~/runs/a"], "lightm-book": ["reproduce", "--out=~/runs/a"]}
    assert program.parse(words[program.name]).out == tmp_path / "runs" / "a"


def test_a_tilde_in_data_root_is_the_home_folder(monkeypatch, tmp_path):
    from lightm.data import load_dataset
    from lightm.data.download import write_folder

    write_folder(load_dataset("phantom-cxr", cases=2, size=16), tmp_path / "mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load_dataset("folder", root="~/mine")) == 2
