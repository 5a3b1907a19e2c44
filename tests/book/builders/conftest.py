"""The built pages: those that LIGHTM_BOOK names, or a build of the committed notebooks (made here if out of date)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from filelock import FileLock

from lightm_book import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome", "chrome"])), None)


@pytest.fixture(scope="session")
def book() -> Path:
    """The folder of the HTML pages."""
    if named := os.environ.get("LIGHTM_BOOK"):
        return Path(named).resolve()
    command = [sys.executable, "-m", "lightm_book", "build", "--committed"]
    (ROOT / "_build").mkdir(exist_ok=True)
    # Tests run in several processes: one builds, once, for a build rewrites files that the others are looking at.
    session, stamp = os.environ.get("PYTEST_XDIST_TESTRUNUID", ""), ROOT / "_build" / "check.session"
    with FileLock(ROOT / "_build" / "check.lock"):
        if not session or not stamp.exists() or stamp.read_text() != session:
            built = subprocess.run(command, text=True, capture_output=True)
            assert built.returncode == 0, f"{built.stdout}\n{built.stderr}"
            stamp.write_text(session)
    return ROOT / "_build" / "check" / "_build" / "html"


@pytest.fixture(scope="session")
def pages(book) -> dict[str, BeautifulSoup]:
    """Every page of the table of contents, parsed, by its path without .html; the chapters begin with notebooks/."""
    paths = [*book.glob("book/*.html"), *book.glob("notebooks/*.html")]
    return {
        path.relative_to(book).with_suffix("").as_posix(): BeautifulSoup(path.read_text("utf-8"), "html.parser")
        for path in sorted(paths)
    }


@pytest.fixture(scope="session")
def chapters(pages) -> dict[str, BeautifulSoup]:
    return {name: page for name, page in pages.items() if name.startswith("notebooks/")}


@pytest.fixture
def browse(tmp_path):
    """A function: the DOM of a local page after Chromium ran its scripts, without any network, and its complaints."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install chromium to look at the pages as a browser shows them")

    def dump(path: Path) -> tuple[BeautifulSoup, str]:
        flags = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --enable-logging=stderr"
        command = [
            *[CHROMIUM, *flags.split(), "--virtual-time-budget=20000", f"--user-data-dir={tmp_path / 'profile'}"],
            *["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--dump-dom", path.resolve().as_uri()],
        ]
        done = subprocess.run(command, text=True, capture_output=True, timeout=120)
        assert done.returncode == 0 and done.stdout, done.stderr[-2000:]
        return BeautifulSoup(done.stdout, "html.parser"), done.stderr

    return dump
