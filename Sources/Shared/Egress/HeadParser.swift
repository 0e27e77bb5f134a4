/// Collects the head of an answer from the lines that libcurl hands over one by one. Interim answers (1xx) are forgotten
/// when the next status line comes, trailers are left out.
struct HeadParser {
    enum Step { case more, complete, failed(EgressFailure.Code) }

    /// Bytes of all lines, interim answers and trailers included.
    static let limit = 256 * 1024

    private(set) var status = 0
    private(set) var headers = EgressHeaders()
    /// The final head is whole.
    private(set) var isComplete = false
    private var length = 0

    /// A byte of an answer has come.
    var hasBegun: Bool { length > 0 }

    mutating func take(_ line: UnsafeRawBufferPointer) -> Step {
        length += line.count
        guard length <= Self.limit else { return .failed(.tooLarge) }
        guard !isComplete else { return .more }
        var text = line[...]
        while let last = text.last, last == 0x0a || last == 0x0d || last == 0x20 || last == 0x09 { text.removeLast() }
        if text.isEmpty { return endHead() }
        if let first = text.first, first == 0x20 || first == 0x09 {
            // Obsolete line folding (RFC 9112 §5.2): the line goes on with the value before it.
            headers.extendLast(by: " " + Self.text(text.drop { $0 == 0x20 || $0 == 0x09 }))
            return .more
        }
        if text.starts(with: "HTTP/".utf8) { return take(statusLine: text) }
        guard let colon = text.firstIndex(of: UInt8(ascii: ":")) else { return .failed(.badAnswer) }
        let value = text[(colon + 1)...].drop { $0 == 0x20 || $0 == 0x09 }
        headers.append((name: Self.text(text[..<colon]), value: Self.text(value)))
        return .more
    }

    private mutating func endHead() -> Step {
        // 101 would make of the connection something that was never asked for.
        if status == 101 { return .failed(.badAnswer) }
        guard status >= 200 else { return .more }
        isComplete = true
        return .complete
    }

    private mutating func take(statusLine: Slice<UnsafeRawBufferPointer>) -> Step {
        headers.removeAll()
        status = 0
        guard let blank = statusLine.firstIndex(of: 0x20) else { return .failed(.badAnswer) }
        let digits = statusLine[(blank + 1)...].prefix(3)
        guard digits.count == 3, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return .failed(.badAnswer) }
        status = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        return status >= 100 ? .more : .failed(.badAnswer)
    }

    /// UTF-8, or Latin-1 where it is not UTF-8, so that no byte is lost (RFC 9110 §5.5 leaves both possible).
    private static func text(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        return String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) }))
    }
}
