"""A real Prometheus for tests: Debian's, with a configuration and data of its own in a folder that goes."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.debian import program
from tests.ports import free_port

READY_S_MAX: Final = 60


@dataclass
class Prometheus:
    """One that runs.

    Attributes:
        url: Its address, without a slash at the end.
        folder: Its data (``data``) and configuration.
        process: It.
    """

    url: str
    folder: Path
    process: subprocess.Popen[str]

    def api(self, path: str, **parameters: object) -> Any:
        """Return the data that its API answers."""
        text = urllib.parse.urlencode({name: str(value) for name, value in parameters.items()})
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{text}", timeout=60) as answer:
            document = json.load(answer)
        assert document["status"] == "success", document
        return document["data"]

    def query(self, expression: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each series of an instant vector; those of a scalar are none."""
        data = self.api("query", query=expression, **({} if at is None else {"time": at}))
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]

    def value(self, expression: str, at: float | None = None) -> float | None:
        """Return the value of the only series; None if there is none."""
        found = self.query(expression, at)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def query_range(
        self, expression: str, start: float, end: float, step: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """Return labels and (time, value) of each series between two times."""
        data = self.api("query_range", query=expression, start=start, end=end, step=step)
        return [(one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in data["result"]]


@contextmanager
def prometheus(config: str, *options: str, data: Path | None = None) -> Iterator[Prometheus]:
    """Run Prometheus until it has answered what it is asked.

    Args:
        config: Text of its configuration; files that it names by relative paths are looked for beside it.
        options: More of its options.
        data: Its data; None are new ones, in the folder that goes.
    """
    with TemporaryDirectory(prefix="prometheus-") as name:
        folder = Path(name)
        (folder / "prometheus.yml").write_text(config)
        address, log = f"127.0.0.1:{free_port()}", folder / "log"
        words = [
            str(program("prometheus")),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={data or folder / 'data'}",
            f"--web.listen-address={address}",
            *options,
        ]
        with log.open("w") as stream:
            process = subprocess.Popen(words, stdout=stream, stderr=stream, text=True)
        try:
            found = Prometheus(f"http://{address}", folder, process)
            _wait_until_ready(found, log)
            yield found
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_ready(found: Prometheus, log: Path) -> None:
    until_s = time.monotonic() + READY_S_MAX
    while True:
        assert found.process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{found.url}/-/ready", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < until_s, log.read_text()
            time.sleep(0.05)
