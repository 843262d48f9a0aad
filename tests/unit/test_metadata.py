"""What the package says of itself agrees with itself."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_citation_is_that_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = PROJECT["project"]
    assert (citation["title"], citation["version"], citation["license"]) == (
        project["name"],
        project["version"],
        project["license"],
    )
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"]
    assert set(citation["keywords"]) <= set(project["keywords"])
    assert "CITATION.cff" in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]


def test_python_from_the_lowest_to_3_14_is_named():
    named = {line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"] if ":: Python :: 3." in line}
    assert named == {"3.11", "3.12", "3.13", "3.14"}
    assert PROJECT["project"]["requires-python"] == ">=3.11"
