"""The manifests of deploy/kuberay: what KubeRay expects, who gets in, whether they fit each other and the program."""

import copy
import json

import jsonschema
import pytest

from fleet.engines.choice import EngineChoice
from fleet.engines.ray_actors import IN_FLIGHT_MAX, TABLE_BYTES_MAX
from fleet.run import planned_shards
from fleet.scenario.overrides import load_fleet
from fleet.stored.plan import SHARDS_PER_WORKER
from tests.deployed import DEPLOY, README, TOP, command_lines, manifest, parse, pinned, pod_specs, ray_cluster_specs

SIGTERM_S = 5
"""Within which a run ends after SIGTERM."""


def test_manifests_name_the_pinned_ray():
    assert [spec["rayVersion"] for spec in ray_cluster_specs()] == [pinned("ray")] * 2


def test_cluster_and_job_describe_the_same_cluster():
    stays, once = ray_cluster_specs()
    assert stays == once


def faults(document):
    """What KubeRay's definition of the kind has against a manifest."""
    schema = json.loads((TOP / "tests" / "kuberay" / "crd_v1.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator({**schema, "$ref": f"#/$defs/{document['kind']}"})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


@pytest.mark.parametrize("name", ["ray-cluster.yaml", "ray-job.yaml"])
def test_manifests_are_what_kuberay_expects(name):
    document = manifest(name)
    assert document["apiVersion"] == "ray.io/v1"
    assert faults(document) == []


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("entrypoint", ["hwpoison-fleet"], "is not of type 'string'"),
        ("shutdownAfterJobFinish", True, "'shutdownAfterJobFinish' was unexpected"),
        ("rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0, "0 is not of type 'string'"),
        ("rayClusterSpec.authOptions.mode", "tokens", "'tokens' is not one of"),
        ("rayClusterSpec.workerGroupSpecs.0.template.spec.gracePeriod", 5, "'gracePeriod' was unexpected"),
        ("rayClusterSpec.workerGroupSpecs.0.template.spec.containers.0.resources.limits.memory", "3 GB", "match"),
        ("submitterPodTemplate.spec.containers.0.env.0", {"value": "token"}, "'name' is a required property"),
    ],
)
def test_the_schema_sees_a_wrong_manifest(path, value, complaint):
    document = copy.deepcopy(manifest("ray-job.yaml"))
    *way, last = (int(word) if word.isdigit() else word for word in path.split("."))
    place = document["spec"]
    for word in way:
        place = place[word]
    place[last] = value
    assert complaint in " ".join(faults(document))


PODS = pytest.mark.parametrize("pod", pod_specs(), ids=["cluster-head", "cluster-worker", "job-head", "job-worker"])


def submitter():
    return manifest("ray-job.yaml")["spec"]["submitterPodTemplate"]["spec"]


@PODS
def test_every_pod_of_a_cluster_has_the_shared_folder(pod):
    (container,) = pod["containers"]
    (mount,), (volume,) = container["volumeMounts"], pod["volumes"]
    claim = manifest("runs-volume.yaml")
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/runs")
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


@pytest.mark.parametrize("pod", [*pod_specs(), submitter()])
def test_every_pod_has_the_image_the_token_no_statistics_and_no_rights(pod):
    (container,) = pod["containers"]
    build = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()[0]
    assert container["image"] in build.split()
    told = {entry["name"]: entry for entry in container["env"]}
    assert len(told) == len(container["env"])
    assert told["RAY_USAGE_STATS_ENABLED"]["value"] == "0"
    assert told["RAY_AUTH_MODE"]["value"] == "token"
    secret = told["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
    for spec in ray_cluster_specs():
        assert spec["authOptions"] == {"mode": "token", "secretName": secret["name"]}
    assert secret["key"] == "auth_token"  # the key KubeRay's operator reads
    assert f"secret generic {secret['name']} --from-file={secret['key']}=" in README
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 1000
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert not pod["automountServiceAccountToken"]
    assert container["resources"]["requests"].keys() == container["resources"]["limits"].keys() == {"cpu", "memory"}


@PODS
def test_a_pod_has_the_time_to_end(pod):
    (container,) = pod["containers"]
    told = {entry["name"]: entry.get("value") for entry in container["env"]}
    drain_s = float(told["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
    assert drain_s == 0
    wait_s = 10 if "lifecycle" in container else 0
    assert pod["terminationGracePeriodSeconds"] >= wait_s + drain_s + 10
    assert float(told["RAY_JOB_STOP_WAIT_TIME_S"]) >= 2 * SIGTERM_S


def mebibytes(quantity):
    return int(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]]


def test_workers_have_the_memory_that_their_hosts_need():
    for spec in ray_cluster_specs():
        (group,) = spec["workerGroupSpecs"]
        (container,) = group["template"]["spec"]["containers"]
        limits, cores = container["resources"]["limits"], int(container["resources"]["limits"]["cpu"])
        assert container["resources"]["requests"] == limits
        assert mebibytes(limits["memory"]) >= 1024 + 512 * cores
        under_way = cores * IN_FLIGHT_MAX * TABLE_BYTES_MAX
        assert int(group["rayStartParams"]["object-store-memory"]) >= 2 * under_way


def test_the_plan_of_the_job_keeps_all_its_workers_busy():
    (call,) = (parse(words) for name, words in command_lines() if name == "ray-job.yaml")
    fleet = load_fleet(
        call.params["scenario"], {"nodes": call.params["nodes"], "years": None, "seed": None}, (), (), ()
    )
    shards = planned_shards(fleet, EngineChoice("ray", call.params["workers"], "auto"), None)
    assert len(shards) >= SHARDS_PER_WORKER * call.params["workers"]
    assert len({shard.nodes for shard in shards[:-1]}) == 1


def test_job_asks_for_as_many_workers_as_its_cluster_has_cores():
    spec = manifest("ray-job.yaml")["spec"]["rayClusterSpec"]
    (group,) = spec["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    cores = group["replicas"] * int(container["resources"]["limits"]["cpu"])
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    calls = [parse(words) for name, words in command_lines() if name == "ray-job.yaml"]
    assert [call.info_name for call in calls] == ["run"]
    assert calls[0].params["workers"] == cores
    assert calls[0].params["resume_if_planned"]
    assert str(calls[0].params["output"]).startswith("/")
