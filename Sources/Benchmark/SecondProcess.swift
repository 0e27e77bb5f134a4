import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A second process of a shape: this program again, or the driver of a public queue. Its standard input is a pipe that
/// ends with us; what it writes is read line by line.
final class SecondProcess: @unchecked Sendable {
    // `Process` is only asked for its number and its end after `init`, and its pipes are used by one task at a time.
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private let errors: URL
    private let ending = Mutex<(status: Int32?, waiters: [CheckedContinuation<Int32, Never>])>((nil, []))

    /// Starts it. Throws `BenchmarkError` when the program cannot be started.
    init(_ command: [String], environment: [String: String] = [:]) throws {
        guard let program = command.first else {
            throw BenchmarkError(.invalid, "this shape needs a second process, and no command for it was given")
        }
        errors = FileManager.default.temporaryDirectory.appending(path: "evergrant-bench-\(UUID().uuidString)")
        process.executableURL = URL(filePath: program)
        process.arguments = Array(command.dropFirst())
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = input
        process.standardOutput = output
        _ = FileManager.default.createFile(atPath: errors.path, contents: nil)
        process.standardError = try FileHandle(forWritingTo: errors)
        process.terminationHandler = { [self] process in
            let status =
                process.terminationReason == .exit
                ? process.terminationStatus : 128 + process.terminationStatus
            let waiters = ending.withLock { ending in
                ending.status = status
                defer { ending.waiters = [] }
                return ending.waiters
            }
            for waiter in waiters { waiter.resume(returning: status) }
        }
        do {
            try process.run()
        } catch {
            process.terminationHandler = nil
            throw BenchmarkError(.failed, "\(program) cannot be started: \(error.localizedDescription)")
        }
    }

    deinit { try? FileManager.default.removeItem(at: errors) }

    var processID: Int32 { process.processIdentifier }

    /// Its exit status, or 128 and the signal that ended it.
    func end() async -> Int32 {
        await withCheckedContinuation { continuation in
            let status = ending.withLock { ending in
                if ending.status == nil { ending.waiters.append(continuation) }
                return ending.status
            }
            if let status { continuation.resume(returning: status) }
        }
    }

    func send(signal: Int32) {
        ending.withLock { if $0.status == nil { _ = kill(processID, signal) } }
    }

    func write(line: String) { try? input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8)) }

    /// The next line it writes; throws with its complaints when it ends instead.
    func line() async throws -> String {
        let handle = output.fileHandleForReading
        let line: String? = await withCheckedContinuation { continuation in
            let thread = Thread {
                var bytes: [UInt8] = []
                while let data = try? handle.read(upToCount: 1), let byte = data.first {
                    if byte == 10 { return continuation.resume(returning: String(decoding: bytes, as: UTF8.self)) }
                    bytes.append(byte)
                }
                continuation.resume(returning: nil)
            }
            thread.name = "second-process"
            thread.start()
        }
        if let line { return line }
        let status = await end()
        throw BenchmarkError(.failed, "the second process ended with status \(status): \(complaints)")
    }

    /// The end of what it wrote to standard error.
    var complaints: String {
        let text = (try? String(contentsOf: errors, encoding: .utf8)) ?? ""
        return String(text.suffix(2000))
    }

    /// Tells it to end by ending its input, and waits.
    @discardableResult
    func close() async -> Int32 {
        try? input.fileHandleForWriting.close()
        return await end()
    }
}

extension QueueBenchmarkOptions {
    /// Starts this program again with orders.
    func child(_ orders: BenchmarkChild.Orders) throws -> SecondProcess {
        let text = String(decoding: try JSONEncoder().encode(orders), as: UTF8.self)
        return try SecondProcess(childCommand, environment: [BenchmarkChild.variable: text])
    }
}
