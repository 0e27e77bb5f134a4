import Postgres

/// The statements of a job's usual life, for whoever measures what they cost without this module's client around them.
/// Nobody else may send them: the rules of who holds what are in the client.
package enum HotPath {
    /// $1 queues, $2 kinds, $3 priorities, $4 attempts, $5 limit keys, $6 arguments.
    package static var enqueue: PostgresStatement { Statements.enqueue }
    /// $1 leases, $2 worker, $3 queues, $4 priorities, $5 lows, $6 how many, $7 server.
    package static var settleAndClaim: PostgresStatement { Statements.settleAndClaim }
    package static var lastID: PostgresStatement { Statements.lastID }
    package static var fence: PostgresStatement { Statements.fence }
    /// $1 transaction id, $2 last id, $3–$5 lanes with their lows, $6 server.
    package static var raiseLow: PostgresStatement { Statements.low }
    package static var registerWorker: PostgresStatement { Statements.register }
    /// $1 environments, $2 names of queues.
    package static var nameQueues: PostgresStatement { Statements.nameQueues }
    /// $1 names of kinds.
    package static var nameKinds: PostgresStatement { Statements.nameKinds }
}
