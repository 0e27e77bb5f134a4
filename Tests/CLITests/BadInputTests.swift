import Foundation
import TestSupport
import Testing

/// What a person reads who has made a mistake: one message, the item, the repair, a status; no stack trace.
@Suite struct `Bad input` {
    private func expectWords(
        _ ending: Program.Ending, status: Int32, _ parts: [String], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(ending.status == status, "\(ending.errors)", sourceLocation: sourceLocation)
        for part in parts {
            #expect(ending.errors.contains(part), "\(ending.errors)", sourceLocation: sourceLocation)
        }
        #expect(!ending.errors.contains("Fatal error"), sourceLocation: sourceLocation)
        #expect(!ending.errors.contains("Stack"), sourceLocation: sourceLocation)
        #expect(ending.output.isEmpty, sourceLocation: sourceLocation)
    }

    @Test(arguments: ["front", "scheduler", "worker"])
    func `a process without configuration names all that is missing`(role: String) async throws {
        expectWords(
            try await Program.run([role]), status: 78,
            [
                "evergrant: configuration: 2 mistakes", "database.url is missing; set EVERGRANT_DATABASE_URL",
                "keyring.files is missing; set EVERGRANT_KEYRING_FILES",
            ])
    }

    @Test func `a misspelt variable gets the name that was meant`() async throws {
        expectWords(
            try await Program.run(["migrate"], environment: ["EVERGRANT_DATABASE_ULR": "postgres://x"]), status: 78,
            ["EVERGRANT_DATABASE_ULR is unknown; did you mean EVERGRANT_DATABASE_URL?"])
    }

    @Test func `invalid YAML is named with file and line`() async throws {
        expectWords(
            try await Program.run(
                ["worker"],
                environment: [
                    "EVERGRANT_DATABASE_URL": Program.deadDatabase, "EVERGRANT_KEYRING_KEYS": Program.strangeKeyring,
                ],
                files: ["evergrant.yaml": "worker:\n  concurrency: [1\n"]), status: 78,
            ["evergrant.yaml line 3 is not valid YAML", "correct it"])
    }

    @Test func `a value of the wrong type is named with its line`() async throws {
        expectWords(
            try await Program.run(["migrate"], files: ["evergrant.yaml": "worker:\n  concurrency: many\n"]), status: 78,
            ["evergrant.yaml line 2: worker.concurrency is not a whole number (\"many\"); write one from 1 to 10000"])
    }

    @Test(arguments: ["migrate", "worker"])
    func `a database that is away is told with its address's key and no password`(command: String) async throws {
        let ending = try await Program.run(
            [command],
            environment: [
                "EVERGRANT_DATABASE_URL": "postgres://nobody:hunter2@127.0.0.1:1/nothing",
                "EVERGRANT_KEYRING_KEYS": Program.strangeKeyring,
            ])
        expectWords(ending, status: 69, ["database:", "Connection refused", "EVERGRANT_DATABASE_URL (database.url)"])
        #expect(!ending.errors.contains("hunter2"))
    }

    @Test func `a keyring file that is missing is named`() async throws {
        expectWords(
            try await Program.run(
                ["worker"],
                environment: [
                    "EVERGRANT_DATABASE_URL": Program.deadDatabase, "EVERGRANT_KEYRING_FILES": "/nowhere/keyring",
                ]), status: 78, ["keyring file /nowhere/keyring does not exist"])
    }

    @Test func `a keyring file that others can read is refused`() async throws {
        expectWords(
            try await Program.run(
                ["worker"],
                environment: ["EVERGRANT_DATABASE_URL": Program.deadDatabase, "EVERGRANT_KEYRING_FILES": "keyring"],
                files: ["keyring": Program.strangeKeyring]), status: 78,
            ["keyring file keyring has mode 0644", "chmod 600 keyring"])
    }

    @Test func `a journal that cannot be written is named before any work`() async throws {
        expectWords(
            try await Program.run(
                ["worker"],
                environment: [
                    "EVERGRANT_DATABASE_URL": Program.deadDatabase, "EVERGRANT_KEYRING_KEYS": Program.strangeKeyring,
                    "EVERGRANT_ESCROW_DIRECTORY": "/proc/evergrant",
                ]), status: 78, ["/proc/evergrant cannot be written", "EVERGRANT_ESCROW_DIRECTORY"])
    }

    @Test func `a database without schema is refused with the command that makes it`() async throws {
        try await withTestDatabase { database in
            expectWords(
                try await Program.run(
                    ["worker"],
                    environment: [
                        "EVERGRANT_DATABASE_URL": database.url, "EVERGRANT_KEYRING_KEYS": Program.strangeKeyring,
                    ]), status: 78, ["the database has no Evergrant schema; run `evergrant migrate`"])
        }
    }

    @Test func `an unknown argument is a usage error`() async throws {
        let ending = try await Program.run(["worker", "--concurency", "3"])
        #expect(ending.status == 64)
        #expect(ending.errors.contains("--concurency"))
    }

    @Test(arguments: [
        ["connections", "show", "evil.com/#"], ["connections", "show", "conn_00000000000000000000000000000000"],
        ["jobs", "show", "999999999"], ["apikeys", "revoke", "key_nothing"], ["apikeys", "create"],
        ["apikeys", "create", "--environment", "nowhere"],
    ])
    func `something that does not exist is told with where to look`(arguments: [String]) async throws {
        try await withMigratedDatabase { database in
            let ending = try await Program.run(arguments, environment: ["EVERGRANT_DATABASE_URL": database.url])
            expectWords(ending, status: 64, ["evergrant: "])
            #expect(
                ending.errors.contains("evergrant connections list") || ending.errors.contains("evergrant jobs list")
                    || ending.errors.contains("apikeys"), "\(ending.errors)")
        }
    }
}
