import CLibPQ

/// What may be shown of a server's error: the primary message, SQLSTATE, constraint and hint. `DETAIL` and `CONTEXT` hold
/// row and parameter values and are never read.
struct ServerMessage {
    let sqlState: String
    let text: String
    let constraint: String?
    let hint: String?
    let severity: String

    /// Field codes are those of the protocol (manual, "Error and Notice Message Fields").
    init(_ result: OpaquePointer) {
        func field(_ code: Unicode.Scalar) -> String? {
            PQresultErrorField(result, Int32(code.value)).map { String(cString: $0) }
        }
        let state = field("C") ?? ""
        // Class 22, data exception, quotes the offending value in its primary message.
        let quotesValues = state.hasPrefix("22")
        let primary = field("M") ?? String(cString: PQresultErrorMessage(result)).oneLine
        sqlState = state
        text = quotesValues ? primary.withoutQuotedValues : primary
        constraint = field("n")
        hint = field("H").map { quotesValues ? $0.withoutQuotedValues : $0 }
        severity = field("V") ?? field("S") ?? ""
    }
}

extension String {
    /// Every quoted part replaced, from the first quotation mark to the last, for a value can hold such marks itself;
    /// also byte dumps such as `0xe2 0x28`.
    var withoutQuotedValues: String {
        let marks: Set<Character> = ["\"", "«", "»", "„", "“", "”", "‹", "›", "「", "」"]
        var text = self
        if let first = text.firstIndex(where: { marks.contains($0) }),
            let last = text.lastIndex(where: { marks.contains($0) })
        {
            text.replaceSubrange(first...last, with: "<redacted>")
        }
        guard text.contains("0x") else { return text }
        return text.split(separator: " ", omittingEmptySubsequences: false)
            .map { $0.hasPrefix("0x") ? "<redacted>" : $0 }.joined(separator: " ")
    }

    /// libpq ends its messages with a line feed and puts one line for each host it tried.
    var oneLine: String {
        split(whereSeparator: \.isNewline).map { line in
            String(line.drop(while: \.isWhitespace))
        }.joined(separator: "; ")
    }
}
