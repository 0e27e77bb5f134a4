import Foundation
import Synchronization
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A directory in which `evergrant up` runs, and the ports it is given.
struct UpHome {
    struct Ports {
        let front: Int
        /// It and the next two are free.
        let admin: Int
        let sandbox: Int

        init() throws {
            // Below the range that the kernel gives to clients (ip(7), ip_local_port_range), so that nobody takes one
            // between this look and the start.
            func free(_ count: Int) throws -> Int {
                for _ in 0..<1000 {
                    let port = Int.random(in: 20_000..<32_000)
                    if (0..<count).allSatisfy({ Self.isFree(port + $0) }) { return port }
                }
                throw CocoaError(.featureUnsupported)
            }
            front = try free(1)
            admin = try free(3)
            sandbox = try free(1)
        }

        private static func isFree(_ port: Int) -> Bool {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(descriptor) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(port).bigEndian
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            return withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
        }
    }

    let folder: URL
    let ports: Ports

    init() throws {
        folder = URL(filePath: "/tmp/evergrant-up-\(UUID().uuidString.prefix(8))")
        // The private database's user must be able to pass.
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o711])
        ports = try Ports()
    }

    func start(ports other: Ports? = nil) throws -> RunningProgram {
        let ports = other ?? ports
        return try RunningProgram(
            [
                "up", "--front-port", "\(ports.front)", "--admin-port", "\(ports.admin)", "--sandbox-port",
                "\(ports.sandbox)",
            ], directory: folder)
    }

    func mode(of name: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: folder.path + "/.evergrant/" + name)[.posixPermissions] as? Int
    }

    /// The status of a call to the front, by curl.
    func get(_ path: String, key: String) async throws -> Int? {
        let curl = try RunningProgram(
            [
                "-s", "-o", "/dev/null", "-w", "%{http_code}\n", "-H", "Authorization: Bearer \(key)",
                "http://127.0.0.1:\(ports.front)\(path)",
            ], directory: folder, program: "/usr/bin/curl")
        _ = await curl.end()
        return curl.lines.first.flatMap { Int($0) }
    }

    /// Looks until a child's log has so many lines with these words.
    func waitForLog(_ name: String, count: Int, of words: String) async throws {
        let file = folder.path + "/.evergrant/log/\(name).log"
        func text() -> String {
            FileManager.default.contents(atPath: file).map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
        try await Self.wait("\(count) × \(words) in \(file), which says \(text().suffix(2000))") {
            text().split(separator: "\n").count { $0.contains(words) } >= count
        }
    }

    static func waitUntilGone(_ process: Int32) async throws {
        try await wait("end of process \(process)") { kill(process, 0) != 0 }
    }

    private static func wait(_ what: @autoclosure () -> String, _ isTrue: () -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(60)
        while !isTrue() {
            try #require(ContinuousClock.now < end, "waited in vain for \(what())")
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    func remove() { try? FileManager.default.removeItem(at: folder) }
}

/// A program whose output is read line by line while it runs. It is killed when forgotten.
final class RunningProgram: Sendable {
    private struct State {
        var lines: [String] = []
        var hasEnded = false
        var changed: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    private let process = Process()

    init(_ arguments: [String], directory: URL, program: String = Program.path) throws {
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        process.currentDirectoryURL = directory
        process.environment = [
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "HOME": directory.path,
        ]
        process.standardInput = FileHandle.nullDevice
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let thread = Thread { [self] in
            var rest = ""
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                // FileHandle would wait for all 4096 bytes.
                let count = read(output.fileHandleForReading.fileDescriptor, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                rest += String(decoding: buffer[..<count], as: UTF8.self)
                let parts = rest.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
                rest = parts.last ?? ""
                change { $0.lines += parts.dropLast() }
            }
            process.waitUntilExit()
            change { $0.hasEnded = true }
        }
        thread.start()
    }

    var lines: [String] { state.withLock { $0.lines } }

    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    /// Waits for a line, and returns all up to now.
    func line(_ isWanted: (String) -> Bool) async throws -> [String] {
        while true {
            let (lines, hasEnded) = state.withLock { ($0.lines, $0.hasEnded) }
            if lines.contains(where: isWanted) { return lines }
            try #require(!hasEnded, "it ended: \(lines.joined(separator: "\n"))")
            await change(after: lines.count)
        }
    }

    /// Its exit status, or the signal.
    func end() async -> Int32 {
        while !state.withLock({ $0.hasEnded }) { await change(after: lines.count) }
        return process.terminationStatus
    }

    /// Waits until there are more lines than `count`, or it has ended.
    private func change(after count: Int) async {
        await withCheckedContinuation { continuation in
            let isNew = state.withLock { state in
                if state.lines.count > count || state.hasEnded { return true }
                state.changed.append(continuation)
                return false
            }
            if isNew { continuation.resume() }
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let waiting = state.withLock { state in
            body(&state)
            defer { state.changed = [] }
            return state.changed
        }
        for continuation in waiting { continuation.resume() }
    }
}
