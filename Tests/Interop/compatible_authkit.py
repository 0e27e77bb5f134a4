"""The public AuthKit client for Python, unmodified, against our token endpoint, and the calls beside it."""

import asyncio

import requests
from authkit_token import AuthKitToken

from _fleet import check, run, running_fleet

COUNT = 230


def catalog():
    """More integrations than one page has, each with an API key that nobody tests."""
    entries = "".join(
        f"""
  many-{number:03}:
    title: Many {number:03}
    category: test
    color: "#334155"
    summary: One of many.
    api_key: {{fields: {{api_key: {{label: API key}}}}}}
    credential: {{header: x-api-key}}
    api_base: https://many.example.com/v1
    sources: [docs/sandbox.md]
    grade: D
"""
        for number in range(COUNT)
    )
    return {"many.yaml": "integrations:" + entries}


def main():
    with running_fleet(catalog=catalog()) as fleet:
        for number in range(COUNT):
            fleet.call("PUT", f"/v1/integrations/many-{number:03}", {}, expect=200)
        origin = "https://app.example.com"
        fleet.call("PATCH", "/v1/environment", {"embedding_origins": [origin]}, expect=200)
        enabled = fleet.call("GET", "/v1/integrations?enabled=true&limit=500", expect=200).json()
        ready = sum(1 for each in enabled["data"] if each["ready"])

        client = AuthKitToken(fleet.key, {"base_url": fleet.address})
        told = client.create(identity="grace@acme.test", identity_type="user")
        check(told is not None, "create() answers")
        rows = told["rows"] if isinstance(told, dict) else told.rows
        check(len(rows) == ready > 200, f"all {ready} integrations are in it, over several pages", len(rows))
        identifier = told["request_id"] if isinstance(told, dict) else told.request_id
        check(identifier.startswith("egt_"), "the last page's id is a ticket")
        again = asyncio.run(client.create_async(identity="grace@acme.test", identity_type="user"))
        check(again is not None, "create_async() answers")

        secret = {"X-Pica-Secret": fleet.key}
        for body in (
            {"identity": "u", "identityType": "team"},
            {"identity": "u", "identity_type": "team"},
            {"group": "u"},
            {"label": "x"},
            {},
        ):
            answer = requests.post(f"{fleet.address}/v1/authkit?limit=100&page=2", headers=secret, json=body, timeout=30)
            check(answer.status_code == 200 and len(answer.json()["rows"]) == 100, f"{body} is understood")
        one = requests.post(f"{fleet.address}/v1/authkit/token", headers={"X-One-Secret": fleet.key}, json={}, timeout=30)
        check(len(one.json()["rows"]) == 20, "the later name has pages of 20")
        flags = requests.get(f"{fleet.address}/v1/users/flags", headers=secret, timeout=30).json()
        check(flags == {"authkitWhitelist": False}, "the flags say that the footer is ours")
        refused = requests.post(f"{fleet.address}/v1/authkit", headers={"X-Pica-Secret": "sk_live_x"}, json={}, timeout=30)
        check(refused.status_code == 401 and "rows" not in refused.json(), "a wrong key gets an error and no rows")

        # The ticket becomes a session at its first use, and counts once.
        environment = fleet.call("GET", "/v1/environment", expect=200).json()["id"]
        window = requests.Session()
        window.headers["Authorization"] = f"Bearer {identifier}"
        opening = {"parent": origin, "environment": environment}
        opened = window.post(f"{fleet.base}/connect/api/open", json=opening, timeout=30)
        check(opened.json()["owner"] == {"type": "user", "value": "grace@acme.test"}, "the ticket carries the identity", opened.text[:300])
        attempt = {"integration": "many-007", "fields": {"api_key": "sk_many_0123456789"}, "name": "mine"}
        done = window.post(f"{fleet.base}/connect/api/key", json=attempt, timeout=30)
        check(done.status_code == 200, "a key connects", done.text)
        check(window.post(f"{fleet.base}/connect/api/key", json=attempt, timeout=30).json()["code"] == "session_used", "once")
        altered = dict(window.headers, Authorization=f"Bearer {identifier[:-6]}AAAAAA")
        check(
            requests.post(f"{fleet.base}/connect/api/open", json=opening, headers=altered, timeout=30).json()["code"]
            == "session_unknown",
            "an altered ticket is none",
        )

        listed = requests.get(
            f"{fleet.address}/v1/vault/connections?identity=grace@acme.test&platform=many-007", headers=secret, timeout=30
        ).json()
        check(listed["total"] == 1, "the connection is listed", listed)
        row = listed["rows"][0]
        wanted = {
            "_id", "platformVersion", "connectionDefinitionId", "name", "key", "environment", "platform",
            "secretsServiceId", "identity", "identityType", "settings", "throughput", "createdAt", "updatedAt", "updated",
            "version", "lastModifiedBy", "deleted", "tags", "active", "deprecated",
        }  # fmt: skip
        check(wanted <= set(row), "its record has every field", wanted - set(row))
        check(row["state"] == "operational" and row["name"] == "mine", "and its state and name")
        by_key = f"{fleet.address}/v1/vault/connections?key={requests.utils.quote(row['key'])}"
        check(requests.get(by_key, headers=secret, timeout=30).json()["total"] == 1, "a key finds it")
        path = f"{fleet.address}/v1/vault/connections/{row['_id']}"
        changed = requests.patch(path, headers=secret, json={"name": "", "tags": ["a", "b"]}, timeout=30).json()
        check(changed["name"] == "" and changed["tags"] == ["a", "b"], "PATCH clears the name and replaces the tags")
        tagged = f"{fleet.address}/v1/vault/connections?tags=a,b"
        check(requests.get(tagged, headers=secret, timeout=30).json()["total"] == 1, "tags find it")
        passed = requests.get(
            f"{fleet.address}/v1/passthrough/x", timeout=30,
            headers={**secret, "X-Pica-Connection-Key": row["key"].split("|")[0], "X-Pica-Action-Id": "y"},
        )  # fmt: skip
        check(passed.headers.get("Evergrant-Error") not in ("unauthenticated", "connection_missing", "connection_not_found"),
              "passthrough takes their headers", passed.text)
        gone = requests.delete(path, headers=secret, timeout=30)
        check(gone.status_code == 200 and gone.content == b"", "DELETE answers 200 and nothing")
        check(fleet.key not in fleet.log("front") and identifier not in fleet.log("front"), "no key and no ticket is in the log")


if __name__ == "__main__":
    run(main)
