import Pacing
import Synchronization

/// Stops a statement on its way to the server, or its answer on the way back, until it is released: the numbered steps of
/// an attempt, found from outside the process that makes it.
///
/// It knows a statement by its name, which ``PostgresConnection`` gives to what it prepares (`name_number` in the
/// messages Parse and Bind of the frontend/backend protocol). A statement must therefore arrive in one piece, as
/// everything below 16 KiB does on a loopback connection.
package final class StatementHold: Sendable {
    package enum Point: Sendable {
        /// The server has not heard of it.
        case before
        /// The server has done it, and whoever sent it does not know.
        case after
    }

    private struct State {
        var left: Int
        var arrived = 0
        var isReleased = false
    }

    package let point: Point
    private let name: [UInt8]
    private let state: Mutex<State>
    private let ring: @Sendable () -> Void

    init(statement: String, point: Point, count: Int, ring: @escaping @Sendable () -> Void) {
        name = Array((statement + "_").utf8)
        self.point = point
        state = Mutex(State(left: count))
        self.ring = ring
    }

    /// Statements that it has stopped so far.
    package var arrived: Int { state.withLock { $0.arrived } }

    var isReleased: Bool { state.withLock { $0.isReleased } }
    /// Nothing more can run into it.
    var isOver: Bool { state.withLock { $0.isReleased || $0.left == 0 } }

    /// Lets everything it has stopped go on, and stops nothing more.
    package func release() {
        state.withLock { $0.isReleased = true }
        ring()
    }

    /// Whether one stands there within the limit.
    package func wait(atMost limit: Duration = .seconds(20)) async -> Bool {
        let deadline = BootInstant.now().advanced(by: limit)
        while arrived == 0 {
            if BootInstant.now() > deadline { return false }
            do { try await Task.sleep(for: .milliseconds(2)) } catch { return false }
        }
        return true
    }

    /// Whether these bytes of a client are a statement to stop.
    func takes(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard runs(in: bytes) else { return false }
        return state.withLock { state in
            guard !state.isReleased, state.left > 0 else { return false }
            state.left -= 1
            state.arrived += 1
            return true
        }
    }

    /// Bind with the statement's name after an empty portal: `B`, length, 0, name. To stop it before the server, its
    /// Parse will do as well: `P`, length, name.
    private func runs(in bytes: ArraySlice<UInt8>) -> Bool {
        guard bytes.count >= name.count + 5 else { return false }
        for start in bytes.startIndex...(bytes.endIndex - name.count) where bytes[start] == name[0] {
            guard bytes[start..<start + name.count].elementsEqual(name) else { continue }
            let before = bytes[bytes.startIndex..<start]
            if before.count >= 6, before[start - 1] == 0, before[start - 6] == UInt8(ascii: "B") { return true }
            if point == .before, before.count >= 5, before[start - 5] == UInt8(ascii: "P") { return true }
        }
        return false
    }
}
