import Credentials
import Foundation
import Yams

/// Reads one catalog file: mappings `providers` and `integrations`, and what holds for all of the file.
struct CatalogFile {
    let isBundled: Bool
    let list: FaultList
    var providers: [ProviderEntry] = []
    var integrations: [IntegrationDraft] = []

    /// - Returns: nil when the file's `requires` names a variable that is not set; the file is left out.
    static func read(_ yaml: String, isBundled: Bool, list: FaultList) -> CatalogFile? {
        var file = CatalogFile(isBundled: isBundled, list: list)
        let root: Node
        do {
            guard let node = try Yams.compose(yaml: yaml) else { return file }
            root = node
        } catch let error as YamlError {
            list.add("", nil, "is not YAML: " + Self.summary(of: error))
            return file
        } catch {
            list.add("", nil, "is not YAML: \(error)")
            return file
        }
        let fields = YAMLFields(root, path: "", list: list)
        if fields.strings("requires")?.contains(where: { list.variables[$0] == nil }) == true { return nil }
        let reach = Reach(
            networks: fields.strings("networks") ?? [], allowsPlainHTTP: fields.bool("allow_http") ?? false,
            isSandbox: fields.bool("sandbox") ?? false)
        for network in reach.networks where !isNetwork(network) {
            fields.fault("networks", "\"\(network)\" is not a network such as 10.0.0.0/8 or fd00::/8")
        }
        if let inner = fields.fields("providers") {
            for id in inner.names() {
                guard isSlug(id, inner), let entry = inner.fields(id) else { continue }
                file.providers.append(ProviderReader(entry, reach: reach).read(id: id))
            }
        }
        if let inner = fields.fields("integrations") {
            for id in inner.names() {
                guard isSlug(id, inner), let entry = inner.fields(id) else { continue }
                file.integrations.append(IntegrationDraft(id: id, fields: entry, reach: reach))
            }
        }
        fields.finish()
        return file
    }

    private static func isSlug(_ id: String, _ fields: YAMLFields) -> Bool {
        if Pattern.matches("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", id) { return true }
        fields.fault(id, "is no valid id; use lower-case letters, digits and inner hyphens, 63 at most")
        return false
    }

    private static func isNetwork(_ text: String) -> Bool {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, let bits = Int(parts[1]), String(bits) == parts[1] else { return false }
        if HostName.isIPv4(parts[0]) { return (0...32).contains(bits) }
        var address = in6_addr()
        return (0...128).contains(bits) && inet_pton(AF_INET6, parts[0], &address) == 1
    }

    private static func summary(of error: YamlError) -> String {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            "line \(mark.line), column \(mark.column): \(problem)"
        case .duplicatedKeysInMapping(let duplicates, _):
            "the key \(duplicates.joined(separator: ", ")) stands twice in one mapping"
        default: "it cannot be read"
        }
    }
}
