import Foundation
import Testing

/// `openapi.yaml` and the front agree: schemathesis makes up requests from the one and sends them to the other.
@Suite struct OpenAPITests {
    /// The program `st` of schemathesis, named by `EVERGRANT_SCHEMATHESIS`; `./dev test` installs it.
    static let program = ProcessInfo.processInfo.environment["EVERGRANT_SCHEMATHESIS"]

    @Test(.enabled(if: program != nil, "EVERGRANT_SCHEMATHESIS names no schemathesis"), .timeLimit(.minutes(5)))
    func `made-up requests get documented answers, and never a 500`() async throws {
        try await FrontWorld.with { world in
            _ = try await world.connectedByKey("placed-header")
            try await world.enable("sandbox-windowed")
            let ended = try await ChildProcess.run(
                try #require(Self.program),
                [
                    "run", world.base + "/openapi.yaml", "--header", "Authorization: Bearer \(world.key)",
                    "--max-examples", ProcessInfo.processInfo.environment["EVERGRANT_SCHEMATHESIS_EXAMPLES"] ?? "15",
                    "--exclude-path-regex", "^/v1/(passthrough|api-keys)",
                    "--checks", "not_a_server_error,content_type_conformance,response_schema_conformance",
                ])
            #expect(ended.status == 0, "\(ended.text)")
        }
    }
}
