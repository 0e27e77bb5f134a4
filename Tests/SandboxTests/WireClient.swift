import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// What a client saw of an answer.
struct WireAnswer: Sendable {
    var status = 0
    var headers: [(name: String, value: String)] = []
    var body: [UInt8] = []
    /// Bytes received in all, head included.
    var received = 0
    /// Whether the connection ended before the answer was whole.
    var isCut = false

    /// Nothing came at all: curl's "Empty reply from server".
    var isEmpty: Bool { received == 0 }
    var text: String { String(decoding: body, as: UTF8.self) }

    subscript(name: String) -> String? { headers.first { $0.name.lowercased() == name.lowercased() }?.value }

    /// The body as a JSON object.
    var object: [String: Any] {
        ((try? JSONSerialization.jsonObject(with: Data(body))) as? [String: Any]) ?? [:]
    }

    func text(_ name: String) -> String? { object[name] as? String }
    func number(_ name: String) -> Double? { (object[name] as? NSNumber)?.doubleValue }
    func flag(_ name: String) -> Bool? { object[name] as? Bool }
    func list(_ name: String) -> [[String: Any]] { object[name] as? [[String: Any]] ?? [] }
}

/// One connection on blocking POSIX sockets, so that the tests share no code with what they test.
final class WireConnection: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            close(descriptor)
            throw Failure(description: "connect to port \(port): errno \(errno)")
        }
        // A test that would wait for ever fails instead.
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// Ends the connection as a killed process does; the descriptor is freed with the object.
    func drop() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    func send(_ method: String, _ target: String, headers: [(String, String)], body: [UInt8]?) throws {
        var head = "\(method) \(target) HTTP/1.1\r\n"
        if !headers.contains(where: { $0.0.lowercased() == "host" }) { head += "Host: sandbox.test\r\n" }
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        if let body { head += "Content-Length: \(body.count)\r\n" }
        var left = Array((head + "\r\n").utf8)[...] + (body ?? [])
        while !left.isEmpty {
            let count = left.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw Failure(description: "send: errno \(errno)") }
            left = left.dropFirst(count)
        }
    }

    /// Reads one answer: as long as its head says, or until the connection ends.
    func receive(headOnly: Bool = false) throws -> WireAnswer {
        var bytes: [UInt8] = []
        var answer = WireAnswer()
        let blank = Array("\r\n\r\n".utf8)
        var headEnd: Int?
        while headEnd == nil {
            guard try more(&bytes) else {
                answer.received = bytes.count
                answer.isCut = true
                return answer
            }
            headEnd = bytes.firstRange(of: blank)?.upperBound
        }
        let lines = String(decoding: bytes[..<(headEnd ?? 0)], as: UTF8.self).split(separator: "\r\n")
        answer.status = Int(lines[0].split(separator: " ")[1]) ?? 0
        answer.headers = lines.dropFirst().map { line in
            let colon = line.firstIndex(of: ":") ?? line.endIndex
            return (String(line[..<colon]), line[colon...].dropFirst().trimmingCharacters(in: .whitespaces))
        }
        var body = Array(bytes[(headEnd ?? 0)...])
        answer.received = bytes.count
        if headOnly { return answer }
        if answer["transfer-encoding"] == "chunked" {
            while body.suffix(5) != Array("0\r\n\r\n".utf8)[...] {
                guard try more(&body) else {
                    answer.isCut = true
                    break
                }
            }
            answer.body = Self.unchunk(body)
        } else {
            let length = answer["content-length"].flatMap { Int($0) } ?? 0
            while body.count < length {
                guard try more(&body) else {
                    answer.isCut = true
                    break
                }
            }
            answer.body = body
        }
        return answer
    }

    private func more(_ bytes: inout [UInt8]) throws -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count < 0, errno == EAGAIN { throw Failure(description: "no answer within a minute") }
        guard count > 0 else { return false }
        bytes += buffer[..<count]
        return true
    }

    private static func unchunk(_ bytes: [UInt8]) -> [UInt8] {
        var left = bytes[...]
        var body: [UInt8] = []
        while let end = left.firstRange(of: Array("\r\n".utf8)),
            let count = Int(String(decoding: left[..<end.lowerBound], as: UTF8.self), radix: 16), count > 0
        {
            left = left[end.upperBound...]
            body += left.prefix(count)
            left = left.dropFirst(count + 2)
        }
        return body
    }
}
