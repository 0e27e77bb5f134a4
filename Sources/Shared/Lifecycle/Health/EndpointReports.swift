import Foundation
import Postgres
import Store

/// What an operator sees of a token endpoint.
package struct EndpointReport: Sendable {
    package let appUID: String
    package let provider: String
    package let clientID: String
    /// Empty: the app as a whole, whose connections have endpoints of their own.
    package let host: String
    package let breaker: HostHealth.Breaker
    package let breakerSince: Date?
    package let blockedUntil: Date?
    package let quarantinedAt: Date?
    /// The OAuth app was refused at one account only, which nobody else confirms.
    package let isolatedFault: String?
    package let waveSince: Date?
    package let waveUntil: Date?
    /// Verdicts held, counted up to 10,000.
    package let held: Int
    package let nextProbeAt: Date?
    package let lastTrouble: String?
    package let lastTroubleAt: Date?
    /// Whether a person should look: nothing here goes away by waiting alone.
    package var needsAttention: Bool { quarantinedAt != nil || waveSince != nil || breaker == .open }
}

/// Reads the troubles of endpoints for people and gauges.
package enum EndpointReports {
    /// An environment's endpoints that ever had trouble: those in trouble first, then the latest.
    package static func list(
        environmentID: Int64, limit: Int = 200, in db: any PostgresQuerying
    ) async throws -> [EndpointReport] {
        try await read(TokenHosts.seen(environmentID: environmentID, limit: limit, in: db), in: db)
    }

    /// The endpoints in trouble now, of all environments.
    package static func inTrouble(limit: Int, in db: any PostgresQuerying) async throws -> [EndpointReport] {
        try await read(TokenHosts.seen(environmentID: nil, limit: limit, in: db), in: db)
    }

    private static func read(
        _ rows: [SeenTokenHost], in db: any PostgresQuerying
    ) async throws -> [EndpointReport] {
        var held: [TokenHostKey: Int] = [:]
        if rows.contains(where: { $0.tendAt != nil }) {
            for count in try await HeldVerdicts.counts(in: db) {
                // The key's last member says nothing of identity here.
                held[TokenHostKey(appID: count.appID, host: count.host, isWhole: true)] = count.held
            }
        }
        return try rows.map { row in
            let health = try HostHealth(json: row.state)
            return EndpointReport(
                appUID: row.appUID, provider: row.provider, clientID: row.clientID, host: row.host,
                breaker: health.breaker, breakerSince: health.openedAt, blockedUntil: health.blockedUntil,
                quarantinedAt: health.quarantinedAt,
                isolatedFault: health.quarantinedAt == nil ? health.faultReason : nil, waveSince: health.waveSince,
                waveUntil: health.waveUntil,
                held: held[TokenHostKey(appID: row.appID, host: row.host, isWhole: true)] ?? 0,
                nextProbeAt: health.face.nextProbeAt, lastTrouble: health.lastTrouble,
                lastTroubleAt: health.lastTroubleAt)
        }
    }
}
