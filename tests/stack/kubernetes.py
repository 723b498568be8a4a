#!/usr/bin/env python3
"""The Kubernetes manifests: rendered, held against the schemas, and against what they promise.

  kubernetes.py [--binary TIDEGAUGE]

Each overlay is rendered by kustomize. Each object has to fit the strict schema of its kind (of the oldest and the
newest Kubernetes below; ours for kinds of others), pods have to fit the "restricted" standard, and names have to meet:
selectors and pods, ports, secrets, configuration. Then deliberate mistakes are made, and each has to be refused.
With --binary, tidegauge itself reads the configurations. Needs the packages kubernetes-validate and jsonschema, and
kubectl or kustomize; no cluster and no network.
"""

import argparse
import copy
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import jsonschema
import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).resolve().parent
MANIFESTS = HERE.parent.parent / "deploy" / "kubernetes"
VERSIONS = ("1.29", "1.37")
APP = {"app.kubernetes.io/name": "tidegauge"}
OURS = ("keda.sh/", "monitoring.coreos.com/")
# The volumes of the restricted standard.
VOLUMES = {"configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim", "downwardAPI", "csi", "ephemeral"}


class Refused(Exception):
    """What is wrong with a manifest."""


def require(holds, what):
    if not holds:
        raise Refused(what)


def render(overlay):
    if shutil.which("kustomize"):
        command = ["kustomize", "build", str(overlay)]
    else:
        command = ["kubectl", "kustomize", str(overlay)]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    require(made.returncode == 0, f"{overlay.name} is not rendered: {made.stderr.strip()}")
    return list(yaml.safe_load_all(made.stdout))


def fits_schema(thing):
    kind, version = thing["kind"], thing["apiVersion"]
    if version.startswith(OURS):
        schema = json.loads((MANIFESTS / "schemas" / f"{kind}.json").read_text())
        try:
            jsonschema.validate(thing, schema)
        except jsonschema.ValidationError as error:
            raise Refused(f"{kind}: {error.json_path}: {error.message}") from error
        return
    for kubernetes in VERSIONS:
        try:
            kubernetes_validate.validate(thing, kubernetes, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise Refused(f"{kind} in {kubernetes}: {error.message}") from error


def pod_is_restricted(pod):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, and what we promise beyond it."""
    context = pod["securityContext"]
    require(context.get("runAsNonRoot") is True, "pods may run as root")
    require(context.get("runAsUser") == 10001, "pods run as another user than the image's")
    require(context.get("seccompProfile", {}).get("type") == "RuntimeDefault", "pods have no seccomp profile")
    for word in ("hostNetwork", "hostPID", "hostIPC"):
        require(not pod.get(word), f"pods have {word}")
    require(pod.get("automountServiceAccountToken") is False, "pods are given a token")
    for volume in pod["volumes"]:
        kinds = set(volume) - {"name"}
        require(kinds <= VOLUMES, f"volume {volume['name']} is of kind {kinds}")
    for container in pod["containers"] + pod.get("initContainers", []):
        name, own = container["name"], container.get("securityContext", {})
        require(own.get("allowPrivilegeEscalation") is False, f"{name} may gain privileges")
        require(own.get("capabilities") == {"drop": ["ALL"]}, f"{name} keeps capabilities")
        require(own.get("readOnlyRootFilesystem") is True, f"{name} may write to its image")
        require(own.get("runAsUser", 1) != 0, f"{name} runs as root")
        require("privileged" not in own, f"{name} says something about privileges")
        for resource in ("memory", "ephemeral-storage"):
            require(resource in container["resources"].get("limits", {}), f"{name} has no limit of {resource}")
        require("cpu" in container["resources"].get("requests", {}), f"{name} asks for no cpu")
        tag = container["image"].rpartition(":")[2]
        require(":" in container["image"] and tag != "latest", f"{name} has the image {container['image']}")
        for variable in container.get("env", []):
            secret = any(word in variable["name"] for word in ("PASSWORD", "SECRET", "KEY"))
            require(not (secret and "value" in variable), f"{variable['name']} is written into the manifest")


def one(things, kind, name=None):
    found = [t for t in things if t["kind"] == kind and name in (None, t["metadata"]["name"])]
    require(len(found) == 1, f"there are {len(found)} {kind} {name or ''}, expected is one")
    return found[0]


def names_meet(things):
    stateful = one(things, "StatefulSet")
    spec, pod = stateful["spec"], stateful["spec"]["template"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    container = pod["containers"][0]
    require(spec["selector"]["matchLabels"] == APP and APP.items() <= labels.items(), "the set does not select its pods")
    headless = one(things, "Service", spec["serviceName"])
    require(headless["spec"].get("clusterIP") == "None", f"{spec['serviceName']} is not headless")
    one(things, "ServiceAccount", pod["serviceAccountName"])
    ports = {port["name"] for port in container["ports"]}
    for service in (t for t in things if t["kind"] == "Service"):
        require(service["spec"]["selector"] == APP, f"Service {service['metadata']['name']} selects others")
        require({p["targetPort"] for p in service["spec"]["ports"]} <= ports, "a Service names no port of the pod")
    require(one(things, "PodDisruptionBudget")["spec"]["selector"] == {"matchLabels": APP}, "the budget is for others")
    policy = one(things, "NetworkPolicy")["spec"]
    require(policy["podSelector"] == {"matchLabels": APP}, "the network policy is for others")
    require(set(policy["policyTypes"]) == {"Ingress", "Egress"}, "the network policy leaves a direction open")
    for rule in policy["ingress"]:
        require(rule.get("from"), "everyone may come in")
        for peer in rule["from"]:
            wanted = peer.get("podSelector", {}).get("matchLabels")
            require(wanted == {"tidegauge-client": "true"}, f"those who may come in are {wanted}")
    instance = [v for v in container["env"] if v["name"] == "TIDEGAUGE_SOURCE_INSTANCE"]
    path = instance and instance[0].get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
    require(path == "metadata.name", "members of the group are not named for their pods")
    mounts = {m["name"]: m for m in container["volumeMounts"]}
    claims = {c["metadata"]["name"] for c in spec.get("volumeClaimTemplates", [])}
    require(set(mounts) == {v["name"] for v in pod["volumes"]} | claims, "volumes and mounts do not meet")
    configuration = next(v for v in pod["volumes"] if v["name"] == "configuration")["configMap"]["name"]
    require("tidegauge.toml" in one(things, "ConfigMap", configuration)["data"], "there is no configuration")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        require(probe in container, f"there is no {probe}")
        port = container[probe].get("httpGet", {}).get("port", "http")
        require(port in ports, f"{probe} asks port {port}")
    require(pod["terminationGracePeriodSeconds"] > 60, "the grace period is shorter than a last commit may take")
    require(not [t for t in things if t["kind"] == "Secret"], "a secret is written into the manifests")
    scaled(things, stateful)


def scaled(things, stateful):
    found = [t for t in things if t["kind"] == "ScaledObject"]
    if not found:
        require(stateful["spec"].get("replicas", 0) > 0, "nobody says how many pods there are")
        return
    spec = found[0]["spec"]
    target = spec["scaleTargetRef"]
    require((target["kind"], target["name"]) == ("StatefulSet", stateful["metadata"]["name"]), "another thing is scaled")
    require("replicas" not in stateful["spec"], "`kubectl apply` would undo the scaler's number")
    require(spec["minReplicaCount"] <= spec["maxReplicaCount"], "the least is above the most")
    require(spec["cooldownPeriod"] >= 60, "pods go before the last windows have closed")
    for trigger in spec["triggers"]:
        if "authenticationRef" in trigger:
            one(things, "TriggerAuthentication", trigger["authenticationRef"]["name"])


def check(things):
    for thing in things:
        fits_schema(thing)
    pod_is_restricted(one(things, "StatefulSet")["spec"]["template"]["spec"])
    names_meet(things)


def change(things, kind, path, value):
    """A copy in which the first object of a kind has another value at a path; None takes it away."""
    made = copy.deepcopy(things)
    place = next(t for t in made if t["kind"] == kind)
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


POD = ("spec", "template", "spec")
FIRST = (*POD, "containers", 0)
# Overlay, kind, path, value: each is a mistake.
MISTAKES = [
    ("base", "StatefulSet", ("spec", "replicas"), "two"),
    ("base", "StatefulSet", ("spec", "replica"), 2),
    ("base", "StatefulSet", ("spec", "serviceName"), "tidegauge"),
    ("base", "StatefulSet", (*POD, "securityContext", "runAsNonRoot"), False),
    ("base", "StatefulSet", (*POD, "automountServiceAccountToken"), True),
    ("base", "StatefulSet", (*POD, "hostNetwork"), True),
    ("base", "StatefulSet", (*POD, "volumes", 2), {"name": "state", "hostPath": {"path": "/"}}),
    ("base", "StatefulSet", (*POD, "terminationGracePeriodSeconds"), 30),
    ("base", "StatefulSet", (*FIRST, "securityContext", "readOnlyRootFilesystem"), None),
    ("base", "StatefulSet", (*FIRST, "securityContext", "capabilities"), {"add": ["NET_ADMIN"]}),
    ("base", "StatefulSet", (*FIRST, "livenessProbe", "httpGet", "port"), "https"),
    ("base", "StatefulSet", (*FIRST, "readinessProbe"), None),
    ("base", "StatefulSet", (*FIRST, "image"), "tidegauge:latest"),
    ("base", "StatefulSet", (*FIRST, "resources", "limits", "memory"), None),
    ("base", "StatefulSet", (*FIRST, "env", 0), {"name": "TIDEGAUGE_SOURCE_KAFKA_SASL_PASSWORD", "value": "x"}),
    ("base", "PodDisruptionBudget", ("spec", "selector"), {}),
    ("base", "NetworkPolicy", ("spec", "podSelector"), {}),
    ("base", "NetworkPolicy", ("spec", "ingress", 0, "from"), None),
    ("base", "NetworkPolicy", ("spec", "ingress", 0, "from", 0, "podSelector", "matchLabels"), APP),
    ("base", "ServiceAccount", ("kind",), "Secret"),
    ("scale-on-lag", "ScaledObject", ("spec", "minReplicas"), 0),
    ("scale-on-lag", "ScaledObject", ("spec", "cooldownPeriod"), 1),
    ("scale-on-lag", "ScaledObject", ("spec", "triggers", 0, "metadata", "lagThreshold"), 50000),
    ("scale-on-lag", "StatefulSet", ("spec", "replicas"), 2),
    ("azure-scale-on-lag", "TriggerAuthentication", ("spec", "secretTargetRef", 0, "parameter"), "passwort"),
    ("monitored", "PodMonitor", ("spec", "podMetricsEndpoints", 0, "targetport"), 1),
]


def refuses_mistakes(rendered):
    for overlay, kind, path, value in MISTAKES:
        try:
            check(change(rendered[overlay], kind, path, value))
        except Refused:
            continue
        except (KeyError, IndexError, AttributeError, TypeError) as error:
            raise Refused(f"{overlay}: {kind} {path}: the check fell over: {error!r}") from error
        raise Refused(f"{overlay}: {kind} {'.'.join(map(str, path))} = {value!r} is a mistake that nothing notices")


def configuration_is_read(things, binary):
    """tidegauge says what it thinks of the configuration under the variables of the pod."""
    stateful = one(things, "StatefulSet")
    text = next(t for t in things if t["kind"] == "ConfigMap")["data"]["tidegauge.toml"]
    env = {v["name"]: v["value"] for v in stateful["spec"]["template"]["spec"]["containers"][0]["env"] if "value" in v}
    # Nothing is there to connect to: the first line is about the configuration alone.
    env |= {"TIDEGAUGE_SOURCE_BROKERS": "127.0.0.1:1", "TIDEGAUGE_SOURCE_CONNECT_TIMEOUT": "100ms"}
    env |= {"TIDEGAUGE_SOURCE_INSTANCE": "tidegauge-0", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    env |= {"TIDEGAUGE_LAKE_URL": "lake"}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "tidegauge.toml"
        path.write_text(text)
        command = [binary, "check", "-c", str(path)]
        said = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    lines = said.stdout.splitlines()
    require(lines[:1] == ["configuration  ok"], f"tidegauge does not take the configuration: {said.stdout}{said.stderr}")
    require(lines[1].startswith("query          ok"), f"tidegauge does not take the query: {lines[1]}")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--binary", help="the program that reads the configurations")
    binary = arguments.parse_args().binary
    overlays = [MANIFESTS / "base", *sorted((MANIFESTS / "overlays").iterdir())]
    rendered = {}
    try:
        for overlay in overlays:
            things = render(overlay)
            try:
                check(things)
                if binary:
                    configuration_is_read(things, str(pathlib.Path(binary).resolve()))
            except Refused as error:
                raise Refused(f"{overlay.name}: {error}") from error
            rendered[overlay.name] = things
            print(f"{overlay.name}: {len(things)} objects")
        refuses_mistakes(rendered)
    except Refused as error:
        sys.exit(f"kubernetes: {error}")
    print(f"{len(MISTAKES)} deliberate mistakes are refused")


main()
