"""Chromium, driven over a pipe by its DevTools protocol: no package is needed for it, only the browser."""

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome", "chrome"])), None)
FLAGS = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking"


class Browser:
    """A Chromium that reaches no host. `open` gives a page; `close` ends it."""

    def __init__(self, folder: Path):
        self.downloads = folder / "downloads"
        self.downloads.mkdir(parents=True)
        (to_browser, self._out), (self._in, from_browser) = os.pipe(), os.pipe()
        ends = [os.dup(end) for end in (to_browser, from_browser) for _ in range(4)]  # numbers well above 3 and 4
        reading, writing = ends[3], ends[7]

        def place() -> None:  # Chromium reads its orders at 3 and answers at 4
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        command = [CHROMIUM, *FLAGS.split(), f"--user-data-dir={folder / 'profile'}", "--remote-debugging-pipe"]
        command.append("--host-resolver-rules=MAP * ~NOTFOUND")
        log = subprocess.DEVNULL
        self._process = subprocess.Popen(command, preexec_fn=place, pass_fds=(3, 4), stdout=log, stderr=log)
        for end in (to_browser, from_browser, *ends):
            os.close(end)
        self._buffer, self._number, self.events = b"", 0, []
        behaviour = {"behavior": "allow", "downloadPath": str(self.downloads)}
        self.call("Browser.setDownloadBehavior", behaviour)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, params: dict | None = None, session: str | None = None) -> dict:
        """One order and its answer; events that come in between are kept."""
        self._number += 1
        order = {"id": self._number, "method": method, "params": params or {}}
        order |= {"sessionId": session} if session else {}
        os.write(self._out, json.dumps(order).encode() + b"\0")
        while True:
            message = self._read()
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self.events.append(message)

    def _read(self) -> dict:
        while b"\0" not in self._buffer:
            piece = os.read(self._in, 1 << 16)
            assert piece, "Chromium has ended"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path: Path, width: int = 1300, height: int = 900, dark: bool = False) -> "Page":
        return Page(self, path, width, height, dark)


class Page:
    """One tab. requests: addresses that it asked for; errors: what its scripts complained of."""

    def __init__(self, browser: Browser, path: Path, width: int, height: int, dark: bool):
        self.browser = browser
        target = browser.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self.target = target
        self._session = browser.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Network", "DOM", "Log"):
            self.call(f"{domain}.enable")
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.call("Page.navigate", {"url": path.resolve().as_uri()})
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def call(self, method: str, params: dict | None = None) -> dict:
        return self.browser.call(method, params, self._session)

    def run(self, expression: str):
        """The value of an expression in the page."""
        order = {"expression": expression, "returnByValue": True, "awaitPromise": True, "userGesture": True}
        answer = self.call("Runtime.evaluate", order)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not self.run(expression):
            assert time.monotonic() < end, f"not true after {seconds} s: {expression}; {self.errors}"
            time.sleep(0.03)

    def text(self, selector: str) -> str:
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def visible(self, selector: str) -> bool:
        return self.run(f"document.querySelector({json.dumps(selector)}).getClientRects().length > 0")

    def give(self, selector: str, path: Path) -> None:
        """Choose a file, as the reader does in the dialog of an <input type=file>."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
        self.call("DOM.setFileInputFiles", {"nodeId": node, "files": [str(path)]})

    def press(self, key: str) -> None:
        """A key by its name: Tab, Enter, Space, ArrowRight."""
        codes = {"Tab": 9, "Enter": 13, "Space": 32, "ArrowLeft": 37, "ArrowRight": 39}
        texts = {"Enter": "\r", "Space": " "}
        name = " " if key == "Space" else key
        order = {"key": name, "code": key, "windowsVirtualKeyCode": codes[key]}
        down = {"type": "keyDown" if key in texts else "rawKeyDown", **order}
        self.call("Input.dispatchKeyEvent", down | ({"text": texts[key]} if key in texts else {}))
        self.call("Input.dispatchKeyEvent", {"type": "keyUp", **order})

    def picture(self, path: Path) -> None:
        """Save what the page looks like, from top to bottom."""
        shot = self.call("Page.captureScreenshot", {"captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(shot["data"]))

    @property
    def requests(self) -> list[str]:
        return [event["params"]["request"]["url"] for event in self._events("Network.requestWillBeSent")]

    @property
    def errors(self) -> list[str]:
        thrown = [event["params"]["exceptionDetails"] for event in self._events("Runtime.exceptionThrown")]
        logged = [event["params"]["entry"] for event in self._events("Log.entryAdded")]
        return [str(entry.get("exception", entry))[:500] for entry in thrown] + [
            entry["text"] for entry in logged if entry["level"] == "error"
        ]

    def _events(self, name: str) -> list[dict]:
        mine = [event for event in self.browser.events if event.get("sessionId") == self._session]
        return [event for event in mine if event["method"] == name]

    def close(self) -> None:
        self.browser.call("Target.closeTarget", {"targetId": self.target})
