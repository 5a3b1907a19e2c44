"""The committed WebAssembly module is that of the C sources, and small; runtime files can be read in one sitting."""

import hashlib
import shutil

import pytest

from lightm.export import build
from lightm.export.html import PAGE, RUNTIME, _bare, runtime_sources


def test_the_module_is_not_stale():
    assert build.stale() == ""


def test_changed_sources_are_noticed(monkeypatch, tmp_path):
    shutil.copytree(RUNTIME, tmp_path / "runtime")
    for name, path in {"RUNTIME": RUNTIME, "MODULE": build.MODULE, "RECORD": build.RECORD}.items():
        monkeypatch.setattr(build, name, tmp_path / path.relative_to(RUNTIME.parent))
    assert build.stale() == ""
    source = tmp_path / "runtime" / "scan.c"
    source.write_text(source.read_text() + "\n")
    assert "python -m lightm.export.build" in build.stale()
    shutil.copy(RUNTIME / "scan.c", source)
    (tmp_path / "runtime" / "kernels.wasm").write_bytes(b"\0asm")
    assert "not the file" in build.stale()


@pytest.mark.skipif(not (shutil.which("clang") and shutil.which("wasm-ld")), reason="needs clang and wasm-ld")
def test_the_sources_compile_without_a_warning(monkeypatch, tmp_path):
    shutil.copytree(RUNTIME, tmp_path / "runtime")
    for name, path in {"RUNTIME": RUNTIME, "MODULE": build.MODULE, "RECORD": build.RECORD}.items():
        monkeypatch.setattr(build, name, tmp_path / path.relative_to(RUNTIME.parent))
    build.build()
    assert build.stale() == ""
    same_compiler = (tmp_path / "runtime" / "kernels.json").read_bytes() == (RUNTIME / "kernels.json").read_bytes()
    rebuilt, committed = (
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (build.MODULE, RUNTIME / "kernels.wasm")
    )
    assert not same_compiler or rebuilt == committed


def test_the_code_that_runs_the_network_is_at_most_60_kilobytes():
    scripts = [*runtime_sources().values(), _bare(PAGE / "page.js")]
    code = sum(len(text.encode()) for text in scripts)
    assert code + (RUNTIME / "kernels.wasm").stat().st_size <= 60_000


@pytest.mark.parametrize("path", sorted([*RUNTIME.glob("*.[cjh]*"), *PAGE.iterdir()]), ids=lambda path: path.name)
def test_files_are_short_and_their_lines_too(path):
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) <= 350
    longest = max(lines, key=len)
    assert len(longest) <= 120 or path.suffix == ".html", longest  # a sentence of the page is one line
