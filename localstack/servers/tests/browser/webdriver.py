"""Drives Chromium by chromedriver over the WebDriver protocol, with the standard library alone."""

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from local_stack.prerequisites import BROWSERS

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Tab": "\ue004", "Space": " "}


class Browser:
    """One window of a headless Chromium."""

    def __init__(self, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
        driver = shutil.which("chromedriver")
        assert program and driver, (
            "these tests need Chromium and chromedriver: sudo apt-get install chromium chromium-driver"
        )
        self._folder = tempfile.TemporaryDirectory(prefix="console-browser-", ignore_cleanup_errors=True)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self._log = Path(self._folder.name) / "chromedriver.log"
        self._driver = subprocess.Popen(
            [driver, f"--port={port}", f"--log-path={self._log}"], stdout=subprocess.DEVNULL
        )
        self._url = f"http://127.0.0.1:{port}"
        arguments = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
            # Nothing but this machine can be reached, so the page works without the internet or not at all.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--user-data-dir={self._folder.name}/profile", f"--window-size={width},{height}",
        ]  # fmt: skip
        options = {"binary": program, "args": arguments}
        capabilities = {
            "alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
            }
        }
        try:
            self.until(self._started, 60)
            session = self._send("POST", "/session", {"capabilities": capabilities})
        except BaseException:
            self._driver.kill()
            raise
        self._session = f"/session/{session['sessionId']}"
        self.resize(width, height)
        scheme = "dark" if dark else "light"
        self.devtools("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def close(self) -> None:
        """Ends the browser and its driver."""
        try:
            self._send("DELETE", self._session)
        finally:
            self._driver.terminate()
            self._driver.wait(20)
            self._folder.cleanup()

    def resize(self, width: int, height: int) -> None:
        """Makes the page of another size; a window has a least width, a device has not."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)

    def open(self, url: str) -> None:
        """Opens a page."""
        self._send("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str, *arguments: object) -> object:
        """Runs a script in the page; returns what it returns."""
        return self._send("POST", f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script: str, *arguments: object) -> object:
        """Runs a script that calls its last argument with the result."""
        return self._send("POST", f"{self._session}/execute/async", {"script": script, "args": list(arguments)})

    def text(self, selector: str) -> str:
        """The visible text of the first element that matches; empty if none does, or it is hidden."""
        found = "const found = document.querySelector(arguments[0]);"
        # Of an element that is not rendered, innerText is everything in it.
        return self.run(f"{found} return found?.getClientRects().length ? found.innerText : ''", selector)

    def count(self, selector: str) -> int:
        """How many elements match."""
        return self.run("return document.querySelectorAll(arguments[0]).length", selector)

    def click(self, selector: str) -> None:
        """Clicks as a mouse does: the element must be visible."""
        element = self._send("POST", f"{self._session}/element", {"using": "css selector", "value": selector})
        self._send("POST", f"{self._session}/element/{element[ELEMENT]}/click", {})

    def press(self, *keys: str) -> None:
        """Presses keys one after another, or types a text."""
        actions = [
            {"type": kind, "value": character}
            for key in keys
            for character in (KEYS.get(key) or key)
            for kind in ("keyDown", "keyUp")
        ]
        keyboard = {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}
        self._send("POST", f"{self._session}/actions", keyboard)

    def screenshot(self, file: Path) -> None:
        """Writes what is visible as a PNG."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self._send("GET", f"{self._session}/screenshot")))

    def errors(self) -> list[str]:
        """The errors in the page's console since the last call."""
        entries = self._send("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def devtools(self, command: str, parameters: dict) -> object:
        """Sends a command of the DevTools protocol."""
        return self._send("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    @staticmethod
    def until(condition, timeout_s: float, what: str = "the condition") -> object:
        """What the condition returns as soon as that is true; fails after the time."""
        deadline = time.monotonic() + timeout_s
        while True:
            result = condition()
            if result:
                return result
            assert time.monotonic() < deadline, f"{what} did not become true within {timeout_s:.0f} s"
            time.sleep(0.2)

    def _started(self) -> bool:
        assert self._driver.poll() is None, f"chromedriver ended: {self._log.read_text()[-2000:]}"
        try:
            return self._send("GET", "/status")["ready"]
        except OSError:
            return False

    def _send(self, method: str, path: str, body: object = None) -> object:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self._url}{path}", data, {"Content-Type": "application/json"}, method=method
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=120) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {json.load(error)['value']['message'][:500]}") from error
