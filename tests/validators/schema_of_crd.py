"""Turns a CustomResourceDefinition (on stdin) into the JSON Schema of its objects, without descriptions.

Objects with listed properties are closed, as the API server prunes or refuses what is not listed.
"""

import json
import sys

import yaml

DROPPED = {"description", "example", "externalDocs", "nullable"}


def schema_of(node):
    """Returns the JSON Schema of one OpenAPI schema."""
    out = {}
    for key, value in node.items():
        if key in DROPPED or key.startswith("x-kubernetes-"):
            continue
        if key == "pattern" and "(?" in value:
            # Go's notation, which JSON Schema does not have.
            continue
        if key == "properties":
            out[key] = {name: schema_of(one) for name, one in value.items()}
        elif key in ("allOf", "anyOf", "oneOf"):
            out[key] = [schema_of(one) for one in value]
        elif key in ("items", "additionalProperties", "not") and isinstance(value, dict):
            out[key] = schema_of(value)
        else:
            out[key] = value
    if node.get("x-kubernetes-int-or-string"):
        out = {"type": ["integer", "string"]}
    closed = node.get("type") == "object" and "properties" in node and "additionalProperties" not in node
    if closed and not node.get("x-kubernetes-preserve-unknown-fields"):
        out["additionalProperties"] = False
    return out


def main():
    """Prints the schema of the newest served version."""
    crd = yaml.safe_load(sys.stdin)
    served = [one for one in crd["spec"]["versions"] if one["served"]]
    stored = next(one for one in served if one["storage"])
    schema = schema_of(stored["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    schema["properties"]["apiVersion"] = {"const": f"{crd['spec']['group']}/{stored['name']}"}
    schema["properties"]["kind"] = {"const": crd["spec"]["names"]["kind"]}
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    json.dump(schema, sys.stdout, sort_keys=True, separators=(",", ":"))
    print()


main()
