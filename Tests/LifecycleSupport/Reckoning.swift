import Credentials
import Foundation
import Postgres
import Sandbox
import Store

/// What the provider's ledger and our rows say of connections that have come to rest: the counts that must be zero.
package struct Reckoning: Sendable, Codable, Equatable {
    /// Grants that live at the provider, or died of our doing, and that we can no longer refresh; nobody was told.
    package var lost = 0
    /// The same, told as `rotation_lost`.
    package var toldLost = 0
    /// Told as `rotation_lost` although what we hold is alive, at providers of harm `app`: after an attempt without an
    /// outcome nothing is presented any more, whether anything was sent or not. No loss by accident.
    package var givenUp = 0
    /// Broken although what we hold is alive, or told as the user's doing although it was ours.
    package var falseBreaks = 0
    /// Revoked by the user and not broken.
    package var missedBreaks = 0
    /// Neither working nor broken.
    package var unsettled = 0
    package var transitionsWithoutEvent = 0
    package var eventsDoubled = 0
    /// Most token requests of one grant that were in flight at once.
    package var inFlight = 0
    /// Presentations of a spent token.
    package var replays = 0
    /// A sentence for each connection that is counted in one of the first six.
    package var findings: [String] = []

    package init() {}

    /// Nothing that must not be.
    package var isClean: Bool {
        losses + falseBreaks + missedBreaks + unsettled + transitionsWithoutEvent + eventsDoubled == 0 && inFlight <= 1
    }

    /// Grants lost, told or not.
    package var losses: Int { lost + toldLost }

    package static func + (left: Reckoning, right: Reckoning) -> Reckoning {
        var sum = left
        sum.lost += right.lost
        sum.toldLost += right.toldLost
        sum.givenUp += right.givenUp
        sum.falseBreaks += right.falseBreaks
        sum.missedBreaks += right.missedBreaks
        sum.unsettled += right.unsettled
        sum.transitionsWithoutEvent += right.transitionsWithoutEvent
        sum.eventsDoubled += right.eventsDoubled
        sum.inFlight = max(left.inFlight, right.inFlight)
        sum.replays += right.replays
        sum.findings += right.findings
        return sum
    }
}

extension LifecycleWorld {
    /// Counts one connection, whose grant is its account's newest in its class.
    package func reckon(_ connection: ConnectionRecord, account: String) async throws -> Reckoning {
        let row = try await row(connection)
        var count = Reckoning()
        let name = connection.integration.replacing("sandbox-", with: "")
        guard let grant = sandbox.state.grants(of: ProviderClass(rawValue: name), account: account).last else {
            throw InvalidValue(item: account, problem: "has no grant", repair: "connect it")
        }
        count.inFlight = grant.maximumInFlight
        count.replays = grant.replays
        let isAlive = try await heldRefreshTokenIsAlive(connection)
        let told =
            "\(name) \(account): \(row.state) (\(row.reason.map { "\($0)" } ?? "no reason")), generation "
            + "\(row.generation), provider: \(grant.alive ? "alive" : grant.why ?? "dead"), newest \(grant.newest ?? "none")"
        if grant.why == "its user revoked it" {
            if row.state != .broken {
                count.missedBreaks = 1
                count.findings.append("missed: " + told)
            }
        } else if isAlive {
            switch row.state {
            case .broken where row.reason == .rotationLost && name == ProviderClass.strictApp.rawValue:
                count.givenUp = 1
            case .broken:
                count.falseBreaks = 1
                count.findings.append("false break: " + told)
            case .active where row.attemptNonce == nil: break
            default:
                count.unsettled = 1
                count.findings.append("unsettled: " + told)
            }
        } else if row.state == .broken && row.reason == .rotationLost {
            count.toldLost = 1
            count.findings.append("told: " + told)
        } else {
            count.lost = 1
            if row.state == .broken { count.falseBreaks = 1 }
            count.findings.append("lost: " + told)
        }
        let events = try await pool.execute(
            PostgresStatement(
                "test_event_versions",
                "select connection_version, type from evergrant.events where connection_id = $1 order by id"),
            [.int8(connection.id)]
        ).map { try $0.decode(Int64.self, String.self) }
        let versions = Set(events.map(\.0))
        count.transitionsWithoutEvent = (1...max(1, row.version)).count { !versions.contains($0) }
        count.eventsDoubled = events.count - versions.count + zip(events, events.dropFirst()).count { $0.1 == $1.1 }
        if count.transitionsWithoutEvent + count.eventsDoubled > 0 {
            count.findings.append("events: " + told + ", version \(row.version), \(events.map(\.1))")
        }
        return count
    }
}
