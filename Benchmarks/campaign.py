"""Lateness of due refreshes while a campaign of 100,000 runs: connections of the sandbox come due one after another, and
each one's last refresh is compared with the moment it was due. The campaign's members have no credentials.

Arguments: members (100000), connections that come due (200), seconds between two of them (0.1)."""
import statistics
import sys
import tempfile
import time

from _fleet import Fleet

members = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
gap = float(sys.argv[3]) if len(sys.argv) > 3 else 0.1


def measure(fleet):
    """Seconds from due to refreshed, sorted."""
    fleet.sql(
        "update evergrant.connections c set refresh_due_at = now() + x.n * interval '1 s' * %f from ("
        "select id, row_number() over (order by id) n from evergrant.connections where name = 'due') x "
        "where c.id = x.id" % gap)
    fleet.sql("create table if not exists due_at (id bigint primary key, at timestamptz, generation bigint);"
              "truncate due_at; insert into due_at select id, refresh_due_at, generation from evergrant.connections "
              "where name = 'due'")
    deadline = time.monotonic() + count * gap + 120
    while int(fleet.sql("select count(*) from due_at d join evergrant.connections c using (id) "
                        "where c.generation = d.generation")):
        if time.monotonic() > deadline:
            sys.exit("the refreshes did not end")
        time.sleep(0.5)
    rows = fleet.sql("select extract(epoch from c.last_refreshed_at - d.at) from due_at d "
                     "join evergrant.connections c using (id)")
    return sorted(float(row) for row in rows.splitlines())


def show(title, values):
    print(f"{title}: median {statistics.median(values):.2f} s, p99 {values[int(len(values) * 0.99)]:.2f} s, "
          f"worst {values[-1]:.2f} s late")


with tempfile.TemporaryDirectory() as directory:
    fleet = Fleet(directory, log_level="warning")
    try:
        for index in range(count):
            fleet.connect("sandbox-replayable", f"user-{index}", f"user-{index}@example.com")
        fleet.sql("update evergrant.connections set name = 'due'")
        show("alone", measure(fleet))
        fleet.sql(
            "insert into evergrant.connections (environment_id, mode, integration, provider, oauth_app_id, "
            "identity_type, identity, tags, state, grant_id) select c.environment_id, c.mode, c.integration, c.provider, "
            "c.oauth_app_id, 'user', 'bulk-' || g, '{bulk}', 'active', gen_random_uuid() from "
            f"(select * from evergrant.connections limit 1) c, generate_series(1, {members}) g")
        made = fleet.own("POST", "/v1/campaigns", {"action": "validate", "selection": {"tag": "bulk"}})
        while fleet.own("GET", f"/v1/campaigns/{made['id']}")["state"] == "gathering":
            time.sleep(0.2)
        show(f"beside a campaign of {members}", measure(fleet))
        print(fleet.own("GET", f"/v1/campaigns/{made['id']}")["outcomes"])
    finally:
        fleet.stop()
