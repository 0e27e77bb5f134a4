import ChaosSupport
import Foundation
import Postgres

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Performs nemeses: one of each track at a time, in an order that the seed gives, until the deadline.
struct Disturber: Sendable {
    let fleet: Fleet
    let ground: Ground
    let pool: PostgresPool
    let history: HistoryFile
    let options: ConductOptions

    func run(until deadline: ContinuousClock.Instant) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for track in Nemesis.Track.allCases {
                let mine = options.activeNemeses.filter { $0.track == track }
                if mine.isEmpty { continue }
                group.addTask {
                    var random = SeededRandom(seed: options.seed &* 31 &+ UInt64(track.rawValue))
                    // Each once, in random order, before any comes again.
                    var left: [Nemesis] = []
                    while ContinuousClock.now < deadline {
                        if left.isEmpty { left = mine.shuffled(using: &random) }
                        try await perform(left.removeLast(), &random)
                        try await Task.sleep(for: random.milliseconds(100...900))
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private func perform(_ nemesis: Nemesis, _ random: inout SeededRandom) async throws {
        switch nemesis.track {
        case .processes: try await disturbProcess(nemesis, &random)
        case .network: try await disturbNetwork(nemesis, &random)
        case .database: try await disturbDatabase(nemesis, &random)
        }
    }

    // MARK: Processes

    private func disturbProcess(_ nemesis: Nemesis, _ random: inout SeededRandom) async throws {
        let roles: [ProcessOrders.Role] =
            nemesis == .drain || random.chance(70) ? [.worker] : [.observer, .enqueuer]
        let overLease = Duration.milliseconds(options.pace.patience) + random.milliseconds(500...1500)
        let pause = random.milliseconds(0...800)
        guard let victim = await fleet.living(roles).randomElement(using: &random) else { return }
        let what = Disturbance(nemesis: nemesis, target: nemesis == .verdict ? "workers" : victim.name)
        history.record(.disturbs(what))
        switch nemesis {
        case .kill:
            await fleet.send(SIGKILL, .killed, slot: victim.slot)
            _ = await fleet.end(slot: victim.slot, within: .seconds(5))
            try await Task.sleep(for: pause)
            try await fleet.start(victim.slot)
        case .stop:
            await fleet.send(SIGSTOP, .stopped, slot: victim.slot)
            try await Task.sleep(for: overLease)
            await fleet.send(SIGCONT, .continued, slot: victim.slot)
        case .drain:
            await fleet.send(SIGTERM, .drains, slot: victim.slot)
            if await fleet.end(slot: victim.slot, within: .seconds(15)) != nil {
                try await fleet.start(victim.slot)
            }
        case .verdict:
            for _ in 0..<Int.random(in: 1...5, using: &random) {
                _ = try? await pool.execute(Self.condemn)
                try await Task.sleep(for: .milliseconds(200))
            }
        default: break
        }
        history.record(.restores(what))
    }

    private static let condemn = PostgresStatement(
        "declare a living worker dead",
        """
        update evergrant.workers set dead = true
        where id = (select id from evergrant.workers where not dead and name like 'worker%' order by random() limit 1)
        """)

    // MARK: Network

    private func disturbNetwork(_ nemesis: Nemesis, _ random: inout SeededRandom) async throws {
        guard let proxy = ground.proxy else { return }
        var what = Disturbance(nemesis: nemesis, target: "network")
        var place: Int?
        let gate: Gate
        let length: Duration
        switch nemesis {
        case .cut: (gate, length) = (.cut, random.milliseconds(200...2500))
        case .freeze: (gate, length) = (.frozen, random.milliseconds(1000...3500))
        case .deafen: (gate, length) = (.deaf, random.milliseconds(100...700))
        case .slow: (gate, length) = (.slow(.random(in: 5...40, using: &random)), random.milliseconds(500...2000))
        default:
            guard let victim = await fleet.living([.worker, .worker, .observer]).randomElement(using: &random) else {
                return
            }
            what = Disturbance(nemesis: nemesis, target: victim.name)
            place = victim.place
            gate = random.chance(50) ? .cut : .frozen
            length = .milliseconds(options.pace.patience) + random.milliseconds(500...1500)
        }
        history.record(.disturbs(what))
        proxy.set(gate, place: place)
        try await Task.sleep(for: length)
        // Before the gate is open, so that the outage lasted at least so long.
        history.record(.restores(what))
        if gate == .cut || gate == .frozen, place == nil {
            // One after another, at times observers first: some are back while others are still out.
            let places = Array(proxy.places)
            for each in random.chance(50) ? places : places.shuffled(using: &random) {
                proxy.set(.open, place: each)
                try await Task.sleep(for: random.milliseconds(0...200))
            }
        } else {
            proxy.set(.open, place: place)
        }
    }

    // MARK: Database

    private func disturbDatabase(_ nemesis: Nemesis, _ random: inout SeededRandom) async throws {
        let what = Disturbance(nemesis: nemesis, target: "database")
        history.record(.disturbs(what))
        defer { history.record(.restores(what)) }
        switch nemesis {
        case .restart: try await ground.restart()
        case .terminate:
            for _ in 0..<Int.random(in: 10...30, using: &random) {
                _ = try? await pool.execute(Self.terminate)
                try await Task.sleep(for: .milliseconds(50))
            }
        case .writer:
            let length = random.milliseconds(500...2500)
            // A lost session ends it early.
            try? await pool.transaction { transaction in
                try await transaction.execute(Self.holdKeys)
                try await Task.sleep(for: length)
            }
        default:
            let length = random.milliseconds(2000...5000)
            try? await pool.transaction { transaction in
                try await transaction.execute(Self.repeatableRead)
                try await transaction.execute(ChaosSQL.waiting)
                try await Task.sleep(for: length)
            }
        }
    }

    private static let terminate = PostgresStatement(
        "terminate a session",
        """
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name <> 'conductor' and backend_type = 'client backend'
        order by random() limit 2
        """)
    private static let holdKeys = PostgresStatement(
        "hold an id and some keys",
        "select pg_current_xact_id(), (select count(*) from (select from evergrant.job_keys order by key limit 3 "
            + "for update skip locked) k)")
    private static let repeatableRead = PostgresStatement(
        "read repeatably", "set transaction isolation level repeatable read")
}
