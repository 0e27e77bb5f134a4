import Credentials
import Foundation
import LifecycleSupport
import Sandbox
import Store

/// What a fleet run did, and what it counted.
struct FleetReport: Codable, Sendable {
    var seconds = 0
    /// From the last disturbance until everything had been renewed.
    var recoverySeconds = 0
    var connections = 0
    var revoked = 0
    var refreshes = 0
    /// Lost as no protocol can prevent, each told as `rotation_lost`.
    var told = 0
    var disturbances: [String: Int] = [:]
    var calls: [String: Int] = [:]
    var hot = ""
    var reckoning = Reckoning()
    /// Processes that ended by themselves.
    var fallen: [String] = []

    init() {}

    init(_ world: LifecycleWorld, _ population: Population, _ blows: [Fleet.Blow]) async throws {
        let ledger = world.sandbox.state.ledger()
        let lines = Dictionary(grouping: ledger.requests.filter { $0.endpoint == .tokenRefresh }) { $0.grant ?? "" }
        for member in population.members {
            var count = try await world.reckon(member.connection, account: member.account)
            let grant = world.sandbox.state.grants(of: member.providerClass, account: member.account).last
            let own = lines[grant?.id ?? ""] ?? []
            connections += 1
            refreshes += grant?.refreshes ?? 0
            if grant?.why == "its user revoked it" { revoked += 1 }
            let row = try await world.row(member.connection)
            let isLoss = count.toldLost > 0
            let isGivenUp =
                member.providerClass == .strictApp && count.falseBreaks > 0 && row.reason == .rotationLost
            if isLoss && Self.isExcused(own, member.providerClass, blows) || isGivenUp {
                told += 1
                count.toldLost = 0
                count.falseBreaks = 0
                count.findings = []
            }
            if !count.findings.isEmpty {
                count.findings += own.suffix(6).map { line in
                    "    \(line.time) presented \(line.token ?? "?"): \(line.outcome.map { "\($0)" } ?? "-"), "
                        + "\(line.delivery), issued \(line.issued ?? "-")\(line.fault.map { ", \($0)" } ?? "")"
                }
            }
            reckoning = reckoning + count
        }
    }

    var isClean: Bool { reckoning.isClean && reckoning.findings.isEmpty && fallen.isEmpty }

    /// Whether an answer was on the wire when its process died or slept, or never left the provider.
    private static func isExcused(
        _ lines: [RequestLine], _ providerClass: ProviderClass, _ blows: [Fleet.Blow]
    ) -> Bool {
        guard [.strict, .strictFamily, .strictApp].contains(providerClass) else { return false }
        return lines.contains { line in
            guard line.outcome == .issued || line.outcome == .reissued else { return false }
            if line.delivery != .answered || line.isAbandoned { return true }
            let time = Date(timeIntervalSince1970: line.time)
            return blows.contains {
                $0.from.addingTimeInterval(-4) < time && time < $0.until.addingTimeInterval(1)
            }
        }
    }
}
