import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import Postgres
import Sandbox
import Store
import Testing
import Vault

/// `age` itself; nil where it is not installed.
private let age = ["/usr/bin/age", "/usr/local/bin/age"].first { FileManager.default.isExecutableFile(atPath: $0) }

@Suite(.timeLimit(.minutes(5))) struct GrantExportTests {
    /// A key pair of age, and what it opens.
    private struct KeyPair {
        let directory: URL
        let recipient: AgeRecipient

        init() throws {
            directory = FileManager.default.temporaryDirectory.appending(path: "evergrant-age-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            _ = try Self.run("age-keygen", ["-o", directory.appending(path: "key").path], input: [])
            let shown = String(
                decoding: try Self.run("age-keygen", ["-y", directory.appending(path: "key").path], input: []),
                as: UTF8.self)
            recipient = try AgeRecipient(parsing: shown.trimmingCharacters(in: .whitespacesAndNewlines))
        }

        func open(_ file: [UInt8]) throws -> [UInt8] {
            let path = directory.appending(path: "file")
            try Data(file).write(to: path)
            return Array(
                try Self.run("age", ["-d", "-i", directory.appending(path: "key").path, path.path], input: []))
        }

        struct Failed: Error {}

        private static func run(_ program: String, _ arguments: [String], input: [UInt8]) throws -> Data {
            let process = Process()
            process.executableURL = URL(filePath: "/usr/bin/env")
            process.arguments = [program] + arguments
            let output = Pipe()
            process.standardOutput = output
            process.standardError = FileHandle.nullDevice
            try process.run()
            let data = try output.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            guard process.terminationStatus == 0 else { throw Failed() }
            return data
        }
    }

    private func exported(
        _ world: LifecycleWorld, to recipient: AgeRecipient, _ change: (inout ExportSelection) -> Void = { _ in }
    ) async throws -> [UInt8] {
        var selection = ExportSelection()
        change(&selection)
        var file: [UInt8] = []
        _ = try await GrantExport(world.services).run(
            selection, recipients: [recipient], environmentID: world.environmentID, actor: "test"
        ) { file += $0 }
        return file
    }

    @Test(.enabled(if: age != nil, "age is not installed"), arguments: [0, 1, 65_535, 65_536, 65_537, 200_000])
    func `age opens what was written, whatever its length`(length: Int) throws {
        let pair = try KeyPair()
        var writer = try AgeWriter(recipients: [pair.recipient])
        let plain = SecureRandom.bytes(length)
        var file: [UInt8] = []
        for start in stride(from: 0, to: length, by: 7001) {
            file += try writer.append(plain[start..<min(length, start + 7001)])
        }
        file += try writer.finish()
        #expect(try pair.open(file) == plain)
        // A file that was cut is not taken for a whole one.
        #expect(throws: KeyPair.Failed.self) { try pair.open(file.dropLast(1)) }
        if length > 65_536 {
            #expect(throws: KeyPair.Failed.self) {
                try pair.open(Array(file.prefix(file.count - (length - 65_536) - 16)))
            }
        }
    }

    @Test func `a mistyped recipient, or a secret key in its place, is refused`() throws {
        let good = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
        #expect(try AgeRecipient(parsing: good).description == good)
        let mistyped: [String] = [
            "", "age1", String(good.dropLast()) + "q", good.replacing("ql3z", with: "q13z"), good.uppercased(),
            good + " ", "AGE-SECRET-KEY-1QQQQ",
        ]
        for bad in mistyped {
            #expect(throws: InvalidValue.self, "\(bad)") { try AgeRecipient(parsing: bad) }
        }
    }

    @Test(.enabled(if: age != nil, "age is not installed"))
    func `what leaves comes in again elsewhere`() async throws {
        let pair = try KeyPair()
        var rows = ""
        try await LifecycleWorld.with { world in
            let connection = try await world.connect(
                "strict", account: "ann@example.com", life: 3600, identity: "user-1")
            _ = try await Connections.patch(
                id: connection.id, name: "Ann's", tags: ["vip"], metadata: Array(#"{"plan":{"seats":3}}"#.utf8),
                in: world.pool)
            _ = try await world.connect("windowed", account: "bob@example.com", life: 3600, identity: "user-2")
            let file = try await exported(world, to: pair.recipient)
            #expect(!String(decoding: file, as: UTF8.self).contains("sbx_rt_"))
            rows = String(decoding: try pair.open(file), as: UTF8.self)
            #expect(rows.split(separator: "\n").count == 2)
            let one = try await exported(world, to: pair.recipient) { $0.identity = "user-2" }
            #expect(String(decoding: try pair.open(one), as: UTF8.self).contains("bob@example.com"))
            // The audit says that and how much, before anything left.
            let actions = try await world.pool.execute(
                PostgresStatement(
                    "actions", "select action from evergrant.audit where action like 'export%' order by id")
            ).map { try $0.decode(String.self) }
            #expect(actions == ["export", "export_done", "export", "export_done"])

            // The same provider, another environment: as if it were another installation.
            let other = try #require(try await Environments.insert(name: "other", mode: .live, in: world.pool))
            for provider in ["strict", "windowed"] {
                let app = try await world.enable(provider)
                _ = try await IntegrationSettings.put(
                    environmentID: other.id, integration: "sandbox-\(provider)", isEnabled: true, oauthAppID: app.id,
                    scopes: nil, display: IntegrationDisplay(), in: world.pool)
            }
            let importing = GrantImport(world.services)
            let job = try await importing.receive(
                AsyncStream<[UInt8]> { stream in
                    stream.yield(Array(rows.utf8))
                    stream.finish()
                }, format: .ndjson, options: ImportOptions(), contentHash: nil, environmentID: other.id, actor: "test")
            let faults = try await Imports.outcomes(id: job.id, outcome: "rejected", after: 0, limit: 9, in: world.pool)
            #expect(job.state == .importing, "\(faults.map { String(decoding: $0.faults ?? [], as: UTF8.self) })")
            while try await importing.apply(id: job.id) {}
            var filter = ConnectionFilter(environmentID: other.id)
            filter.tag = "vip"
            let moved = try #require(try await Connections.list(filter, in: world.pool).rows.first)
            #expect(moved.identity.value == "user-1" && moved.name == "Ann's" && moved.accountID == "ann@example.com")
            #expect(String(decoding: moved.document, as: UTF8.self).contains(#""seats": 3"#))
        }
    }
}
