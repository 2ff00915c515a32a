"""Keyhold in a process of its own, as `make run` starts it: for tests that need the real thing."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.M)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def launch(folder: Path, port: int, **settings: str) -> subprocess.Popen[str]:
    """`manage.py serve` with every setting at its default but those given, and its data in `folder`."""
    own = {"DATA_DIR": str(folder), "PORT": str(port)}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)} | dict.fromkeys(SETTINGS, "") | own | settings
    command = [sys.executable, "manage.py", "serve"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def stop(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it wrote on its two outputs and was not read yet."""
    process.terminate()
    return process.communicate(timeout=20)


@dataclass(frozen=True)
class Server:
    """A running Keyhold. `line` is the one that it printed when it was ready."""

    process: subprocess.Popen[str]
    url: str
    line: str

    @classmethod
    def start(cls, folder: Path, overrides: Mapping[str, str], **settings: str) -> "Server":
        port = free_port()
        process = launch(folder, port, UPSTREAM_OVERRIDES=json.dumps(dict(overrides)), **settings)
        assert process.stdout is not None
        return cls(process, f"http://localhost:{port}", process.stdout.readline().strip())

    @property
    def link(self) -> str:
        """The one-time link of the first owner."""
        return self.line.split()[-1]
