import CLibPQ

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

extension Session {
    /// Begins `COPY … FROM STDIN`.
    func copyStart(_ sql: String, within limit: Duration) throws(PostgresError) {
        begin("copy", within: limit)
        let handle = try open()
        begin("copy", within: limit)
        try payBegin(handle)
        guard PQsendQuery(handle, sql) == 1 else { throw refused(handle) }
        try flush(handle)
        guard let result = try next(handle) else { throw lost() }
        defer { PQclear(result) }
        if PQresultStatus(result) == PGRES_COPY_IN { return settleCancels() }
        if PQresultStatus(result) == PGRES_FATAL_ERROR {
            let error = failure(result, statement: statement)
            while let rest = try next(handle) { PQclear(rest) }
            settleCancels()
            throw isOpen ? error : afterLoss(error)
        }
        drop()
        throw failure(.misuse, "not a COPY … FROM STDIN")
    }

    /// Sends one piece of the data; pieces need not end where rows do.
    func copyData(_ bytes: [UInt8], within limit: Duration) throws(PostgresError) {
        begin("copy", within: limit)
        guard let handle, isOpen else { throw lost() }
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Self.copyPiece)
            let sent = piece.withUnsafeBytes {
                PQputCopyData(handle, $0.baseAddress?.assumingMemoryBound(to: CChar.self), Int32($0.count))
            }
            guard sent >= 0 else { throw lost() }
            // 0: libpq has no room before some is written.
            if sent == 1 { rest = rest.dropFirst(piece.count) }
            try flush(handle)
            if stop != .no {
                settleCancels()
                throw stopped("")
            }
        }
    }

    /// What is handed to libpq at once, in bytes.
    private static let copyPiece = 1 << 20

    /// Ends the COPY: with an error message it is given up. Returns the number of rows copied.
    func copyEnd(error message: String?, within limit: Duration) throws(PostgresError) -> Int {
        begin("copy", within: limit)
        guard let handle, isOpen else { throw lost() }
        while true {
            let sent = PQputCopyEnd(handle, message)
            if sent == 1 { break }
            guard sent == 0 else { throw lost() }
            try flush(handle)
        }
        try flush(handle)
        return try collect(handle, statement: "copy").affected
    }
}
