"""An app that enqueues by SQL, from psycopg: in its own transactions, by a login that may use two kinds and no more."""

import contextlib
import json
import os
import pathlib
import pwd
import shutil
import subprocess
import threading
import uuid

import psycopg

from _fleet import (
    BINARY,
    Browser,
    check,
    clean_environment,
    eventually,
    free_ports,
    require,
    run,
    running_fleet,
    temporary_directory,
)

# Roles belong to a whole cluster; this one is thrown away, but the names are nobody's anyhow.
LOGIN = f"shop_{uuid.uuid4().hex[:8]}"
KINDS = ("connection.validate", "mail.send")
EVIL = [
    "'; drop table evergrant.jobs_ready; --",
    "x'); delete from evergrant.environments; --",
    '"; drop schema evergrant cascade; --',
    "$$; drop table shop.orders; $$",
    "\\'; select pg_sleep(60); --",
    "%s %I %L %1$s",
    "a\nb\tc\x7f\u2028\U0001f511",
]


class Installation:
    """The fleet's database, as its operator and as the app."""

    def __init__(self, fleet):
        lines = next(fleet.data.rglob("postmaster.pid")).read_text().splitlines()
        self.sockets = lines[4].strip()
        self.operator = psycopg.connect(host=self.sockets, user="postgres", dbname="postgres", autocommit=True)

    def app(self, user=LOGIN, **options):
        return psycopg.connect(host=self.sockets, user=user, dbname="postgres", **options)

    def evergrant(self, *arguments, expect=0):
        url = f"postgresql://postgres@/postgres?host={self.sockets.replace('/', '%2F')}"
        ended = subprocess.run(
            [BINARY, *arguments],
            env=clean_environment({"EVERGRANT_DATABASE_URL": url}),
            capture_output=True,
            text=True,
            timeout=60,
        )
        require(ended.returncode == expect, f"evergrant {arguments} ended with {ended.returncode}: {ended.stderr}")
        return ended.stdout

    def count(self, what):
        return self.operator.execute(f"select count(*) from {what}").fetchone()[0]


def refusal(connection, sql, parameters=()):
    """The error of a statement; fails when there is none."""
    try:
        with connection.transaction():
            connection.execute(sql, parameters).fetchall()
    except psycopg.Error as error:
        return error
    require(False, f"allowed: {sql} {str(parameters)[:200]}")


def connect(fleet):
    """One connection of the sandbox, made as a user makes it."""
    minted = fleet.call(
        "POST",
        "/v1/sessions",
        {"identity": "user-1", "integrations": ["sandbox-strict"], "require_finish": False},
        expect=201,
    ).json()
    browser = Browser()
    browser.open_link(minted["connect_url"])
    browser.leave()
    browser.submit(account="ann@example.com", decision="allow")
    require("is connected" in browser.words, browser.words)
    return fleet.call("GET", f"/v1/sessions/{minted['id']}", expect=200).json()["connection"]


def admit(place):
    """The operator's part: roles, a login, its rights."""
    place.evergrant("apikeys", "create", "--environment", "shop", "--create-environment", "live")
    allow = ["apps", "allow", "--role", LOGIN, "--environment", "test"]
    for kind in KINDS:
        allow += ["--kind", kind]
    told = place.evergrant(*allow)
    require("administrator" in told and "evergrant migrate --roles" in told, told)
    place.evergrant("migrate", "--roles")
    place.operator.execute(f"create role {LOGIN} login password 'secret'")
    with place.app() as app:
        error = refusal(app, "select evergrant.enqueue('mail.send')")
        require(error.sqlstate == "42501", f"{error.sqlstate} {error}")
    statement = next(line.strip() for line in told.splitlines() if line.strip().startswith("grant "))
    place.operator.execute(statement)
    listed = json.loads(place.evergrant("apps", "list", "--json"))
    require([row["access"] for row in listed] == ["open"], f"{listed}")
    place.operator.execute(f"create schema shop authorization {LOGIN}")
    with place.app() as app:
        app.execute("create table shop.orders (id int primary key, job bigint)")
    check(True, "the operator allows a login two kinds in one environment, with the statements that the command tells")


def transactions(place):
    with place.app() as app:
        try:
            with app.transaction():
                app.execute("insert into shop.orders values (1, evergrant.enqueue('mail.send', '{\"order\": 1}'))")
                require(app.execute("select count(job) from shop.orders").fetchone()[0] == 1, "no job id")
                raise InterruptedError
        except InterruptedError:
            pass
        require(place.count("evergrant.jobs where kind = 'mail.send'") == 0, "a job of a rolled-back transaction")
        with app.transaction():
            app.execute("insert into shop.orders values (1, evergrant.enqueue('mail.send', '{\"order\": 1}'))")
            require(place.count("evergrant.jobs where kind = 'mail.send'") == 0, "a job before its transaction's end")
            with contextlib.suppress(InterruptedError), app.transaction():
                app.execute("insert into shop.orders values (2, evergrant.enqueue('mail.send', '{\"order\": 2}'))")
                raise InterruptedError
        orders = app.execute("select id, job from shop.orders").fetchall()
        require(len(orders) == 1, f"{orders}")
        args = app.execute("select args from evergrant.job(%s)", (orders[0][1],)).fetchone()
        require(args == ({"order": 1},), f"{args}")
        check(
            place.count("evergrant.jobs where kind = 'mail.send'") == 1,
            "a job is there with the app's own row or not at all, savepoints included",
        )
        app.rollback()
        app.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with app.transaction():
            plain = app.execute("select evergrant.enqueue('mail.send')").fetchone()[0]
            keyed = app.execute("select evergrant.enqueue('mail.send', unique_key => 'once')").fetchone()[0]
        require(plain is not None and keyed is None, f"{plain} {keyed}")
        eventually(
            lambda: place.count("evergrant.job_keys where space = 1") == 1, "the scheduler makes the keyed job", 20
        )
        app.isolation_level = None
        again = app.execute("select evergrant.enqueue('mail.send', unique_key => 'once')").fetchone()[0]
        check(again is not None, "in repeatable read a keyed job is made after the commit, by the fleet")
    job = eventually(
        lambda: place.app(autocommit=True)
        .execute("select errors from evergrant.job(%s) where errors is not null", (plain,))
        .fetchone(),
        "the worker says what it thinks of the kind",
    )[0]
    check(
        job[-1]["type"] == "UnknownKind" and "mail.send" in job[-1]["message"],
        "a kind that no worker performs waits, and its job says so",
    )


def performed(fleet, place, connection):
    with place.app(autocommit=True) as app:

        def ended(job):
            row = eventually(
                lambda: app.execute(
                    "select state, errors from evergrant.job(%s) where state not in ('available', 'running')", (job,)
                ).fetchone(),
                "the worker performs the job",
            )
            require(row[0] == "completed", f"{row}")

        before = place.operator.execute("select last_validated_at from evergrant.connections").fetchone()[0]
        args = json.dumps({"connection": connection})
        sql = "select evergrant.enqueue('connection.validate', %s, unique_key => 'v')"
        ended(app.execute(sql, (args,)).fetchone()[0])
        after = place.operator.execute("select last_validated_at from evergrant.connections").fetchone()[0]
        check(after is not None and after != before, "a probe enqueued by SQL is performed by a real worker")

        error = refusal(app, "select evergrant.enqueue('connection.refresh', %s)", (args,))
        require(error.sqlstate == "EG103", f"{error}")
        place.evergrant("apps", "allow", "--role", LOGIN, "--environment", "test", "--kind", "connection.refresh")
        generation = place.operator.execute("select generation from evergrant.connections").fetchone()[0]
        ended(app.execute("select evergrant.enqueue('connection.refresh', %s)", (args,)).fetchone()[0])
        now = place.operator.execute("select generation from evergrant.connections").fetchone()[0]
        check(now == generation + 1, "and a refresh, once its kind is allowed")
        place.evergrant("apps", "deny", "--role", LOGIN, "--environment", "test", "--kind", "connection.refresh")
        error = refusal(app, "select evergrant.enqueue('connection.refresh', %s)", (args,))
        check(error.sqlstate == "EG103", "what is denied again is refused with the next call")

        stranger = place.operator.execute(
            "insert into evergrant.connections (environment_id, mode, integration, provider, identity_type, identity,"
            " state, grant_id) select id, 'live', 'i', 'p', 'user', 'u', 'active', gen_random_uuid()"
            " from evergrant.environments where name = 'shop' returning id, 'conn_' || replace(uid::text, '-', '')"
        ).fetchone()
        for name in stranger:
            error = refusal(
                app, "select evergrant.enqueue('connection.validate', %s)", (json.dumps({"connection": name}),)
            )
            require(error.sqlstate == "EG109", f"{name}: {error}")
        check(True, "a connection of another environment is no connection, by its id and by its row")


def refusals(place):
    with place.app(autocommit=True) as app:
        for arguments, code in (
            ("'mail.send', environment => 'shop'", "EG101"),
            ("'mail.send', environment => 'nowhere'", "EG101"),
            ("'connection.revoke', '{\"connection\": 1}'", "EG103"),
            ("'connection.recover', '{\"connection\": 1}'", "EG103"),
            ("'webhook.deliver', '{\"delivery\": 1}'", "EG103"),
            ("'nonsense'", "EG103"),
            ("'mail.send', priority => 0", "EG104"),
            ("'mail.send', priority => 1", "EG104"),
            ("'mail.send', priority => -1", "EG106"),
        ):
            error = refusal(app, f"select evergrant.enqueue({arguments})")
            said = f"{arguments}: {error.sqlstate} {error.diag.message_primary} / {error.diag.message_hint}"
            require(error.sqlstate == code, said)
            if code != "EG106":
                require(LOGIN in error.diag.message_primary, said)
                require(f"evergrant apps allow --role {LOGIN}" in error.diag.message_hint, said)
        check(True, "another environment, kind or priority is refused: role, item and the command that would allow it")
        things = place.operator.execute(
            "select format('select * from evergrant.%I', relname) from pg_class"
            " where relnamespace = 'evergrant'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S')"
            " union all select format('select evergrant.%I(%s)', proname, (select string_agg(format('null::%s',"
            " format_type(t, null)), ', ') from unnest(proargtypes::oid[]) t)) from pg_proc"
            " where pronamespace = 'evergrant'::regnamespace and prorettype <> 'trigger'::regtype"
            " and proname not in ('enqueue', 'enqueue_many', 'cancel', 'retry', 'job', 'queue_depth',"
            " 'start_campaign', 'campaign', 'control_campaign')"
        ).fetchall()
        for (sql,) in things:
            error = refusal(app, sql)
            require(error.sqlstate == "42501", f"{sql}: {error}")
        for sql in (
            "create table evergrant.mine (x int)",
            "insert into evergrant.app_grants values (session_user, 1, '{1}')",
            "set role evergrant_owner",
            "set role evergrant_service",
            "set session authorization postgres",
            "alter function evergrant.enqueue_many security invoker",
        ):
            error = refusal(app, sql)
            require(error.sqlstate == "42501", f"{sql}: {error}")
        check(len(things) > 80, f"tables, views, sequences and internal functions: all {len(things)} are closed to it")
        error = refusal(app, "select evergrant.enqueue_many('[{\"kind\": \"mail.send\", \"uniqe_key\": \"a\"}]')")
        check("uniqe_key" in str(error), "an unknown field of many jobs is named")


def nonsense(place):
    objects = "pg_class where relnamespace in ('evergrant'::regnamespace, 'shop'::regnamespace)"
    before = (place.count(objects), place.count("pg_proc"), place.count("evergrant.environments"))
    with place.app(autocommit=True) as app:
        for evil in EVIL:
            for name in ("kind", "environment", "queue"):
                arguments = {"kind": "mail.send"} | {name: evil}
                call = ", ".join(f"{each} => %({each})s" for each in arguments)
                error = refusal(app, f"select evergrant.enqueue({call})", arguments)
                require(error.sqlstate in ("EG101", "EG103", "EG106"), f"{name} {evil!r}: {error.sqlstate} {error}")
                error = refusal(
                    app, "select evergrant.enqueue_many(%s, %s)",
                    (json.dumps([{"kind": "mail.send"} | ({} if name == "environment" else {name: evil})]),
                     evil if name == "environment" else None),
                )
                require(error.sqlstate in ("EG101", "EG103", "EG106"), f"{name} {evil!r}: {error.sqlstate} {error}")
            sql = "select evergrant.enqueue('mail.send', %s, unique_key => %s, limit_key => %s)"
            limit = evil
            if "\n" in evil:
                error = refusal(app, sql, ("{}", evil, evil))
                require(error.sqlstate == "EG106" and "limit_key" in str(error), f"{error}")
                limit = evil.splitlines()[0]
            job = app.execute(sql, (json.dumps({"x": evil}), evil, limit)).fetchone()[0]
            row = app.execute("select args ->> 'x', unique_key, limit_key from evergrant.job(%s)", (job,)).fetchone()
            require(row == (evil, evil, limit), f"{row}")
            # A hint is copied to a shell: there a kind is one word.
            hint = refusal(app, "select evergrant.enqueue(%s)", (evil,)).diag.message_hint
            command = hint.split("evergrant apps allow", 1)[1]
            words = subprocess.run(
                ["sh", "-c", f"printf '%s\\0' {command}"], capture_output=True, timeout=10, text=True
            ).stdout.split("\0")[:-1]
            require(len(words) == 6 and words[4] == "--kind", f"{evil!r} becomes {words}")
        after = (place.count(objects), place.count("pg_proc"), place.count("evergrant.environments"))
        check(after == before, "names that are SQL or shell stay words, and come back as they were sent")

        def code(sql, *parameters):
            return refusal(app, sql, parameters).sqlstate

        big = json.dumps({"x": "y" * 10_000_000})
        require(code("select evergrant.enqueue('mail.send', %s)", big) == "EG106", "10 MB of args")
        require(code("select evergrant.enqueue('mail.send', unique_key => %s)", "k" * 1_000_000) == "EG106", "1 MB key")
        require(code("select evergrant.enqueue(%s)", "k" * 1_000_000) == "EG106", "1 MB kind")
        require(code("select evergrant.enqueue('mail.send', '{}', %s)", "e" * 1_000_000) == "EG101", "1 MB name")
        many = json.dumps([{"kind": "mail.send"}] * 100_000)
        require(code("select evergrant.enqueue_many(%s)", many) == "EG105", "100,000 jobs")
        wide = json.dumps([{"kind": "mail.send", "args": {"x": "y" * 60_000}}] * 600)
        require(code("select evergrant.enqueue_many(%s)", wide) == "EG105", "36 MB of jobs")
        deep = "[" * 100_000 + "]" * 100_000
        require(code("select evergrant.enqueue_many(%s)", deep) in ("54001", "EG106"), "a deep pit")
        thousand = json.dumps([{"kind": "mail.send"}] * 1000)
        made = app.execute("select count(*) from evergrant.enqueue_many(%s)", (thousand,)).fetchone()[0]
        check(made == 1000, "input that is too large is refused in words, and the session goes on")


def new_queues(place):
    """Eight sessions use a queue for the first time at once; half of them roll back."""
    for turn in range(5):
        barrier = threading.Barrier(8)
        faults, kept = [], []

        def first_use(number, queue=f"turn-{turn}"):
            try:
                with place.app() as app:
                    barrier.wait(30)
                    job = app.execute("select evergrant.enqueue('mail.send', queue => %s)", (queue,)).fetchone()[0]
                    if number % 2:
                        app.rollback()
                    else:
                        app.commit()
                        kept.append(job)
            except Exception as error:
                faults.append(error)

        sessions = [threading.Thread(target=first_use, args=(number,)) for number in range(8)]
        for session in sessions:
            session.start()
        for session in sessions:
            session.join()
        require(not faults, f"{faults}")
        queues = place.operator.execute("select id from evergrant.queues where name = %s", (f"turn-{turn}",)).fetchall()
        require(len(queues) == 1 and len(kept) == 4, f"{queues} {kept}")
        with place.app(autocommit=True) as app:
            states = [app.execute("select queue from evergrant.job(%s)", (job,)).fetchone() for job in kept]
        require(states == [(f"turn-{turn}",)] * 4, f"{states}")
    check(True, "sessions that use a new queue at once share one, though half of them roll back")


def pooled(place):
    """Through PgBouncer in transaction mode, two server connections for eight clients."""
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    require(pathlib.Path(program).exists(), "pgbouncer is not installed; see deploy/packages.list")
    owner = pwd.getpwuid(pathlib.Path(place.sockets).stat().st_uid)
    (port,) = free_ports(1)
    with temporary_directory() as directory:
        (directory / "users.txt").write_text(f'"{LOGIN}" ""\n')
        (directory / "pgbouncer.ini").write_text(
            f"[databases]\npostgres = host={place.sockets} port=5432\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {directory}/users.txt\n"
            "pool_mode = transaction\ndefault_pool_size = 2\nlog_connections = 0\nlog_disconnections = 0\n"
        )
        directory.chmod(0o755)
        as_owner = {"user": owner.pw_uid, "group": owner.pw_gid} if os.geteuid() == 0 else {}
        log = open(directory / "log", "w")
        bouncer = subprocess.Popen([program, directory / "pgbouncer.ini"], stdout=log, stderr=log, **as_owner)
        try:

            def client():
                return psycopg.connect(
                    host="127.0.0.1",
                    port=port,
                    user=LOGIN,
                    dbname="postgres",
                    prepare_threshold=None,
                    connect_timeout=10,
                )

            def answers():
                require(bouncer.poll() is None, (directory / "log").read_text())
                with contextlib.suppress(psycopg.OperationalError):
                    client().close()
                    return True

            eventually(answers, "pgbouncer answers", 20)
            faults, kept = [], []

            def work(number):
                try:
                    with client() as app:
                        for turn in range(20):
                            with contextlib.suppress(InterruptedError), app.transaction():
                                key = f"{number}-{turn}"
                                job = app.execute(
                                    "select evergrant.enqueue('mail.send', %s, unique_key => %s, queue => 'turn-0')",
                                    (json.dumps({"pooled": key}), key),
                                ).fetchone()[0]
                                if turn % 2:
                                    raise InterruptedError
                                kept.append(job)
                            if turn % 5 == 4:
                                app.execute("select evergrant.cancel(%s)", (kept[-1],)).fetchone()
                                app.commit()
                except Exception as error:
                    faults.append(error)

            clients = [threading.Thread(target=work, args=(number,)) for number in range(8)]
            for each in clients:
                each.start()
            for each in clients:
                each.join()
            require(not faults, f"{faults}")
            found = place.count("evergrant.jobs where args ? 'pooled'")
            check(found == len(set(kept)) == 80, "behind PgBouncer in transaction mode it is the same", f"{found}")
        finally:
            bouncer.terminate()
            bouncer.wait(20)
            log.close()


def main():
    with running_fleet() as fleet:
        place = Installation(fleet)
        admit(place)
        transactions(place)
        performed(fleet, place, connect(fleet))
        refusals(place)
        nonsense(place)
        new_queues(place)
        pooled(place)
        place.evergrant("apps", "deny", "--role", LOGIN, "--environment", "test")
        with place.app(autocommit=True) as app:
            require(refusal(app, "select evergrant.enqueue('mail.send')").sqlstate == "EG101", "denied")
        for name in ("worker", "scheduler"):
            faults = [line for line in fleet.log(name).splitlines() if '"level":"error"' in line or "critical" in line]
            require(not faults, f"{name}.log has errors: {faults[:5]}")
        check(True, "once denied it may nothing, and the fleet's logs are free of errors")
        place.operator.execute(f"drop schema shop cascade; drop role {LOGIN}")
        place.operator.close()


run(main)
