import Foundation
import Logging
import Metrics
import Pacing
import Postgres
import Store
import Synchronization

extension ProviderHealth {
    /// Rows that a look takes in.
    private static let looked = 2000

    /// Tells the fleet what this process saw of an endpoint, together with whatever else is told meanwhile, and returns
    /// when it is told.
    func tell(_ key: TokenHostKey) async throws {
        let ticket = tallies.withLock { $0[key]?.noted ?? 0 }
        while true {
            let flight: Task<Void, any Error>? = tallies.withLock { tallies in
                guard let tally = tallies[key], tally.told < ticket else { return nil }
                if let open = tally.flight { return open }
                // A task of its own: a caller that goes away does not take back what others told with it.
                let flight = Task { [self] in try await send(key) }
                tallies[key]?.flight = flight
                return flight
            }
            guard let flight else { return }
            try await flight.value
        }
    }

    private func send(_ key: TokenHostKey) async throws {
        let taken = tallies.withLock { tallies -> (report: HealthReport, unclassified: [UnclassifiedAnswer], UInt64)? in
            guard var tally = tallies[key] else { return nil }
            let (report, unclassified) = tally.take(settings: settings)
            defer { tallies[key] = tally }
            return (report, unclassified, tally.noted)
        }
        guard let (report, unclassified, noted) = taken else { return }
        do {
            _ = try await change(key, unclassified: unclassified) { [settings] health, row in
                health.absorb(report, at: row.now, settings: settings, needsTwoVoices: key.host.isEmpty)
            }
            tallies.withLock {
                $0[key]?.told = noted
                $0[key]?.flight = nil
            }
        } catch {
            tallies.withLock {
                $0[key]?.giveBack(report)
                $0[key]?.flight = nil
            }
            throw error
        }
    }

    /// Changes an endpoint's row under its lock. What the change asks for is written with it, or queued for the keeper.
    @discardableResult
    func change(
        _ key: TokenHostKey, unclassified: [UnclassifiedAnswer] = [],
        _ body: @escaping @Sendable (inout HostHealth, TokenHostRow) -> [HealthEffect]
    ) async throws -> HostHealth {
        let (health, isWatched, effects) = try await pool.transaction { [self] transaction in
            let row = try await TokenHosts.lock(key, in: transaction)
            var health = read(row)
            health.secretChanged(to: row.secretVersion, at: row.now)
            let effects = body(&health, row)
            let tendAt = health.tendAt(row.now, settings: settings)
            try await TokenHosts.save(
                row.key, state: health.json(), tendAt: tendAt, face: health.face, in: transaction)
            for effect in effects { try await write(effect, row.key, health, in: transaction) }
            if !unclassified.isEmpty {
                try await UnclassifiedAnswers.add(unclassified, to: key, in: transaction)
            }
            return (health, tendAt != nil, effects)
        }
        view.withLock { $0[key] = isWatched ? health : nil }
        for effect in effects {
            logger.notice(
                "provider health changed",
                metadata: ["oauth_app": "\(key.appID)", "host": "\(key.host)", "change": "\(effect)"])
        }
        work.withLock { $0 += effects.map { Errand(key: key, effect: $0) } }
        return health
    }

    /// What is told of a change is committed with it, so that it is told once.
    private func write(
        _ effect: HealthEffect, _ key: TokenHostKey, _ health: HostHealth, in transaction: any PostgresQuerying
    ) async throws {
        switch effect {
        case .breakerOpened where key.isWhole:
            try await TokenHosts.tell(
                "provider.breaker_opened", key, details: details(["trouble": health.lastTrouble]), in: transaction)
        case .breakerClosed(let since) where key.isWhole:
            try await TokenHosts.tell(
                "provider.breaker_closed", key, details: details(["since": Self.text(since)]), in: transaction)
        case .quarantined(let reason) where key.isWhole:
            _ = try await Quarantine.begin(appID: key.appID, reason: reason, in: transaction)
        case .resumed where key.isWhole:
            _ = try await Quarantine.end(appID: key.appID, in: transaction)
        case .waveBegan(let refused, let answers):
            try await TokenHosts.tell(
                "provider.wave_began", key,
                details: details([
                    "refused": "\(refused)", "answers": "\(answers)", "until": health.waveUntil.map(Self.text),
                ]), in: transaction)
        case .waveEnded(let since, let why):
            try await TokenHosts.tell(
                "provider.wave_ended", key, details: details(["since": Self.text(since), "why": why.rawValue]),
                in: transaction)
        default: break
        }
    }

    /// Reads what the others told. Rows at rest are forgotten.
    /// - Returns: the rows that have to be tended now.
    package func look() async throws -> [TokenHostKey] {
        let rows = try await TokenHosts.watched(limit: Self.looked, in: pool)
        var seen: [TokenHostKey: HostHealth] = [:]
        var due: [TokenHostKey] = []
        for row in rows {
            let health = read(row)
            seen[row.key] = health
            let hasNewSecret = health.quarantinedAt != nil && health.probedSecret != row.secretVersion
            if row.tendAt.map({ $0 <= row.now }) ?? false || hasNewSecret { due.append(row.key) }
        }
        view.withLock { $0 = seen }
        return due
    }

    /// A row that cannot be read begins anew: it must stop neither attempts nor other endpoints.
    private func read(_ row: TokenHostRow) -> HostHealth {
        do {
            return try HostHealth(json: row.state)
        } catch {
            logger.error(
                "the health of a token endpoint cannot be read and begins anew",
                metadata: ["oauth_app": "\(row.key.appID)", "host": "\(row.key.host)", "error": "\(error)"])
            return HostHealth()
        }
    }

    /// Tells everything that is worth telling: all of endpoints in trouble, nothing of the others. One that cannot be
    /// told keeps no other from it.
    /// - Throws: the last error.
    package func tellAll() async throws {
        let watched = view.withLock { Set($0.keys) }
        let keys = tallies.withLock { tallies -> [TokenHostKey] in
            let now = BootInstant.now()
            tallies = tallies.filter { key, tally in
                tally.flight != nil || tally.isDirty || watched.contains(key)
                    || tally.lastUse.duration(to: now) < settings.window
            }
            return tallies.filter { $1.isDirty || $1.hasNews && watched.contains($0) }.map(\.key)
        }
        var failure: (any Error)?
        for key in keys {
            do {
                try await tell(key)
            } catch let error as PostgresError where error.sqlState == "23503" {
                tallies.withLock { $0[key] = nil }  // the OAuth app is gone
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    private func details(_ values: [String: String?]) throws -> [UInt8] {
        Array(try JSONEncoder().encode(values.compactMapValues(\.self)))
    }

    private static func text(_ date: Date) -> String { date.formatted(.iso8601) }
}

extension HostHealth {
    /// What stands beside the state, for people.
    var face: TokenHostFace {
        var face = TokenHostFace(breaker: breaker.rawValue)
        face.breakerSince = breakerSince
        face.blockedUntil = blockedUntil
        face.quarantinedAt = quarantinedAt
        face.waveSince = waveSince
        face.waveUntil = waveUntil
        face.nextProbeAt = [breaker == .open ? nextCanaryAt : nil, quarantineProbeAt].compactMap(\.self).min()
        face.lastTrouble = lastTrouble
        face.lastTroubleAt = lastTroubleAt
        return face
    }
}
