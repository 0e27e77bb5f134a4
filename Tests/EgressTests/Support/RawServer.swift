import Foundation
import Synchronization

/// A TCP server on loopback that does what a script says, on a thread for each connection, and counts.
final class RawServer: Sendable {
    typealias Script = @Sendable (RawConnection) -> Void

    private struct Record {
        var connections = 0
        var requests: [RawRequest] = []
        var open: Set<Int32> = []
        /// The listener's number still belongs to this server.
        var listens = true
        var waiters: [(connections: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }
    let port: UInt16
    private let listener: Int32
    private let record = Mutex(Record())

    /// `script` runs for each connection; when it returns, the connection is closed.
    init(ipv6: Bool = false, _ script: @escaping Script) throws {
        listener = socket(ipv6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var bound: Int32
        var port: UInt16 = 0
        if ipv6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_addr.__in6_u.__u6_addr8.15 = 1
            bound = Self.bind(listener, &address)
            port = UInt16(bigEndian: address.sin6_port)
        } else {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            bound = Self.bind(listener, &address)
            port = UInt16(bigEndian: address.sin_port)
        }
        guard bound == 0, listen(listener, 512) == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
        self.port = port
        let listener = listener
        Thread.detachNewThread { [weak self] in
            while true {
                let descriptor = accept(listener, nil, nil)
                guard descriptor >= 0, let self else {
                    if descriptor >= 0 { Glibc.close(descriptor) }
                    Glibc.close(listener)
                    return
                }
                let (number, waiters) = self.record.withLock { record in
                    record.connections += 1
                    record.open.insert(descriptor)
                    let count = record.connections
                    defer { record.waiters.removeAll { $0.connections <= count } }
                    return (count, record.waiters.filter { $0.connections <= count })
                }
                for waiter in waiters { waiter.continuation.resume() }
                let connection = RawConnection(descriptor: descriptor, number: number, server: self)
                Thread.detachNewThread {
                    script(connection)
                    connection.close()
                }
            }
        }
    }

    // The thread closes the listener, so that its number is not another server's while `accept` still uses it.
    deinit { stop() }

    /// Ends the listener and every connection.
    func stop() {
        record.withLock { record in
            if record.listens { shutdown(listener, Int32(SHUT_RDWR)) }
            record.listens = false
            for descriptor in record.open { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    /// Returns when so many connections have been accepted: a client may be ahead of the thread that accepts.
    func accepted(_ connections: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = record.withLock { record in
                if record.connections < connections { record.waiters.append((connections, continuation)) }
                return record.connections >= connections
            }
            if isThere { continuation.resume() }
        }
    }

    var url: String { "http://127.0.0.1:\(port)" }
    /// Connections accepted so far.
    var connections: Int { record.withLock { $0.connections } }
    /// Whole request heads (and bodies of known length) read so far.
    var requests: [RawRequest] { record.withLock { $0.requests } }

    fileprivate func note(_ request: RawRequest) { record.withLock { $0.requests.append(request) } }
    /// Closes it under the lock, so that `stop` never meets a number that is another's by then.
    fileprivate func forget(_ descriptor: Int32) {
        record.withLock { record in
            record.open.remove(descriptor)
            Glibc.close(descriptor)
        }
    }

    private static func bind<Address>(_ descriptor: Int32, _ address: inout Address) -> Int32 {
        var length = socklen_t(MemoryLayout<Address>.size)
        return withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                let result = Glibc.bind(descriptor, pointer, length)
                return result == 0 ? getsockname(descriptor, pointer, &length) : result
            }
        }
    }
}

struct RawRequest: Sendable {
    let connection: Int
    let line: String
    let headers: [String]
    var body: [UInt8]

    var method: String { String(line.prefix { $0 != " " }) }
    var target: String { line.split(separator: " ").dropFirst().first.map(String.init) ?? "" }

    func header(_ name: String) -> String? {
        headers.first { $0.lowercased().hasPrefix(name.lowercased() + ":") }
            .map { $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces) }
    }
}

/// One accepted connection, used by its script's thread.
final class RawConnection: @unchecked Sendable {
    // Only the script's thread uses it.
    let descriptor: Int32
    let number: Int
    private let server: RawServer
    private var unread: [UInt8] = []
    private var isClosed = false

    init(descriptor: Int32, number: Int, server: RawServer) {
        self.descriptor = descriptor
        self.number = number
        self.server = server
    }

    /// The next request; nil when the client has closed. Chunked bodies come as they are on the wire, undecoded.
    func request() -> RawRequest? {
        let blank = Array("\r\n\r\n".utf8)
        var end = unread.firstRange(of: blank)
        while end == nil {
            guard fill() else { return nil }
            end = unread.firstRange(of: blank)
        }
        guard let end else { return nil }
        let lines = String(decoding: unread[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        unread.removeSubrange(..<end.upperBound)
        var request = RawRequest(connection: number, line: lines[0], headers: Array(lines.dropFirst()), body: [])
        if let length = request.header("Content-Length").flatMap(Int.init) {
            while unread.count < length { guard fill() else { return nil } }
            request.body = Array(unread.prefix(length))
            unread.removeFirst(length)
        } else if request.header("Transfer-Encoding") == "chunked" {
            let last = Array("0\r\n\r\n".utf8)
            while !unread.suffix(last.count).elementsEqual(last) { guard fill() else { return nil } }
            request.body = unread
            unread = []
        }
        server.note(request)
        return request
    }

    /// False when the client is gone.
    @discardableResult
    func write(_ text: String) -> Bool { write(Array(text.utf8)) }

    /// `stalled` opens when for 300 ms no byte could be written.
    @discardableResult
    func write(_ bytes: [UInt8], stalled: Latch? = nil) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if count > 0 {
                sent += count
                continue
            }
            guard count < 0, errno == EAGAIN else { return false }
            var descriptors = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            if poll(&descriptors, 1, 300) == 0 { stalled?.open() }
        }
        return true
    }

    /// A 200 with `body`, keeping the connection.
    @discardableResult
    func answer(_ body: String = "ok", status: String = "200 OK", headers: String = "") -> Bool {
        write("HTTP/1.1 \(status)\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
    }

    /// Answers everything until the client closes.
    func answerAll(_ body: String = "ok") {
        while request() != nil { guard answer(body) else { return } }
    }

    /// Returns when the client has closed its side.
    func awaitClose() {
        while fill() {}
    }

    /// Closes with a reset (RST) instead of an orderly end.
    func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        server.forget(descriptor)
    }

    private func fill() -> Bool {
        guard !isClosed else { return false }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return false }
        unread += bytes[..<count]
        return true
    }
}
