import Foundation
import Testing

@testable import Bootstrap

@Suite struct `Reading settings` {
    static let size = Setting("group.size", .integer(1...10), default: 3, "A size.")
    static let password = Setting("group.password", .optional(.text), default: nil, isSecret: true, "A password.")
    static let wait = Setting("group.wait", .duration(.seconds(1) ... .seconds(60)), default: .seconds(5), "A wait.")
    static let rows = [size.row, password.row, wait.row]

    private func reader(
        commandLine: [String: String] = [:], environment: [String: String] = [:], yaml: String? = nil
    ) throws -> SettingsReader {
        let folder = FileManager.default.temporaryDirectory.appending(path: "settings-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        if let yaml { try yaml.write(toFile: folder + "/evergrant.yaml", atomically: false, encoding: .utf8) }
        return SettingsReader(
            ConfigurationSources(commandLine: commandLine, environment: environment, directory: folder))
    }

    @Test func `the command line outranks the environment, which outranks the file`() throws {
        let yaml = "group:\n  size: 4\n  wait: 7s\n"
        #expect(try reader(yaml: yaml).value(Self.size) == 4)
        let middle = try reader(environment: ["EVERGRANT_GROUP_SIZE": "5"], yaml: yaml)
        #expect(middle.value(Self.size) == 5)
        #expect(middle.value(Self.wait) == .seconds(7))
        let top = try reader(
            commandLine: ["group.size": "6"], environment: ["EVERGRANT_GROUP_SIZE": "5"], yaml: yaml)
        #expect(top.value(Self.size) == 6)
        #expect(top.faults.isEmpty)
    }

    @Test func `a key that nobody gives has its default`() throws {
        let reader = try reader()
        #expect(reader.value(Self.size) == 3)
        #expect(reader.value(Self.password) == nil)
        #expect(!reader.isGiven("group.size"))
    }

    @Test func `an empty variable counts as absent`() throws {
        #expect(try reader(environment: ["EVERGRANT_GROUP_SIZE": ""]).value(Self.size) == 3)
    }

    @Test func `every mistake is reported with its place, and secrets are not quoted`() throws {
        let reader = try reader(
            commandLine: ["group.wait": "soon"], environment: ["EVERGRANT_GROUP_SIZE": "11"],
            yaml: "group:\n  password: [x, y\n")
        _ = (reader.value(Self.size), reader.value(Self.wait))
        let text = ConfigurationError(faults: reader.faults).description
        #expect(text.contains("3 mistakes"))
        #expect(text.contains("evergrant.yaml line 3 is not valid YAML"))
        #expect(text.contains("EVERGRANT_GROUP_SIZE is out of range (\"11\"); write one from 1 to 10"))
        #expect(text.contains("--set group.wait is not a duration (\"soon\"); write a number and a unit"))
    }

    @Test func `a fault in a secret does not show it`() throws {
        let secret = Setting("group.secret", .integer(1...2), default: 1, isSecret: true, "A secret number.")
        let reader = try reader(environment: ["EVERGRANT_GROUP_SECRET": "hunter2"])
        _ = reader.value(secret)
        #expect(reader.faults.count == 1)
        #expect(!reader.faults.description.contains("hunter2"))
    }

    @Test func `an unknown key is named in each source, with what was probably meant`() throws {
        let reader = try reader(
            commandLine: ["grup.size": "1"], environment: ["EVERGRANT_GROUP_SIEZ": "1", "EVERGRANT_NOTHING_LIKE": "1"],
            yaml: "# comment\ngroup:\n  wiat: 7s\n")
        reader.checkNames(Self.rows)
        #expect(
            reader.faults.map(\.description).map { $0.replacing(/^\/.*\/evergrant/, with: "evergrant") } == [
                "--set grup.size is unknown; did you mean group.size?",
                "EVERGRANT_GROUP_SIEZ is unknown; did you mean EVERGRANT_GROUP_SIZE?",
                "EVERGRANT_NOTHING_LIKE is unknown; docs/configuration.md lists every key",
                "evergrant.yaml line 3: group.wiat is unknown; did you mean group.wait?",
            ])
    }

    @Test func `what Kubernetes sets for a service of our name is no mistake`() throws {
        let reader = try reader(environment: [
            "EVERGRANT_FRONT_PORT": "tcp://10.0.0.7:8080", "EVERGRANT_FRONT_SERVICE_HOST": "10.0.0.7",
            "EVERGRANT_FRONT_SERVICE_PORT_HTTP": "8080", "EVERGRANT_FRONT_PORT_8080_TCP_ADDR": "10.0.0.7",
            "EVERGRANT_CONFIG": "", "PATH": "/bin",
        ])
        reader.checkNames(Self.rows)
        #expect(reader.faults.isEmpty)
    }

    @Test(arguments: [
        ("", true), ("# only a comment\n", true), ("group:\n", true), ("just words", false), ("a: [1", false),
        ("a: 1\na: 2\n", false), ("- 1\n- 2\n", true), ("group: &x\n  size: 1\nother: *x\n", true),
    ])
    func `a file that is empty, or no map, or broken, never crashes the start`(yaml: String, isAccepted: Bool) throws {
        #expect(try reader(yaml: yaml).faults.isEmpty == isAccepted)
    }

    @Test func `a file that was named and is not there is a mistake`() {
        let reader = SettingsReader(ConfigurationSources(environment: [:], file: "/nowhere/evergrant.yaml"))
        #expect(reader.faults.map(\.description).first?.contains("/nowhere/evergrant.yaml cannot be read") == true)
    }
}
