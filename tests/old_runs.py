"""Runs as older versions left them, made of new ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from fleet.stored.layout import arm_folder
from fleet.stored.manifest import content_sha256, seal

SINCE_4 = ("start",)
GROUP_SINCE_4 = ("part", "code", "site", "workload", "dimms")
"""What plans have had of runs and of groups since then."""


def _open(path: Path) -> dict[str, Any]:
    return {key: value for key, value in json.loads(path.read_text()).items() if key != "seal"}


def as_version_4(new: Path, root: Path) -> Path:
    """Copy a run as a version of schema 4 would have left it: arms as they are in names of folders, and no views."""
    shutil.copytree(new, root)
    plan = _open(root / "plan.json")
    for group in plan["groups"]:
        for key in GROUP_SINCE_4:
            group.pop(key, None)
    plan = seal({key: value for key, value in plan.items() if key not in SINCE_4} | {"schema_version": 4})
    (root / "plan.json").write_text(json.dumps(plan))
    sha256, commits = content_sha256(plan), {}
    for path in sorted((root / "commit").glob("*.json")):
        commit = _open(path) | {"plan_sha256": sha256}
        for part in commit["parts"]:
            old = root / part["path"]
            part["path"] = f"{arm_folder(part['table'], part['arm'], 4)}/{old.name}"
            (root / part["path"]).parent.mkdir(exist_ok=True)
            old.rename(root / part["path"])
        commits[str(int(path.stem))] = content_sha256({k: v for k, v in commit.items() if k != "plan_sha256"})
        path.write_text(json.dumps(seal(commit)))
    manifest = {key: value for key, value in _open(root / "run.json").items() if key != "files"}
    (root / "run.json").write_text(json.dumps(seal(manifest | {"plan_sha256": sha256, "commits": commits})))
    (root / "views.sql").unlink(missing_ok=True)
    for folder in root.glob("*/arm=*%*"):
        folder.rmdir()
    return root
