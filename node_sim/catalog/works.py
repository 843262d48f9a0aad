"""Papers that published numbers come from, as they are cited; sources of numbers begin with the names of papers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Work:
    """A paper.

    Attributes:
        begins: What sources of numbers that are read in it begin with.
        key: Its key in a bibliography.
        authors: In order, each as given names and family name.
        title: Title.
        where: Proceedings or journal.
        year: Year.
        doi: Digital object identifier; empty if none was looked up.
    """

    begins: str
    key: str
    authors: tuple[str, ...]
    title: str
    where: str
    year: int
    doi: str = ""


WORKS: Final = (
    Work(
        "Schroeder et al., SIGMETRICS 2009",
        "schroeder2009",
        ("Bianca Schroeder", "Eduardo Pinheiro", "Wolf-Dietrich Weber"),
        "DRAM Errors in the Wild: A Large-Scale Field Study",
        "Proceedings of the 11th International Joint Conference on Measurement and Modeling of Computer Systems "
        "(SIGMETRICS)",
        2009,
        "10.1145/1555349.1555372",
    ),
    Work(
        "Sridharan and Liberty, SC 2012",
        "sridharan2012",
        ("Vilas Sridharan", "Dean Liberty"),
        "A Study of DRAM Failures in the Field",
        "Proceedings of the International Conference on High Performance Computing, Networking, Storage and Analysis "
        "(SC)",
        2012,
    ),
    Work(
        "Meza et al., DSN 2015",
        "meza2015",
        ("Justin Meza", "Qiang Wu", "Sanjeev Kumar", "Onur Mutlu"),
        "Revisiting Memory Errors in Large-Scale Production Data Centers: Analysis and Modeling of New Trends from "
        "the Field",
        "Proceedings of the 45th Annual IEEE/IFIP International Conference on Dependable Systems and Networks (DSN)",
        2015,
    ),
    Work(
        "Cheng et al., SRDS 2022",
        "cheng2022",
        ("Zhinan Cheng", "Shujie Han", "Patrick P. C. Lee", "Xin Li", "Jiongzhou Liu", "Zhan Li"),
        "An In-Depth Correlative Study Between DRAM Errors and Server Failures in Production Data Centers",
        "Proceedings of the 41st International Symposium on Reliable Distributed Systems (SRDS)",
        2022,
    ),
    Work(
        "Jung and Erez, MICRO 2023",
        "jung2023",
        ("Jeageun Jung", "Mattan Erez"),
        "Predicting Future-System Reliability with a Component-Level DRAM Fault Model",
        "Proceedings of the 56th Annual IEEE/ACM International Symposium on Microarchitecture (MICRO)",
        2023,
        "10.1145/3613424.3614294",
    ),
    Work(
        "M2-MFP, KDD 2025 (arXiv 2507.07144)",
        "xie2025",
        ("Hongyi Xie", "Min Zhou", "Qiao Yu", "Jialiang Yu", "Zhenli Sheng", "Hong Xie", "Defu Lian"),
        "M2-MFP: A Multi-Scale and Multi-Level Memory Failure Prediction Framework for Reliable Cloud Infrastructure",
        "Proceedings of the 31st ACM SIGKDD Conference on Knowledge Discovery and Data Mining (KDD)",
        2025,
    ),
)


def work_of(source: str) -> Work | None:
    """Return the paper that a source of a number names first; None if it names none."""
    return next((work for work in WORKS if source.startswith(work.begins)), None)
