import Credentials
import Foundation
import Yams

/// Collects the faults of one file while it is read.
final class FaultList {
    let file: String
    let variables: [String: String]
    private(set) var faults: [CatalogFault] = []

    init(file: String, variables: [String: String]) {
        self.file = file
        self.variables = variables
    }

    func add(_ path: String, _ node: Node?, _ problem: String) {
        faults.append(CatalogFault(file: file, line: node?.mark?.line, path: path, problem: problem))
    }
}

/// A YAML mapping that is read key by key. A key that nobody asked for is a fault, told by ``finish()``; so are values
/// of another type. Reading goes on after a fault with the value `nil`, so that all faults are found in one run.
final class YAMLFields {
    let path: String
    let node: Node
    let list: FaultList
    private var values: [String: Node] = [:]
    private var keys: [String: Node] = [:]
    private var asked: Set<String> = []

    init(_ node: Node, path: String, list: FaultList) {
        self.node = node
        self.path = path
        self.list = list
        guard let mapping = node.mapping else {
            list.add(path, node, "must be a mapping of keys to values")
            return
        }
        for (key, value) in mapping {
            guard let name = key.scalar?.string else { continue }
            keys[name] = key
            values[name] = value
        }
    }

    /// Names of all its keys, for mappings whose keys the author chooses; counts them as asked for.
    func names() -> [String] {
        asked.formUnion(values.keys)
        return values.keys.sorted()
    }

    func has(_ key: String) -> Bool { values[key] != nil }

    func fault(_ key: String, _ problem: String) { list.add(join(key), values[key] ?? node, problem) }

    func join(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// The value of `key`, or nil; a key without a value is a fault.
    func value(_ key: String) -> Node? {
        asked.insert(key)
        guard let found = values[key] else { return nil }
        if let scalar = found.scalar, scalar.style == .plain, ["", "~", "null"].contains(scalar.string) {
            list.add(join(key), found, "has no value")
            return nil
        }
        return found
    }

    func string(_ key: String) -> String? { value(key).flatMap { text(of: $0, key) } }

    func string(required key: String) -> String? {
        if !has(key) {
            asked.insert(key)
            list.add(path, node, "lacks the key `\(key)`")
            return nil
        }
        return string(key)
    }

    func int(_ key: String) -> Int? {
        guard let text = string(key) else { return nil }
        guard let number = Int(text), number >= 0 else {
            fault(key, "must be a whole number of at least 0, not \"\(text)\"")
            return nil
        }
        return number
    }

    func bool(_ key: String) -> Bool? {
        switch string(key) {
        case nil: return nil
        case "true": return true
        case "false": return false
        case let text?:
            fault(key, "must be true or false, not \"\(text)\"")
            return nil
        }
    }

    /// One of the raw values of an enumeration.
    func choice<Value: RawRepresentable & CaseIterable>(_ key: String, _ type: Value.Type = Value.self) -> Value?
    where Value.RawValue == String {
        guard let text = string(key) else { return nil }
        if let value = Value(rawValue: text) { return value }
        let words = Value.allCases.map(\.rawValue)
        let hint = Spelling.suggestion(for: text, among: words).map { "; did you mean \($0)?" } ?? ""
        fault(key, "must be one of \(words.joined(separator: ", ")), not \"\(text)\"\(hint)")
        return nil
    }

    /// A list of texts; one text alone is a list of one.
    func strings(_ key: String) -> [String]? {
        guard let found = value(key) else { return nil }
        guard let sequence = found.sequence else { return text(of: found, key).map { [$0] } }
        return sequence.compactMap { text(of: $0, key) }
    }

    /// Whole numbers; one alone is a list of one.
    func ints(_ key: String) -> [Int]? {
        strings(key)?.compactMap { text in
            if let number = Int(text) { return number }
            fault(key, "must hold whole numbers, not \"\(text)\"")
            return nil
        }
    }

    func texts(_ key: String) -> [String: String]? {
        guard let inner = fields(key) else { return nil }
        var result: [String: String] = [:]
        for name in inner.names() { result[name] = inner.string(name) }
        return result
    }

    /// The mapping under `key`.
    func fields(_ key: String) -> YAMLFields? {
        value(key).map { YAMLFields($0, path: join(key), list: list) }
    }

    /// The elements of the list under `key`; one alone is a list of one.
    func elements(_ key: String) -> [(node: Node, path: String)] {
        guard let found = value(key) else { return [] }
        guard let sequence = found.sequence else { return [(found, join(key))] }
        return sequence.enumerated().map { ($0.element, "\(join(key))[\($0.offset)]") }
    }

    /// Runs `body`; what it throws becomes a fault at `key`.
    func attempt<Value>(_ key: String, _ body: () throws(InvalidValue) -> Value) -> Value? {
        do { return try body() } catch {
            fault(key, error.description)
            return nil
        }
    }

    /// Tells every key that nobody asked for.
    func finish() {
        for key in values.keys.sorted() where !asked.contains(key) {
            let hint = Spelling.suggestion(for: key, among: asked).map { "; did you mean `\($0)`?" }
            list.add(
                path, keys[key],
                "unknown key `\(key)`" + (hint ?? "; it may hold " + asked.sorted().joined(separator: ", ")))
        }
    }

    /// The text of a scalar, `${name}` and `${name:default}` filled in.
    private func text(of node: Node, _ key: String) -> String? {
        guard let scalar = node.scalar else {
            list.add(join(key), node, "must be a text or number, not a \(node.mapping == nil ? "list" : "mapping")")
            return nil
        }
        var result = ""
        var rest = scalar.string[...]
        while let open = rest.range(of: "${"), let close = rest[open.upperBound...].firstIndex(of: "}") {
            result += rest[..<open.lowerBound]
            let parts = rest[open.upperBound..<close].split(
                separator: ":", maxSplits: 1, omittingEmptySubsequences: false
            ).map(String.init)
            if let value = list.variables[parts[0]] ?? (parts.count == 2 ? parts[1] : nil) {
                result += value
            } else {
                list.add(join(key), node, "uses the variable ${\(parts[0])}, which is not set")
            }
            rest = rest[rest.index(after: close)...]
        }
        return result + rest
    }
}
