import Credentials
import Foundation

extension URLTemplate {
    /// Reads a template of a catalog file.
    /// - Parameters:
    ///   - known: the names it may use, by name.
    ///   - reach: whether plain http is allowed, and whether it must stay on this machine.
    /// - Throws: ``InvalidValue`` that says which rule it breaks.
    init(_ text: String, known: [String: Name], reach: Reach) throws(InvalidValue) {
        let faults = Faults(text)
        var pieces = try Self.pieces(of: text, known: known)
        self.text = text
        if case .name(let first)? = pieces.first {
            guard case .baseURL = first.kind else {
                throw faults.refuse("begins with {\(first.name)}, which is not of type base_url")
            }
            scheme = nil
            authority = [pieces.removeFirst()]
            rest = pieces
        } else {
            guard case .literal(let head)? = pieces.first, let end = head.range(of: "://") else {
                throw faults.refuse("has no scheme", "write it as https://host/path")
            }
            let scheme = String(head[..<end.lowerBound])
            pieces[0] = .literal(String(head[end.upperBound...]))
            (authority, rest) = Self.split(pieces)
            self.scheme = scheme
            try Self.check(scheme: scheme, authority: authority, reach: reach, faults)
        }
        try Self.check(rest: rest, faults)
    }

    private struct Faults {
        let text: String
        init(_ text: String) { self.text = text }
        func refuse(_ problem: String, _ repair: String = "see the rules for URL templates in docs/catalog.md")
            -> InvalidValue
        { InvalidValue(item: "URL template \"\(text)\"", problem: problem, repair: repair) }
    }

    /// Cuts `text` at its `{name}` places. Shared with ``HeaderTemplate``.
    static func pieces(of text: String, known: [String: Name]) throws(InvalidValue) -> [Piece] {
        var pieces: [Piece] = []
        var rest = text[...]
        while let open = rest.firstIndex(of: "{") {
            guard let close = rest[open...].firstIndex(of: "}") else {
                throw Faults(text).refuse("has a { without }")
            }
            if open > rest.startIndex { pieces.append(.literal(String(rest[..<open]))) }
            let name = String(rest[rest.index(after: open)..<close])
            guard let found = known[name] else {
                let hint = Spelling.suggestion(for: name, among: Array(known.keys))
                throw Faults(text).refuse(
                    "names {\(name)}, which is neither a parameter nor a fact",
                    hint.map { "did you mean {\($0)}?" } ?? "declare it under parameters or facts")
            }
            pieces.append(.name(found))
            rest = rest[rest.index(after: close)...]
        }
        if rest.contains("}") { throw Faults(text).refuse("has a } without {") }
        if !rest.isEmpty { pieces.append(.literal(String(rest))) }
        return pieces
    }

    /// Splits at the first `/` or `?` of a literal: what comes before is the authority.
    private static func split(_ pieces: [Piece]) -> ([Piece], [Piece]) {
        for (index, piece) in pieces.enumerated() {
            guard case .literal(let text) = piece, let end = text.firstIndex(where: { $0 == "/" || $0 == "?" })
            else { continue }
            let head: [Piece] = end > text.startIndex ? [.literal(String(text[..<end]))] : []
            let authority = pieces[..<index].filter { $0 != .literal("") } + head
            return (Array(authority), [.literal(String(text[end...]))] + pieces[(index + 1)...])
        }
        return (pieces.filter { $0 != .literal("") }, [])
    }

    private static func check(scheme: String, authority: [Piece], reach: Reach, _ faults: Faults) throws(InvalidValue) {
        guard scheme == "https" || (scheme == "http" && reach.allowsPlainHTTP) else {
            throw faults.refuse(
                scheme == "http" ? "is plain http" : "has the scheme \(scheme)",
                "use https; plain http needs allow_http: true in an operator's own file")
        }
        if authority.count == 1, case .literal(let literal) = authority[0] {
            let parts = literal.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let port = parts.count == 2 ? UInt16(parts[1]) : 443
            guard port != nil,
                HostName.isLoopback(parts[0]) || HostName.isIPv4(parts[0])
                    || HostName.problem(with: parts[0]) == nil
            else { throw faults.refuse("has no valid host") }
            if reach.isSandbox, !HostName.isLoopback(parts[0]) {
                throw faults.refuse("is a sandbox address outside this machine", "use 127.0.0.1 or localhost")
            }
            return
        }
        guard !reach.isSandbox, !authority.isEmpty else { throw faults.refuse("has no fixed host") }
        for (index, piece) in authority.enumerated() {
            switch piece {
            case .name(let name):
                try check(hostName: name, at: index, in: authority, faults)
            case .literal(let text):
                let allowed = "abcdefghijklmnopqrstuvwxyz0123456789-."
                guard text.allSatisfy({ allowed.contains($0) }) else { throw faults.refuse("has no valid host") }
            }
        }
    }

    private static func check(hostName name: Name, at index: Int, in authority: [Piece], _ faults: Faults)
        throws(InvalidValue)
    {
        func literal(_ index: Int) -> String? {
            guard authority.indices.contains(index), case .literal(let text) = authority[index] else { return nil }
            return text
        }
        switch name.kind {
        case .host, .operatorHost:
            guard authority.count == 1 else { throw faults.refuse("{\(name.name)} must be the whole host") }
        case .options where authority.count == 1:
            return
        case .label, .options:
            // One whole label under a suffix of at least two labels that the catalog fixes.
            let before = index == 0 ? "." : literal(index - 1) ?? ""
            guard before.hasSuffix("."), index == authority.count - 2, let suffix = literal(index + 1),
                suffix.hasPrefix("."), HostName.problem(with: String(suffix.dropFirst())) == nil
            else { throw faults.refuse("{\(name.name)} must be one label under a fixed suffix, as {name}.example.com") }
        case .baseURL, .segment, .text:
            throw faults.refuse("{\(name.name)} may not stand in a host")
        }
    }

    private static func check(rest: [Piece], _ faults: Faults) throws(InvalidValue) {
        var path = ""
        for piece in rest {
            switch piece {
            case .literal(let text): path += text
            case .name(let name):
                switch name.kind {
                case .label, .options, .segment: path += "x"
                case .host, .operatorHost, .baseURL, .text:
                    throw faults.refuse("{\(name.name)} may not stand in a path or query")
                }
            }
        }
        let halves = path.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard isPlainPath(halves.first ?? "") else { throw faults.refuse("has an unusual path") }
        if halves.count == 2 {
            guard URLComponents(string: "https://host/?" + halves[1]) != nil, !halves[1].contains("#"),
                !halves[1].contains(" ")
            else { throw faults.refuse("has an invalid query") }
        }
    }
}
