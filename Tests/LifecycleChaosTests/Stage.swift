import ChaosSupport
import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import OAuth
import Sandbox
import Store
import Synchronization
import TestSupport

/// Two processes of a fleet in a world, for a history that a test writes down.
struct Stage: Sendable {
    let world: LifecycleWorld
    let first: WorldProcess
    let second: WorldProcess
    private let proxy: Proxy
    private let account = "user@example.com"

    /// - Parameter timings: of the first process; nil: the world's.
    init(
        _ world: LifecycleWorld, guards: ProtocolGuards, transport: (any OAuthTransport)? = nil,
        timings: LifecycleTimings? = nil
    ) throws {
        self.world = world
        proxy = try Proxy(upstream: Proxy.socketPath(of: world.database.url))
        first = try WorldProcess(
            "first", in: world, behind: proxy, guards: guards, transport: transport, timings: timings)
        second = try WorldProcess("second", in: world, behind: proxy, guards: guards, transport: transport)
    }

    func connect(_ provider: String) async throws -> ConnectionRecord {
        try await world.connect(provider, account: account)
    }

    func eventually(_ condition: () async throws -> Bool) async throws { try await world.eventually(condition) }

    func reckon(_ connection: ConnectionRecord) async throws -> Reckoning {
        try await world.reckon(connection, account: account)
    }

    /// Lets time pass until the connection works or is broken: the second process recovers and refreshes it.
    func settle(_ connection: ConnectionRecord) async throws {
        // On a busy machine an attempt may find its time to send over; nothing is lost by that.
        for _ in 0..<20 {
            let row = try await world.row(connection)
            if row.state == .broken { return }
            if row.attemptNonce != nil {
                try await world.age(connection, seconds: 7200)
                _ = try await second.recover(connection, in: world)
            } else if try await second.refresh(connection) == .refreshed {
                return
            }
        }
    }

    func end() async {
        await first.kill()
        await second.kill()
        proxy.stop()
    }
}

/// Raised once.
final class Flag: Sendable {
    private let value = Mutex(false)

    var isRaised: Bool { value.withLock { $0 } }

    func raise() { value.withLock { $0 = true } }
}
