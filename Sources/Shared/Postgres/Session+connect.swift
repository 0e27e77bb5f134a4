import CLibPQ
import Logging
import Pacing
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

extension Session {
    /// A connection that works as far as can be told without asking the server: a new one when there is none or when the
    /// server has ended it meanwhile. After a failure the next try waits (backoff with jitter, 2 s at most).
    func open() throws(PostgresError) -> OpaquePointer {
        if let handle, isAlive(handle) { return handle }
        if isPinned {
            let farewell = notices.farewell
            drop()
            throw PostgresError(
                .connectionLost, statement: statement,
                farewell?.text ?? "the connection was lost before the statement was sent",
                sqlState: farewell?.sqlState ?? "", hint: farewell?.hint)
        }
        drop()
        if connectFailures > 0 { try pause(until: connectNotBefore) }
        do {
            try connect()
            connectFailures = 0
        } catch {
            drop()
            guard error.code == .unreachable else { throw error }
            connectFailures += 1
            let backoff = Backoff(base: .milliseconds(50), cap: .seconds(2))
            connectNotBefore = monotonicNanoseconds() + backoff.delay(failures: connectFailures).nanoseconds
            throw error
        }
        guard let handle else { throw lost() }
        return handle
    }

    /// Reads what came while nobody listened: notices, or the end.
    private func isAlive(_ handle: OpaquePointer) -> Bool {
        guard PQstatus(handle) == CONNECTION_OK else { return false }
        var one = pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0)
        while poll(&one, 1, 0) > 0 {
            guard PQconsumeInput(handle) == 1, PQisBusy(handle) == 0 else { return false }
        }
        return notices.farewell == nil
    }

    private func connect() throws(PostgresError) {
        let outer = (statement, deadline)
        defer {
            statement = outer.0
            deadline = outer.1
        }
        begin("connect", within: configuration.connectTimeout)
        var hosts = try HostList(parsing: configuration.url, failure: { self.failure(.misuse, $0, hint: $1) })
        while true {
            do throws(PostgresError) {
                try connect(to: hosts)
                return try applySettings()
            } catch {
                // libpq goes on to the next host by itself after a refusal, but leaves waiting to us.
                guard error.code == .timedOut else { throw error }
                guard let rest = hosts.rest(after: currentHost) else {
                    throw failure(.unreachable, "no answer from the database within \(configuration.connectTimeout)")
                }
                hosts = rest
                begin("connect", within: configuration.connectTimeout)
            }
        }
    }

    private func connect(to hosts: HostList) throws(PostgresError) {
        // What comes before `dbname` the URL may override; what comes after it may not.
        let options: [(String, String)] =
            [
                ("application_name", configuration.applicationName), ("keepalives_idle", "30"),
                ("keepalives_interval", "10"), ("keepalives_count", "3"), ("dbname", configuration.url),
                ("client_encoding", "UTF8"),
            ] + hosts.overrides
        guard let handle = Self.start(options) else { throw failure(.unreachable, "out of memory") }
        self.handle = handle
        notices.attach(to: handle)
        guard PQstatus(handle) != CONNECTION_BAD else { throw unreachable() }
        var events = POLLOUT
        connecting: while true {
            currentHost = HostList.Host(
                name: PQhost(handle).map { String(cString: $0) } ?? "",
                port: PQport(handle).map { String(cString: $0) } ?? "")
            try wait(events, cancelling: false)
            switch PQconnectPoll(handle) {
            case PGRES_POLLING_READING: events = POLLIN
            case PGRES_POLLING_WRITING: events = POLLOUT
            case PGRES_POLLING_OK: break connecting
            default: throw unreachable()
            }
        }
        guard PQsetnonblocking(handle, 1) == 0 else { throw unreachable() }
        number = Self.numbers.wrappingAdd(1, ordering: .relaxed).newValue
        logger.debug("connected to the database", metadata: ["session": "\(number)", "pid": "\(PQbackendPID(handle))"])
    }

    private func unreachable() -> PostgresError {
        let words = handle.map { String(cString: PQerrorMessage($0)).oneLine } ?? ""
        return failure(.unreachable, words.isEmpty ? "the database cannot be reached" : words)
    }

    private static func start(_ options: [(String, String)]) -> OpaquePointer? {
        var keywords = options.map { UnsafePointer(strdup($0.0)) } + [nil]
        var values = options.map { UnsafePointer(strdup($0.1)) } + [nil]
        defer { for pointer in keywords + values { free(UnsafeMutablePointer(mutating: pointer)) } }
        return PQconnectStartParams(&keywords, &values, 1)
    }

    private func applySettings() throws(PostgresError) {
        guard configuration.preparesStatements, !configuration.settings.isEmpty, let handle else { return }
        let settings = configuration.settings.sorted { $0.key < $1.key }
        let calls = settings.indices.map { "set_config($\(2 * $0 + 1), $\(2 * $0 + 2), false)" }
        let statement = PostgresStatement("apply settings", "SELECT " + calls.joined(separator: ", "))
        try encode(settings.flatMap { [.text($0.key), .text($0.value)] })
        try send(statement, on: handle, prepared: nil)
        _ = try collect(handle, statement: statement.name)
    }
}
