import Credentials
import HTTPTypes
import Hummingbird
import Postgres
import Store
import Synchronization
import Vault

/// Finds API keys, and keeps those found good for a moment, so that a call costs no look-up of its key. A revocation
/// takes effect within `life`.
final class KeyAuthenticator: Sendable {
    private struct Entry {
        let key: AuthenticatedKey
        let until: ContinuousClock.Instant
    }

    /// More keys than any installation uses at once; reached only by someone who means harm, and then emptied.
    private static let capacity = 10_000

    private let pool: PostgresPool
    private let life: Duration
    private let entries = Mutex<[[UInt8]: Entry]>([:])

    init(pool: PostgresPool, life: Duration) {
        self.pool = pool
        self.life = life
    }

    /// - Parameter header: the value of `Authorization`.
    /// - Throws: ``HTTPProblem`` `unauthenticated`.
    func authenticate(_ header: String?) async throws -> AuthenticatedKey {
        guard let header, header.utf8.count < 200, let space = header.firstIndex(of: " "),
            header[..<space].lowercased() == "bearer"
        else { throw HTTPProblem.unauthenticated }
        let text = header[header.index(after: space)...].drop { $0 == " " }
        guard text.hasPrefix("eg_test_") || text.hasPrefix("eg_live_") else { throw HTTPProblem.unauthenticated }
        let hash = Digest.sha256(text.utf8)
        let now = ContinuousClock.now
        if let known = entries.withLock({ $0[hash] }), known.until > now { return known.key }
        guard let key = try await APIKeys.authenticate(hash: hash, in: pool) else {
            entries.withLock { $0[hash] = nil }
            throw HTTPProblem.unauthenticated
        }
        entries.withLock {
            if $0.count >= Self.capacity { $0.removeAll() }
            $0[hash] = Entry(key: key, until: now + life)
        }
        return key
    }

    /// Forgets all keys: one was changed in this process.
    func forget() { entries.withLock { $0.removeAll() } }
}

/// What a call needs its key to allow.
enum Permission: Sendable, CaseIterable {
    /// Read everything but jobs.
    case read
    case readJobs
    /// Mint and finish sessions.
    case connect
    /// Use a credential: passthrough.
    case use
    /// Change connections.
    case manage
    /// Take credentials out.
    case export
    /// Integrations, OAuth apps, webhook endpoints, the environment's settings.
    case configure
    /// Retry and cancel jobs.
    case operate
    /// Environments and API keys.
    case administer
}

extension APIKeyRole {
    var permissions: Set<Permission> {
        switch self {
        case .full: Set(Permission.allCases)
        case .connect: [.read, .connect]
        case .read: [.read, .readJobs]
        case .enqueue: [.readJobs]
        case .operate: [.read, .readJobs, .manage, .configure, .operate, .administer]
        }
    }

    /// - Throws: ``HTTPProblem`` `forbidden` that names the role.
    func require(_ permission: Permission) throws(HTTPProblem) {
        guard permissions.contains(permission) else {
            let able = APIKeyRole.allCases.filter { $0.permissions.contains(permission) }.map(\.rawValue)
            throw HTTPProblem(
                .forbidden, "forbidden", "A key of role \(rawValue) may not do this.",
                hint: "use a key of role \(able.joined(separator: " or "))")
        }
    }
}
