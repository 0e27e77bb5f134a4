import Foundation
import Testing

@testable import Bootstrap

@Suite struct `Configuration of a process` {
    private func sources(_ environment: [String: String]) -> ConfigurationSources {
        ConfigurationSources(environment: environment, directory: "/nowhere")
    }

    @Test func `nothing at all is enough when nothing is needed`() throws {
        let configuration = try EvergrantConfiguration(sources([:]))
        #expect(configuration.front.publicURL == "http://localhost:8080")
        #expect(configuration.database.url == nil)
    }

    @Test func `what is needed and missing is named with an example`() {
        let error = #expect(throws: ConfigurationError.self) {
            try EvergrantConfiguration(sources([:]), needs: [.database, .keyring])
        }
        #expect(error?.faults.map(\.place) == ["database.url", "keyring.files"])
        #expect(error?.description.contains("set EVERGRANT_DATABASE_URL, for example postgres://") == true)
    }

    @Test func `two listeners on one port are a mistake`() {
        let error = #expect(throws: ConfigurationError.self) {
            try EvergrantConfiguration(sources(["EVERGRANT_FRONT_ADMIN_PORT": "8080"]))
        }
        #expect(error?.description.contains("EVERGRANT_FRONT_ADMIN_PORT is the public listener's port too") == true)
    }

    @Test func `every key has a name of its own, and a default that reads back`() throws {
        let rows = EvergrantConfiguration.rows
        #expect(Set(rows.map(\.name)).count == rows.count)
        #expect(Set(rows.map(\.variable)).count == rows.count)
        for row in rows where !row.defaultText.isEmpty {
            #expect(throws: Never.self, "\(row.name)") {
                try EvergrantConfiguration(sources([row.variable: row.defaultText]))
            }
        }
        for row in rows { #expect(!ConfigurationSources.isForOthers(row.variable, "1"), "\(row.variable)") }
    }

    @Test func `the database's address is not printed`() throws {
        let configuration = try EvergrantConfiguration(
            sources(["EVERGRANT_DATABASE_URL": "postgres://u:hunter2@h/d", "EVERGRANT_KEYRING_KEYS": "k hunter2"]))
        #expect(!"\(configuration)".contains("hunter2"))
    }
}
