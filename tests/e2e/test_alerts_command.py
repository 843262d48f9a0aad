"""The command ``alerts``: a run of five hosts whose answer is known, the popular rules, and what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from analysis.alerts.sampling import phase_of
from analysis.dataset.run import open_run
from analysis.hosts.corrected import corrected_records
from analysis.hosts.lives import lives
from fleet.cli import main
from fleet.scenario.decode import decode
from node_sim.codes import CheckAction, ErrorKind, LifecycleKind
from node_sim.units import NS_PER_DAY, NS_PER_S
from tests.debian import program
from tests.deployed import DEPLOY
from tests.fleets import busy_document, run_fleet
from tests.made_run import make_run

MINUTE = 60 * NS_PER_S
YEARS = 0.2  # 73.05 days
HALF_A_MINUTE = 30 / 86_400  # days from what a host counts to the alert
POPULAR = DEPLOY / "prometheus" / "popular_alerts.yml"
RULES = """\
groups:
  - name: by-hand
    rules:
      - {alert: Seen, expr: 'increase(node_edac_correctable_errors_total[1m]) > 0'}
      - {alert: Uncorrected, expr: 'node_edac_uncorrectable_errors_total > 0'}
      - {alert: Lasting, expr: 'node_edac_correctable_errors_total > 0', for: 1h}
      - {alert: Kept, expr: 'increase(node_edac_correctable_errors_total[1m]) > 0', keep_firing_for: 11d}
      - {alert: NoSeries, expr: 'node_edac_dimm_correctable_errors_total > 0'}
      - {alert: NoHost, expr: 'absent(node_boot_time_seconds)'}
"""


def before(day):
    """Half a minute before the end of a day: the next evaluation, at its end, is the first that knows."""
    return day * NS_PER_DAY - 30 * NS_PER_S


def corrected(node, day):
    at = before(day)
    return {
        "node_id": node, "time_ns": at, "kind": int(ErrorKind.CE), "ce_count": 1, "n_pages": 1, "first_pfn": 5,
        "first_time_ns": at, "last_time_ns": at,
    }  # fmt: skip


def uncorrected(node, day):
    at = before(day)
    times = {"node_id": node, "time_ns": at, "first_time_ns": at, "last_time_ns": at}
    return {**times, "kind": int(ErrorKind.UE), "n_pages": 1, "first_pfn": 5, "path": 0, "n_ce_before": 0}


def check(node, day):
    """Of the channel of slot 0: an EDAC driver counts it."""
    return {"node_id": node, "time_ns": before(day), "bank": 0, "pfn": 5, "action": int(CheckAction.QUEUE), "seq": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Five hosts and five without rows.

    0: a CE ten days before its UE. 1: a CE, no UE. 2: a UE, a CE a day later, a panic. 3: a CE 48 days before its UE.
    4: a CE so late that nobody knows what would have come within 30 days.
    """
    root = tmp_path_factory.mktemp("made") / "run"
    ces = [(0, 10), (1, 5), (2, 41), (3, 2), (4, 60)]
    ues = [(0, 20), (2, 40), (3, 50)]
    panic = 45 * NS_PER_DAY
    down = {"node_id": 2, "time_ns": panic, "end_ns": panic + 15 * MINUTE, "kind": int(LifecycleKind.PANIC), "seq": 9}
    rows = {
        "errors": [*(corrected(*one) for one in ces), *(uncorrected(*one) for one in ues)],
        "machine_checks": [check(*one) for one in ues],
        "lifecycle": [down],
    }
    make_run(root, 10, YEARS, rows)
    return root


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    path = tmp_path_factory.mktemp("rules") / "rules.yml"
    path.write_text(RULES)
    return path


def judge(root, rules, *more):
    words = ["alerts", str(root), "--rules", str(rules), "--prometheus", str(program("prometheus")), "--json", *more]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def by_rule(document):
    return {one["rule"]: one["judged"] for one in document["rules"]}


def counts(judged):
    found = judged["counts"]
    return [
        found[name]
        for name in (
            "nodes_alerted",
            "episodes",
            "pages",
            "episodes_that_tell",
            "episodes_right",
            "truth_events_recalled",
            "nodes_firing_at_end",
        )
    ]


def test_five_hosts_are_judged_as_by_hand(made, rules):
    document = judge(made, rules)
    found = by_rule(document)
    # Hosts 0, 1 and 3 tell: 2 alerts after its UE, 4 too late; 0 alone is right, and its UE alone is warned of.
    assert counts(found["Seen"]) == [5, 5, 5, 3, 1, 1, 0]
    assert found["Seen"]["precision_episodes"]["value"] == pytest.approx(1 / 3)
    assert found["Seen"]["precision_nodes"]["value"] == pytest.approx(1 / 3)
    assert found["Seen"]["recall"]["value"] == pytest.approx(1 / 3)
    assert [one["value"] for one in found["Seen"]["warning_days"]] == pytest.approx([10 - HALF_A_MINUTE] * 3)
    assert found["Seen"]["nodes_alerted_share"]["value"] == 0.5
    node_years = document["node_years"]
    assert node_years == pytest.approx(10 * YEARS - 900 / 31_557_600)
    assert found["Seen"]["episodes_per_1000_node_years"]["value"] == pytest.approx(5000 / node_years)
    # Counted from the UE on, it is never before it; a boot ends it on host 2.
    assert counts(found["Uncorrected"]) == [3, 3, 3, 0, 0, 0, 2]
    assert found["Uncorrected"]["precision_episodes"]["value"] is None
    # An hour later, until the panic of host 2.
    assert counts(found["Lasting"]) == [5, 5, 5, 3, 1, 2, 4]
    late = 10 - 1 / 24 - HALF_A_MINUTE
    # Host 3 still fires 30 days before its UE, so all of the lead is warning.
    assert [one["value"] for one in found["Lasting"]["warning_days"]][::2] == pytest.approx(
        [late + (30 - late) * 0.25, late + (30 - late) * 0.75]
    )
    # 4 fires until day 71, 2 until day 52: keep_firing_for outlives the boot.
    assert counts(found["Kept"]) == [5, 5, 5, 3, 1, 1, 0]
    assert document["truth_events"] == 3


def test_an_alert_warns_of_a_panic_as_of_a_ue(made, rules):
    found = by_rule(judge(made, rules, "--truth", "panic"))
    # Host 0 and 2 tell; 3 begins on day 50, too late. Five days before the panic of host 2.
    assert counts(found["Uncorrected"]) == [3, 3, 3, 2, 1, 1, 2]
    assert [one["value"] for one in found["Uncorrected"]["warning_days"]] == [5.0] * 3


@pytest.mark.parametrize(("lead", "right", "recalled"), [("10d", 1, 1), ("9d", 0, 0), ("48d", 2, 2), ("47d", 1, 1)])
def test_an_alert_counts_for_as_long_as_the_lead_and_no_longer(made, rules, lead, right, recalled):
    """Events are half a minute before the end of a day, alerts at the end: 10 days less half a minute apart."""
    judged = by_rule(judge(made, rules, "--lead", lead))["Seen"]["counts"]
    assert (judged["episodes_right"], judged["truth_events_recalled"]) == (right, recalled)


SCRAPE = 15 * NS_PER_S


def scraped_after(time_ns, clock_phase_ns):
    """When a host is next scraped."""
    return -(-(time_ns - clock_phase_ns) // SCRAPE) * SCRAPE + clock_phase_ns


def up(time_ns, downs):
    return not any(begin <= time_ns < end for begin, end in downs)


def caught(time_ns, clock_phase_ns, downs):
    """Whether some evaluation sees a rise: the scrapes around it are both within a minute before a full minute."""
    after = scraped_after(time_ns, clock_phase_ns)
    known = after - SCRAPE
    return up(after, downs) and up(known, downs) and known >= 0 and -(-after // MINUTE) * MINUTE <= known + MINUTE


@pytest.mark.parametrize(
    ("nodes", "fit_factor", "years"), [(60, 200.0, 0.03), pytest.param(120, 100.0, 0.15, marks=pytest.mark.long)]
)
def test_the_popular_rules_alert_the_hosts_that_the_rows_say(tmp_path, nodes, fit_factor, years):
    """Counted from rows, which the alerts do not read: records of CEs, machine checks of channels, times down."""
    run_fleet(decode("test", {**busy_document(nodes, fit_factor), "years": years}), tmp_path / "run")
    run = open_run(tmp_path / "run")
    document = judge(tmp_path / "run", POPULAR, "--sample", "1000")
    expected = {"HostEdacCorrectableErrorsDetected": 0, "HostEdacUncorrectableErrorsDetected": 0}
    with_ce = 0
    for node, life in lives(run, "default"):
        phase = phase_of(1, node, 15 * NS_PER_S)
        downs = [
            (row["time_ns"], row["end_ns"])
            for table, row in life
            if table == "lifecycle" and row["kind"] not in ("cordon", "map_out")
        ]
        rises = [
            record.time_ns
            for table, row in life
            if table == "errors" and row["kind"] == "CE"
            for record in corrected_records(row, 1)
        ]
        ues = [
            row["time_ns"]
            for table, row in life
            if table == "machine_checks" and row["action"] != "panic" and row["bank"] < 12
        ]
        with_ce += bool(rises)
        expected["HostEdacCorrectableErrorsDetected"] += any(caught(one, phase, downs) for one in rises)
        # One scrape is enough, as the next evaluation looks back five minutes.
        expected["HostEdacUncorrectableErrorsDetected"] += any(up(scraped_after(one, phase), downs) for one in ues)
    found = {name: judged["counts"]["nodes_alerted"] for name, judged in by_rule(document).items()}
    assert found == expected
    assert 0.8 * with_ce < found["HostEdacCorrectableErrorsDetected"] <= with_ce
    assert found["HostEdacUncorrectableErrorsDetected"] > 1


def failed(*words):
    done = CliRunner().invoke(main, ["alerts", *map(str, words)])
    assert "Traceback" not in done.output
    return done.exit_code, done.stderr


def test_without_prometheus_the_command_says_how_to_get_it(made, rules, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, said = failed(made, "--rules", rules)
    assert code == 2
    assert said == (
        "error: prometheus: not on PATH, expected Prometheus with its promtool; install it ('apt-get install "
        "prometheus'), or give --prometheus PATH\n"
    )
    code, said = failed(made, "--rules", rules, "--prometheus", tmp_path)
    assert (code, f"not at {tmp_path}" in said) == (2, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("groups: [{name: a, rules: [{alert: A, expr: 'sum(((1'}]}]\n", "could not parse expression"),
        ("groups: 3\n", "cannot unmarshal"),
        ("groups: [{name: a, rules: [{record: 'a:b', expr: up}]}]\n", "no alerting rule"),
        ("groups: []\n", "no rule in it"),
    ],
)
def test_a_file_that_has_no_alerting_rules_is_refused(made, tmp_path, text, said):
    path = tmp_path / "wrong.yml"
    path.write_text(text)
    code, message = failed(made, "--rules", path, "--prometheus", program("prometheus"))
    assert code == 2
    assert message.startswith(f"error: {path}: ")
    assert said in message
    assert message.count("\n") == 1


def test_settings_that_do_not_go_together_are_refused(made, rules):
    prometheus = program("prometheus")
    assert failed(made, "--rules", rules, "--prometheus", prometheus, "--interval", "20s")[0] == 2
    assert failed(made, "--rules", rules, "--prometheus", prometheus, "--lead", "30")[0] == 2
    assert failed(made, "--rules", rules, "--prometheus", prometheus, "--arm", "no")[0] == 2
    code, said = failed(made, "--rules", f"{rules}.no", "--prometheus", prometheus)
    assert (code, "No such file" in said) == (2, True)
    assert failed(made, "--rules", "/dev/zero", "--prometheus", prometheus)[0] == 2


def test_rules_that_cannot_fire_and_rules_that_cannot_be_judged_say_so(made, rules):
    words = ["alerts", str(made), "--rules", str(rules), "--prometheus", str(program("prometheus"))]
    lines = CliRunner().invoke(main, words).stdout.splitlines()
    assert "NoSeries: never fired: no series node_edac_dimm_correctable_errors_total" in lines
    assert "NoHost: not judged: absent() names no instance" in lines
    assert max(map(len, lines)) <= 100


def one_rule(folder, expression):
    path = folder / "one.yml"
    path.write_text(f"groups: [{{name: a, rules: [{{alert: One, expr: '{expression}'}}]}}]\n")
    return path


@pytest.mark.parametrize(
    ("expression", "exit_code", "why"),
    [
        ("vector(1)", 2, "an alert without the label instance of a host"),
        ('label_replace(up, "instance", "x", "job", ".*")', 1, "vector cannot contain metrics with the same labelset"),
        ("up + on (job) up", 1, "found duplicate series"),
    ],
)
def test_an_alert_of_no_host_and_an_expression_that_fails_name_the_rule(made, tmp_path, expression, exit_code, why):
    code, said = failed(made, "--rules", one_rule(tmp_path, expression), "--prometheus", program("prometheus"))
    assert code == exit_code
    assert said.startswith("error: One: ")
    assert why in said
    assert said.count("\n") == 1


def test_a_prometheus_that_dies_ends_the_command_with_a_line(made, rules, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    prometheus = tmp_path / "prometheus"
    # It answers what rules there are, and of hosts only that it is ready.
    prometheus.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *batch-*) exec {sys.executable} {tmp_path}/dies.py "$@" ;; esac\n'
        f'exec {program("prometheus")} "$@"\n'
    )
    prometheus.chmod(0o755)
    (tmp_path / "dies.py").write_text(
        "import http.server, os, sys\n"
        "class Dies(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "    def do_POST(self):\n"
        "        os._exit(9)\n"
        "port = next(word for word in sys.argv if 'listen-address' in word).rpartition(':')[2]\n"
        "http.server.ThreadingHTTPServer(('127.0.0.1', int(port)), Dies).serve_forever()\n"
    )
    (tmp_path / "promtool").symlink_to(program("promtool"))
    code, said = failed(made, "--rules", rules, "--prometheus", prometheus)
    assert code == 1
    assert "prometheus: /api/v1/query_range: no answer" in said
    assert said.count("\n") == 1
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(("interval", "alerted"), [("1m", 1.0), ("5m", 0.0)])
def test_a_subquery_that_says_no_step_takes_that_of_evaluations(made, tmp_path, interval, alerted):
    """An hour has 60 or 61 steps of a minute, and 12 or 13 of five."""
    rules = one_rule(tmp_path, "count_over_time(up[1h:]) > 30")
    found = by_rule(judge(made, rules, "--interval", interval))
    assert found["One"]["nodes_alerted_share"]["value"] == alerted


def test_an_interrupt_leaves_nothing(made, rules, tmp_path):
    # Processes that run tests side by side ignore the signal, and so would their children.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code = f"{heard}from fleet.cli import main; main()"
    words = ["alerts", str(made), "--rules", str(rules), "--prometheus", str(program("prometheus"))]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code, *words], env=environment, stderr=subprocess.PIPE) as process:
        while not list(tmp_path.glob("hwpoison-alerts-*/*/prometheus.json")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == b"error: interrupted\n"
    assert list(tmp_path.iterdir()) == []
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(str(tmp_path).encode() in one for one in running)
