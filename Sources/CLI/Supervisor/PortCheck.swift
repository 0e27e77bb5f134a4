import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A port that somebody else has.
struct PortInUse: Error, CustomStringConvertible {
    let host: String
    let port: Int
    /// The option that chooses another.
    let setting: String
    let reason: String

    var description: String { "port \(port) on \(host) \(reason); free it, or choose another by \(setting)" }
}

/// Tries addresses before a server binds them, so that a port that is taken is told in our words.
enum PortCheck {
    /// Binds and lets go at once.
    /// - Throws: ``PortInUse``.
    static func require(host: String, port: Int, setting: String) throws(PortInUse) {
        for address in addresses(host: host, port: port, passive: true) {
            let descriptor = socket(address.family, Int32(SOCK_STREAM.rawValue), 0)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            // As servers do: connections of a server that has just ended are no obstacle.
            var yes: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
            let bound = address.withPointer { bind(descriptor, $0, $1) }
            if bound == 0 { return }
            switch errno {
            case EADDRINUSE: throw PortInUse(host: host, port: port, setting: setting, reason: "is taken")
            case EACCES:
                throw PortInUse(
                    host: host, port: port, setting: setting, reason: "needs more rights than this user has")
            case let code:
                throw PortInUse(
                    host: host, port: port, setting: setting,
                    reason: "cannot be listened on (\(String(cString: strerror(code))))")
            }
        }
        throw PortInUse(host: host, port: port, setting: setting, reason: "cannot be listened on (no such host)")
    }

    /// Whether somebody answers there now.
    static func isListening(host: String, port: Int) -> Bool {
        for address in addresses(host: host, port: port, passive: false) {
            let descriptor = socket(address.family, Int32(SOCK_STREAM.rawValue), 0)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            if address.withPointer({ connect(descriptor, $0, $1) }) == 0 { return true }
        }
        return false
    }

    private struct Address {
        let family: Int32
        let bytes: [UInt8]

        func withPointer(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
            bytes.withUnsafeBytes { buffer in
                guard let base = buffer.baseAddress else { return -1 }
                return body(base.assumingMemoryBound(to: sockaddr.self), socklen_t(buffer.count))
            }
        }
    }

    private static func addresses(host: String, port: Int, passive: Bool) -> [Address] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [Address] = []
        var next = list
        while let entry = next?.pointee {
            if let address = entry.ai_addr {
                let bytes = UnsafeRawBufferPointer(start: address, count: Int(entry.ai_addrlen))
                found.append(Address(family: entry.ai_family, bytes: Array(bytes)))
            }
            next = entry.ai_next
        }
        return found
    }
}
