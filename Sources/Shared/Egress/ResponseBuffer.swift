import Synchronization

/// The bytes between libcurl, which appends on the lane's thread, and the one reader of a streamed answer.
///
/// Back-pressure: with 256 KiB waiting, libcurl is told to pause, and stops reading the socket; the reader takes all that
/// waits at once and lets it go on.
final class ResponseBuffer: Sendable {
    typealias Reader = CheckedContinuation<[UInt8]?, any Error>

    static let highWater = 256 * 1024

    fileprivate struct State {
        var bytes: [UInt8] = []
        var isPaused = false
        var isFinished = false
        var failure: EgressFailure?
        var reader: Reader?
    }
    private let state = Mutex(State())

    /// libcurl holds back bytes until the reader has taken what waits.
    var isPaused: Bool { state.withLock { $0.isPaused } }

    /// The transfer has ended.
    var isFinished: Bool { state.withLock { $0.isFinished } }

    /// False when the transfer has to pause; the bytes are then not taken.
    func append(_ received: UnsafeRawBufferPointer) -> Bool {
        state.withLock { state in
            guard state.bytes.count < Self.highWater else {
                state.isPaused = true
                return false
            }
            state.bytes.append(contentsOf: received)
            return true
        }
    }

    /// Wakes the reader when there is something for it; true when the transfer was paused meanwhile and may go on. Apart from
    /// `append`, so that one round of libcurl wakes it once.
    func flush() -> Bool {
        let (reader, taken) = state.withLock { state -> (Reader?, (bytes: [UInt8], resumes: Bool)) in
            guard !state.bytes.isEmpty, let reader = state.reader.take() else { return (nil, ([], false)) }
            return (reader, state.takeBytes())
        }
        reader?.resume(returning: taken.bytes)
        return taken.resumes
    }

    /// No more bytes will come; the reader still gets the ones that wait, and after them `failure`.
    func finish(_ failure: EgressFailure?) {
        _ = flush()
        let reader = state.withLock { state -> Reader? in
            guard !state.isFinished else { return nil }
            state.isFinished = true
            state.failure = failure
            return state.reader.take()
        }
        if let failure { reader?.resume(throwing: failure) } else { reader?.resume(returning: nil) }
    }

    /// What the reader gets without waiting; nil when it has to wait. `resumes` says that the transfer was paused.
    func ready() throws -> (bytes: [UInt8]?, resumes: Bool)? {
        try state.withLock { try $0.ready() }
    }

    /// Answers `reader` at once or when bytes come; true when the transfer was paused.
    func wait(_ reader: Reader) -> Bool {
        // The check is repeated under the lock that `flush` takes, or bytes could come in between and wake nobody.
        let result = state.withLock { state -> Result<(bytes: [UInt8]?, resumes: Bool)?, any Error> in
            guard state.reader == nil else {
                return .failure(EgressFailure(.badRequest, "the body of an answer has one reader at a time"))
            }
            let result = Result { try state.ready() }
            if case .success(nil) = result { state.reader = reader }
            return result
        }
        switch result {
        case .success(nil): return false
        case .success(let ready?):
            reader.resume(returning: ready.bytes)
            return ready.resumes
        case .failure(let error):
            reader.resume(throwing: error)
            return false
        }
    }
}

extension ResponseBuffer.State {
    fileprivate mutating func takeBytes() -> (bytes: [UInt8], resumes: Bool) {
        var taken: [UInt8] = []
        swap(&taken, &bytes)
        defer { isPaused = false }
        return (taken, isPaused)
    }

    fileprivate mutating func ready() throws -> (bytes: [UInt8]?, resumes: Bool)? {
        if !bytes.isEmpty {
            let (bytes, resumes) = takeBytes()
            return (bytes, resumes)
        }
        if let failure { throw failure }
        return isFinished ? (nil, false) : nil
    }
}
