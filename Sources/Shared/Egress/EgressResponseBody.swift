/// The body of a streamed answer, read once, by one reader at a time, as it comes. A cut, reset or silent connection throws
/// `EgressFailure`. Dropping it, or cancelling the reader's task, ends the transfer and closes its connection.
package struct EgressResponseBody: AsyncSequence, Sendable {
    package typealias Element = [UInt8]
    package typealias Failure = any Error

    private let reader: Reader

    init(transfer: Transfer, buffer: ResponseBuffer) {
        reader = Reader(transfer: transfer, buffer: buffer)
    }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(reader: reader) }

    /// All of it. Throws `tooLarge` when more than `limit` bytes come.
    package func collect(upTo limit: Int) async throws -> [UInt8] {
        var all: [UInt8] = []
        for try await bytes in self {
            guard all.count + bytes.count <= limit else {
                throw EgressFailure(.tooLarge, "the body is longer than \(limit) bytes")
            }
            if all.isEmpty { all = bytes } else { all += bytes }
        }
        return all
    }

    package struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate let reader: Reader

        package mutating func next() async throws -> [UInt8]? { try await reader.next() }

        package mutating func next(isolation actor: isolated (any Actor)?) async throws -> [UInt8]? {
            try await reader.next(isolation: actor)
        }
    }

    fileprivate final class Reader: Sendable {
        private let transfer: Transfer
        private let buffer: ResponseBuffer

        init(transfer: Transfer, buffer: ResponseBuffer) {
            self.transfer = transfer
            self.buffer = buffer
        }

        deinit {
            if !buffer.isFinished { transfer.lane.post(.cancel(transfer)) }
        }

        func next(isolation actor: isolated (any Actor)? = #isolation) async throws -> [UInt8]? {
            if let ready = try buffer.ready() {
                if ready.resumes { transfer.lane.post(.resume(transfer)) }
                return ready.bytes
            }
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation(isolation: actor) { continuation in
                    if buffer.wait(continuation) { transfer.lane.post(.resume(transfer)) }
                }
            } onCancel: {
                transfer.lane.post(.cancel(transfer))
            }
        }
    }
}
