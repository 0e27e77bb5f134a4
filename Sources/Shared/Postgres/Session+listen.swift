import CLibPQ

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

extension Session {
    /// Opens the connection and listens on every channel.
    func listen(_ channels: [String], within limit: Duration) throws(PostgresError) {
        let quoted = channels.map {
            "LISTEN \"" + $0.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
        }
        _ = try executeScript(PostgresStatement("listen", quoted.joined(separator: "; ")), within: limit)
    }

    /// Waits for notifications, for ever.
    func receive() throws(PostgresError) -> [PostgresNotification] {
        begin("wait for notifications", within: nil)
        guard let handle else { throw lost() }
        while true {
            var news: [PostgresNotification] = []
            while let notify = PQnotifies(handle) {
                news.append(
                    .notification(
                        channel: String(cString: notify.pointee.relname), payload: String(cString: notify.pointee.extra)
                    ))
                PQfreemem(notify)
            }
            if !news.isEmpty { return news }
            try wait(POLLIN)
            if PQconsumeInput(handle) == 0 { throw lost() }
        }
    }
}
