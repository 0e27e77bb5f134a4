import Foundation
import Postgres
import Store
import Testing

@testable import Webhooks

/// `docs/audit.md` gives the chain's format in words: a program that knows only them, in another language, must agree.
@Suite(.timeLimit(.minutes(5))) struct AuditFormatTests {
    private static let script = """
        import hashlib, json, sys
        call = json.load(sys.stdin)
        sha = lambda b: hashlib.sha256(b).hexdigest()
        def net(*fields):
            text = b""
            for f in fields:
                if f is None: text += b"-"
                else: b = str(f).encode(); text += str(len(b)).encode() + b":" + b + b","
            return sha(text)
        rows = {r["id"]: r for r in call["rows"]}
        previous = "00" * 32
        for s in call["seals"]:
            listed = bytes.fromhex(s["rows"])
            for i in range(0, len(listed), 40):
                r = rows.pop(int.from_bytes(listed[i:i + 8], "big"))
                details = None if r["details"] is None else sha(r["details"].encode())
                digest = net("evergrant.audit.row.1", r["id"], r["environment_id"], r["xid"], r["at"], r["actor"],
                    r["action"], r["connection_id"], r["count"], details)
                assert digest == listed[i + 8:i + 40].hex(), r
            assert s["previous"] == previous and s["count"] == len(listed) // 40
            previous = net("evergrant.audit.seal.1", s["environment_id"], s["number"], previous, s["floor_id"],
                s["from_xid"], s["from_id"], s["to_xid"], s["to_id"], s["newest_id"], int(s["ends_era"]), s["count"],
                sha(listed), s["sealed_at"])
            assert s["hash"] == previous, s
        assert not rows, rows
        print(f"{len(call['seals'])}:{previous}")
        """

    @Test func `a program written from the documentation alone finds the same head`() async throws {
        let python = try #require(
            ProcessInfo.processInfo.environment["EVERGRANT_TEST_PYTHON"],
            "EVERGRANT_TEST_PYTHON names no Python: run ./dev test, which makes one")
        try await WebhookFixture.run { fixture in
            for n in 0..<7 {
                try await Audit.record(
                    environmentID: fixture.environmentID, actor: n == 3 ? "späh" : "cli", action: "export",
                    connectionID: n % 2 == 0 ? nil : Int64(n), count: Int64(n + 1),
                    details: n == 4 ? nil : Array(#"{"n":\#(n),"a":"ü"}"#.utf8), in: fixture.pool)
            }
            let sealer = AuditSealer(pool: fixture.pool)
            while try await sealer.lag() > 0 { _ = try await sealer.seal(limit: 3) }
            let text = try await fixture.value(
                """
                select jsonb_build_object(
                    'rows', (select jsonb_agg(jsonb_build_object('id', id, 'environment_id', environment_id, 'xid', xid,
                        'at', (extract(epoch from at) * 1000000)::bigint, 'actor', actor, 'action', action,
                        'connection_id', connection_id, 'count', count, 'details', details::text))
                        from evergrant.audit),
                    'seals', (select jsonb_agg(to_jsonb(s) || jsonb_build_object(
                        'rows', encode(s.rows, 'hex'), 'previous', encode(s.previous, 'hex'),
                        'hash', encode(s.hash, 'hex'), 'sealed_at', extract(epoch from s.sealed_at)::bigint)
                        order by number) from evergrant.audit_seals s))::text
                """, as: String.self)
            let head = try #require(try await AuditHead.find(environmentID: fixture.environmentID, in: fixture.pool))
            let found = try await ReferenceLibraryTests.run(python, Data(text.utf8), script: Self.script)
            #expect(found == head.text + "\n")
        }
    }
}
