"""Prometheus and promtool: a rules file read, series made into blocks, expressions evaluated over time.

**Sources.** Prometheus 2.42: docs/storage (backfilling), docs/querying/api. Its retention deletes blocks older than 15
days unless it is told otherwise; ``--max-block-duration`` of promtool is not in its help.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from node_sim.errors import ConfigError, ExecutionError

INSTALL: Final = "install it ('apt-get install prometheus'), or give --prometheus PATH"
POINTS_MAX: Final = 11_000
"""Steps of one query that Prometheus answers."""
_START_S_MAX: Final = 60.0
_STOP_S_MAX: Final = 10.0
_QUERY_S_MAX: Final = 600
_SAMPLES_MAX: Final = 500_000_000
"""Samples that a query may load: the default refuses six months of some hundred hosts."""
_HOURS: Final = 10 * 8760
"""Length of the blocks that promtool writes at most: it reads all text once for each of them."""
_LINES: Final = 3


class Programs(NamedTuple):
    """Where they are."""

    prometheus: Path
    promtool: Path


def find_programs(asked: Path | None) -> Programs:
    """Find both programs.

    Args:
        asked: Prometheus, or a folder with both; None looks for them where the shell does.

    Raises:
        ConfigError: One is not there.
    """
    if asked is None:
        found = {name: shutil.which(name) for name in Programs._fields}
    else:
        folder = (asked if asked.is_dir() else asked.parent).absolute()
        named = folder / ("prometheus" if asked.is_dir() else asked.name)
        found = {
            "prometheus": shutil.which(str(named)),
            "promtool": shutil.which(str(folder / "promtool")) or shutil.which("promtool"),
        }
    for name, path in found.items():
        if path is None:
            where = "not on PATH" if asked is None else f"not at {asked}"
            msg = f"{name}: {where}, expected Prometheus with its promtool; {INSTALL}"
            raise ConfigError(msg)
    return Programs(*(Path(str(found[name])).absolute() for name in Programs._fields))


def check_rules(promtool: Path, rules: Path) -> None:
    """Check a rules file.

    Raises:
        ConfigError: It is none.
    """
    done = _call(promtool, "check", "rules", str(rules))
    if done.returncode:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
        wrong = [line for line in said if line and not line.startswith("Checking ") and line != "FAILED:"]
        shown = "; ".join(line.removeprefix(f"{rules}: ") for line in wrong[:_LINES]) or "refused by promtool"
        msg = f"{rules}: {shown}, expected rules of Prometheus; mend the file"
        raise ConfigError(msg)
    if "SUCCESS: 0 rules found" in done.stdout:
        msg = f"{rules}: no rule in it, expected one with 'alert:' at least; choose another file"
        raise ConfigError(msg)


def write_blocks(promtool: Path, text: Path, data: Path) -> None:
    """Turn series into blocks.

    Raises:
        ExecutionError: promtool fails.
    """
    done = _call(
        promtool,
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        str(text),
        str(data),
        f"--max-block-duration={_HOURS}h",
        "-q",
    )
    if done.returncode:
        msg = f"promtool tsdb create-blocks-from openmetrics: {_last_line(done.stderr)}"
        raise ExecutionError(msg)


def _call(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(program), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no reason given")


class QueryServer:
    """A Prometheus that answers on a port of this machine."""

    def __init__(self, port: int) -> None:
        """Speak to a port."""
        self._port = port

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer.

        Raises:
            ExecutionError: It is an error, or there is none.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_QUERY_S_MAX)
        try:
            body = urllib.parse.urlencode(parameters)
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST" if body else "GET", path, body or None, kind if body else {})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            msg = f"prometheus: {path}: no answer ({error}), expected it to go on until the end; call the command again"
            raise ExecutionError(msg) from None
        finally:
            connection.close()
        document = json.loads(content) if content.startswith(b"{") else {}
        if document.get("status") != "success":
            msg = f"prometheus: {path}: {document.get('error') or answer.reason}"
            raise ExecutionError(msg)
        return document["data"]

    def is_ready(self) -> bool:
        """Whether it serves queries."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
            connection.request("GET", "/-/ready")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False

    def query_range(self, expression: str, start_s: float, step_s: float, steps: int) -> list[dict[str, Any]]:
        """Evaluate an expression at some steps.

        Args:
            expression: PromQL.
            start_s: Time of the first [s since 1970].
            step_s: Time between two [s].
            steps: How many, at most ``POINTS_MAX``.
        """
        end_s = start_s + (steps - 1) * step_s
        times = {"start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "step": f"{step_s:.3f}"}
        found = self.get("/api/v1/query_range", query=expression, **times)
        series: list[dict[str, Any]] = found["result"]
        return series


@contextmanager
def serving(
    prometheus: Path, folder: Path, rules: Path | None = None, interval_s: float = 60.0
) -> Iterator[QueryServer]:
    """Run Prometheus over the blocks below ``folder / "data"``; it ends with the context.

    Args:
        prometheus: The program.
        folder: Its files.
        rules: Rules that it reads.
        interval_s: How often it evaluates those that do not say it [s].

    Raises:
        ExecutionError: It does not start.
    """
    config = folder / "prometheus.json"  # YAML, as all JSON is
    files = {} if rules is None else {"rule_files": [str(rules.absolute())]}
    config.write_text(json.dumps({"global": {"evaluation_interval": f"{round(interval_s * 1000)}ms"}, **files}))
    port = _free_port()
    words = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=100y",
        f"--query.max-samples={_SAMPLES_MAX}",
        f"--query.timeout={_QUERY_S_MAX}s",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603
            [str(prometheus), *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        server = QueryServer(port)
        _wait(server, process, folder / "log")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: QueryServer, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until Prometheus serves.

    Raises:
        ExecutionError: It has ended, or takes too long.
    """
    until = time.monotonic() + _START_S_MAX
    while not server.is_ready():
        if process.poll() is not None or time.monotonic() > until:
            msg = f"prometheus: does not start: {_last_line(log.read_text(errors='replace'))}"
            raise ExecutionError(msg)
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def workspace() -> Iterator[Path]:
    """Make a folder for the time of the context, however it ends."""
    folder = Path(tempfile.mkdtemp(prefix="hwpoison-alerts-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
