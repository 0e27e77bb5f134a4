import Synchronization

/// The bytes between the source of a streamed request body and libcurl, which reads on the lane's thread.
final class UploadSource: Sendable {
    enum Reading { case bytes(Int), end, later, failed }

    static let highWater = 256 * 1024

    fileprivate struct State {
        var chunks: [[UInt8]] = []
        /// Bytes of the first chunk that are read already.
        var offset = 0
        var waiting = 0
        /// Bytes that the source has yet to yield, when it promised a length.
        var owed: Int?
        var hasEnded = false
        var hasFailed = false
        var isClosed = false
        /// libcurl paused for want of bytes.
        var isStarving = false
        var writer: CheckedContinuation<Void, Never>?
        var pump: Task<Void, Never>?
    }
    private let state: Mutex<State>

    init(length: Int?) { state = Mutex(State(owed: length)) }

    /// Starts to read `source`; `wake` is called when libcurl has to be told of new bytes. Not a child of the caller's task,
    /// because the answer of a stream may begin before its request has ended; it ends with the transfer, by `close`.
    func start(
        _ source: any AsyncSequence<[UInt8], any Error> & Sendable, wake: @escaping @Sendable () -> Void
    ) {
        let pump = Task { await self.pump(source, wake) }
        let isClosed = state.withLock { state in
            if !state.isClosed { state.pump = pump }
            return state.isClosed
        }
        if isClosed { pump.cancel() }
    }

    private func pump(_ source: some AsyncSequence<[UInt8], any Error>, _ wake: () -> Void) async {
        do {
            for try await chunk in source where !chunk.isEmpty {
                guard await push(chunk, wake) else { return }
            }
            change(wake) { state in
                state.hasEnded = true
                if let owed = state.owed, owed != 0 { state.hasFailed = true }
            }
        } catch {
            change(wake) { $0.hasFailed = true }
        }
    }

    /// Returns when there is room for another chunk; false when no more are wanted.
    private func push(_ chunk: [UInt8], _ wake: () -> Void) async -> Bool {
        change(wake) { state in
            if let owed = state.owed {
                guard chunk.count <= owed else {
                    state.hasFailed = true
                    return
                }
                state.owed = owed - chunk.count
            }
            state.chunks.append(chunk)
            state.waiting += chunk.count
        }
        await withCheckedContinuation { continuation in
            let hasRoom = state.withLock { state in
                if state.waiting < Self.highWater || state.isClosed || state.hasFailed { return true }
                state.writer = continuation
                return false
            }
            if hasRoom { continuation.resume() }
        }
        return state.withLock { !$0.isClosed && !$0.hasFailed }
    }

    private func change(_ wake: () -> Void, _ body: (inout State) -> Void) {
        let wakes = state.withLock { state in
            body(&state)
            return state.isStarving.take()
        }
        if wakes { wake() }
    }

    func read(into room: UnsafeMutableRawBufferPointer) -> Reading {
        let (reading, writer) = state.withLock { $0.read(into: room) }
        writer?.resume()
        return reading
    }

    /// The transfer has ended: the source is told to stop.
    func close() {
        let (pump, writer) = state.withLock { state in
            state.isClosed = true
            state.chunks = []
            return (state.pump.take(), state.writer.take())
        }
        pump?.cancel()
        writer?.resume()
    }
}

extension UploadSource.State {
    fileprivate mutating func read(
        into room: UnsafeMutableRawBufferPointer
    ) -> (UploadSource.Reading, CheckedContinuation<Void, Never>?) {
        if hasFailed { return (.failed, writer.take()) }
        var written = 0
        while written < room.count, let chunk = chunks.first {
            let count = min(chunk.count - offset, room.count - written)
            chunk.withUnsafeBytes { bytes in
                UnsafeMutableRawBufferPointer(rebasing: room[written...]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]))
            }
            written += count
            offset += count
            if offset == chunk.count {
                chunks.removeFirst()
                offset = 0
            }
        }
        waiting -= written
        guard written == 0 else {
            return (.bytes(written), waiting < UploadSource.highWater ? writer.take() : nil)
        }
        if hasEnded { return (.end, nil) }
        isStarving = true
        return (.later, writer.take())
    }
}

extension Bool {
    /// The value, leaving false behind.
    fileprivate mutating func take() -> Bool {
        defer { self = false }
        return self
    }
}
