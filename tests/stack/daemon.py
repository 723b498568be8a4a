"""A Docker of the test's own: its data, sockets and processes in one folder, and nothing of the machine's firewall."""

import os
import pathlib
import shutil
import signal
import subprocess
import time


class Docker:
    """`with Docker(folder) as docker:` starts it; leaving ends it and takes the folder away."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.process = None

    def __enter__(self):
        self.folder.mkdir(parents=True)
        socket = f"unix://{self.folder}/docker.sock"
        log = (self.folder / "log").open("w")
        command = [
            "dockerd", "--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec",
            "--pidfile", f"{self.folder}/pid", "--host", socket,
            # Containers talk over bridges of their own; nothing here goes out, and no rule is left behind.
            "--bridge=none", "--iptables=false", "--ip-masq=false",
        ]  # fmt: skip
        # In a session of its own, so that an interrupt at the keyboard reaches us first and containers are taken down.
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        os.environ["DOCKER_HOST"] = socket
        for _ in range(120):
            asked = subprocess.run(["docker", "info"], capture_output=True, check=False)
            if asked.returncode == 0 and b"Server Version" in asked.stdout:
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.5)
        said = (self.folder / "log").read_text()[-3000:]
        self.__exit__()
        raise SystemExit(f"stack: dockerd does not start:\n{said}")

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.clear()
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.unmount()
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear(self):
        """What a test that failed has left; the bridges of networks would outlive the daemon."""
        containers = subprocess.run(["docker", "ps", "-aq"], capture_output=True, text=True, check=False).stdout.split()
        if containers:
            subprocess.run(["docker", "rm", "-f", *containers], capture_output=True, check=False)
        subprocess.run(["docker", "network", "prune", "-f"], capture_output=True, check=False)

    def unmount(self):
        """What a dockerd that was killed leaves mounted."""
        mounts = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed(mounts):
            if mount.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "-l", mount], check=False)
