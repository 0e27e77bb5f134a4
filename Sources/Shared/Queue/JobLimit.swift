#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A limit that holds over the whole fleet for jobs that name its key.
package struct JobLimit: Sendable, Hashable {
    package let key: String
    /// Jobs at a time; nil: any number.
    package var concurrency: Int?
    /// Starts a second, in the long run; nil: any number.
    package var rate: Double?
    /// Starts at once after a pause; at least 1. Counts only with a rate.
    package var burst: Int

    package init(key: String, concurrency: Int? = nil, rate: Double? = nil, burst: Int = 1) {
        self.key = key
        self.concurrency = concurrency
        self.rate = rate
        self.burst = burst
    }

    static let keyRule = "1 to 200 characters a name, without control characters"

    static func isValid(key: String) -> Bool {
        (1...200).contains(key.unicodeScalars.count)
            && !key.unicodeScalars.contains { $0.value < 32 || $0.value == 127 }
    }

    /// Throws `QueueError.invalid`.
    func check() throws {
        func require(_ holds: Bool, _ fault: @autoclosure () -> String) throws {
            if !holds { throw QueueError(.invalid, "limit \"\(key.prefix(80))\": \(fault())") }
        }
        try require(Self.isValid(key: key), "its key needs \(Self.keyRule)")
        try require(concurrency != nil || rate != nil, "needs a concurrency, a rate, or both")
        try require(
            concurrency.map { (0...1_000_000).contains($0) } ?? true,
            "concurrency is \(concurrency ?? 0), needs 0 to 1000000")
        try require(
            rate.map { (0.000_001...1_000_000).contains($0) } ?? true,
            "rate is \(rate ?? 0) a second, needs 0.000001 (one in 12 days) to 1000000")
        try require((1...1_000_000).contains(burst), "burst is \(burst), needs 1 to 1000000")
    }
}

/// A limit as it stands.
package struct JobLimitState: Sendable {
    package let limit: JobLimit
    /// Jobs that hold room now, counted only under a concurrency.
    package let inUse: Int
    /// Starts that the rate allows at once now; nil without a rate.
    package let tokens: Double?
    /// Nothing starts before.
    package let blockedUntil: Date?
    package let blockedBecause: String?
    /// Jobs parked until there is room, counted up to a cap of 10,000.
    package let waiting: Int
}

/// What can be paused beside a queue.
package enum JobPause: Sendable, Hashable {
    case kind(String)
    case limitKey(String)

    /// As stored: reason and name.
    var stored: (reason: String, name: String) {
        switch self {
        case .kind(let name): ("kind", name)
        case .limitKey(let name): ("limit", name)
        }
    }

    init?(reason: String, name: String) {
        switch reason {
        case "kind": self = .kind(name)
        case "limit": self = .limitKey(name)
        default: return nil
        }
    }
}
