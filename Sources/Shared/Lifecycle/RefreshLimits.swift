import Catalog
import Credentials
import Foundation
import Pacing
import Postgres
import Queue
import Store
import Synchronization

/// How often a provider's token endpoint may be asked, over the whole fleet, by whoever asks: jobs, callers, recovery.
///
/// Limits per provider and per OAuth app are limits of the queue (`refresh:provider:…`, `refresh:app:…`), which jobs wait
/// for without holding a worker, and from which everybody else takes by ``hold(_:provider:isAdmitted:)``. The limit of one
/// grant stands on its connection's row. Where the catalog and the OAuth app name no limit, none of this costs anything.
package final class RefreshLimits: Sendable {
    /// The limits of one OAuth app.
    package struct Applicable: Sendable {
        /// Names of queue limits with what they allow.
        package var shared: [(key: String, limit: StartLimit)] = []
        package var grant: StartLimit?
        package var keys: [String] { shared.map(\.key) }
    }

    private struct App: Sendable {
        let planning: AppPlanning
        let readAt: BootInstant
    }

    private struct State {
        var apps: [Int64: App] = [:]
        /// What was made known to the queue, and when it was last compared with it.
        var known: [String: (limit: StartLimit, at: BootInstant)] = [:]
        /// Where the next job that finds its limit's line full is put.
        var lineEnds: [String: BootInstant] = [:]
    }

    private let pool: PostgresPool
    private let queue: JobQueue
    private let catalog: IntegrationCatalog
    private let state = Mutex(State())
    /// How long what an operator set for an OAuth app is believed.
    private let life: Duration = .seconds(15)

    package init(pool: PostgresPool, queue: JobQueue, catalog: IntegrationCatalog) {
        self.pool = pool
        self.queue = queue
        self.catalog = catalog
    }

    /// The limits that connections of an OAuth app obey: what the operator set, else what the catalog says.
    package func applicable(provider: Provider?, appID: Int64?, planning: AppPlanning) -> Applicable {
        var found = Applicable(grant: planning.grantLimit)
        for fact in provider?.limits ?? [] {
            let limit = StartLimit(count: fact.count, seconds: fact.seconds)
            switch fact.scope {
            case .provider: found.shared.append(("refresh:provider:\(provider?.id ?? "")", limit))
            case .app:
                guard planning.refreshLimit == nil, let appID else { continue }
                found.shared.append(("refresh:app:\(appID)", limit))
            case .grant: if found.grant == nil { found.grant = limit }
            }
        }
        if let limit = planning.refreshLimit, let appID { found.shared.append(("refresh:app:\(appID)", limit)) }
        return found
    }

    /// The limits of due connections, by OAuth app; those without any are missing.
    package func applicable(to due: [DueConnection], in db: any PostgresQuerying) async throws -> [Int64: Applicable] {
        var providers: [Int64: String] = [:]
        for connection in due { if let app = connection.oauthAppID { providers[app] = connection.provider } }
        var found: [Int64: Applicable] = [:]
        for (app, provider) in providers {
            let limits = applicable(
                provider: catalog.provider(provider), appID: app, planning: try await planning(of: app, in: db))
            if !limits.shared.isEmpty { found[app] = limits }
        }
        return found
    }

    /// Makes limits known to the queue where they are new or were changed.
    package func prepare(_ limits: Applicable) async throws {
        for (key, limit) in limits.shared {
            let now = BootInstant.now()
            let isKnown = state.withLock { state in
                state.known[key].map { $0.limit == limit && $0.at.duration(to: now) < .seconds(60) } ?? false
            }
            if isKnown { continue }
            let wanted = JobLimit(key: key, rate: limit.rate, burst: limit.burst)
            let stored = try await queue.limit(key)?.limit
            if stored?.rate != wanted.rate || stored?.burst != wanted.burst { try await queue.setLimit(wanted) }
            state.withLock { $0.known[key] = (limit, now) }
        }
    }

    /// Takes a start for a marked attempt. Callers do not stand in line behind jobs: someone waits for them.
    /// - Parameter isAdmitted: the job was let through under its limit keys; only the grant's own limit is asked.
    /// - Returns: how long until there may be one; nil when the attempt may be sent.
    package func hold(
        _ marked: MarkedAttempt, provider: Provider, planning: AppPlanning, isAdmitted: Bool
    ) async throws -> Duration? {
        let limits = applicable(provider: provider, appID: marked.app?.id, planning: planning)
        if let grant = limits.grant,
            let wait = try await Starts.take(marked.mark, rate: grant.rate, burst: grant.burst, in: pool)
        {
            return wait
        }
        guard !isAdmitted, !limits.shared.isEmpty else { return nil }
        try await prepare(limits)
        return try await Starts.take(limits.keys, in: pool)
    }

    /// Splits claimed connections into those whose jobs may stand in line and those that come due again later: behind a
    /// limit, a line is kept a few minutes long as well. `depth`: seconds of work that may wait.
    package func place(_ due: [DueConnection], _ limits: [Int64: Applicable], depth: Double) async throws
        -> (enqueued: [DueConnection], postponed: [(id: Int64, wait: Duration)])
    {
        guard !limits.isEmpty else { return (due, []) }
        var room: [String: Int] = [:]
        for (key, limit) in limits.values.flatMap(\.shared) where room[key] == nil {
            let waiting = try await queue.limit(key)?.waiting ?? 0
            room[key] = max(0, limit.burst + Int(limit.rate * depth) - waiting)
        }
        var enqueued: [DueConnection] = []
        var postponed: [(id: Int64, wait: Duration)] = []
        let now = BootInstant.now()
        for connection in due {
            guard let shared = connection.oauthAppID.flatMap({ limits[$0]?.shared }), !connection.isAmbiguous,
                let full = shared.first(where: { (room[$0.key] ?? 1) <= 0 })
            else {
                enqueued.append(connection)
                for key in connection.oauthAppID.flatMap({ limits[$0]?.keys }) ?? [] { room[key]? -= 1 }
                continue
            }
            let slot = state.withLock { state in
                let first = now.advanced(by: .seconds(depth / 2))
                let slot = max(state.lineEnds[full.key] ?? first, first)
                state.lineEnds[full.key] = slot.advanced(by: .seconds(1 / full.limit.rate))
                return slot
            }
            // Whoever is far back in a line may have become urgent: nobody is left alone for longer.
            postponed.append((connection.id, min(now.duration(to: slot), .seconds(6 * 3600))))
        }
        return (enqueued, postponed)
    }

    private func planning(of app: Int64, in db: any PostgresQuerying) async throws -> AppPlanning {
        let now = BootInstant.now()
        if let known = state.withLock({ $0.apps[app] }), known.readAt.duration(to: now) < life { return known.planning }
        // An unreadable parameter is told by the attempt itself; here it must not stop the plan of all others.
        let stored = try await OAuthApps.find(id: app, in: db)
        let planning = stored.flatMap { try? AppPlanning($0.parameters) } ?? AppPlanning()
        state.withLock { $0.apps[app] = App(planning: planning, readAt: now) }
        return planning
    }
}
