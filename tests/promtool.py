"""Rules held against their fixtures by promtool."""

import json
import subprocess
from functools import cache

import yaml

from tests.debian import program
from tests.deployed import DEPLOY

PROMETHEUS = DEPLOY / "prometheus"
RULE_FILES = sorted(PROMETHEUS.glob("*.yml"))
TEST_FILES = sorted((PROMETHEUS / "tests").glob("*.yml"))


def promtool(*words, cwd=None):
    """What promtool says, and whether it is content."""
    command = [str(program("promtool")), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=120)
    return done.returncode == 0, done.stdout + done.stderr


def alerts():
    """The alert rules, by name."""
    document = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))
    return {rule["alert"]: rule for group in document["groups"] for rule in group["rules"]}


@cache
def fixtures():
    """The documents of the test files."""
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in TEST_FILES]


def cases_of(alert):
    """The fixtures of an alert: documents as its test files, without the cases of other alerts."""
    for document in fixtures():
        tests = [
            test | {"alert_rule_test": mine}
            for test in document["tests"]
            if (mine := [one for one in test.get("alert_rule_test", ()) if one["alertname"] == alert])
        ]
        if tests:
            yield {**document, "rule_files": ["rule.yml"], "tests": tests}


def passes(rule, folder):
    """Whether one rule, alone, passes the fixtures of its alert."""
    (folder / "rule.yml").write_text(json.dumps({"groups": [{"name": "one", "rules": [rule]}]}))
    ok = True
    for n, document in enumerate(cases_of(rule["alert"])):
        (folder / f"{n}.yml").write_text(json.dumps(document))
        ok &= promtool("test", "rules", folder / f"{n}.yml")[0]
    return ok
