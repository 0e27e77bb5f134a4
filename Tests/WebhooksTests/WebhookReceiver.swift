import Foundation
import Synchronization

/// A webhook receiver on 127.0.0.1: a real HTTP/1.1 server on its own threads that answers as it was told.
final class WebhookReceiver: Sendable {
    enum Answer: Sendable {
        case status(Int, headers: [String] = [])
        /// Takes the request whole, and closes without a word: the answer is lost after the receiver has committed.
        case loseAnswer
        /// Takes the request and never answers.
        case hang
    }

    struct Request: Sendable {
        let line: String
        /// By lower-case name.
        let headers: [String: String]
        let body: [UInt8]
    }

    private struct State {
        var script: [Answer]
        var requests: [Request] = []
        var open: Set<Int32> = []
    }

    let port: UInt16
    private let listener: Int32
    private let otherwise: Answer
    private let state: Mutex<State>

    var url: String { "http://127.0.0.1:\(port)/hook" }
    var requests: [Request] { state.withLock { $0.requests } }

    /// - Parameter script: the answers to the first requests; `otherwise` answers the rest.
    init(_ script: [Answer] = [], otherwise: Answer = .status(204)) throws {
        self.otherwise = otherwise
        state = Mutex(State(script: script))
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(listener, pointer, length) == 0 && listen(listener, 64) == 0
                    && getsockname(listener, pointer, &length) == 0
            }
        }
        guard bound else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread { [weak self] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0, let self else {
                    // Only here: a number closed elsewhere could already be another socket's when this thread uses it.
                    close(listener)
                    return
                }
                state.withLock { _ = $0.open.insert(connection) }
                Thread.detachNewThread { self.serve(connection) }
            }
        }
    }

    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        state.withLock { for connection in $0.open { shutdown(connection, Int32(SHUT_RDWR)) } }
    }

    private func serve(_ connection: Int32) {
        defer {
            state.withLock {
                $0.open.remove(connection)
                close(connection)
            }
        }
        guard let request = read(connection) else { return }
        let answer = state.withLock { state in
            state.requests.append(request)
            return state.script.isEmpty ? otherwise : state.script.removeFirst()
        }
        switch answer {
        case .loseAnswer: return
        case .hang:
            var byte: UInt8 = 0
            while recv(connection, &byte, 1, 0) > 0 {}
        case .status(let status, let headers):
            let lines = ["HTTP/1.1 \(status) Told", "content-length: 0", "connection: close"] + headers
            let bytes = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
            _ = send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        }
    }

    private func read(_ connection: Int32) -> Request? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        func more() -> Bool {
            let count = recv(connection, &chunk, chunk.count, 0)
            if count > 0 { bytes += chunk[..<count] }
            return count > 0
        }
        var end: Int?
        while end == nil {
            guard more() else { return nil }
            end = bytes.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound
        }
        guard let end else { return nil }
        let lines = String(decoding: bytes[..<end], as: UTF8.self).components(separatedBy: "\r\n")
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(
                in: .whitespaces)
        }
        let length = Int(headers["content-length"] ?? "0") ?? 0
        while bytes.count < end + length { guard more() else { return nil } }
        return Request(line: lines[0], headers: headers, body: Array(bytes[end..<(end + length)]))
    }
}
