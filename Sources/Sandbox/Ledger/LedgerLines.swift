/// One request at a token or revocation endpoint. Names such as `g3`, `r17` stand for grants and tokens; values are
/// never written down.
package struct RequestLine: Sendable, Encodable {
    package let id: Int
    /// By the provider's clock, seconds since 1970.
    package let time: Double
    package let providerClass: ProviderClass
    package let endpoint: SandboxEndpoint
    package let client: String
    package var grant: String?
    /// The refresh or access token presented; nil when it is unknown.
    package let token: String?
    /// Requests of this grant in flight when it arrived, itself included.
    package let inFlight: Int
    package var outcome: Outcome?
    /// Why, in words.
    package var detail: String?
    /// The refresh token given, where one was.
    package var issued: String?
    package var status: Int?
    package var delivery = Delivery.open
    /// The fault that was played, by kind.
    package var fault: String?
    /// Whether the client went away before its answer.
    package var isAbandoned = false

    enum CodingKeys: String, CodingKey {
        case id, time, endpoint, client, grant, token, outcome, detail, issued, status, delivery, fault
        case providerClass = "class"
        case inFlight = "in_flight"
        case isAbandoned = "abandoned"
    }
}

/// One call of a class's API.
package struct CallLine: Sendable, Encodable {
    package let id: Int
    package let time: Double
    package let providerClass: ProviderClass
    package let method: String
    /// As received, with its query.
    package let target: String
    package let grant: String?
    /// The access token, or the key's number; nil when it is unknown or missing.
    package let token: String?
    package var outcome: Outcome
    package var detail: String?
    package var status: Int?
    package var delivery = Delivery.open
    package var fault: String?

    enum CodingKeys: String, CodingKey {
        case id, time, method, target, grant, token, outcome, detail, status, delivery, fault
        case providerClass = "class"
    }
}

/// Lines of which the newest `capacity` are kept. A line is found by its number as long as it is there.
struct RecentLines<Line: Sendable>: Sendable {
    private var lines: [Line] = []
    private var capacity: Int
    /// Number of the next line.
    private(set) var next = 0

    init(capacity: Int) { self.capacity = max(1, capacity) }

    /// Lines that were forgotten.
    var forgotten: Int { next - lines.count }

    mutating func append(_ line: Line) {
        if lines.count < capacity { lines.append(line) } else { lines[next % capacity] = line }
        next += 1
    }

    /// Changes line `number`; nothing happens when it is gone.
    mutating func update(_ number: Int, _ change: (inout Line) -> Void) {
        guard number >= forgotten, number < next else { return }
        change(&lines[number % capacity])
    }

    /// From the oldest to the newest.
    var all: [Line] { (forgotten..<next).map { lines[$0 % capacity] } }
}
