import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A process we started. A thread of its own starts it and waits for its end: the kernel ties "end with your parent" to
/// the thread that started the child (prctl(2)), so that thread must live as long as the child.
package final class ChildProcess: Sendable {
    private struct State {
        /// Nil before the start and after the end, so that no signal reaches a stranger who got the number.
        var number: pid_t?
        var status: Int32?
        var waiters: [CheckedContinuation<Int32, Never>] = []
    }
    private let state = Mutex(State())
    private let name: String

    private init(_ name: String) { self.name = name }

    var processID: Int32? { state.withLock { $0.number } }
    /// 0 to 255 as exit status, or 128 and the signal; nil while it runs.
    package var exitStatus: Int32? { state.withLock { $0.status } }

    /// Starts a program with an empty signal mask, no input, no other open files, in a process group of its own, so that
    /// Ctrl-C in a terminal reaches only us. Its output goes to the end of the file `output`.
    /// Throws ``EmbeddedPostgresError`` when it cannot be started.
    package static func start(
        _ arguments: [String], environment: [String: String], output: String
    ) async throws -> ChildProcess {
        let child = ChildProcess(arguments[0])
        let result: Int32 = await withCheckedContinuation { started in
            let thread = Thread {
                let (number, result) = spawn(arguments, environment, output)
                if let number { child.state.withLock { $0.number = number } }
                started.resume(returning: result)
                if let number { child.waitForEnd(number) }
            }
            thread.name = "child"
            thread.stackSize = 256 * 1024
            thread.start()
        }
        guard result == 0 else {
            throw EmbeddedPostgresError(.file, "cannot start \(arguments[0]): \(String(cString: strerror(result)))")
        }
        return child
    }

    /// Runs a program to its end and returns what it printed; throws with that when its exit status is not 0.
    static func output(of arguments: [String], environment: [String: String]? = nil) async throws -> String {
        let file = NSTemporaryDirectory() + "/evergrant-output-" + UUID().uuidString
        defer { unlink(file) }
        let child = try await start(
            arguments, environment: environment ?? ProcessInfo.processInfo.environment, output: file)
        let status = await child.end()
        let text = String(decoding: FileManager.default.contents(atPath: file) ?? Data(), as: UTF8.self)
        guard status == 0 else {
            throw EmbeddedPostgresError(.failed, "\(arguments[0]) ended with status \(status): \(text)")
        }
        return text
    }

    /// Its exit status, when it has ended.
    package func end() async -> Int32 {
        await withCheckedContinuation { continuation in
            let status = state.withLock { state in
                if state.status == nil { state.waiters.append(continuation) }
                return state.status
            }
            if let status { continuation.resume(returning: status) }
        }
    }

    /// Whether it ends within `limit`.
    func ends(within limit: Duration) async -> Bool {
        await Polling.untilEvenCancelled(limit) { self.exitStatus != nil }
    }

    /// False when it has ended already.
    @discardableResult
    package func send(signal: Int32) -> Bool {
        state.withLock { $0.number.map { kill($0, signal) == 0 } ?? false }
    }

    private func waitForEnd(_ number: pid_t) {
        // Seen first and reaped under the lock, so that `send` cannot meet a number that is free again.
        var information = siginfo_t()
        while waitid(P_PID, id_t(number), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        let (waiters, status) = state.withLock { state in
            var raw: Int32 = 0
            while waitpid(number, &raw, 0) < 0, errno == EINTR {}
            let status = raw & 0x7f == 0 ? (raw >> 8) & 0xff : 128 + (raw & 0x7f)
            state.number = nil
            state.status = status
            defer { state.waiters = [] }
            return (state.waiters, status)
        }
        for waiter in waiters { waiter.resume(returning: status) }
    }

    private static func spawn(
        _ arguments: [String], _ environment: [String: String], _ output: String
    ) -> (pid_t?, Int32) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // What others have opened without close-on-exec; one that is closed meanwhile is no error (glibc, spawni.c).
        for descriptor in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
            if let number = Int32(descriptor), number > 2 { posix_spawn_file_actions_addclose(&actions, number) }
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
        var argumentPointers = arguments.map { strdup($0) } + [nil]
        var environmentPointers = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in argumentPointers + environmentPointers { free(pointer) } }
        var number: pid_t = 0
        let result = posix_spawnp(
            &number, arguments[0], &actions, &attributes, &argumentPointers, &environmentPointers)
        return (result == 0 ? number : nil, result)
    }
}
