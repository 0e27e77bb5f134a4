/// Why a catalog cannot be used: every fault of every file, so that they are repaired in one go.
package struct CatalogError: Error, Sendable, CustomStringConvertible {
    package let faults: [CatalogFault]

    package init(faults: [CatalogFault]) { self.faults = faults }

    package var description: String {
        "the catalog has \(faults.count == 1 ? "a fault" : "\(faults.count) faults"):\n"
            + faults.map { "  \($0)" }.joined(separator: "\n")
    }
}

/// One fault: where it stands and what is wrong, with the hint that repairs it.
package struct CatalogFault: Sendable, Hashable, CustomStringConvertible {
    /// The file's path; bundled files begin with `bundled:`.
    package let file: String
    package let line: Int?
    /// Keys from the top of the file, joined by dots.
    package let path: String
    package let problem: String

    package init(file: String, line: Int?, path: String, problem: String) {
        self.file = file
        self.line = line
        self.path = path
        self.problem = problem
    }

    package var description: String {
        file + (line.map { ":\($0)" } ?? "") + ": " + (path.isEmpty ? "" : "\(path): ") + problem
    }
}
