"""What people read at the command line who make a mistake: what is wrong and what repairs it."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time

from _fleet import (
    BINARY,
    Failed,
    Fleet,
    check,
    clean_environment,
    descendants,
    eventually,
    free_ports,
    require,
    run,
    still_running,
    temporary_directory,
)

GOOD_KEY = "first QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU= primary\n"
OTHER_KEY = "other MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY= primary\n"
NOBODY = "postgres://nobody:hunter2@127.0.0.1:1/nothing"

failures = []


def mistake(sentence, arguments, words, **more):
    """As `told_well`, and goes on after a failure: the next mistake does not depend on it."""
    try:
        told_well(sentence, arguments, words, **more)
    except Failed as failure:
        failures.append(str(failure))
        print(f"  FAILED {failure}", flush=True)


def told_well(
    sentence,
    arguments,
    words,
    *,
    files=None,
    settings=None,
    status=None,
    modes=None,
    directory=None,
    lines=6,
    within=15,
):
    """Runs `evergrant` into a mistake. Its last output must be few lines with `words`; no process may be left."""
    with contextlib.ExitStack() as stack:
        folder = directory or stack.enter_context(temporary_directory())
        for name, text in (files or {}).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        for name, mode in (modes or {}).items():
            (folder / name).chmod(mode)
        began = time.monotonic()
        try:
            ended = subprocess.run(
                [BINARY, *arguments],
                cwd=folder,
                env=clean_environment(settings),
                timeout=45,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
        except subprocess.TimeoutExpired as slow:
            raise Failed(
                f"{sentence}: `evergrant {' '.join(arguments)}` did not end; it says {slow.stdout} {slow.stderr}"
            ) from None
        took = time.monotonic() - began
        told = f"status {ended.returncode} after {took:.1f} s\n  stdout: {ended.stdout}\n  stderr: {ended.stderr}"
        require(ended.returncode != 1 and 0 < ended.returncode < 128, f"{sentence}: {told}")
        require(status is None or ended.returncode == status, f"{sentence}: not status {status}: {told}")
        require(took < within, f"{sentence}: slow: {told}")
        for word in words:
            require(word in ended.stderr, f"{sentence}: `{word}` is not in stderr: {told}")
        for word in ("Fatal error", "Stack", "Backtrace", "Crash", ".swift", "hunter2", "Error(", "Optional("):
            require(word not in ended.stderr + ended.stdout, f"{sentence}: `{word}` is told: {told}")
        require(len(ended.stderr.strip().splitlines()) <= lines, f"{sentence}: more than {lines} lines: {told}")
        left = [pid for pid in pathlib.Path("/proc").iterdir() if pid.name.isdigit() and str(folder) in cmdline(pid)]
        require(not left, f"{sentence}: processes are left: {[cmdline(pid) for pid in left]}")
        print(
            f"  {sentence}\n      {ended.stderr.strip()}".replace("\n", "\n      ").replace("      " * 2, "      "),
            flush=True,
        )


def cmdline(process):
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def ports():
    first = free_ports(5)
    return ["--front-port", str(first[0]), "--admin-port", str(first[1]), "--sandbox-port", str(first[4])]


def at_the_command_line():
    up = ["up", "--directory", "data"]
    mistake(
        "malformed YAML is named with file and line",
        up + ports(),
        ["evergrant.yaml line 4", "YAML"],
        files={"evergrant.yaml": "worker:\n  concurrency: 4\n  [broken\n"},
        status=78,
    )
    mistake(
        "several mistakes of a configuration are told together, each with its place and what was meant",
        up + ports(),
        [
            "worker.concurency",
            "did you mean",
            "worker.concurrency",
            "lifecycle.confirm_after",
            "front.maximum_body_bytes",
            "EVERGRANT_LOG_LEVEL",
        ],
        files={
            "evergrant.yaml": "worker:\n  concurency: 4\nlifecycle:\n  confirm_after: soon\n"
            "front:\n  maximum_body_bytes: 7\n"
        },
        settings={"EVERGRANT_LOG_LEVEL": "loud"},
        status=78,
    )
    mistake(
        "an unknown variable gets the name that was meant",
        up + ports(),
        ["EVERGRANT_WORKER_CONCURENCY", "EVERGRANT_WORKER_CONCURRENCY"],
        settings={"EVERGRANT_WORKER_CONCURENCY": "4"},
        status=78,
    )
    mistake(
        "a configuration file that is not there is named",
        up + ports() + ["--config", "nowhere.yaml"],
        ["nowhere.yaml"],
        status=78,
    )
    mistake("an unknown option is a usage error", ["up", "--directry", "x"], ["--directry"], status=64)
    mistake(
        "a --set without a value is a usage error or a mistake of the configuration",
        up + ports() + ["--set", "worker.concurrency"],
        ["worker.concurrency"],
    )
    mistake(
        "a database that is away is named by its key, without its password",
        up + ports(),
        ["EVERGRANT_DATABASE_URL", "onnection refused"],
        settings={"EVERGRANT_DATABASE_URL": NOBODY},
        status=69,
    )
    mistake(
        "a database URL that is none is named",
        up + ports(),
        ["EVERGRANT_DATABASE_URL"],
        settings={"EVERGRANT_DATABASE_URL": "mysql://nobody:hunter2@localhost/x"},
    )
    mistake(
        "a keyring file that others can read is refused, with the command that repairs it",
        up + ports(),
        ["keyring.txt", "0644", "chmod 600"],
        files={"keyring.txt": GOOD_KEY},
        modes={"keyring.txt": 0o644},
        settings={"EVERGRANT_KEYRING_FILES": "keyring.txt"},
        status=78,
    )
    for name, text, word in (
        ("is no keyring", "hello\n", "keyring.txt line 1"),
        ("is empty", "", "keyring.txt has no key"),
        ("has a key that is too short", "first QUJD primary\n", "keyring.txt line 1"),
        ("has two primary keys", GOOD_KEY + OTHER_KEY, "2 primary keys (first, other)"),
        ("is not text", "\0\1\2", "keyring.txt line 1"),
    ):
        mistake(
            f"a keyring file that {name} is refused",
            up + ports(),
            [word],
            files={"keyring.txt": text},
            modes={"keyring.txt": 0o600},
            settings={"EVERGRANT_KEYRING_FILES": "keyring.txt"},
            status=78,
        )
    mistake(
        "a keyring file that is not there is named",
        up + ports(),
        ["nowhere/keyring"],
        settings={"EVERGRANT_KEYRING_FILES": "nowhere/keyring"},
        status=78,
    )
    for role in ("front", "worker"):
        mistake(
            f"a {role} whose journal cannot be written says so before any work",
            [role],
            ["file/journal", "EVERGRANT_ESCROW_DIRECTORY"],
            files={"file": "", "k": GOOD_KEY},
            modes={"k": 0o600},
            status=78,
            settings={
                "EVERGRANT_ESCROW_DIRECTORY": "file/journal",
                "EVERGRANT_DATABASE_URL": NOBODY,
                "EVERGRANT_KEYRING_FILES": "k",
            },
        )
    mistake(
        "`up` with a journal that cannot be written says so",
        up + ports(),
        ["file/journal", "EVERGRANT_ESCROW_DIRECTORY"],
        files={"file": ""},
        within=40,
        settings={"EVERGRANT_ESCROW_DIRECTORY": "file/journal"},
    )
    mistake(
        "a data directory under a file is named, with the option that chooses another",
        ["up", "--directory", "file/data", *ports()],
        ["file/data", "--directory"],
        files={"file": ""},
    )
    catalog = {"EVERGRANT_CATALOG_DIRECTORIES": "catalog"}
    mistake(
        "a catalog file that is not YAML is named with its line",
        up + ports(),
        ["catalog/acme.yaml", "line 4"],
        files={"catalog/acme.yaml": "providers:\n  acme:\n    token_url: [\n"},
        settings=catalog,
        status=78,
    )
    mistake(
        "all faults of a catalog are told together, with what was meant",
        up + ports(),
        [
            "acme.yaml:3",
            "lacks the key `token_url`",
            "acme.yaml:4",
            "did you mean `token_url`",
            "acme.yaml:9",
            "nobody",
        ],
        files={
            "catalog/acme.yaml": "providers:\n  acme:\n    authorization_url: https://a.example/a\n    tokn_url: https://a.example/t\n"
            "integrations:\n  crm:\n    title: CRM\n    category: crm\n    provider: nobody\n"
        },
        settings=catalog,
        status=78,
        lines=10,
    )
    mistake(
        "a catalog whose URL is plain http is refused",
        up + ports(),
        ["acme.yaml", "http"],
        files={
            "catalog/acme.yaml": "providers:\n  acme:\n    authorization_url: http://a.example/a\n    token_url: https://a.example/t\n"
        },
        settings=catalog,
        status=78,
    )
    mistake(
        "a catalog directory that is not there is named",
        up + ports(),
        ["nowhere"],
        settings={"EVERGRANT_CATALOG_DIRECTORIES": "nowhere"},
        status=78,
    )
    for option in ("--front-port", "--admin-port", "--sandbox-port"):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", free_ports(1)[0]))
            taken.listen()
            port = str(taken.getsockname()[1])
            chosen = ports()
            chosen[chosen.index(option) + 1] = port
            mistake(f"a port that is taken is named with {option}", up + chosen, [port, option], status=69)


def around_a_fleet():
    """Mistakes that need a directory with data, and a death that is nobody's mistake."""
    with temporary_directory() as directory:
        fleet = Fleet(directory)
        again = ["up", "--directory", str(fleet.data)]
        try:
            fleet.start()
            mistake(
                "a second `up` in the same directory is refused",
                [*again, *ports()],
                ["another `evergrant up`", "--directory"],
                status=69,
            )
            minted = fleet.call(
                "POST", "/v1/sessions", {"identity": "user-1", "require_finish": False}, expect=201
            ).json()
            family = descendants(fleet.process.pid)
            programs = {pid for pid, _ in family if b"postgres" not in cmdline(pathlib.Path(f"/proc/{pid}")).encode()}
            os.kill(fleet.process.pid, signal.SIGKILL)
            fleet.process.wait()
            eventually(
                lambda: not programs.intersection(still_running(family)), "the children end with a killed `up`", 60
            )
            check(True, "when `up` is killed, front, worker, scheduler and sandbox end by themselves")
            fleet.start()
            shown = fleet.call("GET", f"/v1/sessions/{minted['id']}", expect=200).json()
            check(shown["identity"] == "user-1", "and the next start finds its data", shown)
            fleet.stop()
            eventually(lambda: not still_running(family), "nothing of the killed fleet runs after that", 30)

            keyring = fleet.data / "keyring"
            kept = keyring.read_text()
            keyring.write_text(OTHER_KEY)
            mistake(
                "a keyring that cannot open what is stored is refused at the start",
                [*again, *ports()],
                ["add that key to the keyring"],
                status=78,
                within=40,
            )
            keyring.write_text(kept)
            fleet.start()
            fleet.call("GET", f"/v1/sessions/{minted['id']}", expect=200)
            check(True, "with the right one again the fleet starts and finds its data")
            fleet.stop()
        except BaseException:
            print(f"-- evergrant up\n{fleet.output.read_text()[-2000:]}")
            raise
        finally:
            fleet.destroy()


def main():
    at_the_command_line()
    around_a_fleet()
    require(not failures, f"{len(failures)} mistakes are not told well (above)")


run(main)
