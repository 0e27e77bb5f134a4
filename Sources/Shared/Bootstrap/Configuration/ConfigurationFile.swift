import Foundation
import Yams

/// `evergrant.yaml`, flattened: `database: {url: …}` becomes `database.url`.
struct ConfigurationFile {
    /// Text of each scalar, and the line it stands on; a sequence's items are joined by commas.
    private(set) var values: [String: (text: String, line: Int?)] = [:]
    private(set) var faults: [ConfigurationFault] = []
    private let path: String

    /// - Parameter path: the file; its name stands in every fault.
    init(reading path: String) {
        let data = FileManager.default.contents(atPath: path)
        self.init(path: path, text: String(decoding: data ?? Data(), as: UTF8.self))
        if data == nil {
            faults.append(
                ConfigurationFault(
                    place: path, problem: "cannot be read", repair: "create the file, or name another by --config"))
        }
    }

    init(path: String, text: String) {
        self.path = path
        do {
            // An empty file, or one of comments only, composes to nothing.
            guard let root = try Yams.compose(yaml: text) else { return }
            flatten(root, prefix: "")
        } catch let error as YamlError {
            faults.append(fault(of: error))
        } catch {
            faults.append(ConfigurationFault(place: path, problem: "is not YAML", repair: "correct it: \(error)"))
        }
    }

    private mutating func flatten(_ node: Node, prefix: String) {
        switch node {
        case .mapping(let mapping):
            for (key, value) in mapping {
                flatten(value, prefix: prefix.isEmpty ? key.string ?? "" : "\(prefix).\(key.string ?? "")")
            }
        case .sequence(let sequence):
            values[prefix] = (sequence.compactMap(\.string).joined(separator: ","), node.mark?.line)
        case .scalar(let scalar):
            if prefix.isEmpty {
                faults.append(
                    ConfigurationFault(
                        place: path, problem: "holds no keys",
                        repair: "write groups of keys, as in docs/configuration.md"))
            } else if node.null == nil {
                values[prefix] = (scalar.string, node.mark?.line)
            }
        case .alias:
            faults.append(
                ConfigurationFault(place: "\(path): \(prefix)", problem: "is an alias", repair: "write its value out"))
        }
    }

    private func fault(of error: YamlError) -> ConfigurationFault {
        let (line, problem): (Int?, String) =
            switch error {
            case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
                .composer(_, let problem, let mark, _):
                (mark.line, problem)
            case .duplicatedKeysInMapping(let duplicates, _):
                (nil, "key given twice: \(duplicates.joined(separator: ", "))")
            default: (nil, "\(error)")
            }
        return ConfigurationFault(
            place: path + (line.map { " line \($0)" } ?? ""), problem: "is not valid YAML (\(problem))",
            repair: "correct it; `key: value`, groups indented by two spaces")
    }
}
