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
        drop()
        if connectFailures > 0 { try pause(until: connectNotBefore) }
        do {
            try connect()
            connectFailures = 0
        } catch {
            drop()
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
        return !notices.hasFatal
    }

    private func connect() throws(PostgresError) {
        let outer = (statement, deadline)
        begin("connect", within: configuration.connectTimeout)
        defer {
            statement = outer.0
            deadline = outer.1
        }
        try checkURL()
        // What comes before `dbname` the URL may override; what comes after it may not.
        let options: [(String, String)] = [
            ("application_name", configuration.applicationName), ("keepalives_idle", "30"),
            ("keepalives_interval", "10"), ("keepalives_count", "3"), ("dbname", configuration.url),
            ("client_encoding", "UTF8"),
        ]
        guard let handle = Self.start(options) else { throw failure(.unreachable, "out of memory") }
        self.handle = handle
        notices.attach(to: handle)
        guard PQstatus(handle) != CONNECTION_BAD else { throw unreachable() }
        var events = POLLOUT
        connecting: while true {
            do { try wait(events, cancelling: false) } catch {
                guard error.code == .timedOut || error.code == .connectionLost else { throw error }
                throw failure(.unreachable, "no answer within \(configuration.connectTimeout)")
            }
            switch PQconnectPoll(handle) {
            case PGRES_POLLING_READING: events = POLLIN
            case PGRES_POLLING_WRITING: events = POLLOUT
            case PGRES_POLLING_OK: break connecting
            default: throw unreachable()
            }
        }
        guard PQsetnonblocking(handle, 1) == 0 else { throw unreachable() }
        number = Self.numbers.wrappingAdd(1, ordering: .relaxed).newValue
        try applySettings()
        logger.debug("connected to the database", metadata: ["session": "\(number)", "pid": "\(PQbackendPID(handle))"])
    }

    private func unreachable() -> PostgresError {
        let words = handle.map { String(cString: PQerrorMessage($0)).oneLine } ?? ""
        return failure(.unreachable, words.isEmpty ? "the database cannot be reached" : words)
    }

    /// libpq quotes what it cannot parse, which may be a password, so its words are shown without the quotes.
    private func checkURL() throws(PostgresError) {
        var message: UnsafeMutablePointer<CChar>?
        guard let parsed = PQconninfoParse(configuration.url, &message) else {
            let words = message.map { String(cString: $0).oneLine.withoutQuotedValues } ?? "out of memory"
            PQfreemem(message)
            throw failure(.misuse, "the database URL is not valid: \(words)")
        }
        defer { PQconninfoFree(parsed) }
        var option = parsed
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val, strcmp(keyword, "host") == 0,
                strchr(value, Int32(UInt8(ascii: "@"))) != nil,
                value.pointee != CChar(UInt8(ascii: "@")), value.pointee != CChar(UInt8(ascii: "/"))
            {
                throw failure(
                    .misuse, "the database URL has more than one @", hint: "write an @ in user or password as %40")
            }
            option += 1
        }
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
        try send(statement, settings.flatMap { [.text($0.key), .text($0.value)] }, on: handle, prepared: nil)
        _ = try collect(handle, statement: statement.name)
    }
}
