import Credentials
import Foundation
import Logging
import Synchronization

/// Seals secrets under the newest data key of their environment, and opens what any data key of it sealed.
///
/// A data key is made when an environment has none, and replaced after 2^24 seals or 30 days, whichever is first.
/// AES-GCM with random nonces stays sound up to 2^32 seals under one key (NIST SP 800-38D §8.3), so the count may be
/// loose: processes report it every 1,024 seals, and a crash loses up to that many. Opened data keys are kept in
/// memory, so that sealing and opening ask the database once a key and not once a value.
package final class CredentialVault: Sendable {
    /// When a data key is replaced.
    package struct Limits: Sendable {
        package var seals: Int64 = 1 << 24
        package var age: Duration = .seconds(30 * 86_400)
        /// Seals between two reports to the repository.
        package var reportEvery: Int64 = 1024
        /// Wait after a replacement that failed; until then the old key seals on.
        package var retryAfter: Duration = .seconds(60)

        package init() {}
    }

    /// The data key that seals for an environment.
    private struct Current {
        let id: UUID
        let key: Secret
        let createdAt: Date
        var seals: Int64
        var unreported: Int64 = 0
        var isBeingReplaced = false
        var replaceNotBefore = Date.distantPast
    }

    private struct State {
        var current: [Int64: Current] = [:]
        var opened: [UUID: Secret] = [:]
    }

    /// What a seal has to do besides sealing.
    private enum Step {
        case load
        case seal(UUID, Secret)
        case replace(UUID, Secret)
        case report(UUID, Secret, count: Int64)
    }

    private static let maximumOpened = 10_000

    private let keyring: Keyring
    private let repository: any DataKeyRepository
    private let limits: Limits
    private let logger: Logger
    private let now: @Sendable () -> Date
    private let state = Mutex(State())

    package init(
        keyring: Keyring, repository: any DataKeyRepository, limits: Limits = Limits(), logger: Logger,
        now: @escaping @Sendable () -> Date = { Date() }
    ) {
        self.keyring = keyring
        self.repository = repository
        self.limits = limits
        self.logger = logger
        self.now = now
    }

    /// Seals `secret` for its place. Waits for the database only when the environment's data key is not in memory, is
    /// due to be replaced, or its count is due to be reported.
    package func seal(_ secret: Secret, _ context: SealContext) async throws -> [UInt8] {
        let environmentID = context.environmentID
        while true {
            switch nextStep(environmentID) {
            case .load:
                try await load(environmentID)
            case .seal(let id, let key):
                return try SealedValue.seal(secret, under: key, id: id, context)
            case .report(let id, let key, let count):
                await report(id, count: count, environmentID)
                return try SealedValue.seal(secret, under: key, id: id, context)
            case .replace(let id, let key):
                if await replace(id, environmentID) { continue }
                return try SealedValue.seal(secret, under: key, id: id, context)
            }
        }
    }

    /// Makes sure that ``seal(_:_:)`` needs no database for this environment: called before something is asked for that
    /// exists nowhere else once it has arrived.
    package func prepareToSeal(environmentID: Int64) async throws {
        if state.withLock({ $0.current[environmentID] == nil }) { try await load(environmentID) }
    }

    /// Opens what was sealed for this place.
    /// - Throws: ``VaultError``: `misplacedOrAltered` when it was sealed for another place or altered, `malformed`,
    ///   `unknownDataKey`, or `keyringCannotOpen`. All are logged as errors, without contents.
    /// - Parameter isFromOutside: the sealed value came with a request, so that anybody can send one that does not open:
    ///   then nothing is logged. Default false.
    package func open(
        _ sealed: [UInt8], _ context: SealContext, isFromOutside: Bool = false
    ) async throws -> Secret {
        do {
            let value = try SealedValue(parsing: sealed)
            let key = try await dataKey(value.dataKeyID)
            if let secret = try value.open(under: key, context) { return secret }
            throw VaultError(
                .misplacedOrAltered, item: "the sealed \(context.purpose) of row \(context.rowID)",
                problem: "does not open in environment \(context.environmentID), generation \(context.generation)",
                hint: "it was altered or moved there from another place: find out who writes to the database, "
                    + "then restore the row or reconnect")
        } catch let error as VaultError {
            guard !isFromOutside else { throw error }
            logger.error(
                "a sealed value did not open",
                metadata: [
                    "code": "\(error.code.rawValue)", "purpose": "\(context.purpose)",
                    "environment": "\(context.environmentID)", "row": "\(context.rowID)",
                    "generation": "\(context.generation)", "error": "\(error)",
                ])
            throw error
        }
    }

    /// Seals anew under the newest data key of the environment what an older one sealed for this place. Asks the database
    /// which key is the newest: another process may have made it a moment ago.
    /// - Returns: nil when it is sealed under that key already.
    /// - Throws: ``VaultError`` as ``open(_:_:)``.
    package func rewrap(_ sealed: [UInt8], _ context: SealContext) async throws -> [UInt8]? {
        if let newest = try await repository.newest(environmentID: context.environmentID) { try adopt(newest) }
        let secret = try await open(sealed, context)
        let anew = try await seal(secret, context)
        return try SealedValue(parsing: anew).dataKeyID == SealedValue(parsing: sealed).dataKeyID ? nil : anew
    }

    /// The data key that a sealed value names.
    /// - Throws: ``VaultError`` with code `malformed`.
    package static func dataKeyID(of sealed: [UInt8]) throws -> UUID { try SealedValue(parsing: sealed).dataKeyID }

    /// Verifies that the keyring opens the newest data key of every environment, so that a start with the wrong keyring
    /// is refused before anything is served.
    /// - Throws: ``VaultError`` of the first that does not open, and how many others do not.
    package func check() async throws {
        var faults: [VaultError] = []
        for wrapped in try await repository.newestOfEach() {
            do { remember(wrapped.id, try keyring.unwrap(wrapped)) } catch { faults.append(error) }
        }
        guard let first = faults.first else { return }
        let others = faults.count == 1 ? "" : " (and \(faults.count - 1) other environments' data keys do not open)"
        throw VaultError(first.code, item: first.item, problem: first.problem + others, hint: first.hint)
    }

    // MARK: Data keys

    private func nextStep(_ environmentID: Int64) -> Step {
        let moment = now()
        return state.withLock { state in
            guard var current = state.current[environmentID] else { return .load }
            defer { state.current[environmentID] = current }
            let isDue =
                current.seals >= limits.seals
                || moment.timeIntervalSince(current.createdAt) >= limits.age / .seconds(1)
            if isDue, !current.isBeingReplaced, moment >= current.replaceNotBefore {
                // Others go on sealing under the old key meanwhile: the limit is far below the bound.
                current.isBeingReplaced = true
                return .replace(current.id, current.key)
            }
            current.seals += 1
            current.unreported += 1
            guard current.unreported >= limits.reportEvery else { return .seal(current.id, current.key) }
            defer { current.unreported = 0 }
            return .report(current.id, current.key, count: current.unreported)
        }
    }

    private func load(_ environmentID: Int64) async throws {
        if let newest = try await repository.newest(environmentID: environmentID) {
            try adopt(newest)
        } else {
            try await make(environmentID)
        }
    }

    private func make(_ environmentID: Int64) async throws {
        let (wrapped, key) = try keyring.newDataKey(environmentID: environmentID, at: now())
        let winner = try await repository.insert(wrapped)
        try adopt(winner, key: winner.id == wrapped.id ? key : nil)
    }

    private func adopt(_ wrapped: WrappedDataKey, key: Secret? = nil) throws {
        let opened = try key ?? keyring.unwrap(wrapped)
        remember(wrapped.id, opened)
        state.withLock { state in
            // A caller that loaded at the same moment may have counted seals already.
            if state.current[wrapped.environmentID]?.id == wrapped.id { return }
            state.current[wrapped.environmentID] = Current(
                id: wrapped.id, key: opened, createdAt: wrapped.createdAt, seals: wrapped.seals)
        }
    }

    /// Whether a newer data key is in use now. A failure is logged and tried again later: a limit that is far below
    /// the bound is no reason to lose a token that was just received.
    private func replace(_ id: UUID, _ environmentID: Int64) async -> Bool {
        do {
            if let newest = try await repository.newest(environmentID: environmentID), newest.id != id {
                try adopt(newest)
            } else {
                try await make(environmentID)
            }
            return true
        } catch {
            logger.warning(
                "a data key is due but could not be replaced; the old one seals on",
                metadata: ["environment": "\(environmentID)", "error": "\(error)"])
            let notBefore = now().addingTimeInterval(limits.retryAfter / .seconds(1))
            state.withLock { state in
                guard state.current[environmentID]?.id == id else { return }
                state.current[environmentID]?.isBeingReplaced = false
                state.current[environmentID]?.replaceNotBefore = notBefore
            }
            return false
        }
    }

    private func report(_ id: UUID, count: Int64, _ environmentID: Int64) async {
        do {
            try await repository.addSeals(id: id, count: count)
        } catch {
            logger.warning("seals of a data key could not be reported", metadata: ["error": "\(error)"])
            state.withLock { state in
                if state.current[environmentID]?.id == id { state.current[environmentID]?.unreported += count }
            }
            return
        }
        // Learns what other processes sealed, and whether one of them replaced the key.
        guard let newest = try? await repository.newest(environmentID: environmentID) else { return }
        if newest.id != id {
            try? adopt(newest)
        } else {
            state.withLock { state in
                guard let current = state.current[environmentID], current.id == id else { return }
                state.current[environmentID]?.seals = max(current.seals, newest.seals + current.unreported)
            }
        }
    }

    private func dataKey(_ id: UUID) async throws -> Secret {
        if let key = state.withLock({ $0.opened[id] }) { return key }
        guard let wrapped = try await repository.find(id: id) else {
            throw VaultError(
                .unknownDataKey, item: "data key \(id.uuidString.lowercased())", problem: "is not stored",
                hint: "the value was altered, or the data_keys table was not restored with the rest of the database")
        }
        let key = try keyring.unwrap(wrapped)
        remember(id, key)
        return key
    }

    private func remember(_ id: UUID, _ key: Secret) {
        state.withLock { state in
            if state.opened.count >= Self.maximumOpened { state.opened.removeAll() }
            state.opened[id] = key
        }
    }
}
