import Dispatch
import Foundation
import Logging
import Pacing
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The local journal that keeps a provider's answer from the moment it arrives until it is committed, so that neither
/// a crash nor an outage of the database loses a token that exists nowhere else.
///
/// One journal a process incarnation: a lock file, held by flock(2) for as long as the process lives, and segments
/// beside it. Whoever gets the lock of an abandoned journal recovers it (``recoverAbandoned(_:gone:)``). Lines of many
/// callers share one fdatasync(2). A segment goes, oldest first, when everything in it is settled and was so for
/// `keepSettled`: until then a failover to a standby that lacks the commits can be made good from it
/// (``replay(_:)``).
package final class EscrowJournal: Sendable {
    package struct Configuration: Sendable {
        package var directory: String
        /// A new segment is begun at this size, in bytes, or this age.
        package var segmentBytes = 16 << 20
        package var segmentAge: Duration = .seconds(600)
        /// How long settled lines stay: for a failover to a standby that lacks their commits.
        package var keepSettled: Duration = .seconds(900)

        package init(directory: String) { self.directory = directory }
    }

    private struct Waiting {
        var bytes: [UInt8] = []
        var records: [EscrowRecord] = []
        var callers: [CheckedContinuation<Void, any Error>] = []
        var isDurable = false
        var isClosed = false

        mutating func enqueue(_ record: EscrowRecord, durable: Bool) {
            bytes.append(contentsOf: EscrowFormat.encode(record))
            records.append(record)
            isDurable = isDurable || durable
        }
    }

    private let configuration: Configuration
    /// Names this journal: its files, and its row among the registered journals.
    package let id: UUID
    private let incarnation: String
    private let recovered = Mutex<Set<String>>([])
    private let hasAnswers = Mutex(false)
    /// Exchange answers of this process whose commit has not been told yet.
    private let openExchanges = Mutex<[UUID: (record: EscrowRecord, since: BootInstant)]>([:])
    private let lockFile: Int32
    private let waiting = Mutex(Waiting())
    private let wake = DispatchSemaphore(value: 0)
    private let finished = DispatchSemaphore(value: 0)
    private let logger: Logger

    /// Opens a journal of this process in `configuration.directory`, which is made when missing.
    /// - Throws: ``EscrowError`` when the directory cannot be made or written.
    package init(_ configuration: Configuration, logger: Logger) throws {
        self.configuration = configuration
        self.logger = logger
        id = UUID()
        incarnation = id.uuidString.lowercased()
        let directory = configuration.directory
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw Self.notWritable(directory, "cannot be made")
        }
        lockFile = open(directory + "/\(incarnation).lock", O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard lockFile >= 0 else { throw Self.notWritable(directory, String(cString: strerror(errno))) }
        guard flock(lockFile, LOCK_EX | LOCK_NB) == 0 else {
            throw Self.notWritable(directory, "does not support flock(2): " + String(cString: strerror(errno)))
        }
        let writer: EscrowWriter
        do {
            writer = try EscrowWriter(configuration, incarnation: incarnation)
        } catch {
            Glibc.close(lockFile)
            unlink(directory + "/\(incarnation).lock")
            throw error
        }
        let thread = Thread { [self] in drain(writer) }
        thread.name = "escrow"
        thread.start()
    }

    /// Writes a line and returns when it is on disk (`intent`: when it is with the kernel, which outlives the process).
    /// - Throws: ``EscrowError`` when the disk refused it.
    package func append(_ kind: EscrowKind, key: UUID, payload: [UInt8]) async throws {
        let record = EscrowRecord(kind: kind, key: key, payload: payload)
        if kind != .intent { hasAnswers.withLock { $0 = true } }
        try await withCheckedThrowingContinuation { (caller: CheckedContinuation<Void, any Error>) in
            let refused = waiting.withLock { state -> Bool in
                if state.isClosed { return true }
                state.enqueue(record, durable: kind != .intent)
                state.callers.append(caller)
                return false
            }
            if refused { caller.resume(throwing: Self.closed) } else { wake.signal() }
        }
        if kind == .exchangeAnswer { openExchanges.withLock { $0[key] = (record, .now()) } }
    }

    /// The exchange answers of this process that have been open for longer than `age`: their commit failed while the
    /// database was away, and their caller has gone.
    package func overdueExchanges(olderThan age: Duration) -> [EscrowRecord] {
        let now = BootInstant.now()
        return openExchanges.withLock { $0.values.filter { $0.since.duration(to: now) > age }.map(\.record) }
    }

    /// Says that nothing more is to be done for `key`. Not waited for: a repeat after a crash is recognised by its
    /// generation.
    package func settle(_ key: UUID, as settlement: EscrowSettlement) {
        openExchanges.withLock { $0[key] = nil }
        waiting.withLock { state in
            if !state.isClosed {
                state.enqueue(
                    EscrowRecord(kind: .settled, key: key, payload: [settlement.rawValue]), durable: false)
            }
        }
        wake.signal()
    }

    /// Whether nothing but settled intents was ever written, so that closing leaves no files.
    package var isEmpty: Bool { !hasAnswers.withLock { $0 } }

    /// Where the journal's files are.
    package var directory: String { configuration.directory }
    /// How long settled lines stay.
    package var retention: Duration { configuration.keepSettled }

    /// Hands every open line of every abandoned journal in the directory to `recover`, and writes down what became of
    /// it. One that throws keeps its journal open for the next call. Intents are handed over too: they say what may
    /// have been sent. An abandoned journal is removed when its last line is older than `keepSettled`.
    /// - Parameters:
    ///   - recover: nil leaves the line open.
    ///   - gone: called for each journal that is removed.
    /// - Returns: how many records were handed over.
    @discardableResult
    package func recoverAbandoned(
        _ recover: (EscrowRecord) async throws -> EscrowSettlement?, gone: (UUID) async -> Void = { _ in }
    ) async -> Int {
        var count = 0
        for journal in AbandonedJournal.all(in: configuration.directory, except: incarnation) {
            do {
                if recovered.withLock({ !$0.contains(journal.incarnation) }) {
                    var settlements: [(key: UUID, settlement: EscrowSettlement)] = []
                    for record in journal.unsettled() {
                        if let end = try await recover(record) { settlements.append((record.key, end)) }
                        count += 1
                    }
                    try journal.settle(settlements)
                    recovered.withLock { _ = $0.insert(journal.incarnation) }
                }
                let age = journal.lastWrite.map { -$0.timeIntervalSinceNow } ?? .infinity
                if age >= Double(configuration.keepSettled.components.seconds) {
                    journal.remove()
                    recovered.withLock { _ = $0.remove(journal.incarnation) }
                    if let id = UUID(uuidString: journal.incarnation) { await gone(id) }
                } else {
                    journal.release()
                }
            } catch {
                logger.error(
                    "an abandoned journal is kept for the next try",
                    metadata: ["journal": "\(journal.incarnation)", "error": "\(error)"])
                journal.release()
            }
        }
        return count
    }

    /// Hands over all that this journal and the abandoned ones in its directory still keep, settled lines too: after a
    /// change of server, commits may be missing. What was appended before the call is in it.
    /// - Returns: the journals that were handed over whole.
    package func replay(_ body: ([EscrowEntry]) async throws -> Void) async throws -> [UUID] {
        try await body(EscrowHistory(segments: AbandonedJournal.segments(of: incarnation, in: directory)).entries)
        var done = [id]
        for journal in AbandonedJournal.all(in: configuration.directory, except: incarnation) {
            defer { journal.release() }
            try await body(journal.history().entries)
            if let id = UUID(uuidString: journal.incarnation) { done.append(id) }
        }
        return done
    }

    /// Writes what waits, and removes the journal when everything in it has been settled for long enough; else its files
    /// stay for whoever finds them.
    package func close() {
        let first = waiting.withLock { state -> Bool in
            defer { state.isClosed = true }
            return !state.isClosed
        }
        guard first else { return }
        wake.signal()
        finished.wait()
    }

    private func drain(_ writer: EscrowWriter) {
        while true {
            wake.wait()
            let (batch, isLast) = waiting.withLock { state -> (Waiting, Bool) in
                let taken = state
                state = Waiting()
                state.isClosed = taken.isClosed
                return (taken, taken.isClosed)
            }
            if !batch.bytes.isEmpty {
                do {
                    try writer.write(batch.bytes, batch.records, durable: batch.isDurable)
                    for caller in batch.callers { caller.resume() }
                } catch {
                    logger.critical("the escrow journal cannot be written", metadata: ["error": "\(error)"])
                    for caller in batch.callers { caller.resume(throwing: error) }
                }
            }
            if isLast { break }
        }
        if writer.close() { unlink(configuration.directory + "/\(incarnation).lock") }
        Glibc.close(lockFile)
        finished.signal()
    }

    private static let closed = EscrowError(code: .closed, description: "the escrow journal is closed; start again")

    static func notWritable(_ path: String, _ why: String) -> EscrowError {
        EscrowError(
            code: .notWritable,
            description: "the escrow journal at \(path) cannot be written: \(why); give this user write access, or set "
                + "EVERGRANT_ESCROW_DIRECTORY to a directory on a volume that outlives the process")
    }
}
