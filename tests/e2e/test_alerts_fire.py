"""A real Prometheus watches a fleet that lives: one bad DIMM fires what it should, healthy hosts fire nothing."""

import copy
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from fleet.scenario.decode import decode
from tests.fleets import BASELINE, run_fleet
from tests.prometheus import prometheus

PROGRAM = str(Path(sys.executable).with_name("hwpoison-fleet"))
NODES, BAD, SEED = 40, 31, 4
SPEED = 60
SCRAPE_S = 2
START_DAYS = 57.4513
"""13 s before the bad DIMM has corrected errors; 71 s before its host has booted after uncorrected ones."""
WATCHED_S_MAX = 105
LAST = 'ALERTS{alertname="HostRebootedAfterMemoryError", alertstate="firing"}'
"""Nothing more is to come after it."""


def fleet_with_one_bad_dimm():
    """The baseline's SDDC servers, one with 74 times their faults; node 6 has three corrected errors: no alert."""
    document = copy.deepcopy(BASELINE)
    healthy = document["group"]["sddc"]
    bad = copy.deepcopy(healthy)
    bad["faults"]["fit_factor"] = 20.0
    before = copy.deepcopy(healthy)
    before["faults"]["fit_factor"] = 8.0
    document |= {"nodes": NODES, "years": 0.25, "arm": {"default": {"set": {"repair.replace_hours": 0.0}}}}
    document["group"] = {
        "before": before | {"share": BAD / NODES},
        "bad": bad | {"share": 1 / NODES},
        "after": healthy | {"share": (NODES - BAD - 1) / NODES},
    }
    return decode("test", document)


@contextmanager
def served(folder):
    command = [PROGRAM, "serve", str(folder), "--port", "0", "--speed", str(SPEED), "--start", f"{START_DAYS}d"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def config_for(deployed, url):
    """The configuration that is shipped, with another port, more scrapes, and its rules by their whole path."""
    text = (deployed / "prometheus/config/serve.yml").read_text()
    text = text.replace("http://127.0.0.1:9464/", url).replace("127.0.0.1:9464", url.split("/")[2])
    text = text.replace("../alerts.yml", str(deployed / "prometheus/alerts.yml"))
    text = text.replace("scrape_timeout: 5s", f"scrape_timeout: {SCRAPE_S}s")
    return re.sub(r"(scrape|evaluation)_interval: 15s", rf"\1_interval: {SCRAPE_S}s", text)


def test_one_bad_dimm_fires_its_alerts_and_no_other_host_any(tmp_path):
    run_fleet(fleet_with_one_bad_dimm(), tmp_path / "run", SEED)
    subprocess.run([PROGRAM, "deploy", str(tmp_path / "d"), "--speed", str(SPEED)], check=True, capture_output=True)
    with served(tmp_path / "run") as url, prometheus(config_for(tmp_path / "d", url)) as watching:
        until_s = time.monotonic() + WATCHED_S_MAX
        while time.monotonic() < until_s and not watching.query(LAST):
            time.sleep(1)
        hosts = 'up{job="hwpoison-fleet-hosts"}'
        assert watching.value(f"count(max_over_time({hosts}[5m]) == 1)") == NODES
        assert {labels["instance"] for labels, _ in watching.query(f"min_over_time({hosts}[5m]) == 0")} == {
            f"sim-{BAD:05d}"
        }
        seen = watching.query("max by (instance) (increase(node_edac_correctable_errors_total[5m])) > 0")
        assert {labels["instance"] for labels, _ in seen} == {"sim-00006", f"sim-{BAD:05d}"}
        fired = watching.query('max_over_time(ALERTS{alertstate="firing"}[5m])')
    assert {(labels["alertname"], labels["instance"], labels.get("controller")) for labels, _ in fired} == {
        ("HostMemoryUncorrectedError", f"sim-{BAD:05d}", "3"),
        ("HostMemoryCorrectedErrorBurst", f"sim-{BAD:05d}", "3"),
        ("HostMemoryPagesPoisoned", f"sim-{BAD:05d}", None),
        ("HostRebootedAfterMemoryError", f"sim-{BAD:05d}", None),
    }
