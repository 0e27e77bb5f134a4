import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A process of the fleet: what it is called, what it runs, where its output goes.
struct ChildPlan: Sendable {
    let name: String
    let arguments: [String]
    let environment: [String: String]
    let log: String
}

/// A running child. It stays in our process group, reads the lifeline as its standard input, and appends to its log.
final class FleetChild: Sendable {
    private struct State {
        /// Nil after the end, so that no signal reaches a stranger who got the number.
        var number: pid_t?
        var status: Int32?
        var waiters: [CheckedContinuation<Int32, Never>] = []
    }

    let plan: ChildPlan
    /// As it was given; may belong to another process once this one has ended.
    let processID: pid_t
    private let state: Mutex<State>

    /// Starts the program.
    /// - Parameter lifeline: the end of a pipe to read from; it ends when we end.
    /// - Throws: ``FleetError`` when it cannot be started.
    init(_ plan: ChildPlan, program: String, lifeline: Int32) throws(FleetError) {
        self.plan = plan
        let number = try Self.spawn(plan, program, lifeline)
        processID = number
        state = Mutex(State(number: number))
        let thread = Thread { [self] in waitForEnd(number) }
        thread.name = "wait-\(plan.name)"
        thread.stackSize = 64 * 1024
        thread.start()
    }

    /// 0 to 255 as exit status, or 128 and the signal, when it has ended.
    func end() async -> Int32 {
        await withCheckedContinuation { continuation in
            let status = state.withLock { state in
                if state.status == nil { state.waiters.append(continuation) }
                return state.status
            }
            if let status { continuation.resume(returning: status) }
        }
    }

    var hasEnded: Bool { state.withLock { $0.status != nil } }

    func send(signal: Int32) {
        state.withLock { if let number = $0.number { _ = kill(number, signal) } }
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

    private static func spawn(_ plan: ChildPlan, _ program: String, _ lifeline: Int32) throws(FleetError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, lifeline, 0)
        posix_spawn_file_actions_addopen(&actions, 1, plan.log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // What was opened without close-on-exec; closing one that is gone meanwhile is no error (glibc, spawni.c).
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
            if let descriptor = Int32(name), descriptor > 2 { posix_spawn_file_actions_addclose(&actions, descriptor) }
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
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var arguments = ([program] + plan.arguments).map { strdup($0) } + [nil]
        var environment = plan.environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in arguments + environment { free(pointer) } }
        var number: pid_t = 0
        let result = posix_spawn(&number, program, &actions, &attributes, &arguments, &environment)
        guard result == 0 else {
            throw FleetError(
                "cannot start \(plan.name) (\(program)): \(String(cString: strerror(result)))", status: EX_OSERR)
        }
        return number
    }
}
