"""A download that breaks off, or is killed, goes on where it stopped; nothing takes its name that is not whole."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from lightm.data import download
from lightm.data.download import Resuming, fetch_decathlon, unpack
from lightm.errors import LightMError
from lightm.files import whole_folder

CONTENT = np.random.default_rng(0).bytes(600_000)


@pytest.fixture
def server():
    """Serves CONTENT; `each`: how many bytes an answer has before the line is cut; `ranges`: whether it knows them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            http.asked.append(asked)
            start = int(asked[6:-1]) if asked and http.ranges else 0
            if http.status:
                return self.send_error(http.status)
            if start >= len(http.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(http.content)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(http.content) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(http.content) - 1}/{len(http.content)}")
            self.end_headers()
            self.wfile.write(http.content[start : start + http.each])
            self.wfile.flush()
            time.sleep(http.pause)
            self.close_connection = True

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.content, http.each, http.ranges, http.status, http.pause, http.asked = CONTENT, 10**9, True, 0, 0.0, []
    http.url = f"http://127.0.0.1:{http.server_port}/Task04_Hippocampus.tar"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield http
    http.shutdown()
    http.server_close()


def get(server, tmp_path, **options):
    Resuming(tmp_path / "a.part", wait=0.0, **options)(server.url, str(tmp_path / "a"), None)
    return (tmp_path / "a").read_bytes()


def test_a_line_that_is_cut_again_and_again_still_gives_the_whole_file(server, tmp_path):
    server.each = 2**18
    assert get(server, tmp_path, attempts=2) == CONTENT
    assert server.asked == [None, f"bytes={2**18}-", f"bytes={2**19}-"] and not (tmp_path / "a.part").exists()


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    server.ranges = False
    (tmp_path / "a.part").write_bytes(b"x" * 1000)
    assert get(server, tmp_path) == CONTENT


def test_what_is_whole_already_is_taken_and_what_is_too_long_is_not(server, tmp_path):
    (tmp_path / "a.part").write_bytes(CONTENT)
    assert get(server, tmp_path) == CONTENT
    (tmp_path / "a.part").write_bytes(CONTENT + b"more")
    assert get(server, tmp_path) == CONTENT


def test_a_download_without_hope_says_what_is_here(server, tmp_path):
    (tmp_path / "a.part").write_bytes(CONTENT[:5000])
    server.each = 0
    with pytest.raises(LightMError, match=r"5,000 bytes are here, and the same command goes on from there"):
        get(server, tmp_path, attempts=3)
    assert len(server.asked) == 3
    server.status = 404
    with pytest.raises(LightMError, match="404"):
        get(server, tmp_path)
    assert len(server.asked) == 4  # no second try for what is not there


def test_a_full_disk_is_known_before_the_first_byte(server, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(LightMError, match=r"600,000 bytes are to come, and the disk of .* has 1,000 left"):
        get(server, tmp_path)
    assert not (tmp_path / "a").exists()


def archive_of(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def decathlon(server, own_cache, monkeypatch):
    """The server holds a task of the Decathlon."""
    server.content = archive_of({"Task04_Hippocampus/imagesTr/a.nii": CONTENT, "Task04_Hippocampus/._x": b"mac"})
    monkeypatch.setattr(download, "DECATHLON", server.url.rpartition("/")[0])
    monkeypatch.setitem(download.DECATHLON_MD5, "Task04_Hippocampus", hashlib.md5(server.content).hexdigest())
    return server


def test_a_task_is_fetched_checked_and_unpacked(decathlon, tmp_path):
    decathlon.each = 400_000
    fetch_decathlon("Task04_Hippocampus", tmp_path / "out")
    assert [p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*")] == [
        "imagesTr",
        "imagesTr/a.nii",
    ]
    fetch_decathlon("Task04_Hippocampus", tmp_path / "again")  # from the cache
    assert len(decathlon.asked) == 2


def test_another_content_never_takes_the_name(decathlon, tmp_path):
    decathlon.content = decathlon.content[:-1] + b"x"
    with pytest.raises(LightMError, match=r"What came as Task04_Hippocampus\.tar is not the published file"):
        fetch_decathlon("Task04_Hippocampus", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "cache").rglob("*.tar")) and not list((tmp_path / "cache").rglob("*.part"))


@pytest.mark.parametrize("name", ["Task/../../evil", "Task//../../../evil"])
def test_a_member_that_leaves_its_folder_leaves_nothing(tmp_path, name):
    (tmp_path / "a.tar").write_bytes(archive_of({"Task/fine": b"1", name: b"2"}))
    with pytest.raises(LightMError, match="lies outside its folder; it was not unpacked"):
        unpack(tmp_path / "a.tar", tmp_path / "in" / "out")
    assert {p.name for p in tmp_path.rglob("*")} == {"a.tar", "in"}


def test_a_killed_fetch_goes_on(server, tmp_path):
    server.each, server.pause = 300_000, 60.0  # half of it, and then silence
    code = (
        "import sys; from pathlib import Path; from lightm.data.download import Resuming\n"
        "Resuming(Path(sys.argv[2]), wait=0.0)(sys.argv[1], sys.argv[3], None)"
    )
    part, out = tmp_path / "a.part", tmp_path / "a"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen([sys.executable, "-c", code, server.url, str(part), str(out)], env=environment)
    while process.poll() is None and not (part.exists() and part.stat().st_size):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists() and part.read_bytes() == CONTENT[: part.stat().st_size]
    server.each, server.pause = 10**9, 0.0
    assert get(server, tmp_path) == CONTENT and server.asked[-1].startswith("bytes=")


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    left = tmp_path / ".out.partial-killed"
    left.mkdir()
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "out") as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with whole_folder(tmp_path / "out") as folder:
        (folder / "all").write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == ["out"] and (tmp_path / "out" / "all").exists()
