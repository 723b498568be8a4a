"""A Kafka and some tidegauge processes on loopback, to be killed, stopped and replaced."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KAFKA = ROOT / "deploy" / "kafka" / "kafka"

QUERY = """SELECT "Device", "Sensor", count(*) AS n, avg("Value") AS mean, min("Value") AS low,
  max("Value") AS high, stddev("Value") AS spread
  FROM readings GROUP BY "Device", "Sensor", tumble("TS", INTERVAL '5 seconds')"""


class Settings:
    """What all parts of one run share."""

    def __init__(self, work, binary, partitions, session_s, strategy, port):
        self.work = Path(work)
        self.binary = str(binary)
        self.partitions = partitions
        self.session_s = session_s
        self.strategy = strategy
        self.kafka_port = port
        self.topic = "chaos"
        self.lake = self.work / "lake"

    @property
    def brokers(self):
        return f"127.0.0.1:{self.kafka_port}"


class Kafka:
    """One broker; `kill` and `start` keep its data."""

    def __init__(self, settings):
        self.directory = settings.work / "kafka"
        self.port = settings.kafka_port

    def _run(self, *words):
        subprocess.run(["bash", str(KAFKA), *words], check=True, stdout=subprocess.DEVNULL)

    def start(self):
        self._run("start", str(self.directory), str(self.port))

    def kill(self):
        self._run("kill", str(self.directory))

    def clean(self):
        self._run("clean", str(self.directory))


class Member:
    """One tidegauge process under a name; may live several times."""

    def __init__(self, settings, name, port):
        self.settings = settings
        self.name = name
        self.port = port
        self.process = None
        self.seen = {}
        self.committed = 0
        self.lives = 0
        self.stopped = False
        self.config = settings.work / f"{name}.toml"
        self.log = settings.work / f"{name}.log"
        self.config.write_text(self._text())

    def _text(self):
        s = self.settings
        return f"""
[source]
kind = "kafka"
brokers = "{s.brokers}"
topic = "{s.topic}"
group = "chaos"
instance = "{self.name}"
[source.kafka]
"session.timeout.ms" = "{s.session_s * 1000}"
"partition.assignment.strategy" = "{s.strategy}"
[event]
time = "TS"
key = [{{ name = "Device", type = "int64" }}, {{ name = "Sensor", type = "int64" }}]
values = ["Value"]
[window]
query = '''
{QUERY}'''
out_of_order = "5s"
[lake]
url = "{s.lake}"
commit_every = "2s"
[http]
listen = "127.0.0.1:{self.port}"
"""

    def last_words(self):
        """The last line of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"

    def start(self):
        out = self.log.open("ab")
        command = [self.settings.binary, "run", "-c", str(self.config)]
        self.process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        self.lives += 1
        self.stopped = False
        self.reset()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def reset(self):
        """From here on commits count anew."""
        self.committed = 0
        self.seen = {}

    def signal(self, number):
        if self.alive():
            os.kill(self.process.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def pause(self):
        self.signal(signal.SIGSTOP)
        self.stopped = True

    def proceed(self):
        self.signal(signal.SIGCONT)
        self.stopped = False

    def terminate(self, seconds=60):
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def lanes(self):
        """Commits of each lane that the process holds, as its metrics say; None without an answer."""
        try:
            url = f"http://127.0.0.1:{self.port}/metrics"
            with urllib.request.urlopen(url, timeout=2) as answer:
                text = answer.read().decode()
        except (OSError, urllib.error.URLError):
            return None
        pattern = r'^tidegauge_sink_commits_total\{lane="([^"]+)"\} (\S+)$'
        return {lane: float(n) for lane, n in re.findall(pattern, text, re.M)}

    def look(self):
        """Adds what was committed since the last look. Lanes come and go, so sums would not do."""
        lanes = None if self.stopped or not self.alive() else self.lanes()
        if lanes is None:
            return
        for lane, count in lanes.items():
            if lane in self.seen:
                self.committed += max(0, count - self.seen[lane])
        self.seen = lanes


class Ledger:
    """The records of the lake's lanes, read as the plain JSON files that they are."""

    def __init__(self, lake):
        self.folder = Path(lake) / "_tidegauge" / "ledger"

    def newest(self):
        """The newest record of each lane."""
        found = {}
        for lane in sorted(self.folder.iterdir()) if self.folder.is_dir() else []:
            names = sorted(p.name for p in lane.iterdir() if re.fullmatch(r"\d{20}\.json", p.name))
            if names:
                found[lane.name] = self.read(lane.name, int(names[-1][:20]))
        return found

    def read(self, lane, epoch):
        path = self.folder / lane / f"{epoch:020}.json"
        return json.loads(path.read_text())["body"] if path.exists() else None

    def first_commit_after(self, lane, epoch, writer):
        """The first record after `epoch` in which another writer committed readings."""
        while True:
            epoch += 1
            record = self.read(lane, epoch)
            if record is None:
                return None
            if record["writer"] != writer and record["kind"] == "epoch" and record["counters"]["messages"]:
                return record


def wait_for(what, condition, seconds):
    """Waits until `condition` holds; says what did not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"chaos: waited {seconds} s in vain: {what}")
        time.sleep(0.05)
