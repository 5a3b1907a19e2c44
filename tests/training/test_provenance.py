"""Which commit a number comes from: of a checkout, whoever owns it, and of what pip installed."""

import json
import shutil
import subprocess
from importlib.metadata import PathDistribution

import pytest

import lightm
from lightm.training import provenance


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of nothing but lightm/__init__.py in a folder like a checkout's, which counts as the package that runs."""
    package = tmp_path / "a checkout" / "src" / "lightm"
    package.mkdir(parents=True)
    shutil.copy(lightm.__file__, package)
    monkeypatch.setattr(provenance, "PACKAGE", package.resolve())
    return package


def commit(package) -> str:
    git = ["git", "-C", package.parents[1], "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_names_its_commit_and_whether_it_was_changed(package):
    made = commit(package)
    assert provenance.git_state() == {"commit": made, "dirty": False}
    (package / "__init__.py").write_text("changed")
    assert provenance.git_state() == {"commit": made, "dirty": True}


def test_a_checkout_that_belongs_to_another_user_names_its_commit(package, monkeypatch):
    made = commit(package)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own switch for this
    refused = subprocess.run(["git", "-C", package, "rev-parse", "HEAD"], capture_output=True, text=True)
    assert refused.returncode and "dubious ownership" in refused.stderr
    assert provenance.git_state() == {"commit": made, "dirty": False}


def test_a_commit_that_can_not_be_told_is_said_with_the_reason(package, monkeypatch):
    assert provenance.git_state() == {"commit": None, "dirty": None, "why": "installed without its repository"}
    (package.parents[1] / ".git").mkdir()
    assert provenance.git_state()["why"] == "git could not read its repository"
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state()["why"] == "git is not installed"


def test_what_pip_installed_from_a_commit_names_it(package, monkeypatch):
    info = package.parent / "lightm-1.dist-info"
    info.mkdir()
    monkeypatch.setattr(provenance, "distribution", lambda name: PathDistribution(info))
    assert provenance.git_state()["commit"] is None
    url = {"url": "https://example.org/lightm.git", "vcs_info": {"vcs": "git", "commit_id": "0" * 40}}
    (info / "direct_url.json").write_text(json.dumps(url))
    assert provenance.git_state() == {"commit": "0" * 40, "dirty": False}
    (info / "direct_url.json").write_text(json.dumps({"url": "file:///somewhere", "dir_info": {}}))
    assert provenance.git_state()["commit"] is None
