import Credentials
import Foundation

/// All providers and integrations of one process, checked. Made once at start; a change of files needs a restart.
package struct IntegrationCatalog: Sendable {
    /// By title.
    package let integrations: [Integration]
    /// By id.
    package let providers: [Provider]
    private let integrationsByID: [String: Integration]
    private let providersByID: [String: Provider]

    /// Loads the bundled files and then all `.yaml` and `.yml` files of `directories`, subfolders included. An
    /// operator's provider or integration replaces a bundled one of the same id as a whole.
    /// - Parameters:
    ///   - variables: values of `${name}` in the files. A file whose `requires` names an absent one is left out: the
    ///     sandbox integrations need `sandbox_base`, the address of the sandbox provider.
    /// - Throws: ``CatalogError`` with all faults of all files.
    package init(directories: [URL] = [], variables: [String: String] = [:]) throws(CatalogError) {
        var sources: [CatalogSource] = []
        var faults: [CatalogFault] = []
        // Not `resourceURL`: Foundation takes a folder named Resources inside a bundle for the resources themselves.
        let bundled = Bundle.module.bundleURL.appendingPathComponent("Resources")
        sources += CatalogSource.files(under: bundled, name: "bundled:", isBundled: true, faults: &faults)
        if sources.isEmpty {
            faults.append(
                CatalogFault(
                    file: "bundled:", line: nil, path: "",
                    problem: "no catalog files found; evergrant_Catalog.resources must lie beside the executable"))
        }
        for directory in directories {
            sources += CatalogSource.files(under: directory, name: directory.path, isBundled: false, faults: &faults)
        }
        try self.init(sources: sources, variables: variables, faults: faults)
    }

    /// Loads `sources` alone; for tests and tools.
    package init(sources: [CatalogSource], variables: [String: String] = [:], faults: [CatalogFault] = [])
        throws(CatalogError)
    {
        var faults = faults
        let files = sources.compactMap { source in
            let list = FaultList(file: source.name, variables: variables)
            if let file = CatalogFile.read(source.text, isBundled: source.isBundled, list: list) { return file }
            return CatalogFile(isBundled: source.isBundled, list: list)
        }
        // Bundled first, so that an operator's entry takes its place; two of one rank are a fault.
        let ordered = files.filter(\.isBundled) + files.filter { !$0.isBundled }
        let entries = Self.merge(ordered, of: "providers") { $0.providers.map { ($0.id, $0) } }
        let drafts = Self.merge(ordered, of: "integrations") { $0.integrations.map { ($0.id, $0) } }
        let read = drafts.values.compactMap { $0.read(providers: entries) }
        faults += files.flatMap(\.list.faults)
        if !faults.isEmpty {
            throw CatalogError(
                faults: faults.sorted { ($0.file, $0.line ?? 0, $0.path) < ($1.file, $1.line ?? 0, $1.path) })
        }
        integrations = read.sorted { ($0.title.lowercased(), $0.id) < ($1.title.lowercased(), $1.id) }
        providers = entries.values.compactMap(\.provider).sorted { $0.id < $1.id }
        integrationsByID = Dictionary(integrations.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        providersByID = Dictionary(providers.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    }

    package func integration(_ id: String) -> Integration? { integrationsByID[id] }

    /// - Throws: ``InvalidValue`` that names the nearest integration there is.
    package func integration(named id: String) throws(InvalidValue) -> Integration {
        if let found = integrationsByID[id] { return found }
        let hint = Spelling.suggestion(for: id, among: integrationsByID.keys).map { "did you mean \($0)?" }
        throw InvalidValue(
            item: "integration", problem: "\"\(id.prefix(63))\" is not in the catalog",
            repair: hint ?? "list the integrations to see their ids")
    }

    package func provider(_ id: String) -> Provider? { providersByID[id] }

    /// Who authenticates for `integration`; nil for API keys.
    package func provider(of integration: Integration) -> Provider? {
        integration.providerID.flatMap { providersByID[$0] }
    }

    /// Integrations whose title, id, category or summary holds every word of `text`, of `category` when given.
    package func search(_ text: String?, category: String? = nil) -> [Integration] {
        let words = (text ?? "").lowercased().split(whereSeparator: \.isWhitespace)
        return integrations.filter { one in
            let haystack = "\(one.title) \(one.id) \(one.category) \(one.summary)".lowercased()
            return (category == nil || one.category == category) && words.allSatisfy { haystack.contains($0) }
        }
    }

    private static func merge<Entry>(
        _ files: [CatalogFile], of kind: String, _ entries: (CatalogFile) -> [(String, Entry)]
    ) -> [String: Entry] {
        var result: [String: Entry] = [:]
        var owners: [String: CatalogFile] = [:]
        for file in files {
            for (id, entry) in entries(file) {
                if let owner = owners[id], owner.isBundled == file.isBundled {
                    file.list.add("\(kind).\(id)", nil, "is defined in \(owner.list.file) already")
                    continue
                }
                owners[id] = file
                result[id] = entry
            }
        }
        return result
    }
}

/// The text of one catalog file.
package struct CatalogSource: Sendable {
    package let name: String
    package let text: String
    package let isBundled: Bool

    package init(name: String, text: String, isBundled: Bool = false) {
        self.name = name
        self.text = text
        self.isBundled = isBundled
    }

    static func files(under directory: URL, name: String, isBundled: Bool, faults: inout [CatalogFault])
        -> [CatalogSource]
    {
        guard let paths = try? FileManager.default.subpathsOfDirectory(atPath: directory.path) else {
            let problem = "the folder cannot be read; check that it exists and may be read"
            faults.append(CatalogFault(file: name, line: nil, path: "", problem: problem))
            return []
        }
        var sources: [CatalogSource] = []
        for path in paths.sorted() where path.hasSuffix(".yaml") || path.hasSuffix(".yml") {
            let shown = isBundled ? name + path : "\(name)/\(path)"
            if let data = FileManager.default.contents(atPath: "\(directory.path)/\(path)"),
                let text = String(data: data, encoding: .utf8)
            {
                sources.append(CatalogSource(name: shown, text: text, isBundled: isBundled))
            } else {
                let problem = "the file cannot be read, or is not UTF-8"
                faults.append(CatalogFault(file: shown, line: nil, path: "", problem: problem))
            }
        }
        return sources
    }
}
