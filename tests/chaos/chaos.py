#!/usr/bin/env python3
"""Three processes on a real Kafka, killed, stopped and replaced all the time; then the proof.

Events are paced; every ten seconds one process is killed, stopped for longer than the session timeout
and continued, or replaced by a new one, each having committed since its last fault; the broker is killed
and restarted twice. In the end `tidegauge verify` has to prove the lake, and the lake has to equal what
DuckDB computes from the same events: 0 lost, 0 twice, 0 wrong.

    chaos.py --minutes 10            the storm
    chaos.py --takeovers 20          how long the lanes of a killed process stand still

Needs the Python package duckdb, and what deploy/kafka/kafka needs. Loopback only.
"""

import argparse
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cluster import ROOT, Kafka, Ledger, Member, Settings, wait_for
from judge import judge

# 330 devices of 10 sensors, each every 99 ms: one event each 30 us.
DEVICES, SENSORS, INTERVAL_MS = 330, 10, 99
PER_SECOND = DEVICES * SENSORS * 1000 / INTERVAL_MS
FAULT_EVERY_S = 10
BROKER_AWAY_S = 5


def say(begun, text):
    print(f"{time.monotonic() - begun:7.1f} s  {text}", flush=True)


def simulate(settings, args, events, target):
    command = [settings.binary, "simulate", "--devices", str(DEVICES), "--sensors", str(SENSORS)]
    command += ["--interval", f"{INTERVAL_MS}ms", "--jitter", "3s", "--seed", str(args.seed)]
    command += ["--start", "2026-01-01T00:00:00Z", "--events", str(events), *target]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


class Storm:
    """The faults of one run, drawn from a seed."""

    def __init__(self, settings, kafka, args):
        self.settings, self.kafka, self.args = settings, kafka, args
        self.random = random.Random(args.seed)
        self.begun = time.monotonic()
        self.ports = iter(range(args.port + 10, args.port + 2000))
        self.names = iter(f"m{i}" for i in range(10_000))
        self.members = [self.new_member() for _ in range(args.processes)]
        self.counts = {"kill": 0, "stop": 0, "replace": 0, "broker": 0, "left by itself": 0}
        self.proceed_at = {}
        self.takeovers = []

    def new_member(self):
        member = Member(self.settings, next(self.names), next(self.ports))
        member.start()
        return member

    def look(self):
        """Between faults: wakes who has slept long enough, restarts who has ended, counts commits."""
        now = time.monotonic()
        for member in self.members:
            if member in self.proceed_at and now >= self.proceed_at[member]:
                del self.proceed_at[member]
                member.proceed()
                member.reset()
            if not member.stopped and not member.alive():
                # A fenced member ends with an error: what supervises it starts it again.
                self.counts["left by itself"] += 1
                say(self.begun, f"{member.name} ended with {member.process.returncode}, started again: {member.last_words()}")
                member.start()
            member.look()

    def strike(self):
        """One fault for a process that has committed since its last one. False when there is none yet."""
        ready = [m for m in self.members if m.alive() and not m.stopped and m.committed > 0]
        if not ready:
            return False
        member = self.random.choice(ready)
        kind = self.random.choice(["kill", "stop", "replace"])
        self.counts[kind] += 1
        say(self.begun, f"{kind} {member.name}, which has committed {member.committed:.0f} epochs since its last fault")
        if kind == "kill":
            member.kill()
            member.start()
        elif kind == "stop":
            member.pause()
            self.proceed_at[member] = time.monotonic() + self.settings.session_s + 3
        else:
            member.kill() if self.random.random() < 0.5 else member.terminate()
            self.members[self.members.index(member)] = self.new_member()
        return True

    def run(self, producer, seconds):
        strikes = time.monotonic() + FAULT_EVERY_S
        outages = [self.begun + seconds * part for part in (1 / 3, 2 / 3)]
        while producer.poll() is None:
            self.look()
            now = time.monotonic()
            if outages and now >= outages[0]:
                outages.pop(0)
                self.outage()
            if now >= strikes and self.strike():
                strikes = time.monotonic() + FAULT_EVERY_S
            time.sleep(0.2)
        if producer.returncode != 0:
            raise SystemExit(f"chaos: the producer ended with {producer.returncode}")
        if outages:
            raise SystemExit("chaos: the broker was not killed twice: the run was too short")

    def outage(self):
        self.counts["broker"] += 1
        say(self.begun, f"broker killed, back in {BROKER_AWAY_S} s")
        self.kafka.kill()
        time.sleep(BROKER_AWAY_S)
        self.kafka.start()
        say(self.begun, "broker is back")

    def end(self):
        """Lets everybody go in order, then reads what is left to the end."""
        for member in self.members:
            member.proceed()
        for member in self.members:
            code = member.terminate()
            say(self.begun, f"{member.name} told to stop, ended with {code}")
        drain(self.settings)


def drain(settings):
    """Reads to the end of the topic and closes all windows."""
    last = Member(settings, "last", settings.kafka_port + 9)
    command = [settings.binary, "run", "-c", str(last.config), "--until-idle", "5s"]
    subprocess.run(command, check=True, timeout=600)


def prove(settings, events_file, expected, begun):
    verify = subprocess.run([settings.binary, "verify", str(settings.lake)], capture_output=True, text=True)
    print(verify.stdout + verify.stderr, end="")
    figures = judge(events_file, settings.lake)
    say(begun, "DuckDB: " + ", ".join(f"{name} {value}" for name, value in figures.items()))
    whole = figures["events"] == expected == figures["readings"]
    faults = [figures[name] for name in ("lost", "twice", "wrong", "strange")]
    if verify.returncode != 0 or not whole or any(faults):
        raise SystemExit("chaos: FAILED: the lake is not what the events say")
    say(begun, "0 lost, 0 twice, 0 wrong")


def storm(settings, kafka, args):
    events = int(args.minutes * 60 * PER_SECOND)
    file = settings.work / "events.ndjson"
    print(f"seed {args.seed}: {events} events at {PER_SECOND:.0f}/s, {args.processes} processes, "
          f"{settings.partitions} partitions, session timeout {settings.session_s} s, {settings.strategy}")
    copy = simulate(settings, args, events, ["--out", str(file), "--speed", "0"])
    if copy.wait() != 0:
        raise SystemExit("chaos: the events could not be written")
    create = ["--brokers", settings.brokers, "--topic", settings.topic]
    producer = simulate(settings, args, events, [*create, "--create", str(settings.partitions)])
    run = Storm(settings, kafka, args)
    try:
        run.run(producer, args.minutes * 60)
        say(run.begun, "all events are sent; faults: " + ", ".join(f"{k} {v}" for k, v in run.counts.items()))
        run.end()
    finally:
        producer.kill()
        for member in run.members:
            member.kill()
    prove(settings, file, events, run.begun)


def takeovers(settings, args):
    """SIGKILL to one of two; the clock stops at the other's first commit for every lost lane."""
    events = int((args.takeovers * (settings.session_s + 15) + 60) * PER_SECOND)
    target = ["--brokers", settings.brokers, "--topic", settings.topic, "--create", str(settings.partitions)]
    producer = simulate(settings, args, events, target)
    begun, times = time.monotonic(), []
    ledger = Ledger(settings.lake)
    names = iter(f"t{i}" for i in range(10_000))
    ports = iter(range(args.port + 10, args.port + 2000))
    members = []
    try:
        for _ in range(args.takeovers):
            while len(members) < 2:
                members.append(Member(settings, next(names), next(ports)))
                members[-1].start()
            half = settings.partitions // 2
            wait_for("both share the lanes and commit", lambda: balanced(members, half), 120)
            victim = members.pop(0)
            lost = sorted(victim.lanes() or {})
            before = ledger.newest()
            killed_us = time.time_ns() // 1000
            victim.kill()
            # What it wrote in its last moment is still its own.
            before = {lane: ledger.newest()[lane] for lane in lost if lane in before}

            def taken():
                return [ledger.first_commit_after(lane, r["epoch"], r["writer"]) for lane, r in before.items()]

            wait_for("the other commits for every lost lane", lambda: all(taken()), settings.session_s + 60)
            seconds = max(record["committed_at_us"] for record in taken()) - killed_us
            times.append(seconds / 1e6)
            say(begun, f"SIGKILL to the last of {len(lost)} lanes' first commit elsewhere: {times[-1]:.2f} s")
    finally:
        producer.kill()
        for member in members:
            member.kill()
    print(f"takeover of a killed process's lanes, {len(times)} times: median {statistics.median(times):.2f} s, "
          f"max {max(times):.2f} s (session timeout {settings.session_s} s, commit every 2 s)")


def balanced(members, half):
    for member in members:
        member.look()
    return all(m.committed >= half and len(m.seen) >= half for m in members)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target" / "debug" / "tidegauge"))
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--takeovers", type=int, default=0)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--session", type=int, default=6, help="session timeout of the group, seconds")
    parser.add_argument("--strategy", default="cooperative-sticky", help="partition.assignment.strategy")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--port", type=int, default=26092, help="Kafka's; the processes take those above")
    parser.add_argument("--keep", help="work in this new folder and keep it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        work = Path(args.keep or temporary)
        work.mkdir(parents=True, exist_ok=True)
        settings = Settings(work, args.binary, args.partitions, args.session, args.strategy, args.port)
        kafka = Kafka(settings)
        kafka.start()
        try:
            if args.takeovers:
                takeovers(settings, args)
            else:
                storm(settings, kafka, args)
        finally:
            kafka.clean()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
