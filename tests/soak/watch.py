"""What is read off the watched process: its metrics, its memory, its registry and its lake."""

import re
import time
from dataclasses import dataclass
from pathlib import Path


def by_label(text, name, label="lane"):
    """The values of a metric by one of its labels, summed over the others."""
    found = {}
    for labels, value in re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text, re.M):
        key = re.search(rf'\b{label}="([^"]*)"', labels)
        if key:
            found[key[1]] = found.get(key[1], 0.0) + float(value)
    return found


def total(text, name):
    """The sum of a metric over all labels; 0 when it is not there."""
    values = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.M)
    return sum(float(value) for value in values)


def memory_mb(pid):
    """Resident memory, and the part of it that is no file's."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = {key: int(n) for key, n in re.findall(r"^(VmRSS|RssAnon):\s+(\d+) kB$", status, re.M)}
    return kib["VmRSS"] / 1024, kib["RssAnon"] / 1024


def files_of(folder):
    """Number and bytes of the files below a folder; one that goes away meanwhile does not count."""
    count = size = 0
    for path in Path(folder).rglob("*"):
        try:
            if path.is_file():
                count, size = count + 1, size + path.stat().st_size
        except FileNotFoundError:
            continue
    return count, size


class Lanes:
    """How long each lane's count of commits has stood still, looked at about once a second."""

    def __init__(self):
        self.seen = {}
        self.longest_s = 0.0

    def look(self, text):
        now = time.monotonic()
        for lane, commits in by_label(text, "tidegauge_sink_commits_total").items():
            before, since = self.seen.get(lane, (None, now))
            if commits == before:
                self.longest_s = max(self.longest_s, now - since)
            else:
                self.seen[lane] = (commits, now)

    def __len__(self):
        return len(self.seen)


@dataclass
class Sample:
    """One line of the table."""

    at_s: float
    rss_mb: float
    anon_mb: float
    commits: int
    gap_s: float
    stall_max_s: float
    lag: int
    fitted: int
    failed: int
    waiting: int
    sets: int
    sets_mb: float
    moves: int
    files: int
    ledger: int
    lake_mb: float

    HEAD = (
        "  wall s  RSS MB  anon MB  commits  gap s  stall s    lag  fitted  failed  waiting"
        "  sets     MB  moves  files  ledger  lake MB"
    )

    @classmethod
    def take(cls, at_s, plant, text, lanes):
        rss, anon = memory_mb(plant.run.pid)
        registry = plant.lake / "_tidegauge" / "models"
        sets, set_bytes = files_of(registry / "sets")
        tables = [files_of(plant.lake / table) for table in ("predictions", "late", "rejects")]
        ledger = files_of(plant.lake / "_tidegauge" / "ledger")[0]
        return cls(
            at_s=at_s,
            rss_mb=rss,
            anon_mb=anon,
            commits=int(total(text, "tidegauge_sink_commits_total")),
            gap_s=lanes.longest_s,
            stall_max_s=longest_stall(text),
            lag=int(total(text, "tidegauge_ingest_lag_messages")),
            fitted=int(total(text, "tidegauge_score_refits_total")),
            failed=int(total(text, "tidegauge_score_refit_failures_total")),
            waiting=int(total(text, "tidegauge_score_refits_waiting")),
            sets=sets,
            sets_mb=set_bytes / 1e6,
            moves=files_of(registry / "aliases")[0],
            files=sum(count for count, _ in tables),
            ledger=ledger,
            lake_mb=sum(size for _, size in tables) / 1e6,
        )

    def __str__(self):
        return (
            f"{self.at_s:8.0f} {self.rss_mb:7.1f} {self.anon_mb:8.1f} {self.commits:8} {self.gap_s:6.1f}"
            f" {self.stall_max_s:8.3f} {self.lag:6} {self.fitted:7} {self.failed:7} {self.waiting:8}"
            f" {self.sets:5} {self.sets_mb:6.1f} {self.moves:6} {self.files:6} {self.ledger:7}"
            f" {self.lake_mb:8.1f}"
        )


STALL = "tidegauge_sink_commit_stall_seconds"


def stalls(text):
    """How many stops of a lane for a commit were at most so long, all lanes together."""
    return {float(le): n for le, n in by_label(text, f"{STALL}_bucket", "le").items()}


def longest_stall(text):
    """The bound of the bucket that holds the longest stop of a lane so far, in seconds."""
    counts = stalls(text)
    count = max(counts.values(), default=0)
    return min((bound for bound, n in counts.items() if n == count), default=0.0) if count else 0.0
