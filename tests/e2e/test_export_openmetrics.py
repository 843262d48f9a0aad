"""The export of histories on the command line: what it prints, where it ends, and what it refuses."""

import re

import pytest
from click.testing import CliRunner

from fleet.cli import main
from fleet.scenario.decode import decode
from tests.fleets import busy_document, run_fleet


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    document = busy_document(40)
    document["arm"] = {name: document["arm"][name] for name in ("default", "early_kill")}
    found = tmp_path_factory.mktemp("past") / "run"
    run_fleet(decode("test", document), found)
    return found


def ask(*words, code=0):
    done = CliRunner().invoke(main, ["export", "openmetrics", *map(str, words)])
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.output


def one_line(text):
    return " ".join(text.split())


def test_it_says_what_was_written_and_how_it_gets_into_prometheus(root, tmp_path):
    out = tmp_path / "x.om"
    text = ask(root, "-o", out, "--end", "2026-02-03T04:05:06+01:00", "--step", "1w")
    lines = [line for line in out.read_text().splitlines() if line[0] != "#"]
    assert f"{out}: {len(lines):,} samples in 162 series, {out.stat().st_size:,} bytes" in one_line(text)
    assert "from 2025-02-02T21:05:06Z to 2026-02-03T03:05:06Z" in text
    assert f"promtool tsdb create-blocks-from openmetrics {out} \\\n    {out}.tsdb --max-block-duration=8760h\n" in text
    kept = int(re.search(r"--storage.tsdb.retention.time=(\d+)d --query.lookback-delta=604800s\n", text)[1])
    assert kept >= 366 + 30
    assert {line.rsplit(" ", 1)[1] for line in lines} >= {"1770087906", "1738530306"}


def test_one_arm_has_the_series_that_it_has_among_all(root, tmp_path):
    ask(root, "-o", tmp_path / "all.om", "--end", "2026-01-01T00:00:00Z", "--step", "60d")
    ask(root, "-o", tmp_path / "one.om", "--end", "2026-01-01T00:00:00Z", "--step", "60d", "--arm", "early_kill")
    everything = (tmp_path / "all.om").read_text().splitlines()
    one = (tmp_path / "one.om").read_text().splitlines()
    assert one == [line for line in everything if 'arm="default"' not in line]


def test_hosts_are_of_the_first_arm_and_all_if_nobody_says_otherwise(root, tmp_path):
    text = ask(root, "-o", tmp_path / "all.om", "--series", "nodes", "--step", "60d", "--end", "2026-01-01T00:00:00Z")
    assert "in 1,400 series" in one_line(text)
    words = ("--series", "nodes", "--step", "60d", "--end", "2026-01-01T00:00:00Z", "--arm", "default")
    ask(root, "-o", tmp_path / "same.om", *words, "--nodes", "20-39,0-25")
    assert (tmp_path / "same.om").read_bytes() == (tmp_path / "all.om").read_bytes()
    few = ask(root, "-o", tmp_path / "few.om", *words, "--nodes", "with-events")
    assert 0 < int(re.search(r"in ([\d,]+) series", one_line(few))[1].replace(",", "")) <= 1400


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--max-series", "10"], "162 series of 2 arms, expected at most 10; choose one with --arm, or raise"),
        (
            ["--series", "nodes", "--max-series", "99"],
            "1,400 series of 40 nodes, expected at most 99; choose some with",
        ),
        (["--step", "1s"], "samples in 162 series of 2 arms, expected at most 100,000,000; choose a longer --step"),
        (["--step", "0d"], "'0d', expected a number of s, m, h, d or w, such as 6h"),
        (["--step", "1.5h"], "'1.5h', expected a number of"),
        (["--step", "1y"], "'1y', expected a number of"),
        (["--end", "yesterday"], "'yesterday', expected now or a time such as 2026-01-31T12:00:00Z"),
        (["--end", "2026-01-01T00:00:00"], "expected now or a time such as"),
        (["--end", "2026-13-01T00:00:00Z"], "expected now or a time such as"),
        (["--end", "1970-06-01T00:00:00Z"], "expected all of it since 1970; choose a later time"),
        (["--nodes", "1"], "expected --series nodes beside it; add it"),
        (["--series", "nodes", "--nodes", "40"], "--nodes: node 40, expected 0 to 39"),
        (["--series", "nodes", "--nodes", "0-999999999999"], "--nodes: node 999999999999, expected 0 to 39"),
        (["--series", "nodes", "--nodes", "9-3"], "'9-3', expected with-events or nodes such as 3,10-19"),
        (["--series", "nodes", "--nodes", ""], "'', expected with-events or nodes such as"),
        (["--arm", "nosuch"], "arm 'nosuch'"),
        (["--series", "nodes", "--arm", "nosuch"], "arm 'nosuch'"),
    ],
)
def test_what_makes_no_history_is_refused_and_leaves_nothing(root, tmp_path, words, says):
    assert says in " ".join(ask(root, "-o", tmp_path / "x.om", *words, code=2).split())
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_and_nothing_put_into_the_run(root, tmp_path):
    (tmp_path / "x.om").write_text("mine")
    assert "there already, expected a new file" in ask(root, "-o", tmp_path / "x.om", code=2)
    assert (tmp_path / "x.om").read_text() == "mine"
    assert "no folder" in ask(root, "-o", tmp_path / "no" / "x.om", code=2)
    assert "in the folder of the run" in ask(root, "-o", root / "x.om", code=2)
    (tmp_path / "link").symlink_to(tmp_path / "x.om")
    assert "there already" in ask(root, "-o", tmp_path / "link", code=2)
