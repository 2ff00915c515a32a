"""Starts a provider and Keyhold on loopback, asks both in turns, prints them side by side. Takes about a minute."""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3
SECONDS = 2.0
PASSWORD = "only for this measurement"
CASES = [(name, stream, connections) for name, stream in (("JSON", False), ("SSE", True)) for connections in (1, 64)]


@dataclass
class Target:
    name: str
    port: int
    pid: int
    key: str


@dataclass
class Sample:
    """All rounds of one case on one target; CPU seconds are those of the process that was asked."""

    latencies: list[float] = field(default_factory=list)
    cpu: float = 0

    def line(self) -> str:
        ms = [1000 * latency for latency in self.latencies]
        cuts = statistics.quantiles(ms, n=100)
        rate = len(ms) / (ROUNDS * SECONDS)
        return f"{rate:>12,.0f} {cuts[49]:>9.2f} {cuts[98]:>9.2f} {1e6 * self.cpu / len(ms):>12,.0f}"


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far. Linux tells it in /proc; elsewhere it counts as 0."""
    with contextlib.suppress(FileNotFoundError):
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(*command: str, environment: dict[str, str] | None = None) -> Iterator[tuple[int, str]]:
    """A Python program, with its process id and the first line it prints."""
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.pid, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(20)


def manage(environment: dict[str, str], *arguments: str, stdin: str = "") -> str:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, input=stdin, text=True, check=True, stdout=subprocess.PIPE).stdout


def prepare(environment: dict[str, str]) -> str:
    """An organization with one OpenAI key. Returns a client key."""
    manage(environment, "migrate", "--verbosity", "0")
    manage(environment, "setup", "--email", "bench@example.com", "--org", "Bench", "--password-stdin", stdin=PASSWORD)
    manage(environment, "add_provider_key", "--org", "bench", "--provider", "openai", "--name", "Bench", stdin="sk-bench")
    return manage(environment, "issue_client_key", "--org", "bench", "--name", "Bench").strip()


def ask(target: Target, sample: Sample, *, stream: bool, connections: int) -> None:
    options = ["--port", str(target.port), "--key", target.key, "--connections", str(connections), "--seconds", str(SECONDS)]
    before = cpu_seconds(target.pid)
    command = [sys.executable, "-m", "bench.load", *options, *(["--stream"] if stream else [])]
    sample.latencies += json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    sample.cpu += cpu_seconds(target.pid) - before


def report(samples: dict[tuple[str, int, str], Sample]) -> None:
    print(f"{'':26}{'requests/s':>12} {'p50 ms':>9} {'p99 ms':>9} {'CPU µs/req.':>12}")
    for name, _, connections in CASES:
        direct, keyhold = (samples[name, connections, target] for target in ("direct", "gateway"))
        print(f"{name} at {connections} connection{'s' * (connections > 1)}")
        print(f"  {'direct to the provider':24}{direct.line()}")
        print(f"  {'through the gateway':24}{keyhold.line()}")
        added = 1000 * (statistics.median(keyhold.latencies) - statistics.median(direct.latencies))
        share = len(keyhold.latencies) / len(direct.latencies)
        print(f"  {'gateway : direct':24}{share:>12.1%} {added:>+9.2f}")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="keyhold-bench-") as folder, running("-m", "bench.provider") as (provider, said):
        port = free_port()
        upstream = f"http://127.0.0.1:{said}/v1"
        environment = os.environ | {
            "DATA_DIR": folder, "PORT": str(port), "UPSTREAM_OVERRIDES": json.dumps({"openai": upstream}), "DATABASE_URL": "",
            "SECRET_KEY": "", "VAULT_KEYS": "", "AUDIT_KEY": "",
            "PUBLIC_URL": "", "ALLOWED_HOSTS": "", "GATEWAY_WORKERS": "", "REDIS_URL": "",
        }  # fmt: skip
        client_key = prepare(environment)
        with running("manage.py", "serve", environment=environment) as (gateway, _):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10).close()
            targets = [Target("direct", int(said), provider, "sk-bench"), Target("gateway", port, gateway, client_key)]
            samples = {(name, n, target.name): Sample() for name, _, n in CASES for target in targets}
            for _ in range(ROUNDS):
                for name, stream, connections in CASES:
                    for target in targets:
                        ask(target, samples[name, connections, target.name], stream=stream, connections=connections)
            report(samples)


if __name__ == "__main__":
    main()
