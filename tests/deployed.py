"""What is in deploy/, read: its manifests, and the command lines it shows."""

import re
import shlex
from pathlib import Path

import click
import yaml

from fleet.cli import main

TOP = Path(__file__).parents[1]
DEPLOY = TOP / "deploy"
MANIFESTS = sorted((DEPLOY / "kuberay").glob("*.yaml"))
YAML_FILES = [*MANIFESTS, *sorted((DEPLOY / "prometheus").rglob("*.yml"))]
TEXT_FILES = [DEPLOY / "README.md", DEPLOY / "Dockerfile", *YAML_FILES]
README = (DEPLOY / "README.md").read_text(encoding="utf-8")


def load(path):
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def manifest(name):
    (document,) = load(DEPLOY / "kuberay" / name)
    return document


def ray_cluster_specs():
    return [manifest("ray-cluster.yaml")["spec"], manifest("ray-job.yaml")["spec"]["rayClusterSpec"]]


def pod_specs():
    return [
        pod
        for spec in ray_cluster_specs()
        for pod in (
            spec["headGroupSpec"]["template"]["spec"],
            *(group["template"]["spec"] for group in spec["workerGroupSpecs"]),
        )
    ]


def pinned(name):
    (version,) = re.findall(rf"^{name}==(\S+)$", (TOP / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    return version


def entrypoint():
    """The command of the job, as the shell that submits it splits it."""
    return shlex.split(manifest("ray-job.yaml")["spec"]["entrypoint"])


def without_shell(words):
    """The words up to the first operator of the shell."""
    stop = next((i for i, word in enumerate(words) if re.match(r"[|&;<>]|2>", word)), len(words))
    return words[:stop]


def command_lines():
    """Every ``hwpoison-fleet ...`` and ``docker run ... IMAGE ...`` in deploy/: file, words after the program."""
    found = []
    for path in TEXT_FILES:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".md":
            blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
            lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
            lines += re.findall(r"`(hwpoison-fleet [^`]*)`", text)
        elif path.name == "ray-job.yaml":
            lines = [shlex.join(entrypoint())]
        else:
            lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        for line in lines:
            start = re.search(
                r"(?:^|exec |-- +)hwpoison-fleet (?=\w|--)|\bdocker run .*?hwpoison-fleet:\S+ ", line.strip()
            )
            if start:
                found.append((path.name, without_shell(shlex.split(line.strip()[start.end() :]))))
    return found


def parse(words):
    """Parse a command line as the program does, without running it."""
    command, context, rest = main, click.Context(main, info_name="hwpoison-fleet"), list(words)
    while isinstance(command, click.Group):
        name = rest.pop(0)
        command = command.get_command(context, name)
        assert command is not None, f"no command {name}"
        if not isinstance(command, click.Group):
            return command.make_context(name, rest, parent=context)
        context = click.Context(command, info_name=name, parent=context)
    raise AssertionError
