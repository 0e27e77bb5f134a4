import Foundation
import Postgres
import Queue

/// What the conductor tells a process it starts; one JSON argument.
struct ProcessOrders: Codable, Sendable {
    enum Role: String, Codable, Sendable { case worker, observer, enqueuer }

    var role: Role
    var name: String
    var url: String
    /// Where its history goes.
    var directory: String
    var seed: UInt64
    var fault: Fault?
    var pace: Pace
    /// False: as behind a pooler in transaction mode.
    var preparesStatements = true

    /// A pool as processes of the product have one, with times that suit a run of seconds.
    func configuration(connections: Int, settings: [String: String] = [:]) -> PostgresConfiguration {
        var configuration = PostgresConfiguration(url: url)
        configuration.maximumConnections = connections
        configuration.connectTimeout = .seconds(1)
        configuration.acquireTimeout = .seconds(2)
        configuration.statementTimeout = .seconds(5)
        configuration.applicationName = name
        configuration.preparesStatements = preparesStatements
        configuration.settings = settings
        return configuration
    }
}

/// Durations and rates of a run, in milliseconds where nothing else is said.
struct Pace: Codable, Sendable {
    /// A beat that stands still for so long is dead.
    var patience = 2000
    var gap = 500
    var interval = 100
    var beatInterval = 200
    var beatTolerance = 1500
    /// Jobs of one worker at a time.
    var concurrency = 8
    /// How long a handler works, at most.
    var work = 60
    /// So many jobs in a hundred work so long instead: long enough to outlive a drain and a verdict.
    var longShare = 3
    var longWork = 1500
    /// Calls under way at a time, of one enqueuer.
    var callers = 4
    /// The wait between two calls of one caller, at most.
    var pause = 60
    /// Unique keys in use, and for how long: a wake-up that is lost shows only when no later one follows.
    var keys = 12
    var keyLife = 700
    /// Of a hundred calls: with keys; held open before their end.
    var keyed = 30
    var late = 15
    /// How long a late one is held open.
    var lateness = 1000
}

/// What is broken on purpose.
enum Fault: String, Codable, Sendable, CaseIterable {
    /// The low-water mark's fence takes the snapshot's end for its beginning.
    case fence
    /// Rescue reads marks in the statement that takes the lease.
    case rescue
    /// `settle` takes no notice of the lease.
    case settle
    /// `enqueue_keyed` leaves a key that is taken alone.
    case keys
    /// Observers take no notice of gaps between their readings.
    case observer
}
