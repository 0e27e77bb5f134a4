import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A process of the run. A thread of its own starts it and waits for its end; `setpriv` (util-linux), where it is
/// installed, kills it when the conductor goes, also while it is stopped.
final class Child: Sendable {
    private struct State {
        /// nil before the start and after the end, so that no signal reaches a stranger who got the number.
        var number: pid_t?
        var status: Int32?
        var waiters: [CheckedContinuation<Int32, Never>] = []
    }
    let name: String
    private let state = Mutex(State())

    /// Starts this executable with `orders`.
    init(_ orders: ProcessOrders) async throws {
        name = orders.name
        let argument = String(decoding: try JSONEncoder().encode(orders), as: UTF8.self)
        var command = [try Self.executable(), "process", argument]
        if let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].first(where: {
            FileManager.default.isExecutableFile(atPath: $0)
        }) {
            command = [setpriv, "--pdeathsig", "KILL", "--"] + command
        }
        let arguments = command
        let output = "\(orders.directory)/\(orders.name).log"
        let result: Int32 = await withCheckedContinuation { started in
            let thread = Thread {
                var number: pid_t = 0
                let result = Self.spawn(arguments, output: output, &number)
                if result == 0 { self.state.withLock { [number] in $0.number = number } }
                started.resume(returning: result)
                if result == 0 { self.waitForEnd(number) }
            }
            thread.name = "child"
            thread.stackSize = 256 * 1024
            thread.start()
        }
        guard result == 0 else {
            throw ChaosError("cannot start \(arguments[0]): \(String(cString: strerror(result)))")
        }
    }

    /// 0 to 255 as exit status, or 128 and the signal; nil while it runs.
    var status: Int32? { state.withLock { $0.status } }

    /// False when it has ended already.
    @discardableResult
    func send(_ signal: Int32) -> Bool { state.withLock { $0.number.map { kill($0, signal) == 0 } ?? false } }

    func end() async -> Int32 {
        await withCheckedContinuation { continuation in
            let status = state.withLock { state in
                if state.status == nil { state.waiters.append(continuation) }
                return state.status
            }
            if let status { continuation.resume(returning: status) }
        }
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

    private static func executable() throws -> String {
        try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    }

    private static func spawn(_ arguments: [String], output: String, _ number: inout pid_t) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        // A process group of its own: Ctrl-C reaches only the conductor.
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
        var pointers = arguments.map { strdup($0) } + [nil]
        var environment = ProcessInfo.processInfo.environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in pointers + environment { free(pointer) } }
        return posix_spawnp(&number, arguments[0], &actions, &attributes, &pointers, &environment)
    }
}
