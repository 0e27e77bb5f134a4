import Credentials

/// A header value of the catalog with places for facts: `{tenant_id}`.
package struct HeaderTemplate: Sendable, Hashable {
    let pieces: [URLTemplate.Piece]

    init(_ text: String, known: [String: URLTemplate.Name]) throws(InvalidValue) {
        pieces = try URLTemplate.pieces(of: text, known: known)
    }

    /// The header's value.
    /// - Throws: ``InvalidValue`` when a value is missing, or holds characters that no header may carry.
    package func resolve(_ values: [String: String]) throws(InvalidValue) -> String {
        var result = ""
        for piece in pieces {
            switch piece {
            case .literal(let text): result += text
            case .name(let name):
                guard let value = values[name.name] ?? name.defaultValue else {
                    throw InvalidValue(item: name.name, problem: "is missing", repair: "reconnect to learn it")
                }
                result += try name.kind.check(value, item: name.name)
            }
        }
        guard result.utf8.allSatisfy({ (0x20..<0x7f).contains($0) }) else {
            throw InvalidValue(item: "header", problem: "has characters no header carries", repair: "reconnect")
        }
        return result
    }
}
