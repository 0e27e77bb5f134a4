import Foundation
import Front
import Testing

/// `openapi.yaml` and the front agree: schemathesis makes up requests from the one and sends them to the other.
@Suite struct OpenAPITests {
    /// schemathesis beside the Python that `./dev test` names; nil where it is not installed.
    static let program = ProcessInfo.processInfo.environment["EVERGRANT_TEST_PYTHON"].map {
        URL(fileURLWithPath: $0).deletingLastPathComponent().appending(path: "st").path
    }.flatMap { FileManager.default.isExecutableFile(atPath: $0) ? $0 : nil }

    @Test(
        .enabled(if: program != nil, "no schemathesis beside the Python of EVERGRANT_TEST_PYTHON"),
        .timeLimit(.minutes(5)))
    func `made-up requests get documented answers, and never a 500`() async throws {
        try await FrontWorld.with(options: { $0.feedWait = .zero }) { world in
            _ = try await world.connectedByKey("placed-header")
            try await world.enable("sandbox-windowed")
            let ended = try await ChildProcess.run(
                try #require(Self.program),
                [
                    "run", world.base + "/openapi.yaml", "--header", "Authorization: Bearer \(world.key)",
                    "--max-examples", "15",
                    "--exclude-path-regex", "^/v1/(passthrough|api-keys)",
                    "--checks", "not_a_server_error,content_type_conformance,response_schema_conformance",
                ])
            #expect(ended.status == 0, "\(ended.text)")
        }
    }
}
