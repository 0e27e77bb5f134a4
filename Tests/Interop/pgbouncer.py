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
# One for each fleet: with a direct address for LISTEN, and without LISTEN.
DATABASES = ("listening", "polling")
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
        installed = glob.glob("/usr/lib/postgresql/*/bin")
        require(installed, "no Postgres under /usr/lib/postgresql")
        self.programs = pathlib.Path(max(installed, key=lambda path: int(path.split("/")[4])))
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
            for database in DATABASES:
                server.execute(sql.SQL("CREATE DATABASE {} OWNER evergrant").format(sql.Identifier(database)))
        (self.directory / "users").write_text('"evergrant" ""\n')
        (self.directory / "pgbouncer.ini").write_text(
            f"""
[databases]
* = host={self.socket} user=evergrant
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
        eventually(lambda: self._connects(DATABASES[0], host="127.0.0.1", port=self.port), "PgBouncer answers", 30)

    def url(self, database):
        return f"postgres://evergrant@127.0.0.1:{self.port}/{database}"

    def direct(self, database):
        return f"postgres://evergrant@/{database}?host={self.socket}"

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

    def server(self, database):
        return psycopg.connect(dbname=database, user="postgres", host=str(self.socket), autocommit=True)

    def clients(self, database):
        """How many clients the pooler has for a database; its console speaks the simple protocol only."""
        shown = subprocess.run(
            [self.programs / "psql", "-XAtq", "-h", "127.0.0.1", "-p", str(self.port), "-U", "evergrant"]
            + ["-d", "pgbouncer", "-c", "SHOW CLIENTS"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return sum(1 for line in shown.splitlines() if line.split("|")[2] == database)

    def sessions(self, database):
        """How many server sessions came through the pooler, and how many listen."""
        with self.server("postgres") as server:
            return server.execute(
                "SELECT count(*) FILTER (WHERE query NOT ILIKE 'listen%%'), count(*) FILTER (WHERE query ILIKE 'listen%%')"
                " FROM pg_stat_activity WHERE datname = %s AND usename = 'evergrant'",
                [database],
            ).fetchone()

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
        try:
            for database in DATABASES:
                listens = database == "listening"
                settings = {
                    "EVERGRANT_DATABASE_URL": pooled.url(database),
                    "EVERGRANT_DATABASE_PREPARED_STATEMENTS": "false",
                }
                if listens:
                    settings["EVERGRANT_DATABASE_LISTEN_URL"] = pooled.direct(database)
                print(f"-- {database}", flush=True)
                with running_fleet(settings) as fleet:
                    live(fleet, receiver, f"user-{database}")
                    clients = pooled.clients(database)
                    servers, listeners = pooled.sessions(database)
                    check(clients > servers and servers <= SERVERS, f"{clients} clients share {servers} sessions")
                    check((listeners > 0) == listens, f"sessions that listen: {listeners}", listeners)
                    for name in ("front", "worker", "scheduler"):
                        require("prepared statement" not in fleet.log(name), f"{name} met a prepared statement")
            check(not pooled.errors(), "neither Postgres nor PgBouncer complained of anything", pooled.errors()[:5])
            with psycopg.connect(pooled.url(DATABASES[0]), prepare_threshold=None) as session:
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
