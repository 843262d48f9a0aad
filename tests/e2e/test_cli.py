"""The command line as a person uses it."""

import contextlib
import json
import os
import re
import resource
import subprocess
import sys

import pytest
from click.testing import CliRunner

from analysis import open_run
from fleet.cli import COMMANDS, SENTENCES, main

COMMAND = (sys.executable, "-c", "from fleet.cli import main; main()")
SMALL = ("--nodes", "200", "--workers", "1")


def call(*arguments, cwd=None, env=None):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )


def asked(*arguments, cwd="."):
    """What ``call`` gives, without a process of its own: all but what the process itself decides."""
    with contextlib.chdir(cwd):
        done = CliRunner().invoke(main, list(map(str, arguments)))
    assert isinstance(done.exception, SystemExit | None), done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def refused(done, code=2):
    """A user error: the exit code, messages on stderr, no traceback, nothing on stdout."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli") / "run"
    done = asked("run", "-o", root, *SMALL, "--set", "group.secded.faults.fit_factor=30.0", "--progress", "none")
    assert done.returncode == 0, done.stderr
    return root, done


def test_help_is_fast_and_names_every_command():
    call("--help")
    times_s = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = call("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times_s) < 0.2  # of the processor, so that a busy machine does not fail it
    for command in ("run", "resume", "summary", "compare", "replay", "scenario"):
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE)


def test_the_help_says_of_each_command_what_its_own_help_says():
    shown = call("--help").stdout
    for name, load in COMMANDS.items():
        command = next(one for one in load() if one.name == name)
        assert " ".join(command.help.split()).startswith(SENTENCES[name].removesuffix(".")), name
        assert f"  {name:8}  {SENTENCES[name]}\n" in shown
    assert list(SENTENCES) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_help_says_a_thing_twice(name):
    command = next(one for one in COMMANDS[name]() if one.name == name)
    said = [words.strip() for words in re.split(r"[.;]\s", " ".join(command.help.split()).removesuffix(".") + " ")]
    assert len(said) == len(set(said)), said


@pytest.mark.parametrize(("typed", "meant"), [("runn", "run"), ("summry", "summary"), ("scenarios", "scenario")])
def test_a_misspelt_command_is_answered_with_the_one_that_was_meant(typed, meant):
    assert f"(did you mean {meant}?)" in refused(asked(typed))


def test_run_prints_every_headline_figure(run):
    text = run[1].stdout
    for words in (
        "kills",
        "early AO",
        "late AR",
        "direct AR",
        "SIGKILL",
        "losses",
        "panics",
        "EIO",
        "recovery ratio",
        "UEs survived",
        "memory lost",
        "difference to default",
        "sddc",
        "altitude",
        "secded",
        "UEs",
        "command_address_fit",
        "hot_share",
        "data: ",
        "next: hwpoison-fleet report",
        "hwpoison-fleet replay",
        "hwpoison-fleet compare",
    ):
        assert words in text, words
    assert run[1].stderr == ""


def test_the_two_suggested_commands_work(run):
    suggested = re.findall(r"hwpoison-fleet ((?:replay|compare) .*)", run[1].stdout)
    assert len(suggested) == 2
    for line in suggested:
        done = asked(*line.split())
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) > 3


def test_summary_json_has_the_promised_keys(run):
    document = json.loads(asked("summary", run[0], "--json").stdout)
    assert set(document["run"]) >= {"seed", "scenario_sha256", "complete", "digests"}
    assert {"rows_per_node_year", "faults_per_node_year"} <= set(document)
    promised = {
        "node_years",
        "faults",
        "ce",
        "ue",
        "sdc",
        "machine_checks",
        "memory_failures",
        "kills",
        "losses",
        "panics",
        "io_errors",
        "kill_rate",
        "kill_rate_ci95",
        "recovery_ratio",
        "recovery_ratio_ci95",
        "survival_ratio",
        "panic_rate",
        "memory_lost_byte_years",
    }
    for arm in ("default", "early_kill", "no_recovery", "page_offline_2_per_24h"):
        assert promised <= set(document["arms"][arm])
        assert set(document["arms"][arm]["memory_failures"]) == {"ignored", "failed", "delayed", "recovered"}
        assert len(document["run"]["digests"][arm]["errors"]) == 32


def test_run_json_prints_one_document(tmp_path):
    done = asked("run", "-o", tmp_path / "run", *SMALL, "--json", "--arm", "default")
    assert list(json.loads(done.stdout)["arms"]) == ["default"]


def test_replay_gives_the_stored_rows_and_tells_them_in_order(run):
    node = re.search(r"--node (\d+)", run[1].stdout).group(1)
    for arm in ("default", "no_recovery"):
        done = asked("replay", run[0], "--node", node, "--arm", arm)
        assert done.returncode == 0, done.stderr
        assert "equal to those of the run" in done.stdout
        numbers = [int(match) for match in re.findall(r"^ *(\d+) +\d+ d", done.stdout, re.MULTILINE)]
        assert sorted(numbers) == list(range(len(numbers)))
    document = json.loads(asked("replay", run[0], "--node", node, "--json").stdout)
    assert document["equals_stored_rows"] is True
    assert {"faults", "errors"} <= set(document["tables"])


def test_sweep_replaces_the_arms_by_the_grid(tmp_path):
    done = asked(
        "run",
        "-o",
        tmp_path / "run",
        *SMALL,
        "--json",
        "--sweep",
        "page_offline.ce_threshold=0,5",
        "--sweep",
        "kernel.memory_failure_early_kill=0,1",
    )
    arms = list(json.loads(done.stdout)["arms"])
    assert arms == [
        "ce_threshold=0+memory_failure_early_kill=0",
        "ce_threshold=0+memory_failure_early_kill=1",
        "ce_threshold=5+memory_failure_early_kill=0",
        "ce_threshold=5+memory_failure_early_kill=1",
    ]


def test_set_changes_every_group_and_arm(tmp_path):
    done = asked(
        "run",
        "-o",
        tmp_path / "run",
        *SMALL,
        "--json",
        "--set",
        "ecc.code=none",
        "--set",
        "faults.fit_factor=10",
        "--arm",
        "default",
    )
    found = json.loads(done.stdout)["arms"]["default"]
    assert (found["ce"], found["faults"] > 20) == (0, True)


def test_without_output_a_new_folder_is_made_each_time(tmp_path):
    for _ in range(2):
        assert asked("run", *SMALL, "--arm", "default", cwd=tmp_path).returncode == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_no_colour_and_no_progress_off_a_terminal(run):
    assert "\x1b" not in run[1].stdout + run[1].stderr


BAD = """
nodes = "many"
years = -1.0
colour = 3
[group.a]
share = 0.5
ecc.code = "raid"
faults.fit_factor = -2.0
workload = "mining"
[group.b]
share = 0.6
kernel.thp_split_p = 1.5
kernel.memory_failure_early_kill = true
[group.b.workload]
base = "web"
use.free = 0.9
[arm.x]
set = { "kernel.nonsense" = 1, "faults.rates" = "ddr4_avg" }
groups = ["c"]
"""


@pytest.mark.parametrize("command", [("run",), ("scenario", "check")])
def test_all_mistakes_of_a_scenario_are_reported_at_once(tmp_path, command):
    path = tmp_path / "bad.toml"
    path.write_text(BAD)
    errors = refused(asked(*command, path, cwd=tmp_path))
    for words in (
        "nodes = 'many'",
        "years = -1.0",
        "colour: unknown key",
        "shares add up to 1.1",
        "group.a.ecc.code = 'raid'",
        "group.a.faults.fit_factor = -2.0",
        "group.a.workload = 'mining'",
        "group.b.kernel.thp_split_p = 1.5",
        "group.b.kernel.memory_failure_early_kill = True",
        "group.b.workload",
        "use: shares add up to 1.78",
        "arm.x",
        "kernel.nonsense",
        "an arm cannot change faults",
        "groups = 'c'",
    ):
        assert words in errors, words
    assert errors.count("bad.toml") >= 13
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_scenario_names_the_shipped_ones(tmp_path):
    errors = refused(asked("run", "nosuch.toml", cwd=tmp_path))
    assert "nosuch.toml" in errors
    assert "baseline" in errors


def test_a_file_that_is_not_toml_is_refused(tmp_path):
    (tmp_path / "x.toml").write_text("nodes = = 3")
    assert "line 1" in refused(asked("run", "x.toml", cwd=tmp_path))
    (tmp_path / "y.toml").write_bytes(b"\xff\xfe\x00")
    assert "y.toml" in refused(asked("run", "y.toml", cwd=tmp_path))


def test_a_folder_that_is_not_empty_is_left_alone(run):
    before = {path: path.stat().st_mtime_ns for path in run[0].rglob("*")}
    assert "not empty" in refused(asked("run", "-o", run[0], *SMALL))
    assert {path: path.stat().st_mtime_ns for path in run[0].rglob("*")} == before


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "file" in refused(asked("run", "-o", tmp_path / "file" / "run", *SMALL))
    assert "run" in refused(asked("run", "-o", "/proc/run", *SMALL))


def test_ray_options_without_ray_are_refused(tmp_path):
    errors = refused(
        asked(
            "run",
            "-o",
            tmp_path / "r",
            "--address",
            "auto",
            "--nodes-per-actor",
            "4",
            "--aggregators",
            "2",
            cwd=tmp_path,
        )
    )
    assert "--address" in errors
    assert "--nodes-per-actor" in errors
    assert "--aggregators" in errors
    assert not (tmp_path / "r").exists()


def test_more_than_64_actors_are_refused_with_advice(tmp_path):
    errors = refused(asked("run", "-o", tmp_path / "r", "--engine", "ray", "--nodes-per-actor", "1", *SMALL[:2]))
    assert "64" in errors
    assert "--workers" in errors
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "option", [("--workers", "0"), ("--engine", "spark"), ("--nodes", "x"), ("--set", "x"), ("--sweep", "=3")]
)
def test_wrong_options_exit_2(tmp_path, option):
    refused(asked("run", *option, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "option", [("--arm", "nosuch"), ("--nodes", "0"), ("--years", "-1"), ("--set", "kernel.nosuch=1"), ("--seed", "-1")]
)
def test_wrong_values_exit_2_and_write_nothing(tmp_path, option):
    refused(asked("run", *option, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("more", [(), ("--set", "faults.frailty_variance=0.0")])
@pytest.mark.parametrize(
    ("key", "value"), [("fit_factor", 1e6), ("bit_factor", 1e6), ("command_address_fit", 1e9), ("lane_fit", 1e9)]
)
def test_too_many_faults_are_refused_with_the_setting_at_fault(tmp_path, key, value, more):
    settings = (*more, "--set", f"faults.{key}={value}")
    errors = refused(asked("run", "-o", tmp_path / "r", "--set", "faults.fit_factor=1.0", *settings, *SMALL))
    assert re.match(rf"error: (group\.\w+\.faults|faults|node \d+): .*; lower {key}(, years or| or years)", errors)
    assert list(tmp_path.iterdir()) == []


def test_too_many_faults_of_a_shard_are_refused_with_the_setting_at_fault(tmp_path):
    size = ("--nodes", "2000000", "--shard-nodes", "131072", "--workers", "1")
    settings = ("--set", "faults.command_address_fit=5e6", *size)
    errors = refused(asked("run", "-o", tmp_path / "r", *settings))
    assert "lower command_address_fit, years or the shard size" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["summary", "compare", "resume", "replay"])
def test_a_folder_that_is_no_run_exits_4(tmp_path, command):
    options = ("--node", "1") if command == "replay" else ()
    refused(asked(command, tmp_path, *options), code=4)
    refused(asked(command, tmp_path / "nosuch", *options), code=4)


def test_wrong_node_or_arm_of_replay_and_compare(run):
    assert "199" in refused(asked("replay", run[0], "--node", "200"))
    assert "expected one of" in refused(asked("replay", run[0], "--node", "1", "--arm", "x"))
    assert "expected one of" in refused(asked("compare", run[0], "--baseline", "x"))


def test_scenario_init_check_show_list(tmp_path):
    path = tmp_path / "mine.toml"
    assert asked("scenario", "init", path).returncode == 0
    assert "ok" in asked("scenario", "check", path).stdout
    refused(asked("scenario", "init", path))
    shown = asked("scenario", "show", path, "--sample", "100").stdout
    assert "published:" in shown
    assert "assumed" in shown
    assert "baseline" in asked("scenario", "list").stdout
    assert json.loads(asked("scenario", "show", "--sample", "100", "--json").stdout)["name"] == "baseline"


def test_a_preset_shows_its_fitted_and_predicted_figures_with_deviations():
    document = json.loads(asked("scenario", "show", "google-2008", "--sample", "1000", "--json").stdout)
    figures = {figure["metric"]: figure for figure in document["field"]["figures"]}
    assert {figure["role"] for figure in figures.values()} == {"fitted", "predicted"}
    for figure in figures.values():
        assert ("published" in figure) == ("deviation" in figure) == ("interval" in figure)
    text = asked("scenario", "show", "google-2008", "--sample", "1000").stdout
    for figure in figures.values():
        assert figure["means"] in text
    assert "field figures" not in asked("scenario", "show", "google-2008", "--sample", "0").stdout


def test_a_study_longer_than_the_simulated_time_is_refused():
    text = refused(asked("scenario", "show", "huawei-2024", "--sample", "100", "--set", "years=0.5"))
    assert "years = 0.5, expected >= 0.75" in text


def test_a_code_that_does_not_fit_the_part_is_refused_once_for_all_groups_that_have_it():
    text = refused(asked("run", "--set", "server.part=ddr5_16gb_x4"))
    assert text.count("expected 72") == len(text.splitlines()) == 2
    assert "groups sddc, altitude: ecc.code = sddc_table on server.part = ddr5_16gb_x4" in text
    assert "group.secded.ecc.code = secded on server.part = ddr5_16gb_x4" in text


WIRES = "faults.lane_fit=2000", "faults.command_address_fit=2000"


@pytest.mark.parametrize(
    "settings",
    [
        ("server.part=ddr5_16gb_x4", "ecc.code=ddr5", "ecc.ecs=rows", "ecc.ecs_threshold=1024"),
        ("server.part=ddr3_4gb_x8", "ecc.code=secded"),
        ("server.part=ddr2_1gb_x4", "ecc.code=ssc_dsd", "server.lockstep=true"),
    ],
)
def test_every_generation_of_parts_runs(tmp_path, settings):
    words = [word for setting in ("faults.fit_factor=10", *WIRES, *settings) for word in ("--set", setting)]
    done = asked("run", "-o", tmp_path / "run", *SMALL, *words)
    assert done.returncode == 0, done.stderr
    modes = set(open_run(tmp_path / "run").table("faults")["mode"].to_pylist())
    assert {"bit", "row", "column", "bank", "lane", "command_address"} <= modes


def test_replay_tells_of_errors_without_a_page(tmp_path):
    path, often = tmp_path / "run", ("--set", "faults.command_address_fit=20000", "--arm", "default")
    done = asked("run", "-o", path, "--nodes", "100", "--workers", "1", *often)
    assert done.returncode == 0, done.stderr
    errors = open_run(path).table("errors").to_pylist()
    for kind, words in (("CE", "1 CE on no page"), ("UE", "UE on no page (command/address)")):
        node = next(row["node_id"] for row in errors if row["first_pfn"] is None and row["kind"] == kind)
        told = asked("replay", path, "--node", node)
        assert told.returncode == 0, told.stderr
        assert words in told.stdout
        assert "errors belong to no page" in told.stdout
        assert ("FATAL" in told.stdout) or kind == "CE"


@pytest.mark.parametrize(
    ("key", "setting", "words"),
    [
        ("ecc.risk.low", "0.5", "ecc.risk.low = 0.5 with high = 0.05, expected low <= high"),
        (
            "faults.growth.hours_low",
            "1e6",
            "hours_low = 1e+06 with years_high = 6, expected hours_low below 52596 hours",
        ),
    ],
)
def test_ranges_upside_down_are_refused(key, setting, words):
    assert words in refused(asked("run", "--set", f"{key}={setting}"))


def test_every_number_of_the_baseline_is_published_or_assumed():
    document = json.loads(asked("scenario", "show", "baseline", "--sample", "0", "--json").stdout)
    for entries in document["groups"].values():
        for entry in entries:
            if isinstance(entry["value"], int | float) and not isinstance(entry["value"], bool):
                assert entry["origin"].startswith(("published:", "assumed", "definition", "policy", "sysctl")), entry


def test_arms_of_several_kernels_run_on_the_same_errors(tmp_path):
    root = tmp_path / "run"
    grid = "kernel.profile=3.10,6.1,6.12"
    done = asked("run", "-o", root, *SMALL, "--set", "group.secded.faults.fit_factor=60.0", "--sweep", grid)
    assert done.returncode == 0, done.stderr
    run = open_run(root)
    assert sorted(run.arms) == ["profile=3.10", "profile=6.1", "profile=6.12"]
    texts = {arm: set(run.table("memory_failures", arm=arm)["page_type"].to_pylist()) for arm in run.arms}
    assert "dirty LRU" in texts["profile=3.10"]
    assert "dirty LRU page" not in texts["profile=3.10"]
    assert "dirty LRU page" in texts["profile=6.1"] & texts["profile=6.12"]
    assert "unknown page" in texts["profile=6.1"] - texts["profile=6.12"]
    assert "get hwpoison page" in texts["profile=6.12"] - texts["profile=6.1"]


def test_a_sweep_over_a_switch_of_the_kernel_gives_paired_differences(tmp_path):
    root, sweep = tmp_path / "run", "kernel.switches.unmap_failure=ignored,failed"
    errors = ("--set", "ecc.code=secded", "--set", "faults.fit_factor=100.0")
    size = ("--nodes", "200", "--years", "0.25", "--workers", "1")
    done = asked("run", "-o", root, *size, *errors, "--sweep", sweep)
    assert done.returncode == 0, done.stderr
    found = json.loads(asked("compare", root, "--json").stdout)
    effects = found["effects"]["unmap_failure=failed"]
    failed, ignored = (effects[name]["difference"]["value"] for name in ("mf_failed", "mf_ignored"))
    assert failed == pytest.approx(-ignored, rel=0.05)  # the same pages: merged ones, which 6.1 does not unmap
    assert failed > 0
    results = {arm: open_run(root).table("memory_failures", arm=arm).to_pylist() for arm in open_run(root).arms}
    for arm, rows in results.items():
        unmapped = {row["result"] for row in rows if row["page_type"] == "unmapping failed page"}
        assert unmapped == {arm.partition("=")[2].capitalize()}
        assert {row["page_use"] for row in rows if row["page_type"] == "unmapping failed page"} == {"KSM"}


@pytest.mark.parametrize("kernel", ["kernel.memory_failure=false", "kernel.profile=2.6.32"])
def test_a_kernel_without_soft_offline_takes_no_page_offline(tmp_path, kernel):
    root = tmp_path / "run"
    options = ("--set", kernel, "--set", "page_offline.ce_threshold=2", "--arm", "default")
    done = asked("run", "-o", root, "--nodes", "3000", "--workers", "1", *options)
    assert done.returncode == 0, done.stderr
    run = open_run(root)
    rows = run.table("page_offlines", arm="default").to_pylist()
    assert len(rows) > 20
    assert {(row["result"], row["errno"]) for row in rows} == {("no interface", -2)}
    counts = json.loads(asked("summary", root, "--json").stdout)["arms"]["default"]
    assert (counts["pages_offlined"], counts["pages_not_offlined"]) == (0, len(rows))
    when = {(row["node_id"], row["pfn"]): row["time_ns"] for row in rows}
    later = [
        row
        for row in run.table("errors", arm="default").to_pylist()
        if row["last_time_ns"] > when.get((row["node_id"], row["first_pfn"]), 1 << 62)
    ]
    assert later  # the page keeps showing errors


def test_a_kernel_between_the_profiles_is_refused_with_its_neighbours(tmp_path):
    text = refused(asked("run", "-o", tmp_path / "run", *SMALL, "--set", "kernel.profile=5.15"))
    assert re.search(r"it lies between 5\.10 and 6\.1, choose one and set the \d+ switches that differ", text)
    assert "the nearest is 7.1" in refused(asked("inject", "--kernel", "8.0"))
    knob = refused(asked("inject", "--event", "soft_offline", "--no-soft-offline", "--kernel", "5.10"))
    assert knob == (
        "error: --no-soft-offline: kernel 5.10 has no vm.enable_soft_offline, expected profile 6.12 or later; "
        "leave it out, or choose another --kernel\n"
    )


def test_a_kernel_that_is_not_known_is_refused_with_its_key_path(tmp_path):
    text = refused(asked("run", "-o", tmp_path / "run", *SMALL, "--set", "kernel.profile=5.4"))
    assert "groups sddc, altitude, secded: kernel.profile = '5.4', expected one of" in text


def test_inject_tells_an_injection_and_explains_mistakes():
    done = asked("inject", "--page", "hugetlb", "--process", "early:handler", "--json")
    found = json.loads(done.stdout)
    keys = {"page_type", "result", "errno", "log", "signals", "panic", "later", "hardware_corrupted_kb", "steps"}
    assert keys <= set(found)
    assert (found["page_type"], found["result"], found["errno"]) == ("huge page", "Recovered", 0)
    text = refused(asked("inject", "--page", "nothing", "--event", "boom", "--then", "jump"))
    assert [line.split(":")[1].strip() for line in text.splitlines()] == [
        "--page nothing",
        "--event boom",
        "--then jump",
    ]
    refused(asked("inject", "--switch", "ksm"))


def test_dram_prints_and_returns_the_same_probabilities():
    words = ["dram", "--ecc", "secded", "--rules", "faultsim", "--lifetimes", "200000", "--seed", "3"]
    found = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert {"lifetimes", "lifetimes_with_fault", "years", "p_any", "p_ue", "p_sdc", "by_mode", "by_year"} <= set(found)
    assert found["years"] == 7.0
    low, high = found["p_ue"]["ci95"]
    assert low < found["p_ue"]["value"] < high
    assert found["by_year"][-1]["p_ue"] == found["p_ue"]
    assert sum(entry["p_ue"]["value"] for entry in found["by_mode"].values()) == pytest.approx(found["p_ue"]["value"])
    assert f"{found['p_ue']['value']:.3g}" in CliRunner().invoke(main, words).stdout


def test_dram_reports_all_mistakes_of_a_design_at_once():
    done = CliRunner().invoke(main, ["dram", "--ecc", "x", "--fit-table", "y", "--columns", "9"])
    assert done.exit_code == 2
    assert [line.split(":")[1].split()[0] for line in done.stderr.splitlines()] == ["--ecc", "--fit-table", "--columns"]


def test_dram_shows_a_lifetime():
    done = CliRunner().invoke(main, ["dram", "--dump", "1", "--fit-factor", "100"])
    assert done.exit_code == 0
    assert re.search(r"mode=\w+ persistence=(hard|soft) chip=\d+ .*first=", done.stdout, re.DOTALL)


def test_settings_that_do_not_suit_the_server_are_reported_at_once(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(
        '[group.a]\nserver = { part = "ddr5_16gb_x8", channels = 1 }\n'
        'ecc = { code = "chipkill", mirroring = true, sparing = "adddc_bank" }\n'
    )
    lines = refused(asked("scenario", "check", path)).splitlines()
    assert [re.search(r"group\.a\.ecc\.(\w+)", line)[1] for line in lines] == ["code", "sparing", "mirroring"]


@pytest.mark.parametrize("option", ["--years", "--fit-factor", "--frailty-variance", "--scrub-hours"])
def test_dram_takes_no_number_that_is_none(option):
    done = CliRunner().invoke(main, ["dram", option, "nan"])
    assert done.exit_code == 2
    assert f"error: {option}: 'nan', expected a number from " in done.output


def test_dram_shows_lifetimes_it_can_simulate_only():
    assert CliRunner().invoke(main, ["dram", "--dump", str(2**33 - 1)]).exit_code == 0
    assert CliRunner().invoke(main, ["dram", "--dump", str(2**33)]).exit_code == 2


def test_a_very_short_round_of_the_scrubber_is_not_none():
    words = [
        "dram",
        "--rules",
        "faultsim",
        "--ecc",
        "chipkill",
        "--fit-factor",
        "20",
        "--lifetimes",
        "100000",
        "--json",
    ]
    shortest, short, never = (
        json.loads(CliRunner().invoke(main, [*words, "--scrub-hours", hours]).output)["p_ue"]["value"]
        for hours in ("1e-13", "1e-3", "0")
    )
    assert shortest == short < never
