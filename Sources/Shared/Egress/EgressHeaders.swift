/// The header fields of an answer, in their order, names as they came; looked up without regard to case.
package struct EgressHeaders: Sendable, RandomAccessCollection {
    package typealias Element = (name: String, value: String)

    private var fields: [Element]

    package init(_ fields: [Element] = []) { self.fields = fields }

    package var startIndex: Int { fields.startIndex }
    package var endIndex: Int { fields.endIndex }
    package subscript(position: Int) -> Element { fields[position] }

    /// The first value of `name`.
    package subscript(name: String) -> String? { fields.first { Self.same($0.name, name) }?.value }

    /// All values of `name`, one for each field line.
    package func values(_ name: String) -> [String] {
        fields.compactMap { Self.same($0.name, name) ? $0.value : nil }
    }

    mutating func append(_ field: Element) { fields.append(field) }

    mutating func extendLast(by text: String) {
        guard let last = fields.indices.last else { return }
        fields[last].value += text
    }

    mutating func removeAll() { fields.removeAll(keepingCapacity: true) }

    /// ASCII only: field names are tokens (RFC 9110 §5.1).
    static func same(_ left: some StringProtocol, _ right: some StringProtocol) -> Bool {
        left.utf8.count == right.utf8.count
            && zip(left.utf8, right.utf8).allSatisfy { one, other in
                one == other || (one ^ other == 0x20 && (0x61...0x7a).contains(one | 0x20))
            }
    }
}
