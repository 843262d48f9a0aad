"""What is in deploy/ agrees with the program: options, metric names, versions, files."""

import re
import shlex
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fleet.metrics import PREFIX, RunCollector
from fleet.stored.exported import run_info
from fleet.stored.headline import FAMILIES, REGISTRY
from tests.deployed import DEPLOY, TOP, YAML_FILES, command_lines, entrypoint, load, parse, pinned
from tests.ports import free_port

PROGRAM = str(Path(sys.executable).with_name("hwpoison-fleet"))
CONFIG = DEPLOY / "prometheus" / "config"
NAME = re.compile(r"hwpoison_fleet_[a-z0-9_]+")


def scrape_text():
    registry = CollectorRegistry()
    info = run_info(run="r", scenario="s", sha256="0", seed=1, version="0.1.0", engine="local")
    registry.register(RunCollector(("a",), ("g",), 1, 1, info))
    return generate_latest(registry).decode()


def exported():
    """Labels and label values of every exported series, by name."""
    found = {}
    for family in text_string_to_metric_families(scrape_text()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def metric_table():
    """Labels and label values of the README's table, by metric."""
    found = {}
    for line in (DEPLOY / "README.md").read_text(encoding="utf-8").splitlines():
        row = re.match(r"\| `(hwpoison_fleet_\w+)` \| (.*?) ?\|", line)
        if row:
            plain, _, values = row[2].partition(":")
            labels = {label: set() for label in re.findall(r"`(\w+)`", plain)}
            if values:
                labels[list(labels)[-1]] = set(re.findall(r"`(\w+)`", values))
            found[row[1]] = labels
    return found


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.name)
def test_yaml_parses(path):
    assert all(isinstance(document, dict) for document in load(path))


def call_id(value):
    return value if isinstance(value, str) else "-".join(value[:2])


@pytest.mark.parametrize(("file", "words"), command_lines(), ids=call_id)
def test_command_lines_parse(file, words):
    assert parse(words).params, file


def test_command_lines_are_found_in_readme_and_job():
    found = [name for name, _ in command_lines()]
    assert found.count("README.md") >= 9
    assert found.count("ray-job.yaml") == 1


def test_runs_on_a_given_cluster_name_workers_and_an_absolute_folder():
    calls = [parse(words) for _, words in command_lines() if "--address" in words]
    assert len(calls) >= 4
    for call in calls:
        folder = str(call.params.get("output") or call.params.get("folder"))
        assert call.params["workers"]
        assert folder.startswith(("/", "$PWD/"))


def copied():
    """What the Dockerfile copies."""
    copies = re.findall(r"^COPY (.+) \S+$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    return {source for copy_line in copies for source in copy_line.split() if source != "./"}


def test_copied_paths_exist_and_are_all_the_build_needs():
    assert all((TOP / source).exists() for source in copied())
    packages = {"node_sim", "fleet", "analysis", "deploy"}
    assert copied() == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", *packages}


def test_the_build_is_sent_what_it_copies_and_nothing_else():
    lines = (TOP / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    assert {line.removeprefix("!") for line in rules if line.startswith("!")} == copied()
    assert [line for line in rules[1:] if not line.startswith("!")] == ["**/__pycache__"]


def test_the_image_has_the_extra_with_the_pinned_dashboard():
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wanted,) = project["optional-dependencies"]["cluster"]
    assert re.match(r"ray\[default\]>=\S+$", wanted)
    assert "pip install --no-cache-dir -c constraints.txt '.[cluster]'" in (DEPLOY / "Dockerfile").read_text("utf-8")
    for name in ("aiohttp", "aiohttp-cors", "grpcio", "opencensus", "opentelemetry-exporter-prometheus"):
        assert pinned(name)


def test_readme_table_is_the_exporters_output():
    values_of = {"arm", "group", "run", "scenario", "scenario_sha256", "seed", "version", "engine"}
    expected = {
        name: {label: set() if label in values_of else values for label, values in labels.items()}
        for name, labels in exported().items()
    }
    assert metric_table() == expected
    assert len(FAMILIES) < len(expected)


def table_line(name):
    """Line of the README's table for a counter of the registry."""
    values = [f"`{metric.value}`" for metric in REGISTRY if metric.family == name and metric.value]
    label = f", `{FAMILIES[name].label}`: {', '.join(values)}" if values else ""
    sentence = FAMILIES[name].help.removesuffix(".")
    words = sentence if not sentence[1].islower() else sentence[0].lower() + sentence[1:]
    return f"| `{PREFIX}{name}_total` | `arm`, `group`{label} | {words} |"


def test_readme_says_what_the_registry_says_of_every_counter_in_its_order():
    lines = (DEPLOY / "README.md").read_text(encoding="utf-8").splitlines()
    wanted = [table_line(name) for name in FAMILIES]
    assert [line for line in lines if line.startswith(f"| `{PREFIX}") and "`group`" in line] == wanted


def rules():
    (document,) = load(DEPLOY / "prometheus" / "rules.yml")
    return [rule for group in document["groups"] for rule in group["rules"]]


def test_rules_use_exported_series_and_label_values_only():
    known, recorded = exported(), {rule["record"] for rule in rules()}
    for rule in rules():
        for text in re.findall(r"[a-z_]+(?::\w+)+", rule["expr"]):
            assert text in recorded
        plain = re.sub(r"[a-z_]+(?::\w+)+", "", rule["expr"])
        names = NAME.findall(plain)
        assert set(names) <= set(known), rule["record"]
        for name, label, value in re.findall(r'(\w+)\{(\w+)="(\w+)"\}', plain):
            assert value in known[name][label]
        assert names or ":" in rule["expr"]


def test_rules_name_ratios_and_rates_by_what_they_are():
    for rule in rules():
        operation = rule["record"].rsplit(":", 1)[1]
        assert operation in {"ratio", "rate1m", "sum", "per_1000_node_years"}
        assert ("rate(" in rule["expr"]) == (operation == "rate1m")
        assert ("1000 *" in rule["expr"]) == (operation == "per_1000_node_years")


def test_every_rule_has_a_unit_test_and_a_line_in_the_readme():
    (document,) = load(DEPLOY / "prometheus" / "tests" / "rules_test.yml")
    asked = " ".join(case["expr"] for test in document["tests"] for case in test["promql_expr_test"])
    series = " ".join(entry["series"] for test in document["tests"] for entry in test["input_series"])
    assert set(NAME.findall(series)) <= set(exported())
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    for rule in rules():
        assert rule["record"] in asked
        short = rule["record"].removeprefix("instance_arm:hwpoison_fleet_").split(":")[0]
        assert f"`{rule['record']}`" in readme or f"`…{short}:…`" in readme


def test_prometheus_scrapes_the_port_of_the_job():
    (config,) = load(CONFIG / "prometheus.yml")
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "hwpoison-fleet"
    assert config["global"]["scrape_interval"] == "5s"
    assert all((CONFIG / name).is_file() for name in config["rule_files"])
    ports = {parse(words).params["metrics_port"] for _, words in command_lines() if "--metrics-port" in words}
    (targets,) = (entry["targets"] for entry in job["static_configs"])
    assert targets == [f"127.0.0.1:{port}" for port in ports]


def test_entrypoint_of_the_job_runs_then_resumes(tmp_path):
    script = shlex.join(entrypoint()).replace("/runs/baseline", str(tmp_path / "run"))
    script = re.sub(r"--engine ray --address auto --workers \d+ --metrics-port \d+", "--workers 1", script)
    script = script.replace("--nodes 1000000", "--nodes 300 --shard-nodes 100")
    command = [PROGRAM, *shlex.split(script)[1:]]

    def submit():
        return subprocess.run(command, capture_output=True, text=True, check=False)

    first = submit()
    assert first.returncode == 0, first.stderr
    (tmp_path / "run" / "run.json").unlink()
    (tmp_path / "run" / "commit" / "000001.json").unlink()
    kept = (tmp_path / "run" / "commit" / "000000.json").stat().st_mtime_ns
    second = submit()
    assert second.returncode == 0, second.stderr
    assert (tmp_path / "run" / "run.json").exists()
    assert (tmp_path / "run" / "commit" / "000000.json").stat().st_mtime_ns == kept


def scrape(port):
    """The samples of a running exporter, by name and labels; None if nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return None
    families = text_string_to_metric_families(text)
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


def test_a_run_can_be_scraped_while_it_goes(tmp_path):
    port = free_port()
    command = [PROGRAM, "run", "-o", str(tmp_path / "run"), "--nodes", "100000", "--shard-nodes", "200"]
    command += ["--workers", "1", "--metrics-port", str(port)]
    seen = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and run.poll() is None:
                samples = scrape(port)
                if samples is not None:
                    seen.append(samples)
                committed = [samples[("hwpoison_fleet_nodes_committed",)] for samples in seen]
                if len({value for value in committed if value > 0}) >= 2:
                    break
                time.sleep(0.2)
        finally:
            run.terminate()  # SIGINT may be ignored by what runs in the background, and the run would go on
            run.wait(timeout=30)
    assert committed == sorted(committed)
    assert len(set(committed)) >= 2
    assert {name for name, *_ in seen[-1]} == set(exported())
    assert sum(value for (name, *_), value in seen[-1].items() if name == "hwpoison_fleet_node_years_total") > 0


@pytest.mark.parametrize("address", ["nonsense", "http://127.0.0.1:1"])
def test_a_wrong_ray_address_is_a_message_not_a_traceback(tmp_path, address):
    command = [PROGRAM, "run", "-o", str(tmp_path / "run"), "--nodes", "100", "--engine", "ray", "--address", address]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=35)
    assert done.returncode == 2
    assert f"error: --engine ray: no Ray cluster at {address}" in done.stderr
    assert "start one or leave --address out" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
