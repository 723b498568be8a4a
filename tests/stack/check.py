#!/usr/bin/env python3
"""The stack that people run, run: deploy/compose.yaml and its relatives on a real Docker with a built tidegauge.

  check.py --binary TIDEGAUGE [--docker own|running] [--only local|secured]

Starts a Docker of its own (or takes the one that runs), makes the images from Debian's packages and Maven's jars, and
then: the local stack (events flow, rows are scored, Prometheus sees everything, keys keep strangers out, containers
may do little, a killed tidegauge loses nothing, `down -v` leaves nothing), the stack with SASL_SSL, and the one for Azure
against that Kafka and an Azure Blob server (TIDEGAUGE_TEST_AZURE names it; without it that part is left out).
Grafana has no stand-in: it is left out.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from daemon import Docker

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
STARTED = time.monotonic()
# The account that every Azure emulator has.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
PASSWORD = "Endpoint=sb://localhost/;SharedAccessKeyName=local;SharedAccessKey=bG9jYWw="


def say(text):
    print(f"{time.monotonic() - STARTED:5.0f} s  {text}", flush=True)


def require(holds, what):
    if not holds:
        raise SystemExit(f"stack: {what}")


class Failed(SystemExit):
    """A command that did not do what it should."""


def output(command, fails=False, **more):
    """What a command says on standard output; an end that is not the expected one ends the test."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **more)
    if (done.returncode != 0) != fails:
        words = " ".join(map(str, command))
        raise Failed(f"stack: {words} ended with {done.returncode}: {done.stdout[-1500:]}{done.stderr[-3000:]}")
    return done.stdout


def until(what, seconds, look):
    """What `look` gives, once it gives something; it may fail in between."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            found = look()
            if found:
                say(f"{what}: {found if not isinstance(found, bool) else 'yes'}")
                return found
        except (OSError, ValueError, KeyError, Failed) as error:
            last = error
        time.sleep(0.5)
    raise SystemExit(f"stack: after {seconds} s: not {what}" + (f" ({last})" if last else ""))


class Unfollowed(urllib.request.HTTPRedirectHandler):
    """Redirects are answers like others."""

    def redirect_request(self, *_):
        return None


BROWSER = urllib.request.build_opener(Unfollowed)


def get(url, key=None, method="GET", body=None):
    """Status and text of an answer."""
    request = urllib.request.Request(url, method=method, data=body)
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    if body:
        request.add_header("Content-Type", "application/json")
    try:
        with BROWSER.open(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Stack:
    """One compose project."""

    def __init__(self, name, files, variables):
        self.name, self.files = name, files
        self.env = {**os.environ, **variables}
        self.ids = {}
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        self.tool = ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]

    def __call__(self, *arguments, **more):
        files = [word for file in self.files for word in ("-f", str(file))]
        return output([*self.tool, "-p", self.name, *files, *arguments], env=self.env, **more)

    def id(self, service):
        if service not in self.ids:
            # Without compose, which takes its time to start.
            labels = [f"com.docker.compose.project={self.name}", f"com.docker.compose.service={service}"]
            filters = [word for label in labels for word in ("--filter", f"label={label}")]
            found = output(["docker", "ps", "-a", "-q", "--no-trunc", *filters]).split()
            require(len(found) == 1, f"there are {len(found)} containers of {service}")
            self.ids[service] = found[0]
        return self.ids[service]

    def inspect(self, service):
        return json.loads(output(["docker", "inspect", self.id(service)]))[0]

    def logs(self, service):
        done = subprocess.run(["docker", "logs", self.id(service)], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def query(self, lake, sql):
        """The first value of the first row."""
        query = ["docker", "exec", self.id("tidegauge"), "tidegauge", "query", "--lake", lake, "--format", "json", sql]
        row = output(query).strip().splitlines()
        return next(iter(json.loads(row[0]).values())) if row else None

    def file(self, service, path):
        """Bytes and mode of a file in a running container."""
        copy = subprocess.run(["docker", "cp", f"{self.id(service)}:{path}", "-"], capture_output=True, check=False)
        require(copy.returncode == 0, f"{service} has no {path}")
        with tempfile.TemporaryFile() as file:
            file.write(copy.stdout)
            file.seek(0)
            with tarfile.open(fileobj=file) as archive:
                member = archive.getmembers()[0]
                return archive.extractfile(member).read(), member.mode & 0o777

    def down(self):
        self("down", "-v", "--remove-orphans", "-t", "10")
        label = f"label=com.docker.compose.project={self.name}"
        for what in (["ps", "-a"], ["volume", "ls"], ["network", "ls"]):
            left = output(["docker", *what, "-q", "--filter", label])
            require(not left.strip(), f"`down -v` leaves {what[0]} {left.split()}")
        say(f"{self.name}: `down -v` leaves nothing")


def images(binary):
    """Variables that name the images, made where they are missing."""
    made = output([DEPLOY / "local-images.sh", "tidegauge", binary, "kafka", "prometheus"])
    variables = dict(line.split("=", 1) for line in made.splitlines())
    image = variables["TIDEGAUGE_IMAGE"]
    about = json.loads(output(["docker", "image", "inspect", image]))[0]
    say(f"images are there; {image} has {about['Size'] / 1e6:.0f} MB")
    config = about["Config"]
    require(config["User"] == "10001:10001", f"the image's user is {config['User']!r}")
    require(config.get("Healthcheck"), "the image has no health check")
    for label in ("title", "version", "revision", "licenses", "base.name"):
        require(config["Labels"].get(f"org.opencontainers.image.{label}"), f"the image has no label {label}")
    debian = json.loads(output([DEPLOY / "sbom", "debian", image]))
    named = {part["name"] for part in debian["components"]}
    require({"libc6", "libssl3", "ca-certificates"} <= named, f"the image's list of packages is {named}")
    say(f"the image's bill of materials names {len(named)} packages of Debian")
    return variables


def metric(url, name, key):
    """The sum of a metric over its labels."""
    status, text = get(f"{url}/metrics", key)
    require(status == 200, f"/metrics answers {status}")
    values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for value in values)


def contained(stack, services):
    """What containers may do."""
    for service in services:
        about = stack.inspect(service)
        host = about["HostConfig"]
        require(host["CapDrop"] == ["ALL"] and not host["CapAdd"], f"{service} keeps capabilities")
        require("no-new-privileges:true" in host["SecurityOpt"], f"{service} may gain privileges")
        require(host["Memory"] > 0, f"{service} has no limit of memory")
        require(host["LogConfig"]["Config"].get("max-size"), f"{service}'s log grows without end")
        for bound in (host["PortBindings"] or {}).values():
            require(all(port["HostIp"] == "127.0.0.1" for port in bound), f"{service} listens beyond this machine")
    for service in ("tidegauge", "simulator", "prometheus"):
        require(stack.inspect(service)["HostConfig"]["ReadonlyRootfs"], f"{service} may write to its image")
    status = pathlib.Path(f"/proc/{stack.inspect('tidegauge')['State']['Pid']}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    require(fields["Uid"].split() == ["10001"] * 4, f"tidegauge runs as {fields['Uid']}")
    require(int(fields["CapBnd"], 16) == 0 and fields["NoNewPrivs"] == "1", "tidegauge keeps capabilities")
    # `docker exec` runs in the container as its user does.
    write = ["docker", "exec", stack.id("tidegauge"), "tidegauge", "simulate", "--events", "1", "--out"]
    refused = subprocess.run([*write, "/etc/x"], capture_output=True, text=True, check=False)
    require(refused.returncode != 0 and "Read-only file system" in refused.stderr, f"/etc/x: {refused.stderr}")
    output([*write, "/tmp/x"])
    say("containers run as nobody in particular, without capabilities, on a root that is read-only")


def guarded(stack, url, keys):
    """Who may ask what."""
    for path in ("/", "/metrics", "/health/ready", "/api/v1/overview"):
        for key in (None, "wrong"):
            status, _ = get(f"{url}{path}", key)
            require(status in ((401, 303) if path == "/" else (401,)), f"{path} answers {status} to {key} key")
    require(get(f"{url}/health/live")[0] == 200, "/health/live is not open")
    for path in ("/metrics", "/health/ready"):
        status, text = get(f"{url}{path}", keys["view"])
        require(status == 200, f"{path} answers {status} to the view key: {text[:200]}")
    body = json.dumps({"alias": "champion"}).encode()
    status, _ = get(f"{url}/api/v1/models/rollback", keys["view"], "POST", body)
    require(status == 403, f"a view key moves an alias: {status}")
    prometheus = stack.id("prometheus")
    read = subprocess.run(["docker", "exec", prometheus, "cat", "/keys/view"], capture_output=True, text=True, check=False)
    require(read.stdout.strip() == keys["view"], "Prometheus cannot read the view key")
    for name in ("operate", "score"):
        read = subprocess.run(["docker", "exec", prometheus, "cat", f"/keys/{name}"], capture_output=True, check=False)
        require(read.returncode != 0, f"Prometheus can read /keys/{name}")
    hashes = stack.file("tidegauge", "/keys/keys.toml")[0].decode()
    require(not any(key in hashes for key in keys.values()), "a key is in keys.toml as it is")
    say("without a key: 401 for all but liveness; a view key can't operate; Prometheus reads the view key only")


def past(stack, lake):
    """How many rows there are, once they are those of an hour: 15 sensors with 720 windows each."""
    rows = stack.query(lake, "SELECT count(*) AS n FROM predictions")
    return rows >= 10_700 and f"{rows} rows"


def watched(port):
    """Prometheus has every target up, and its rules load."""
    api = f"http://127.0.0.1:{port}/api/v1"

    def up():
        targets = json.loads(get(f"{api}/targets")[1])["data"]["activeTargets"]
        jobs = sorted({target["labels"]["job"] for target in targets})
        return targets and all(target["health"] == "up" for target in targets) and jobs

    until("every target of Prometheus is up", 60, up)
    groups = json.loads(get(f"{api}/rules")[1])["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"] if rule["type"] == "alerting"]
    expected = len(re.findall(r"^\s*- alert:", (DEPLOY / "prometheus" / "alerts.yml").read_text(), re.MULTILINE))
    require(expected and len(rules) == expected, f"{len(rules)} rules are loaded of {expected}")
    until("no alert rule fails", 40, lambda: rules_are_well(api))


def rules_are_well(api):
    groups = json.loads(get(f"{api}/rules")[1])["data"]["groups"]
    health = [rule["health"] for group in groups for rule in group["rules"]]
    require("err" not in health, f"alert rules fail: {[r for g in groups for r in g['rules'] if r['health'] == 'err']}")
    return set(health) == {"ok"} and f"{len(health)} rules"


def killed(stack, url, keys):
    """A SIGKILL in the middle loses nothing."""
    output(["docker", "kill", "-s", "KILL", stack.id("tidegauge")])
    say("tidegauge is killed")
    stack("up", "-d", "--no-deps", "tidegauge")
    until("it is ready again", 90, lambda: get(f"{url}/health/ready", keys["view"])[0] == 200)
    # What was sent is what the simulator says at its end.
    stack("stop", "-t", "30", "simulator")
    sent = re.findall(r"^(\d+) events in", stack.logs("simulator"), re.MULTILINE)
    require(len(sent) == 1, f"the simulator said: {stack.logs('simulator')[-500:]}")
    stack("stop", "-t", "30", "tidegauge")
    require(stack.inspect("tidegauge")["State"]["ExitCode"] == 0, "tidegauge does not end well")
    # What it had not read yet; windows stay open.
    once = ["run", "--rm", "--no-deps", "-T", "tidegauge"]
    stack(*once, "run", "-c", "/etc/tidegauge/tidegauge.toml", "--until-idle", "3s", "--leave-open")
    proof = json.loads(stack(*once, "verify", "/lake", "--json"))
    return proof, int(sent[0])


def local(variables):
    """deploy/compose.yaml."""
    ports = {name: free_port() for name in ("TIDEGAUGE_PORT", "KAFKA_PORT", "PROMETHEUS_PORT")}
    stack = Stack("tidegauge-check", [DEPLOY / "compose.yaml"], {**variables, **{k: str(v) for k, v in ports.items()}})
    url = f"http://127.0.0.1:{ports['TIDEGAUGE_PORT']}"
    services = ["kafka", "topics", "keys", "tidegauge", "simulator", "training", "prometheus"]
    try:
        stack("up", "-d", *services)
        say("up; left out: grafana, for which there is no stand-in")
        keys = {name: stack.file("tidegauge", f"/keys/{name}")[0].decode().strip() for name in ("view", "score", "operate")}
        until("tidegauge is ready", 90, lambda: get(f"{url}/health/ready", keys["view"])[0] == 200)
        contained(stack, [s for s in services if s not in ("topics", "keys")])
        guarded(stack, url, keys)
        until("the hour of the past in the lake", 90, lambda: past(stack, "/lake"))
        require(metric(url, "tidegauge_ingest_readings_total", keys["view"]) > 0, "no readings are counted")
        scored = "SELECT count(*) AS n FROM predictions WHERE status = 'ok'"
        until("rows with a verdict", 180, lambda: stack.query("/lake", scored))
        watched(ports["PROMETHEUS_PORT"])
        proof, sent = killed(stack, url, keys)
        say(f"{sent} events sent; verify says {json.dumps(proof)[:300]}")
        require(proof["readings"] == sent, f"the lake has {proof['readings']} readings of {sent}")
        stack.down()
    except SystemExit:
        for service in ("tidegauge", "training", "simulator"):
            print(f"-- {service}:\n{stack.logs(service)[-2000:]}", file=sys.stderr)
        raise


def forward(address, target):
    """Passes connections on from one address to another, for a server that listens on loopback only."""
    listener = socket.create_server((address, 0))

    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve():
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(target)
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def secured(variables):
    """compose.sasl.yaml, and compose.azure.yaml against its Kafka."""
    ports = {name: str(free_port()) for name in ("TIDEGAUGE_PORT", "KAFKA_PORT")}
    files = [DEPLOY / "compose.yaml", DEPLOY / "compose.sasl.yaml"]
    stack = Stack("tidegauge-sasl", files, {**variables, **ports})
    url = f"http://127.0.0.1:{ports['TIDEGAUGE_PORT']}"
    try:
        stack("up", "-d", "certificates", "kafka", "topics", "keys", "tidegauge", "simulator")
        key = stack.file("tidegauge", "/keys/view")[0].decode().strip()
        until("tidegauge is ready behind SASL_SSL", 90, lambda: get(f"{url}/health/ready", key)[0] == 200)
        until("the hour of the past in the lake", 90, lambda: past(stack, "/lake"))
        # Nothing of the secrets is for everyone but the authority's certificate.
        for name, mode in (("ca.pem", 0o644), ("broker.jaas", 0o600), ("client.properties", 0o600), ("broker.p12", 0o600)):
            found = stack.file("kafka", f"/etc/kafka/secrets/{name}")[1]
            require(found == mode, f"{name} has mode {found:o}")
        wrong = ["run", "--rm", "--no-deps", "-T", "-e", "TIDEGAUGE_SOURCE_KAFKA_SASL_PASSWORD=wrong", "tidegauge"]
        said = stack(*wrong, "check", "-c", "/etc/tidegauge/tidegauge.toml", fails=True)
        require("FAILED" in said and "wrong" not in said, f"with a wrong password: {said}")
        say(f"with a wrong password: {next(line for line in said.splitlines() if 'FAILED' in line)}")
        azure(stack, variables)
        stack.down()
    except SystemExit:
        for service in ("kafka", "tidegauge", "simulator"):
            print(f"-- {service}:\n{stack.logs(service)[-2000:]}", file=sys.stderr)
        raise


def azure(hub, variables):
    """compose.azure.yaml with the example's variables, its endpoints those of this machine."""
    blobs = os.environ.get("TIDEGAUGE_TEST_AZURE")
    if not blobs:
        require(os.environ.get("CI") != "true", "there is no Azure Blob server: the stack for Azure would not have run")
        say("TIDEGAUGE_TEST_AZURE is not set: the stack for Azure is left out")
        return
    network = f"{hub.name}_default"
    about = json.loads(output(["docker", "network", "inspect", network]))[0]
    gateway = about["IPAM"]["Config"][0]["Gateway"]
    place = urllib.parse.urlsplit(blobs)
    port = forward(gateway, (place.hostname, place.port))
    lake = f"az://tidegauge/stack-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        filled = {
            "TIDEGAUGE_SOURCE_BROKERS": "kafka:9094",
            "TIDEGAUGE_SOURCE_TOPIC": "sensors",
            "TIDEGAUGE_SOURCE_GROUP": "azure",
            "TIDEGAUGE_SOURCE_KAFKA_SASL_PASSWORD": PASSWORD,
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
            "TIDEGAUGE_LAKE_URL": lake,
        }
        example = (DEPLOY / "azure.env.example").read_text()
        named = set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
        require(named == set(filled), f"the example names {named ^ set(filled)} or lacks it")
        endpoints = {
            "AZURE_STORAGE_ENDPOINT": f"http://{gateway}:{port}/{ACCOUNT}",
            "AZURE_ALLOW_HTTP": "true",
            "TIDEGAUGE_SOURCE_KAFKA_SSL_CA_LOCATION": "/etc/hub/ca.pem",
        }
        (folder / "azure.env").write_text("".join(f"{k}={v}\n" for k, v in {**filled, **endpoints}.items()))
        # The network where this hub is, and its authority.
        service = {"networks": ["default", "hub"], "volumes": ["secrets:/etc/hub:ro"]}
        override = {
            "services": {"tidegauge": service, "training": {"networks": ["default", "hub"]}},
            "networks": {"hub": {"external": True, "name": network}},
            "volumes": {"secrets": {"external": True, "name": f"{hub.name}_secrets"}},
        }
        (folder / "here.json").write_text(json.dumps(override))
        more = {"AZURE_ENV": str(folder / "azure.env"), "TIDEGAUGE_PORT": str(free_port())}
        stack = Stack("tidegauge-azure", [DEPLOY / "compose.azure.yaml", folder / "here.json"], {**variables, **more})
        try:
            stack("up", "-d", "keys", "tidegauge", "training")
            scored = "SELECT count(*) AS n FROM predictions WHERE status = 'ok'"
            until("rows with a verdict in Azure Blob", 180, lambda: stack.query(lake, scored))
            output(["docker", "stop", "-t", "30", stack.id("tidegauge")])
            # `run` takes the service's variables, and so its account.
            proof = json.loads(stack("run", "--rm", "--no-deps", "-T", "tidegauge", "verify", lake, "--json"))
            say(f"verify in Azure Blob says {json.dumps(proof)[:300]}")
            stack.down()
        except SystemExit:
            for service in ("tidegauge", "training"):
                print(f"-- {service}:\n{stack.logs(service)[-2000:]}", file=sys.stderr)
            raise


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--binary", required=True, help="a tidegauge that was built on Debian 12 or older")
    arguments.add_argument("--docker", choices=["own", "running"], default="own")
    arguments.add_argument("--only", choices=["local", "secured"], help="one half of it")
    given = arguments.parse_args()
    # An end from outside takes down what was started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stack: stopped from outside"))
    require(shutil.which("docker"), "docker is not installed")
    binary = str(pathlib.Path(given.binary).resolve())

    def run():
        variables = images(binary)
        if given.only != "secured":
            local(variables)
        if given.only != "local":
            secured(variables)

    if given.docker == "running":
        run()
    else:
        require(shutil.which("dockerd"), "dockerd is not installed")
        folder = pathlib.Path(tempfile.mkdtemp()) / "docker"
        with Docker(folder):
            say("dockerd runs")
            run()
        folder.parent.rmdir()
    say("the stack holds")


main()
