/// Settings as JSON, changed member by member.
enum SettingsOverlay {
    /// All settings, absent values as null.
    static func describe(_ settings: SandboxSettings) throws(ControlRefusal) -> JSONValue {
        guard case .object(var members) = try? JSONValue(settings) else {
            throw ControlRefusal(status: 500, message: "the settings cannot be written as JSON")
        }
        if case .object(var classes) = members["classes"] {
            for (name, value) in classes {
                guard case .object(var one) = value else { continue }
                for key in ClassSettings.CodingKeys.allCases where one[key.rawValue] == nil {
                    one[key.rawValue] = .null
                }
                classes[name] = .object(one)
            }
            members["classes"] = .object(classes)
        }
        return .object(members)
    }

    /// Settings with the members of `body` laid over them; null takes an optional value away.
    static func apply(
        _ body: inout ControlBody, to settings: SandboxSettings
    ) throws(ControlRefusal) -> SandboxSettings {
        var changed = settings
        if let depth = try body.choice("ledger", SandboxSettings.LedgerDepth.self) { changed.ledger = depth }
        if let capacity = try body.count("ledger_capacity", in: 1...10_000_000) { changed.ledgerCapacity = capacity }
        guard let given = body.value("classes") else { return changed }
        guard case .object(let classes) = given else { throw .malformed("`classes` must be an object") }
        for (name, members) in classes.sorted(by: { $0.key < $1.key }) {
            guard let providerClass = ProviderClass(rawValue: name) else {
                throw .malformed(
                    "unknown class `\(name)`; use " + ProviderClass.allCases.map(\.rawValue).joined(separator: ", "))
            }
            guard case .object(let members) = members else { throw .malformed("`classes.\(name)` must be an object") }
            changed[providerClass] = try overlay(members, on: changed[providerClass], path: "classes.\(name)")
        }
        return changed
    }

    private static func overlay(
        _ members: [String: JSONValue], on settings: ClassSettings, path: String
    ) throws(ControlRefusal) -> ClassSettings {
        let known = ClassSettings.CodingKeys.allCases.map(\.rawValue)
        guard case .object(var all) = try? JSONValue(settings) else {
            throw ControlRefusal(status: 500, message: "the settings cannot be written as JSON")
        }
        // One at a time, so that the fault names its member.
        for (name, value) in members.sorted(by: { $0.key < $1.key }) {
            guard known.contains(name) else {
                throw .malformed(
                    "unknown member `\(path).\(name)`; use one of " + known.sorted().joined(separator: ", "))
            }
            if case .number(let number) = value, !(0...1e9).contains(number) {
                throw .malformed("`\(path).\(name)` must be from 0 to 1000000000")
            }
            all[name] = value == .null ? nil : value
            guard (try? JSONValue.object(all).read(ClassSettings.self)) != nil else {
                throw .malformed("`\(path).\(name)` has no such value")
            }
        }
        guard let changed = try? JSONValue.object(all).read(ClassSettings.self) else {
            throw .malformed("`\(path)` cannot be read")
        }
        return changed
    }
}
