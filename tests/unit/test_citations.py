"""``scenario cite`` names every source of a scenario's numbers once, as text and as a bibliography that can be read."""

import re

import pytest
from click.testing import CliRunner

from fleet.cli import main
from fleet.scenario.describe import scenario_document
from fleet.scenario.document import scenario_names
from fleet.scenario.overrides import load_fleet
from node_sim.catalog.field import STUDIES
from node_sim.catalog.works import WORKS, work_of

PAPER = re.compile(r"[A-Z][\w-]+( et al\.| and [A-Z]\w+)?, [A-Z]+ \d{4}")
"""How sources name papers: by authors or a short name, where and when."""


def fleet_of(name):
    return load_fleet(name, {}, (), (), ())


def sources_of(name):
    entries = [one for group in scenario_document(fleet_of(name))["groups"].values() for one in group]
    numbers = {one["origin"].removeprefix("published: ") for one in entries if one["origin"].startswith("published: ")}
    study = fleet_of(name).scenario.field_study
    figures = STUDIES[study].figures if study in STUDIES else ()
    return numbers | {figure.published.source for figure in figures if figure.published}


def cited(*words):
    done = CliRunner().invoke(main, ["scenario", "cite", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def one_line(text):
    return re.sub(r"\s+", " ", text)


def entries_of(text):
    """The entries of a bibliography: (kind, key, fields), each value between braces that match."""
    found, place = [], 0
    for head in re.finditer(r"^@(\w+)\{([^,\s]+),$", text, re.MULTILINE):
        assert text[place : head.start()].strip() == ""
        end = text.index("\n}", head.end())
        fields = {}
        for name, value in re.findall(r"^ {2}(\w+) = \{(.*?)\},$", text[head.end() : end], re.MULTILINE | re.DOTALL):
            depth = 0
            for brace in re.findall(r"(?<!\\)[{}]", value):
                depth += 1 if brace == "{" else -1
                assert depth >= 0, value
            assert depth == 0, value
            assert not re.search(r"(?<!\\)[&%$#_]", value), value
            fields[name] = one_line(value)
        found.append((head[1], head[2], fields))
        place = end + 2
    assert text[place:].strip() == ""
    return found


@pytest.mark.parametrize("name", scenario_names())
def test_every_source_of_a_scenario_is_cited(name):
    text, sources = one_line(cited(name)), sources_of(name)
    assert sources
    for source in sources:
        work = work_of(source)
        rest = source.removeprefix(work.begins) if work else source
        told = [work.title] if work else []
        told += re.split(r"(?:^|: |, |; )", re.sub(r" \[[\w-]+\]$", "", rest))
        assert [part for part in told if part.strip() and part.strip() not in text] == [], source


@pytest.mark.parametrize("name", scenario_names())
def test_papers_are_cited_as_papers(name):
    papers = {PAPER.match(source)[0] for source in sources_of(name) if PAPER.match(source)}
    assert {paper for paper in papers if work_of(paper) is None and not work_of(f"{paper} (arXiv 2507.07144)")} == set()
    kinds = {key: kind for kind, key, _ in entries_of(cited(name, "--bibtex"))}
    assert list(kinds.values()).count("inproceedings") == len(papers)


@pytest.mark.parametrize("name", scenario_names())
def test_a_bibliography_can_be_read(name):
    entries = entries_of(cited(name, "--bibtex"))
    keys = [key for _, key, _ in entries]
    assert len(set(keys)) == len(keys)
    assert keys[-1] == "hwpoison-fleet"
    assert all({"title", "note"} <= set(fields) for _, _, fields in entries)
    needed = {"author", "title", "booktitle", "year"}
    assert all(needed <= set(fields) for kind, _, fields in entries if kind == "inproceedings")


def test_an_entry_says_what_its_source_is_needed_for():
    (cheng,) = [fields for _, key, fields in entries_of(cited("--bibtex")) if key == "cheng2022"]
    assert cheng["author"].startswith("Zhinan Cheng and Shujie Han and Patrick P. C. Lee and ")
    assert (
        "DIMMs per channel [servers with 12 DIMM slots are the largest class (151,988)] (read there)" in cheng["note"]
    )
    assert "fitted to ue failures per dimm year" in cheng["note"]


def test_a_setting_changes_what_is_cited():
    assert "Sridharan" not in cited()
    assert "A Study of DRAM Failures in the Field" in one_line(cited("--set", "faults.rates=ddr2_jaguar"))


def test_works_have_keys_of_their_own():
    assert len({work.key for work in WORKS}) == len(WORKS)
    assert all(str(work.year) in work.key and str(work.year) in work.begins + "2025" for work in WORKS)
