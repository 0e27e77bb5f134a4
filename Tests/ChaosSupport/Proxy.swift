import Foundation
import Pacing
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Stands between processes and the server: a port on 127.0.0.1 for each process, each with a gate of its own. One thread
/// moves the bytes.
package final class Proxy: @unchecked Sendable {
    // `links` and `listeners` belong to the proxy's thread; what others set is in `orders`.
    private struct Orders {
        var gates: [Int: Gate] = [:]
        var newListeners: [(place: Int, descriptor: Int32)] = []
        var holds: [Int: [StatementHold]] = [:]
        var isOver = false
        var places = 0
        /// The path of the server's socket.
        var upstream: String
    }
    private let orders: Mutex<Orders>
    private let wake: (read: Int32, write: Int32)
    private var links: [Link] = []
    private var listeners: [(place: Int, descriptor: Int32)] = []

    /// `upstream` is the path of the server's socket.
    package init(upstream: String) throws {
        signal(SIGPIPE, SIG_IGN)
        orders = Mutex(Orders(upstream: upstream))
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw ChaosError("pipe: \(Self.reason)") }
        for end in ends {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        wake = (ends[0], ends[1])
        let thread = Thread { self.work() }
        thread.name = "proxy"
        thread.start()
    }

    /// A new way to the server: its port, and the place to set its gate by.
    package func add() throws -> (place: Int, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw ChaosError("socket: \(Self.reason)") }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 64) == 0
                    && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard bound else { throw ChaosError("cannot listen on 127.0.0.1: \(Self.reason)") }
        let place = orders.withLock { orders in
            defer { orders.places += 1 }
            orders.newListeners.append((orders.places, descriptor))
            return orders.places
        }
        ring()
        return (place, UInt16(bigEndian: address.sin_port))
    }

    /// Sets the gate of one place, or of all.
    package func set(_ gate: Gate, place: Int? = nil) {
        orders.withLock { orders in
            for each in place.map({ $0..<$0 + 1 }) ?? 0..<orders.places { orders.gates[each] = gate }
        }
        ring()
    }

    /// From now on new connections go to another server; cut the old ones with a gate.
    package func redirect(to upstream: String) {
        orders.withLock { $0.upstream = upstream }
    }

    /// Stops the next statement of a name at one place; every later one too while `count` lasts.
    package func hold(
        _ statement: String, at point: StatementHold.Point, place: Int, count: Int = 1
    ) -> StatementHold {
        let hold = StatementHold(statement: statement, point: point, count: count) { [weak self] in self?.ring() }
        orders.withLock { $0.holds[place, default: []].append(hold) }
        ring()
        return hold
    }

    /// Every place there is.
    package var places: Range<Int> { orders.withLock { 0..<$0.places } }

    package func stop() {
        orders.withLock { $0.isOver = true }
        ring()
    }

    private func ring() { _ = write(wake.write, "!", 1) }

    /// How a process reaches `database` through the proxy.
    package static func url(port: UInt16, database: String) -> String {
        "postgresql://postgres@127.0.0.1:\(port)/\(database)?sslmode=disable&gssencmode=disable"
    }

    /// The server's socket, of a URL whose host is a directory.
    package static func socketPath(of url: String) throws -> String {
        let items = URLComponents(string: url)?.queryItems ?? []
        guard let host = items.first(where: { $0.name == "host" })?.value,
            let port = items.first(where: { $0.name == "port" })?.value
        else { throw ChaosError("no socket in \(url)") }
        return "\(host)/.s.PGSQL.\(port)"
    }

    // MARK: The thread

    private func work() {
        var gates: [Int: Gate] = [:]
        var holds: [Int: [StatementHold]] = [:]
        while true {
            let (isOver, new) = orders.withLock { orders in
                gates = orders.gates
                for place in orders.holds.keys { orders.holds[place]?.removeAll(where: \.isOver) }
                holds = orders.holds
                defer { orders.newListeners = [] }
                return (orders.isOver, orders.newListeners)
            }
            listeners += new
            if isOver { break }
            let now = BootInstant.now()
            for link in links { link.advance(gates[link.place] ?? .open, holds[link.place] ?? [], now) }
            for link in links where link.isDone { link.close() }
            links.removeAll(where: \.isDone)
            wait(gates, now)
        }
        for link in links { link.close() }
        for listener in listeners { Glibc.close(listener.descriptor) }
        Glibc.close(wake.read)
        Glibc.close(wake.write)
    }

    /// Until a descriptor is ready, a slow chunk is due, or a gate is set; then accepts.
    private func wait(_ gates: [Int: Gate], _ now: BootInstant) {
        var polled = [pollfd(fd: wake.read, events: Int16(POLLIN), revents: 0)]
        polled += listeners.map { listener in
            pollfd(
                fd: listener.descriptor, events: gates[listener.place] == .frozen ? 0 : Int16(POLLIN), revents: 0)
        }
        for link in links { polled += link.polled(gates[link.place] ?? .open) }
        let due = links.compactMap(\.due).min().map { max(1, now.duration(to: $0).milliseconds) }
        _ = poll(&polled, nfds_t(polled.count), Int32(min(due ?? 1000, 1000)))
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(wake.read, &bytes, bytes.count) > 0 {}
        for (listener, ready) in zip(listeners, polled.dropFirst()) where ready.revents & Int16(POLLIN) != 0 {
            let client = accept(listener.descriptor, nil, nil)
            guard client >= 0 else { continue }
            _ = fcntl(client, F_SETFL, O_NONBLOCK)
            _ = fcntl(client, F_SETFD, FD_CLOEXEC)
            if gates[listener.place] == .cut {
                Glibc.close(client)
            } else if let server = connectUpstream() {
                links.append(Link(place: listener.place, client: client, server: server))
            } else {
                Glibc.close(client)
            }
        }
    }

    /// nil while the server is away.
    private func connectUpstream() -> Int32? {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let upstream = orders.withLock { $0.upstream }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(upstream.utf8).prefix($0.count - 1)) }
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
        if connected { return descriptor }
        Glibc.close(descriptor)
        return nil
    }

    private static var reason: String { String(cString: strerror(errno)) }
}
