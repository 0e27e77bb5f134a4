"""A whole fleet behind Debian's PgBouncer in transaction mode, with a direct address for LISTEN and without one."""

import contextlib
import glob
import os
import pathlib
import pwd
import re
import shutil
import subprocess

import psycopg
from psycopg import sql
import requests

from _fleet import Browser, Receiver, check, eventually, free_ports, require, run, running_fleet, temporary_directory

SERVERS = 6
# docs/deploy.md, "Behind a pooler": a pooler keeps no session settings, so the role brings them.
ROLE_SETTINGS = {"plan_cache_mode": "force_generic_plan", "jit": "off", "enable_seqscan": "off"}
BOUNCER = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")


def as_server(arguments):
    """The command as a user that Postgres and PgBouncer run as, ended with us: neither runs as root."""
    account = []
    if os.geteuid() == 0:
        entry = pwd.getpwnam("postgres")
        account = [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
    return ["setpriv", *account, "--pdeathsig", "KILL", "--", *map(str, arguments)]


class Pooled:
    """A Postgres with PgBouncer before it."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.programs = pathlib.Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))[-1])
        self.socket = self.directory / "socket"
        self.socket.mkdir()
        if os.geteuid() == 0:
            for path in (self.directory, self.socket):
                shutil.chown(path, "postgres", "postgres")
        self.port = free_ports(1)[0]
        self.processes = []
        subprocess.run(
            as_server([self.programs / "initdb", "-D", self.directory / "data", "-U", "postgres", "-A", "trust", "-N"]),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        self._start(
            self.programs / "postgres",
            *("-D", self.directory / "data", "-k", self.socket, "-c", "listen_addresses=", "-c", "fsync=off"),
        )
        eventually(lambda: self._connects("postgres"), "Postgres answers", 60)
        with self.server("postgres") as server:
            server.execute("CREATE ROLE evergrant LOGIN")
            for name, value in ROLE_SETTINGS.items():
                server.execute(
                    sql.SQL("ALTER ROLE evergrant SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
                )
            server.execute("CREATE DATABASE app OWNER evergrant")
        (self.directory / "users").write_text('"evergrant" ""\n')
        (self.directory / "pgbouncer.ini").write_text(
            f"""
[databases]
app = host={self.socket} user=evergrant
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = trust
auth_file = {self.directory}/users
admin_users = evergrant
pool_mode = transaction
default_pool_size = {SERVERS}
"""
        )
        self._start(BOUNCER, "-q", self.directory / "pgbouncer.ini")
        self.url = f"postgres://evergrant@127.0.0.1:{self.port}/app"
        self.direct = f"postgres://evergrant@/app?host={self.socket}"
        eventually(lambda: self._connects("app", host="127.0.0.1", port=self.port), "PgBouncer answers", 30)

    def _start(self, *arguments):
        output = open(self.directory / "servers.out", "ab")
        self.processes.append(
            subprocess.Popen(
                as_server(arguments), cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        )

    def _connects(self, database, **where):
        for process in self.processes:
            require(process.poll() is None, f"{process.args} ended:\n{(self.directory / 'servers.out').read_text()}")
        where = where or {"host": str(self.socket)}
        user = "postgres" if database == "postgres" else "evergrant"
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(dbname=database, user=user, **where).close()
            return True

    def server(self, database="app"):
        return psycopg.connect(dbname=database, user="postgres", host=str(self.socket), autocommit=True)

    def clients(self):
        """How many clients the pooler has for the app's database; its console speaks the simple protocol only."""
        shown = subprocess.run(
            [self.programs / "psql", "-XAtq", "-h", "127.0.0.1", "-p", str(self.port), "-U", "evergrant"]
            + ["-d", "pgbouncer", "-c", "SHOW CLIENTS"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return sum(1 for line in shown.splitlines() if line.split("|")[2] == "app")

    def servers(self):
        """Names and number of server sessions that came through the pooler (the listeners did not)."""
        with self.server() as server:
            return server.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND usename = 'evergrant'"
                " AND query NOT ILIKE 'listen%'"
            ).fetchone()[0]

    def listeners(self):
        with self.server() as server:
            return server.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND query ILIKE 'listen%'"
            ).fetchone()[0]

    def errors(self):
        """What Postgres and PgBouncer complained about."""
        lines = (self.directory / "servers.out").read_text(errors="replace").splitlines()
        return [line for line in lines if re.search(r"\b(ERROR|FATAL|WARNING|STATEMENT)\b", line)]

    def stop(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


def connect(fleet, identity):
    minted = fleet.call(
        "POST",
        "/v1/sessions",
        {"identity": identity, "integrations": ["sandbox-strict"], "require_finish": False},
        expect=201,
    ).json()
    browser = Browser()
    browser.open_link(minted["connect_url"])
    browser.leave()
    browser.submit(account=f"{identity}@example.com", decision="allow")
    require("is connected" in browser.words, browser.words)
    session = fleet.call("GET", f"/v1/sessions/{minted['id']}", expect=200).json()
    return fleet.connection(session["connection"])


def live(fleet, receiver, identity):
    """Connect, call, refresh by itself and when asked, be told, delete."""
    provider = f"http://127.0.0.1:{fleet.sandbox}"
    requests.put(
        provider + "/control/settings", json={"classes": {"strict": {"access_lifetime": 8}}}, timeout=10
    ).raise_for_status()
    fleet.call("PUT", "/v1/webhook-endpoints/app", {"url": receiver.url})
    connection = connect(fleet, identity)
    check(connection["state"] == "active", "a connect session ends in an active connection", connection)
    answer = fleet.passthrough("/me", connection["key"])
    check(
        answer.status_code == 200 and answer.json()["email"] == f"{identity}@example.com",
        "a passthrough call returns the provider's data",
        answer.text,
    )
    first = connection["last_refreshed_at"]
    second = eventually(
        lambda: (at := fleet.connection(connection["id"])["last_refreshed_at"]) != first and at,
        "a planned refresh by a worker",
        60,
    )
    eventually(
        lambda: fleet.connection(connection["id"])["last_refreshed_at"] not in (first, second), "another one", 60
    )
    check(True, "the workers refresh before the token ends, again and again")
    fleet.call("POST", f"/v1/connections/{connection['id']}/refresh")
    calls = [fleet.passthrough("/me", connection["key"]).status_code for _ in range(20)]
    check(calls == [200] * 20, "calls go on being answered", calls)
    require(
        "connection.broken" not in fleet.events(connection["id"]), f"it broke: {fleet.events(connection['id'])}"
    )
    fleet.call("DELETE", f"/v1/connections/{connection['id']}")
    for name in ("connection.created", "connection.deleted"):
        eventually(lambda name=name: receiver.of_type(name), f"the webhook {name}", 60)
    check(True, "its webhooks arrive")
    receiver.received.clear()


def main():
    require(BOUNCER, "pgbouncer is not installed; ./dev test installs it")
    with temporary_directory() as directory:
        pooled = Pooled(directory)
        receiver = Receiver()
        settings = {"EVERGRANT_DATABASE_URL": pooled.url, "EVERGRANT_DATABASE_PREPARED_STATEMENTS": "false"}
        try:
            for title, more in (
                ("with a direct address for LISTEN", {"EVERGRANT_DATABASE_LISTEN_URL": pooled.direct}),
                ("without LISTEN", {}),
            ):
                with running_fleet(settings | more) as fleet:
                    live(fleet, receiver, "user-" + ("1" if more else "2"))
                    clients, servers, listeners = pooled.clients(), pooled.servers(), pooled.listeners()
                    check(
                        clients > servers and servers <= SERVERS,
                        f"{title}: {clients} clients share {servers} server connections",
                    )
                    check((listeners > 0) == bool(more), f"{title}: {listeners} sessions listen", listeners)
                    for name in ("front", "worker", "scheduler"):
                        log = fleet.log(name)
                        for word in ("prepared statement", "unsupported startup parameter", "no more connections"):
                            require(word not in log, f"{name} met: {word}\n{log[-2000:]}")
            with psycopg.connect(pooled.url, prepare_threshold=None) as session:
                shown = {name: session.execute(f"SHOW {name}").fetchone()[0] for name in ROLE_SETTINGS}
            check(shown == ROLE_SETTINGS, "the session settings of the queue come with the role", shown)
        except BaseException:
            print("-- Postgres and PgBouncer", *pooled.errors()[-20:], sep="\n")
            raise
        finally:
            receiver.close()
            pooled.stop()
    check(True, "both fleets stop in order")


run(main)
