"""The command deploy: the files of the folder deploy, as they are shipped, with rules for a fleet at any speed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import click

from fleet.commands.paths import UsablePath
from fleet.commands.printing import say
from fleet.printable import typed, visible
from node_sim.errors import ConfigError

SPEED_MIN, SPEED_MAX = 0.01, 1e9
_PACKAGE: Final = Path(__file__).resolve().parents[1]
_SKIPPED: Final = "__pycache__"
SCALED: Final = "prometheus/alerts.yml"
UNSCALED_TESTS: Final = ("prometheus/tests/alerts_test.yml", "prometheus/tests/alerts_days_test.yml")
"""They hold at speed 1 only."""
SCRAPED_BY: Final = "prometheus/config/serve.yml"
"""The configuration whose scrape interval bounds windows from below."""


def shipped() -> Path:
    """Return the folder of what is shipped: that of the wheel, or of the checkout of an editable install."""
    in_wheel = _PACKAGE / "deployed"
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / "deploy"


@click.command("deploy")
@click.argument("folder", metavar="DIR", type=UsablePath())
@click.option(
    "--speed",
    type=float,
    default=1.0,
    show_default=True,
    help="Alert rules for 'serve --speed': windows are divided by it, down to 4 scrapes.",
)
def deploy_command(folder: Path, speed: float) -> None:
    """Write the files to deploy with: Prometheus, alerts, Kubernetes, image.

    DIR is new or empty; nothing is overwritten. DIR/README.md tells what each file is for, and what to do when an alert
    fires. Tests of alert rules hold at speed 1 only, and are left out at others.
    """
    if not SPEED_MIN <= speed <= SPEED_MAX:
        msg = f"--speed {speed:g}: expected from {SPEED_MIN:g} to {SPEED_MAX:g}; choose another"
        raise ConfigError(msg)
    files = _files(speed)
    _put_in_place(folder, files)
    say(f"{visible(str(folder))}: {len(files)} files; begin with {typed(folder / 'README.md')}")


def _files(speed: float) -> dict[str, tuple[bytes, int]]:
    """Return content and mode of each file by its path.

    Raises:
        ConfigError: This installation has none.
    """
    source = shipped()
    paths = sorted(path for path in source.rglob("*") if path.is_file() and _SKIPPED not in path.parts)
    if not paths:
        msg = f"{source}: not there, expected the files that come with this program; install it again"
        raise ConfigError(msg)
    files = {str(path.relative_to(source)): (path.read_bytes(), _mode(path)) for path in paths}
    if speed != 1:
        from fleet.commands.scaled_rules import scaled_rules, scrape_interval_s

        scrape_s = scrape_interval_s(files[SCRAPED_BY][0].decode())
        content, mode = files[SCALED]
        files[SCALED] = scaled_rules(content.decode(), speed, scrape_s).encode(), mode
        for name in UNSCALED_TESTS:
            del files[name]
    return files


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def _put_in_place(folder: Path, files: dict[str, tuple[bytes, int]]) -> None:
    """Write a folder, whole or not at all: beside its place, and then into it.

    Raises:
        ConfigError: Something is in the way, or it cannot be written.
    """
    target = folder.resolve()
    if target == Path.cwd():
        msg = f"{folder}: is the working folder, expected a folder to be made; name one"
        raise ConfigError(msg)
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            msg = f"{folder}: is there and not empty, expected a new or empty folder; choose another"
            raise ConfigError(msg)
        for name, (content, mode) in files.items():
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)
        beside.rename(target)
    except OSError as error:
        msg = f"{folder}: {error.strerror}, expected to write it; choose another folder"
        raise ConfigError(msg) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
