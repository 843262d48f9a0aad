"""The report as people meet it: a command, one file, a browser at a telephone's and a screen's width, paper."""

import contextlib
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from fleet.cli import main
from tests.browser import open_tab

COMMAND = (sys.executable, "-c", "from fleet.cli import main; main()")
SCENARIO = """
name = "mine"
description = "<img src=x onerror=alert(1)>"
nodes = 60
seed = 3
[group."a b"]
workload = "web"
ecc.code = "secded"
faults = { rates = "ddr4_avg", fit_factor = 40.0 }
[arm.default]
[arm.no_recovery.set]
"kernel.memory_failure_recovery" = 0
[arm.page_offline.set]
"page_offline.ce_threshold" = 2
"""
SWEEP = ("--set", "faults.fit_factor=20", "--sweep", "page_offline.ce_threshold=0,2,5,10,24,50")
GRID = (*SWEEP, "--sweep", "kernel.profile=5.10,6.1,6.12,7.1")
POLICY = "sandbox; default-src 'none'; img-src 'self'; style-src 'self'"


def hf(*words, cwd, code=0, **environment):
    done = subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        timeout=300,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
    )
    assert done.returncode == code, (words, done.stdout, done.stderr)
    assert "\x1b" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def asked(*words):
    """What ``hf`` gives, without a process of its own."""
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, (words, done.output, done.exception)
    assert "\x1b" not in done.output
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs ``own`` of a scenario file and ``grid`` of 24 arms, with their reports."""
    here = tmp_path_factory.mktemp("report")
    (here / "mine.toml").write_text(SCENARIO)
    with contextlib.chdir(here):
        asked("run", "mine.toml", "-o", "own", "--workers", "1")
        asked("run", "baseline", "-o", "grid", "--nodes", "20", "--workers", "1", *GRID)
        for run in ("own", "grid"):
            assert asked("report", run).stdout == f"wrote {run}/report.html\n"
    return here


@pytest.fixture(scope="module")
def tab():
    with open_tab() as opened:
        yield opened


@pytest.mark.parametrize("run", ["own", "grid"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("scripts", [True, False])
def test_it_opens_without_requests_or_complaints_and_fits_the_window(folder, tab, run, width, height, scheme, scripts):
    url = (folder / run / "report.html").as_uri()
    tab.open(url, width, height, scheme, scripts=scripts)
    assert [one for one in tab.requests if not one.startswith("data:")] == [url]
    assert tab.complaints == []
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")
    assert tab.value("[...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().height > 50)")
    dark = tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(23, 23, 27)"
    assert dark == (scheme == "dark")


def test_what_a_description_holds_is_shown_and_does_nothing(folder, tab):
    tab.open((folder / "own" / "report.html").as_uri(), 390, 844)
    assert "<img src=x onerror=alert(1)>" in tab.value("document.body.innerText")
    assert tab.value("document.images.length") == 0


def test_text_has_contrast_in_both_schemes(folder, tab):
    script = """
      [...document.querySelectorAll('p, td, th, small, a, summary, figcaption, code')].map(e => {
        let b = e; while (getComputedStyle(b).backgroundColor === 'rgba(0, 0, 0, 0)') b = b.parentElement;
        const light = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255)
            .map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
          return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
        const [x, y] = [light(getComputedStyle(e).color), light(getComputedStyle(b).backgroundColor)];
        return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
      }).reduce((a, b) => Math.min(a, b))"""
    for scheme in ("light", "dark"):
        tab.open((folder / "own" / "report.html").as_uri(), 1280, 900, scheme)
        assert tab.value(script) >= 4.5


class Strict(SimpleHTTPRequestHandler):
    """Serves files as Jenkins does."""

    def end_headers(self):
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, *_):
        pass


def test_under_a_strict_policy_all_texts_tables_and_numbers_are_there(folder, tab):
    tab.open((folder / "own" / "report.html").as_uri(), 1280, 900)
    texts = "[...document.querySelectorAll('p, li, th, td, h1, h2, h3, figcaption, pre')]"
    styled = tab.value(f"{texts}.map(e => e.textContent)")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Strict, directory=folder / "own"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        tab.open(f"http://127.0.0.1:{server.server_port}/report.html", 1280, 900)
        assert tab.value("getComputedStyle(document.body).maxWidth") == "none"  # the policy has dropped the styles
        assert tab.value(f"{texts}.map(e => e.textContent)") == styled
        hidden = f"{texts}.filter(e => !e.closest('details') && e.textContent && !e.getClientRects().length).length"
        assert tab.value(hidden) == 0
        assert tab.value("document.querySelectorAll('svg [style]').length") == 0
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("run", ["own", "grid"])
def test_it_can_be_printed_and_no_table_is_cut(folder, tab, run):
    tab.open((folder / run / "report.html").as_uri(), 1280, 900)
    printed = tab.pdf()
    assert printed.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 3
    tab.call("Emulation.setDeviceMetricsOverride", width=688, height=1000, deviceScaleFactor=1, mobile=False)
    tab.call("Emulation.setEmulatedMedia", media="print")
    wide = "filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.closest('section').id)"
    assert tab.value(f"[...document.querySelectorAll('table, pre, svg')].{wide}") == []
    heights = tab.value("[...document.querySelectorAll('figure')].map(e => e.getBoundingClientRect().height)")
    assert max(heights) < 1000  # a figure is kept together, so it has to fit a page
    tab.call("Emulation.setEmulatedMedia", media="")


def digests(run):
    return json.loads((run / "run.json").read_text())["digests"]


@pytest.mark.parametrize("run", ["own", "grid"])
def test_the_command_shown_gives_the_same_digests(folder, tab, tmp_path, monkeypatch, run):
    tab.open((folder / run / "report.html").as_uri(), 1280, 900)
    shown = tab.value("[...document.querySelectorAll('#setup pre')].map(e => e.textContent)")
    (tmp_path / "scenario.toml").write_text(shown[1] if len(shown) > 1 else "")
    words = shlex.split(shown[0])
    assert words[:2] == ["hwpoison-fleet", "run"]
    monkeypatch.chdir(tmp_path)
    asked(*words[1:], "-o", "again", "--workers", "1")
    assert digests(tmp_path / "again") == digests(folder / run)


def test_the_same_run_gives_the_same_bytes(folder, tmp_path):
    known = hashlib.sha256((folder / "own" / "report.html").read_bytes()).hexdigest()
    hf("report", "own", "-o", tmp_path / "x.html", cwd=folder, PYTHONHASHSEED="7", SOURCE_DATE_EPOCH="1")
    assert hashlib.sha256((tmp_path / "x.html").read_bytes()).hexdigest() == known
    assert (folder / "own" / "report.html").stat().st_size <= 1_500_000


def test_markdown_has_its_figures_beside_it(folder, tmp_path):
    asked("report", folder / "own", "-o", tmp_path / "r.md")
    text = (tmp_path / "r.md").read_text()
    figures = re.findall(r"^!\[.*\]\((.*)\)$", text, re.MULTILINE)
    assert figures
    assert sorted(figures) == sorted(f"r_files/{path.name}" for path in (tmp_path / "r_files").iterdir())
    assert r"&lt;img src=x onerror=alert\(1\)&gt;" in text.replace(r"\=", "=")
