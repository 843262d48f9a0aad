"""Make ``crd_v1.json`` from KubeRay's custom resource definitions.

    git clone --branch v1.7.0 https://github.com/ray-project/kuberay
    python -m tests.kuberay.make_schema kuberay/ray-operator/config/crd/bases > tests/kuberay/crd_v1.json

What the API server checks stays; descriptions, defaults (and that a field with one is required) and Kubernetes' own
extensions (``x-kubernetes-*``, among them seven rules in CEL) go. Unknown fields are refused, as ``kubectl apply`` does
it. Parts that occur more than once, above all the pod, are written once, below ``$defs``.
"""

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path

import yaml

KINDS = {"RayCluster": "ray.io_rayclusters.yaml", "RayJob": "ray.io_rayjobs.yaml"}
KEPT = ("type", "properties", "required", "items", "additionalProperties", "enum", "anyOf", "oneOf", "allOf", "not")
KEPT += ("pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")
SHARED_BYTES_MIN = 120


def plain(schema):
    """The schema without what JSON Schema does not know, closed against unknown fields."""
    found = {key: schema[key] for key in KEPT if key in schema}
    for key, value in found.items():
        if key == "properties":
            found[key] = {name: plain(inner) for name, inner in sorted(value.items())}
        elif key in {"anyOf", "oneOf", "allOf"}:
            found[key] = [plain(inner) for inner in value]
        elif key in {"items", "not"} or (key == "additionalProperties" and isinstance(value, dict)):
            found[key] = plain(value)
    if "required" in found:
        found["required"] = [name for name in found["required"] if "default" not in schema["properties"][name]]
    if "properties" in found and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found["additionalProperties"] = False
    if schema.get("nullable"):
        found["type"] = [found["type"], "null"]
    return found


def name_of(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def parts(schema):
    """All objects in it, itself last."""
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for value in inner:
        yield from parts(value)
    if isinstance(schema, dict) and "type" in schema:
        yield json.dumps(schema, sort_keys=True)


def share(schema, repeated, shared):
    """The schema with references in place of parts that are repeated."""
    if isinstance(schema, list):
        return [share(value, repeated, shared) for value in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: share(value, repeated, shared) for key, value in schema.items()}
    text = json.dumps(schema, sort_keys=True)
    if text not in repeated:
        return found
    shared[name_of(text)] = found
    return {"$ref": f"#/$defs/{name_of(text)}"}


def served(folder, name):
    """The schema of version v1."""
    document = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
    (version,) = (one for one in document["spec"]["versions"] if one["name"] == "v1")
    return plain(version["schema"]["openAPIV3Schema"])


def main(folder):
    kinds = {kind: served(folder, name) for kind, name in KINDS.items()}
    counts = Counter(text for schema in kinds.values() for text in parts(schema))
    repeated = {text for text, count in counts.items() if count > 1 and len(text) >= SHARED_BYTES_MIN}
    shared = {}
    kinds = {kind: share(schema, repeated, shared) for kind, schema in kinds.items()}
    about = "KubeRay v1.7.0, ray-operator/config/crd/bases, Apache-2.0; made by make_schema.py"
    json.dump({"$comment": about, "$defs": kinds | shared}, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
