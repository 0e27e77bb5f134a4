import Pacing

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// One connection through the proxy. Belongs to the proxy's thread.
final class Link {
    let place: Int
    private let client: Int32
    private let server: Int32
    private var toServer = Way()
    private var toClient = Way()
    private var isBroken = false
    /// The gate was deaf: answers are missing, so nothing more may pass.
    private var wasDeaf = false
    /// What this connection has run into.
    private var hold: StatementHold?

    /// Bytes on their way in one direction.
    private struct Way {
        var chunks: [(due: BootInstant, bytes: ArraySlice<UInt8>)] = []
        var hasEnded = false
        var isFull: Bool { chunks.count >= 64 }
        var isOver: Bool { hasEnded && chunks.isEmpty }

        mutating func read(from descriptor: Int32, due: BootInstant) {
            var bytes = [UInt8](repeating: 0, count: 16 * 1024)
            while !isFull {
                let count = Glibc.read(descriptor, &bytes, bytes.count)
                if count > 0 {
                    chunks.append((due, bytes[..<count]))
                } else {
                    if count == 0 || errno != EAGAIN { hasEnded = true }
                    return
                }
            }
        }

        mutating func write(to descriptor: Int32, _ now: BootInstant) -> Bool {
            while let first = chunks.first, first.due <= now {
                // SIGPIPE is ignored.
                let count = first.bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
                if count < 0 { return errno == EAGAIN }
                if count == first.bytes.count {
                    chunks.removeFirst()
                } else {
                    chunks[0].bytes = first.bytes.dropFirst(count)
                }
            }
            return true
        }
    }

    init(place: Int, client: Int32, server: Int32) {
        self.place = place
        self.client = client
        self.server = server
    }

    /// A side has hung up and the other has what it said.
    var isDone: Bool { isBroken || toServer.isOver || toClient.isOver }

    /// When a slow chunk is due.
    var due: BootInstant? { [toServer.chunks.first?.due, toClient.chunks.first?.due].compactMap { $0 }.min() }

    /// Moves what can be moved.
    func advance(_ gate: Gate, _ holds: [StatementHold], _ now: BootInstant) {
        var due = now
        switch gate {
        case .frozen: return
        case .cut:
            isBroken = true
            return
        case .slow(let milliseconds): due = now.advanced(by: .milliseconds(milliseconds))
        case .open, .deaf: break
        }
        if wasDeaf, gate != .deaf {
            isBroken = true
            return
        }
        wasDeaf = gate == .deaf
        if let hold, hold.isReleased { self.hold = nil }
        let known = toServer.chunks.count
        if hold == nil { toServer.read(from: client, due: due) }
        for chunk in toServer.chunks.dropFirst(known) where hold == nil {
            hold = holds.first { $0.takes(chunk.bytes) }
        }
        if !wasDeaf { toClient.read(from: server, due: due) }
        if hold?.point != .before, !toServer.write(to: server, now) { isBroken = true }
        if hold?.point != .after, !toClient.write(to: client, now) { isBroken = true }
    }

    /// What to wait for.
    func polled(_ gate: Gate) -> [pollfd] {
        if gate == .frozen || gate == .cut { return [] }
        func events(reads: Bool, way: Way, writes: Way, isHeld: Bool) -> Int16 {
            let writable = !isHeld && (writes.chunks.first.map { $0.due <= .now() } ?? false)
            return (reads && !way.isFull && !way.hasEnded ? Int16(POLLIN) : 0) | (writable ? Int16(POLLOUT) : 0)
        }
        return [
            pollfd(
                fd: client,
                events: events(
                    reads: hold == nil, way: toServer, writes: toClient, isHeld: hold?.point == .after), revents: 0),
            pollfd(
                fd: server,
                events: events(
                    reads: gate != .deaf, way: toClient, writes: toServer, isHeld: hold?.point == .before), revents: 0),
        ].filter { $0.events != 0 }
    }

    func close() {
        Glibc.close(client)
        Glibc.close(server)
    }
}
