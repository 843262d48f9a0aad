"""Complaints: the name that was meant, lists that can be read, once for all it is about, and no library's words."""

from __future__ import annotations

import re
import tomllib

import pytest
from click.testing import CliRunner

from fleet.cli import main
from fleet.recorded import INPUTS
from fleet.scenario.complaints import together
from fleet.scenario.decode import decode
from fleet.scenario.keys import group_keys, meant_by, scenario_keys
from fleet.scenario.toml_errors import toml_complaint
from node_sim.catalog.kernels import SWITCHES
from node_sim.errors import ConfigError
from node_sim.guesses import LISTED_MAX, listed, nearest, one_of
from node_sim.hwpoison.page_states import PAGES
from tests.fuzz.keys import tree

FOREIGN = re.compile(
    r"Input should|valid (dictionary|integer|number|string)|instance of|pydantic|msgspec|tomllib|pyarrow"
    r"|\(at line|Invalid value|Expected '|is not a valid|not in the range|Missing option|No such option|Got unexpected"
    r"|codec can't|Error tokenizing|new-line character"
)


def said(*words: object, code: int = 2) -> str:
    """Refuse a command line; return what it says."""
    done = CliRunner().invoke(main, [str(word) for word in words], prog_name="hwpoison-fleet")
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())
    assert not FOREIGN.search(done.stderr)
    return done.stderr


def mistakes(document: dict) -> list[str]:
    with pytest.raises(ConfigError) as error:
        decode("x.toml", document)
    return [line.removeprefix("x.toml: ") for line in str(error.value).splitlines()]


# ---- names -------------------------------------------------------------------------------------------------------


def test_a_list_is_whole_or_goes_as_far_as_a_line():
    assert listed(("a", 2)) == "a, 2"
    names = [f"name_{n:02}" for n in range(40)]
    text = listed(names, "show all")
    assert text.endswith(" and 29 more (see 'show all')")
    assert text.startswith("name_00, name_01, ")
    assert len(text.split(", ...")[0]) <= LISTED_MAX
    assert text.count("name_") == 40 - 29
    whole = ["x" * 49, "y" * 49]
    assert listed(whole) == ", ".join(whole)
    assert listed([*whole, "z"]) == f"{'x' * 49}, ... and 2 more"
    assert listed(["x" * 200]) == "... and 1 more"


def test_the_nearest_name_is_one_that_could_be_meant():
    assert nearest("Baseline", ["baseline", "offlining"]) == "baseline"
    assert nearest("basline", ["baseline", "offlining"]) == "baseline"
    assert nearest("q", ["baseline", "offlining"]) == ""
    assert nearest("", ["baseline"]) == ""
    assert one_of("ofline", ["online", "offline"]) == "expected one of online, offline (did you mean offline?)"
    assert one_of(3, [1, 2]) == "expected one of 1, 2"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("run", "basline"), "baseline"),
        (("run", "--arm", "early"), "early_kill"),
        (("run", "--sweep", "kernel.profil=6.1,6.12"), "kernel.profile"),
        (("run", "--set", "faults.rates=ddr4_av"), "ddr4_avg"),
        (("run", "--set", "workload=webb"), "web"),
        (("run", "--set", "ecc.code=chipkil"), "chipkill"),
        (("scenario", "show", "--sample", "0", "--group", "sdcc"), "sddc"),
        (("inject", "--page", "annonymous"), "anonymous"),
        (("inject", "--event", "sraoo"), "srao"),
        (("inject", "--then", "fsyncc"), "fsync"),
        (("inject", "--switch", "copy_reed=panic"), "copy_read"),
        (("dram", "--ecc", "secdet"), "secded"),
        (("dram", "--fit-table", "ddr4_av"), "ddr4_avg"),
        (("dram", "--yers", "3"), "--years"),
        (("rum",), "run"),
        (("scenario", "chek"), "check"),
        (("run", "--engine", "locall"), "local"),
    ],
)
def test_a_name_that_is_nearly_right_is_answered_with_the_one_that_was_meant(words, meant):
    text = said(*words)
    assert f"did you mean {meant}?" in text
    assert len(text.splitlines()) == 1


def test_long_lists_are_cut_and_name_the_command_that_shows_all():
    for option, names in (("--page", PAGES), ("--switch", SWITCHES)):
        (line,) = said("inject", option, "qqqqq=1").splitlines()
        assert re.search(r", \.\.\. and \d+ more \(see 'hwpoison-fleet inject --list'\)$", line)
        assert len(line) < 220
        done = CliRunner().invoke(main, ["inject", "--list"])
        assert all(re.search(rf"^ +{re.escape(name)} ", done.stdout, re.MULTILINE) for name in names)
    for release in ("6.2", "2.6.38", "4.4"):
        (line,) = said("inject", "--kernel", release).splitlines()
        assert len(line) < 300


# ---- keys --------------------------------------------------------------------------------------------------------


def test_the_keys_are_those_of_the_settings():
    assert {one[0] for one in tree()} <= set(group_keys())
    assert set(scenario_keys()) == {"name", "description", "nodes", "years", "seed", "start", "field_study"}


@pytest.mark.parametrize("name", ["memory_failure_early_kill", "memory_failure_recovery", "enable_soft_offline"])
@pytest.mark.parametrize("above", ["vm/", "sysctl.vm.", "kernel.vm.", "", "fault."])
def test_the_names_that_the_kernel_has_are_answered_with_the_key_here(name, above):
    (line,) = said("run", "--set", f"{above}{name}=1").splitlines()
    assert line.endswith(f"{above}{name}: unknown key; did you mean kernel.{name}?")


def test_a_letter_left_out_anywhere_is_found_in_every_key():
    wrong, names = [], {key.rpartition(".")[2] for key in (*group_keys(), *scenario_keys())}
    for key in (*group_keys(), *scenario_keys()):
        last = key.rpartition(".")[2]
        for place in range(len(last)) if len(last) >= 6 else ():
            typed = key[: len(key) - len(last)] + last[:place] + last[place + 1 :]
            if typed.rpartition(".")[2] not in names and meant_by(typed) != key:
                wrong.append((typed, meant_by(typed), key))
    assert [one for one in wrong if len(one[1]) != len(one[2])] == []  # share_dq may be that of 2, 3 or 4
    assert len(wrong) <= 12


@pytest.mark.parametrize("text", ["colour", "x", "zz.top", "kernel.foo", "kernel.nonsense"])
def test_what_is_like_no_key_gets_no_guess(text):
    assert meant_by(text) == ""


def test_a_key_of_a_group_at_the_top_is_told_its_place():
    (line,) = mistakes({"fit_factor": 3, "group": {"a": {}}})
    assert line == "fit_factor: unknown key; did you mean group.NAME.faults.fit_factor?"
    (line,) = mistakes({"nods": 3, "group": {"a": {}}})
    assert line == "nods: unknown key; did you mean nodes?"


def test_all_keys_of_an_unknown_table_are_answered():
    found = mistakes({"group": {"a": {"sysctl": {"memory_failure_recovery": 0, "enable_soft_offline": 0}}}})
    assert [line.split("did you mean ")[1] for line in found] == [
        "kernel.memory_failure_recovery?",
        "kernel.enable_soft_offline?",
    ]


# ---- together ----------------------------------------------------------------------------------------------------


def test_what_groups_and_arms_have_in_common_is_said_once_in_the_order_of_the_first():
    lines = [
        "nodes = 0, expected 1",
        "group.a.x = 1, no",
        "group.b.x = 1, no",
        "group.b.x = 1, no",
        "group.a.b.x = 1, no",
        "group.b.y = 2, no",
        "arm.p: group.a.z = 3, no",
        "arm.p: group.b.z = 3, no",
        "arm.q: group.a.z = 3, no",
        "arm.q: group.b.z = 3, no",
        "arm.r: group.a.z = 3, no",
        "arm.p.set.faults: no",
    ]
    assert together(lines, ["a", "b", "a.b"], ["p", "q", "r"]) == [
        "nodes = 0, expected 1",
        "groups a, b, a.b: x = 1, no",
        "group.b.y = 2, no",
        "arms p, q: groups a, b: z = 3, no",
        "arm.r: group.a.z = 3, no",
        "arm.p.set.faults: no",
    ]
    assert together(["group.a.x"], [], []) == ["group.a.x"]


def test_a_mistake_of_a_hundred_groups_is_one_line_that_can_be_read():
    (line,) = mistakes({"group": {f"g{n}": {"share": 0.01, "ecc": {"code": "raid"}} for n in range(100)}})
    assert re.fullmatch(r"groups g0, g1, .*, \.\.\. and \d+ more: ecc\.code = 'raid', expected one of .*", line)
    assert len(line) < 300


# ---- words -------------------------------------------------------------------------------------------------------

KINDS = ("text", 3, 2.5, True, [1], {"a": 1}, [], {})


def complaint(group: dict) -> str:
    """What is said of a group; nothing if it is accepted."""
    try:
        decode("x.toml", {"group": {"a": group}})
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("value", KINDS, ids=repr)
def test_a_value_of_another_kind_is_refused_in_our_words_whatever_the_setting(value):
    texts = [complaint({name: value}) for name in ("workload", "kernel", "faults", "share", "own_policy")]
    for key, _, _ in tree():
        nested = value
        for name in reversed(key.split(".")):
            nested = {name: nested}
        texts.append(complaint(nested))
    refused = [text for text in texts if text]
    assert len(refused) > len(texts) // 3
    assert [text for text in refused if FOREIGN.search(text) or "another kind of value" in text] == []


WRONG_TOML = {
    "nodes = = 3": "line 1, column 9: no value, expected a number",
    "nodes 3": "line 1, column 7: a key without '=', expected KEY = VALUE",
    "[group": "the end: a table that does not end, expected ']' after its name",
    "[[arm": "the end: a table that does not end, expected ']' after its name",
    "a = [1": "the end: a list that does not end, expected ']'",
    "a = {b = 1": "the end: a table that does not end, expected '}'",
    'a = "x': "the end: a text that does not end, expected a quotation mark",
    "a = 'x": "the end: a text that does not end, expected a quotation mark",
    "a = '''x": "the end: a text that does not end, expected '''",
    'a = """x': "the end: a text that does not end, expected",
    'a = "\\q"': "a '\\' in a text, expected '\\\\'",
    'a = "\\uZZZZ"': "an escape of a character that is none",
    'a = "\\uD800"': "an escape of a character that is none",
    "a = 1\na = 2": "a key that has a value already, expected each once",
    "[a]\n[a]": "line 2, column 3: a table that is there already, expected each once",
    "a = {b = 1, b = 2}": "a key that is there twice, expected each once",
    "a = {}\n[a.b]": "a table that is there already",
    "a = {}\na.b = 1": "a table that is complete already",
    "[a]\nb.c = 1\n[a.b]": "a table that is there already, expected each once",
    "!": "line 1, column 1: no statement, expected KEY = VALUE or [TABLE]",
    "a.! = 1": "no key, expected letters",
    "a = 1979-02-31": "no date or time that there is",
    "a = 1 b": "more after a value, expected one value a line",
    "a = 6.1.2": "more after a value, expected one value a line",
    'a = "x\ny"': "a character that may not stand there",
    "# \x01": "a character that may not stand there",
}


@pytest.mark.parametrize("text", WRONG_TOML)
def test_what_is_not_toml_is_told_with_its_place_in_our_words(tmp_path, text):
    with pytest.raises(tomllib.TOMLDecodeError) as error:
        tomllib.loads(text)
    assert WRONG_TOML[text] in toml_complaint(str(error.value))
    (tmp_path / "x.toml").write_text(text)
    line = said("scenario", "check", tmp_path / "x.toml")
    assert line.startswith(f"error: {tmp_path / 'x.toml'}: not TOML: ")
    assert WRONG_TOML[text] in line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("dram", "--years", "abc"), "--years: 'abc', expected a number from 0.001 to 100"),
        (("dram", "--years", "1000"), "--years: 1000.0, expected a number from 0.001 to 100"),
        (("dram", "--years", "nan"), "--years: 'nan', expected a number from 0.001 to 100"),
        (("dram", "--lifetimes", "x"), "--lifetimes: 'x', expected a whole number from 1 to 8,589,934,592"),
        (("scenario", "show", "--sample", "-1"), "--sample: -1, expected a whole number of 0 or more"),
        (("run", "--nodes", "x"), "--nodes: 'x', expected a whole number"),
        (("dram", "--width", "5"), "--width: '5', expected one of 4, 8, 16"),
        (("replay", "x"), "--node: missing, expected a whole number"),
        (("summary",), "FOLDER: missing, expected a name"),
        (("summary", "a", "b c"), "b c: an extra argument, expected none"),
    ],
)
def test_a_wrong_command_line_is_told_in_our_words(words, line):
    command = " ".join(words[: 1 + (words[0] == "scenario")])
    assert said(*words) == f"error: {line}; see 'hwpoison-fleet {command} --help'\n"


def test_an_option_without_its_value_or_with_one_too_many():
    assert said("dram", "--seed") == "error: --seed: no value, expected one\n"
    assert said("dram", "--json=3") == "error: --json: a value, expected none\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "not UTF-8 text"),
        (",".join(INPUTS).encode() + b'\na,"' + b"x" * 200_000, "line 2: not CSV"),
    ],
)
def test_a_table_that_is_none_is_told_in_our_words(tmp_path, content, words):
    (tmp_path / "x.csv").write_bytes(content)
    line = said("conform", tmp_path / "x.csv", "--kernel", "6.1")
    assert line == f"error: {tmp_path / 'x.csv'}: {words}, expected a CSV table of recorded scenarios; name one\n"


@pytest.mark.parametrize("table", ["kernel", "faults", "detection", "repair", "nowhere"])
def test_a_known_name_in_a_wrong_table_is_answered_with_the_same_name(table):
    names = {key.rpartition(".")[2] for key in group_keys()}
    for name in names:
        typed = f"{table}.{name}"
        if typed not in group_keys():
            assert meant_by(typed).rpartition(".")[2] == name
