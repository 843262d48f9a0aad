"""The exporter of a run as its readers find it: pages, addresses, and the lint of promtool."""

import subprocess
import time
import urllib.error
import urllib.request
from http.client import HTTPConnection
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from fleet.cli import main
from fleet.metrics import RunCollector, serve_metrics
from fleet.stored.address import run_name
from fleet.stored.exported import run_info
from node_sim.errors import ConfigError
from tests.debian import program
from tests.ports import free_port
from tests.prometheus import prometheus

INFO = run_info(run="a<b", scenario="s", sha256="0", seed=1, version="0.1.0", engine="local")


@pytest.fixture(scope="module")
def port():
    found = free_port()
    url = serve_metrics(RunCollector(("a", "b"), ("g",), 2, 10, INFO), found)
    assert url == f"http://127.0.0.1:{found}/metrics"
    return found


def ask(port, method, path):
    """Status, type and content of an answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()


def test_the_page_at_the_root_names_the_run_and_leads_to_the_metrics(port):
    status, kind, text = ask(port, "GET", "/")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert "Run a&lt;b" in text
    assert 'href="/metrics"' in text
    assert ask(port, "GET", "/metrics")[0] == 200


@pytest.mark.parametrize("path", ["/favicon.ico", "/metrics/", "/metric", "/x?y=/metrics"])
def test_there_is_nothing_else(port, path):
    status, kind, text = ask(port, "GET", path)
    assert (status, kind, text) == (404, "text/plain; charset=utf-8", "no such page; the metrics are at /metrics\n")


@pytest.mark.parametrize("path", ["/", "/metrics"])
def test_pages_are_read_only(port, path):
    assert ask(port, "POST", path)[0] == ask(port, "OPTIONS", path)[0] == 405
    assert (ask(port, "HEAD", path)[0], ask(port, "HEAD", path)[2]) == (200, "")


def test_promtool_finds_nothing_in_a_scrape(port):
    text = ask(port, "GET", "/metrics")[2]
    words = [str(program("promtool")), "check", "metrics"]
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_dashboard_finds_the_run_by_its_folder(port):
    config = f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: hwpoison-fleet
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
    with prometheus(config) as server:
        found = []
        while not found:
            time.sleep(0.1)  # a test that waits in vain is ended by its runner
            found = server.api("label/run/values", **{"match[]": "hwpoison_fleet_run_info"})
        assert found == ["a<b"]
        ((labels, value),) = server.query("hwpoison_fleet_run_info")
        assert value == 1
        assert labels.items() >= INFO.items()
        assert (labels["job"], labels["instance"]) == ("hwpoison-fleet", f"127.0.0.1:{port}")


def test_other_addresses_are_served_when_asked_for():
    found = free_port()
    assert serve_metrics(RunCollector(("a",), ("g",), 1, 1, INFO), found, "::1") == f"http://[::1]:{found}/metrics"
    with urllib.request.urlopen(f"http://[::1]:{found}/metrics", timeout=10) as answer:
        assert list(text_string_to_metric_families(answer.read().decode()))
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{found}/metrics", timeout=10)


@pytest.mark.parametrize("host", ["nosuch.invalid", "", "a..b", "203.0.113.9"])
def test_an_address_of_another_machine_is_refused(host):
    with pytest.raises(ConfigError, match=rf"--metrics-host {host} --metrics-port \d+: .*, expected a free port on"):
        serve_metrics(RunCollector(("a",), ("g",), 1, 1, INFO), free_port(), host)


@pytest.mark.parametrize("command", [["run"], ["resume", "nosuch"]])
def test_an_address_without_a_port_is_refused(command):
    done = CliRunner().invoke(main, [*command, "--metrics-host", "::1"])
    assert done.exit_code == 2
    assert "--metrics-host ::1: no metrics are served, expected --metrics-port, too; add it" in done.output


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (Path("runs/first"), "first"),
        (Path("runs/first/."), "first"),
        ("s3://bucket/a/b?region=x", "b"),
        ("s3://bucket/a/b/", "b"),
        (Path("/"), "/"),
        (Path("a\udcff"), "a\ufffd"),
    ],
)
def test_a_run_is_called_what_its_folder_is(path, name):
    assert run_name(path) == name


def test_the_folder_one_is_in_has_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_name(Path()) == tmp_path.name
    assert run_name(Path("..")) == tmp_path.parent.name
