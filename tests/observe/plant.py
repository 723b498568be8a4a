"""A stream to be observed, on one Kafka: simulated sensors, one `tidegauge run`, a Prometheus that scrapes it by the
rules of deploy/prometheus. Loopback only."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PARTITIONS = 2
PATIENCE_S = 150

QUERY = """SELECT "Device", "Sensor", avg("Value") AS mean, min("Value") AS low, max("Value") AS high
  FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '2 seconds')"""


class Plant:
    """A topic, a lake and the processes around them. `settings` are lines of TOML by section."""

    def __init__(self, args, work, settings=None, lake=None):
        self.args, self.work = args, Path(work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.lake = Path(lake or self.work / "lake")
        self.config = self.work / "tidegauge.toml"
        self.topic = f"observe-{self.work.name}-{os.getpid()}-{int(time.time())}"
        self.port, self.prometheus_port = free_port(), free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.prometheus = f"http://127.0.0.1:{self.prometheus_port}"
        self.processes = []
        self.configure(settings or {})

    def configure(self, settings, group=None, port=None, name="tidegauge.toml"):
        """Writes the configuration; the path."""
        text = f"""
[source]
brokers = "{self.args.brokers}"
topic = "{self.topic}"
group = "{group or self.topic}"
threads = 2
{settings.get("source", "")}
[event]
time = "TS"
key = [{{ name = "Device", type = "int64" }}, {{ name = "Sensor", type = "int64" }}]
values = ["Value"]
[window]
query = '''
{QUERY}'''
{settings.get("window", 'out_of_order = "1s"')}
{settings.get("models", "")}
[lake]
url = "{self.lake}"
commit_every = "1s"
maintain_every = "10s"
{settings.get("lake", "")}
[http]
listen = "127.0.0.1:{port or self.port}"
{settings.get("end", "")}
"""
        path = self.work / name
        path.write_text(text)
        return path

    def command(self, *words):
        return [self.args.binary, *map(str, words)]

    def env(self):
        return {**os.environ, "XDG_STATE_HOME": str(self.work / "state")}

    def ok(self, *words):
        """Runs a command of the binary that must succeed; what it prints."""
        ended = subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                               env=self.env(), cwd=self.work)
        if ended.returncode != 0:
            raise Failed(f"tidegauge {' '.join(map(str, words))}:\n{ended.stdout}{ended.stderr}")
        return ended.stdout

    def spawn(self, *words, name):
        """Starts a command of the binary; its log is `name`.log."""
        out = (self.work / f"{name}.log").open("ab")
        process = subprocess.Popen(self.command(*words), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   env=self.env(), cwd=self.work)
        self.processes.append(process)
        return process

    def run(self, config=None, name="run"):
        process = self.spawn("run", "-c", config or self.config, "--log-level", "info", name=name)
        return process

    def said(self, name="run"):
        return (self.work / f"{name}.log").read_text(errors="replace")

    def topic_words(self):
        return ["--brokers", self.args.brokers, "--topic", self.topic]

    def make_topic(self):
        self.ok("simulate", *self.topic_words(), "--create", PARTITIONS, "--events", 0, "--start", iso(-1))

    def simulate(self, *more, name="simulate", interval="250ms"):
        """Readings as they come, until stopped."""
        return self.spawn("simulate", *self.topic_words(), "--devices", 2, "--sensors", 3, "--shape", "gaussian",
                          "--interval", interval, *more, name=name)

    def train(self, *more):
        """Models of an hour of made-up readings, published under the configured alias."""
        before = self.work / "before.jsonl"
        if not before.exists():
            self.ok("simulate", "--devices", 2, "--sensors", 3, "--shape", "gaussian", "--interval", "250ms",
                    "--start", iso(-3600), "--seconds", 1800, "--speed", 0, "--out", before)
        return self.ok("train", before, "-c", self.config, *more)

    def write_lines(self, lines):
        """Messages as they are, by Kafka's own producer."""
        tool = [str(DEPLOY / "kafka/kafka"), "tool", "org.apache.kafka.tools.ConsoleProducer",
                "--bootstrap-server", self.args.brokers, "--topic", self.topic]
        subprocess.run(tool, input="\n".join(lines) + "\n", text=True, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=120)

    def start_prometheus(self, scale=1):
        """Prometheus on loopback with the stack's own rules; `scale` shortens all their times."""
        home = self.work / "prometheus"
        home.mkdir()
        settings = (DEPLOY / "prometheus/prometheus.yml").read_text()
        settings = re.sub(r"scrape_interval: \w+", "scrape_interval: 1s", settings)
        settings = re.sub(r"scrape_timeout: \w+", "scrape_timeout: 1s", settings)
        settings = re.sub(r"evaluation_interval: \w+", "evaluation_interval: 1s", settings)
        settings, keys = re.subn(r"    authorization:\n      credentials_file: .*\n", "", settings)
        settings, targets = re.subn(r'"tidegauge:8787"', f'"127.0.0.1:{self.port}"', settings)
        assert keys == 1 and targets == 1, "deploy/prometheus/prometheus.yml is not as this test knows it"
        (home / "prometheus.yml").write_text(settings)
        (home / "alerts.yml").write_text(scaled((DEPLOY / "prometheus/alerts.yml").read_text(), scale))
        out = (self.work / "prometheus.log").open("wb")
        process = subprocess.Popen(
            [self.args.prometheus, f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data",
             f"--web.listen-address=127.0.0.1:{self.prometheus_port}"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.processes.append(process)
        wait_for(lambda: fetch(f"{self.prometheus}/-/ready") is not None, "Prometheus to be ready")

    def metrics(self):
        """The text of /metrics; None without an answer."""
        return fetch(f"{self.address}/metrics")

    def total(self, name, **labels):
        """The sum of a metric's series; 0 without any."""
        text = self.metrics() or ""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in text.splitlines() if re.match(rf"{name}[{{ ]", line)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(w in line for w in wanted))

    def ask(self, base, path, **parameters):
        """The data of an answer of Prometheus' API."""
        url = f"{base}/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}"
        text = fetch(url, failed=True)
        answer = json.loads(text) if text else {"status": "error", "error": "no answer"}
        if answer["status"] != "success":
            raise Failed(f"{path} {parameters}: {answer.get('error')}")
        return answer["data"]

    def alerts(self):
        """State by name of the rules that Prometheus evaluates: inactive, pending or firing."""
        groups = self.ask(self.prometheus, "rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        bad = [rule for rule in rules if rule["health"] == "err"]
        if bad:
            raise Failed(f"rules that cannot be evaluated: {bad}")
        return {rule["name"]: rule["state"] for rule in rules}

    def wait_alert(self, name, state):
        wait_for(lambda: self.alerts().get(name) == state, f"{name} to be {state}", say=self.explain(name))

    def explain(self, name):
        def say():
            rules = [r for g in self.ask(self.prometheus, "rules")["groups"] for r in g["rules"]]
            return [rule for rule in rules if rule["name"] == name]
        return say

    def stop(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        return process.wait(timeout=60)

    def end(self):
        """Nothing of it stays, however it went."""
        for process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
                process.wait()
        tool = [str(DEPLOY / "kafka/kafka"), "tool", "org.apache.kafka.tools.TopicCommand",
                "--bootstrap-server", self.args.brokers, "--delete", "--topic", self.topic]
        subprocess.run(tool, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)


class Failed(RuntimeError):
    """What was to be seen was not."""


def scaled(text, scale):
    """Rules whose times are `scale` times as short, and at least four seconds: four scrapes."""
    seconds = {"s": 1, "m": 60, "h": 3600}

    def shorter(found):
        return f"{found[1]}{max(4, int(found[2]) * seconds[found[3]] // scale)}s{found[4]}"

    text = re.sub(r"(\[)(\d+)([smh])(\])", shorter, text)
    return re.sub(r"(for: )(\d+)([smh])(\n)", shorter, text)


def fetch(url, failed=False):
    """The text of a page; None without an answer. With `failed` also that of a refusal."""
    try:
        with urllib.request.urlopen(url, timeout=30) as page:
            return page.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode() if failed else None
    except (OSError, urllib.error.URLError):
        return None


def wait_for(done, what, seconds=PATIENCE_S, say=None):
    """Asks twice a second until it is so; what it says."""
    end = time.monotonic() + seconds
    while True:
        answer = done()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failed(f"waited {seconds} s in vain for {what}" + (f": {say()}" if say else ""))
        time.sleep(0.5)


def iso(seconds):
    """A time so many seconds from now."""
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def options(parser):
    """What each of these tests takes."""
    parser.add_argument("--binary", default=str(ROOT / "target/debug/tidegauge"))
    parser.add_argument("--brokers", required=True, help="Kafka's bootstrap address")
    parser.add_argument("--prometheus", default=shutil.which("prometheus") or "prometheus")
    parser.add_argument("--promtool", default=shutil.which("promtool") or "promtool")
    parser.add_argument("--work", help="where lakes and logs are made [default: a temporary folder]")
