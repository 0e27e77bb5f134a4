import Postgres
import Synchronization

/// The pools made on one test database.
final class TestPools: Sendable {
    private let pools = Mutex<[PostgresPool]>([])

    func add(_ pool: PostgresPool) { pools.withLock { $0.append(pool) } }

    func close() async {
        let all = pools.withLock { pools in
            defer { pools = [] }
            return pools
        }
        for pool in all { await pool.close(grace: .zero) }
    }
}
