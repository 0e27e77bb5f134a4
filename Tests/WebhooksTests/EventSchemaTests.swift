import Credentials
import Foundation
import Postgres
import Store
import Testing

@testable import Webhooks

/// `docs/events`: a JSON Schema (2020-12) for each type, checked by a validator that is not ours.
@Suite(.timeLimit(.minutes(5))) struct EventSchemaTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "docs/events")

    /// Reads `{schemas: {type: schema}, events: [...]}` and prints a line for each fault: an example or event that its
    /// schema refuses, a connection's schema that differs, a field that no schema describes.
    private static let script = """
        import json, sys
        from jsonschema_rs import validator_for
        call = json.load(sys.stdin)
        connections = set()
        def described(value, schema, root, place):
            if "$ref" in schema: schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
            for part in schema.get("allOf", []): described(value, part, root, place)
            if "allOf" in schema or not isinstance(value, dict) or "properties" not in schema: return
            for key, inner in value.items():
                if key not in schema["properties"]: print(f"{place}.{key}: no schema describes it")
                else: described(inner, schema["properties"][key], root, f"{place}.{key}")
        for type, schema in call["schemas"].items():
            validator = validator_for(schema, validate_formats=True)
            examples = schema.get("examples", [])
            if not examples: print(f"{type}: has no example")
            for event in examples + [e for e in call["events"] if e["type"] == type]:
                for error in validator.iter_errors(event): print(f"{type}: {error.message} at {error.instance_path}")
                described(event, schema, schema, type)
            if validator.is_valid({"id": "evt_1", "type": type, "data": {}}): print(f"{type}: accepts anything")
            if "connection" in schema.get("$defs", {}): connections.add(json.dumps(schema["$defs"]["connection"], sort_keys=True))
        if len(connections) != 1: print(f"there are {len(connections)} different schemas of a connection")
        for event in call["events"]:
            if event["type"] not in call["schemas"]: print(f"{event['type']}: an event without a schema")
        """

    @Test func `every type has a schema, and every schema a type`() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
            .filter { $0.hasSuffix(".schema.json") }.map { $0.replacing(".schema.json", with: "") }
        let types = Set(Events.types + [Events.testType])
        let missing = types.subtracting(files).sorted(), strange = Set(files).subtracting(types).sorted()
        #expect(missing.isEmpty, "write docs/events/<type>.schema.json for these types, with an example")
        #expect(strange.isEmpty, "add these to Events.types, or delete their files")
    }

    @Test func `the README names every type`() throws {
        let text = try String(contentsOf: Self.folder.appending(path: "README.md"), encoding: .utf8)
        for type in Events.types + [Events.testType] { #expect(text.contains("`\(type)`"), "\(type) is missing") }
    }

    @Test func `all that the database writes is valid by its schema, and every field is described`() async throws {
        let python = try #require(
            ProcessInfo.processInfo.environment["EVERGRANT_TEST_PYTHON"],
            "EVERGRANT_TEST_PYTHON names no Python with jsonschema_rs: run ./dev test, which makes one")
        try await WebhookFixture.run { fixture in
            try await Self.makeEvents(fixture)
            try await fixture.dispatch()
            let events = try await Events.feed(
                environmentID: fixture.environmentID, after: 0, limit: 1000, in: fixture.pool)
            let seen = Set(events.map(\.type))
            let unmade = Set(Events.types + [Events.testType]).subtracting(seen).sorted()
            // These are made and checked where their makers are tested; here by the examples of their schemas.
            #expect(
                unmade == [
                    "connection.expiring", "connection.reconnect_requested", "provider.breaker_closed",
                    "provider.breaker_opened", "provider.wave_began", "provider.wave_ended",
                ])
            var schemas: [String: Any] = [:]
            for type in Events.types + [Events.testType] {
                let data = try Data(contentsOf: Self.folder.appending(path: "\(type).schema.json"))
                schemas[type] = try JSONSerialization.jsonObject(with: data)
            }
            let call: [String: Any] = [
                "schemas": schemas,
                "events": try events.map { try JSONSerialization.jsonObject(with: Data($0.document)) },
            ]
            let faults = try await ReferenceLibraryTests.run(
                python, try JSONSerialization.data(withJSONObject: call), script: Self.script)
            #expect(faults == "", "\(faults)")
        }
    }

    /// One event of each type that the database itself writes: of every transition, bare and with all that a connection
    /// can show.
    private static func makeEvents(_ fixture: WebhookFixture) async throws {
        let made = try await fixture.endpoint(types: ["connection.revoked"]).endpoint
        let states = ["active", "degraded", "suspected", "broken", "revoking", "revoked", "pending"]
        for before in states {
            for after in states where after != before {
                let id = try await fixture.breakConnection("\(before) to \(after) 🔑")
                try await fixture.run(
                    """
                    update evergrant.connections set state = '\(before)', account_id = 'a', account_label = 'Ä',
                        name = 'Ada''s', tags = '{a,b}', metadata = '{"plan": {"tier": 1}}', granted_scopes = '{x y}',
                        missing_scopes = '{z}', next_attempt_at = now(), access_expires_at = now(), ends_at = now(),
                        last_refreshed_at = now(), last_validated_at = now() where id = \(id)
                    """)
                guard !(before == "revoked" || (before == "revoking" && after != "revoked")) else { continue }
                guard after != "pending" else { continue }
                try await fixture.run("update evergrant.connections set state = '\(after)' where id = \(id)")
            }
        }
        try await fixture.run(
            "insert into evergrant.oauth_apps (environment_id, provider, client_id) values (\(fixture.environmentID), 'google', 'c')"
        )
        let app = try await fixture.value("select max(id) from evergrant.oauth_apps", as: Int64.self)
        _ = try await Quarantine.begin(appID: app, reason: "invalid_client", probeIn: .seconds(60), in: fixture.pool)
        _ = try await Quarantine.end(appID: app, over: .zero, in: fixture.pool)
        _ = try await WebhookEndpoints.disable(
            id: made.id, url: nil, reason: "it answered 410 Gone", in: fixture.pool)
        _ = try await Events.insertTest(endpointID: made.id, in: fixture.pool)
    }
}
