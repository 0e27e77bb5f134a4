import Bootstrap
import Foundation
import Logging
import Pacing

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Keeps children running: starts them, starts one anew that has ended, and stops all in order.
///
/// A child that ends is started again after a backoff of 0.2 s, doubling to 30 s, reset by a minute of life. Children
/// outlive nothing: their standard input is a pipe whose other end only this process holds.
actor FleetSupervisor {
    /// How long children may take to stop in order; a worker drains its jobs meanwhile.
    static let patience: Duration = .seconds(60)
    private static let backoff = Backoff(base: .milliseconds(200), cap: .seconds(30))
    private static let longLife: Duration = .seconds(60)

    private let program: String
    private let lifeline: (read: Int32, write: Int32)
    private let say: @Sendable (String) -> Void
    private var children: [String: FleetChild] = [:]
    private var watchers: [Task<Void, Never>] = []
    private var isStopping = false

    /// - Parameters:
    ///   - program: path of the executable that plans give arguments for.
    ///   - say: tells the person at the terminal.
    init(program: String, say: @escaping @Sendable (String) -> Void) throws(FleetError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0, fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0, fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0
        else { throw FleetError("cannot make a pipe: \(String(cString: strerror(errno)))", status: EX_OSERR) }
        lifeline = (ends[0], ends[1])
        self.program = program
        self.say = say
    }

    /// Starts a child and watches it until ``stop(_:)``.
    func start(_ plan: ChildPlan) throws(FleetError) {
        let child = try FleetChild(plan, program: program, lifeline: lifeline.read)
        children[plan.name] = child
        watchers.append(Task { await watch(child) })
    }

    /// The process of that name, as long as it lives.
    func processID(of name: String) -> Int32? { children[name].flatMap { $0.hasEnded ? nil : $0.processID } }

    /// Whether the child of that name has ended and nothing runs in its place.
    func hasEnded(_ name: String) -> Bool { children[name]?.hasEnded ?? true }

    private func watch(_ first: FleetChild) async {
        var child = first
        var failures = 0
        while true {
            let began = ContinuousClock.now
            let status = await child.end()
            if isStopping { return }
            failures = ContinuousClock.now - began > Self.longLife ? 1 : failures + 1
            let wait = Self.backoff.ceiling(failures: failures)
            say(
                "\(child.plan.name) \(Self.words(status)); starting it again in \(DurationText.print(wait)); \(child.plan.log)"
            )
            try? await Task.sleep(for: wait)
            if isStopping { return }
            do {
                child = try FleetChild(child.plan, program: program, lifeline: lifeline.read)
                children[child.plan.name] = child
            } catch {
                say("\(error)")
            }
        }
    }

    /// Stops these children in order (SIGTERM), all at once, and waits; what is left after ``patience`` is killed.
    func stop(_ names: [String]) async {
        isStopping = true
        let stopped = names.compactMap { children[$0] }
        for child in stopped { child.send(signal: SIGTERM) }
        let killer = Task {
            try await Task.sleep(for: Self.patience)
            for child in stopped { child.send(signal: SIGKILL) }
        }
        for child in stopped { _ = await child.end() }
        killer.cancel()
        for name in names { children[name] = nil }
    }

    /// Kills what is left, at once.
    func kill() {
        isStopping = true
        for child in children.values { child.send(signal: SIGKILL) }
    }

    private static func words(_ status: Int32) -> String {
        status < 128
            ? "ended with status \(status)"
            : "was ended by signal \(status - 128)"
    }
}
