import Credentials
import Foundation
import Lifecycle
import LifecycleSupport
import Postgres
import Sandbox
import Store
import Testing
import Vault

/// A file in pieces, as an upload brings it; it can be cut.
private struct Upload: AsyncSequence, Sendable {
    typealias Element = [UInt8]
    struct Cut: Error {}

    let bytes: [UInt8]
    var piece = 1000
    /// Fails after so many bytes.
    var cutAfter = Int.max

    init(_ text: String, piece: Int = 1000, cutAfter: Int = .max) {
        bytes = Array(text.utf8)
        self.piece = piece
        self.cutAfter = cutAfter
    }

    func makeAsyncIterator() -> Iterator { Iterator(upload: self) }

    struct Iterator: AsyncIteratorProtocol {
        let upload: Upload
        var sent = 0

        mutating func next() async throws -> [UInt8]? {
            if sent >= upload.cutAfter { throw Cut() }
            guard sent < upload.bytes.count else { return nil }
            let end = Swift.min(upload.bytes.count, sent + upload.piece)
            defer { sent = end }
            return Array(upload.bytes[sent..<end])
        }
    }
}

@Suite(.timeLimit(.minutes(5))) struct GrantImportTests {
    private func row(_ provider: String, _ n: Int, _ tokens: TokenSet, more: String = "") -> String {
        let refresh = tokens.refreshToken?.revealedText() ?? ""
        return """
            {"integration":"sandbox-\(provider)","identity":"user-\(n)","external_id":"x\(n)",\
            "account_id":"a\(n)@example.com","refresh_token":"\(refresh)"\(more)}
            """
    }

    private func file(_ world: LifecycleWorld, _ count: Int, provider: String = "strict") async throws -> String {
        try await world.enable(provider)
        var lines: [String] = []
        for n in 1...count {
            lines.append(row(provider, n, try await world.issue(provider, account: "a\(n)@example.com")))
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func receive(
        _ text: String, _ world: LifecycleWorld, format: ImportFormat = .ndjson, hash: Bool = false,
        cutAfter: Int = .max, piece: Int = 1000, _ change: (inout ImportOptions) -> Void = { _ in }
    ) async throws -> ImportJob {
        var options = ImportOptions()
        change(&options)
        return try await GrantImport(world.services).receive(
            Upload(text, piece: piece, cutAfter: cutAfter), format: format, options: options,
            contentHash: hash ? Digest.sha256(text) : nil, environmentID: world.environmentID, actor: "test")
    }

    private func applied(_ job: ImportJob, _ world: LifecycleWorld) async throws -> ImportJob {
        while try await GrantImport(world.services).apply(id: job.id) {}
        return try #require(
            try await Imports.find(uid: job.uid, environmentID: world.environmentID, in: world.pool))
    }

    private func connections(_ world: LifecycleWorld) async throws -> [ConnectionRecord] {
        var filter = ConnectionFilter(environmentID: world.environmentID, limit: 200)
        var all: [ConnectionRecord] = []
        while true {
            let page = try await Connections.list(filter, in: world.pool)
            all += page.rows
            guard page.rows.count == 200 else { return all }
            filter.after = page.rows.last?.id
        }
    }

    private func faults(_ job: ImportJob, _ world: LifecycleWorld) async throws -> [String] {
        try await Imports.outcomes(id: job.id, outcome: "rejected", after: 0, limit: 1000, in: world.pool).flatMap {
            row in
            try JSONDecoder().decode([ImportFault].self, from: Data(row.faults ?? [])).map {
                "\(row.line) \($0.column): \($0.problem)"
            }
        }
    }

    @Test(arguments: ["replayable", "windowed", "strict", "strict-family"])
    func `grants that an app held become connections that refresh, with no user reconnecting`(provider: String)
        async throws
    {
        try await LifecycleWorld.with { world in
            let job = try await receive(try await file(world, 12, provider: provider), world)
            #expect(job.state == .importing)
            let done = try await applied(job, world)
            #expect(done.state == .done && done.importedRows == 12)
            let rows = try await connections(world)
            #expect(rows.count == 12)
            for connection in rows {
                #expect(connection.state == .active && connection.refreshDueAt != nil)
                #expect(try await world.refresh(connection) == .refreshed)
                #expect(try await world.heldRefreshTokenIsAlive(connection))
            }
            let progress = try await Imports.progress(id: job.id, in: world.pool)
            #expect([progress.waiting, progress.refreshed, progress.broken] == [0, 12, 0])
            #expect(world.sandbox.state.grants().allSatisfy { $0.alive && $0.replays == 0 })
        }
    }

    @Test func `one bad row keeps the whole file out, and every fault is told by line and column`() async throws {
        try await LifecycleWorld.with { world in
            let good = try await file(world, 2)
            let secret = "sbx_rt_do_not_show_me"
            let bad = [
                #"{"identity":"u","refresh_token":"\#(secret)"}"#, #"{"integration":"\#(secret)","identity":"u"}"#,
                #"{"integration":"sandbox-strict","refresh_token":"\#(secret)","identity_type":"\#(secret)"}"#,
                #"{"integration":"sandbox-strict","identity":"u"}"#, "not json \(secret)",
                #"{"integration":"sandbox-strict","identity":"u","refresh_token":"\#(secret)","expires_at":"\#(secret)"}"#,
                #"{"integration":"sandbox-strict","identity":"u","refresh_token":"\#(secret)","\#(secret)":"x"}"#,
                #"{"integration":"sandbox-strict","identity":"u","refresh_token":"\#(secret) \#(secret)"}"#,
                #"{"integration":"sandbox-windowed","identity":"u","refresh_token":"\#(secret)"}"#,
            ]
            let job = try await receive(good + bad.joined(separator: "\n"), world)
            #expect(job.state == .refused && job.totalRows == 11 && job.rejectedRows == 9)
            let faults = try await faults(job, world)
            #expect(
                faults == [
                    "3 integration: is missing", "4 integration: is not in the catalog",
                    "5 identity_type: is not a type of identity", "6 refresh_token: is missing, and so is access_token",
                    "7 : is not a JSON object", "8 expires_at: is no time", "9 : is not a column of an import",
                    "10 refresh_token: has characters that no token has, or more than 16384 of them",
                    "11 integration: is not enabled in this environment",
                ], "\(faults)")
            #expect(try await connections(world).isEmpty)
            #expect(try await GrantImport(world.services).apply() == false)
            // Nothing of a row stays but what is wrong with it.
            let dump = try world.dump()
            #expect(!dump.contains("do_not_show_me"))
            #expect(!dump.contains("a1@example.com"))
        }
    }

    @Test func `good rows are imported beside bad ones where the operator says so`() async throws {
        try await LifecycleWorld.with { world in
            let text = try await file(world, 3) + "{}\n"
            let job = try await receive(text, world) { $0.skipBadRows = true }
            let done = try await applied(job, world)
            #expect(done.state == .done && done.importedRows == 3 && done.rejectedRows == 1)
        }
    }

    @Test func `a dry run says what would be, and stores nothing`() async throws {
        try await LifecycleWorld.with { world in
            let text = try await file(world, 3)
            let job = try await receive(text, world) { $0.dryRun = true }
            #expect(job.state == .checked && job.totalRows == 3 && job.rejectedRows == 0)
            #expect(try await GrantImport(world.services).apply() == false)
            #expect(try await connections(world).isEmpty)
            let left = try await world.pool.execute(
                PostgresStatement("left", "select count(*) from evergrant.import_rows")
            ).first?.decode(Int64.self)
            #expect(left == 0)
            // And the file itself may follow.
            #expect(try await applied(try await receive(text, world), world).importedRows == 3)
        }
    }

    @Test func `no token of an upload is in the database in the clear, at any moment`() async throws {
        try await LifecycleWorld.with { world in
            let text = try await file(world, 5)
            let job = try await receive(text, world)
            let staged = try world.dump()
            _ = try await applied(job, world)
            let stored = try world.dump()
            #expect(staged.contains("a1@example.com"))
            for dump in [staged, stored] {
                #expect(!dump.contains("sbx_rt_"))
                #expect(!dump.contains(Encoding.hex(Array("sbx_rt_".utf8))))
            }
        }
    }

    @Test
    func `an upload that was cut goes on where it stood, and one killed while connections are made loses nothing`()
        async throws
    {
        try await LifecycleWorld.with { world in
            let text = try await file(world, 450, provider: "replayable")
            await #expect(throws: Upload.Cut.self) {
                try await receive(text, world, hash: true, cutAfter: text.utf8.count * 3 / 4)
            }
            let cut = try #require(
                try await Imports.list(environmentID: world.environmentID, before: nil, limit: 1, in: world.pool).first)
            #expect(cut.state == .receiving && cut.totalRows == 200)
            let job = try await receive(text, world, hash: true, piece: 77)
            #expect(job.id == cut.id && job.totalRows == 450)
            // One batch, and then the process that made it is gone; another goes on.
            #expect(try await GrantImport(world.services).apply(id: job.id))
            #expect(try await connections(world).count == 200)
            let done = try await applied(job, world)
            #expect(done.state == .done && done.importedRows == 450)
            let rows = try await connections(world)
            #expect(Set(rows.map(\.identity.value)).count == 450)
        }
    }

    @Test func `the same file twice, or the same rows in another file, make no second connection`() async throws {
        try await LifecycleWorld.with { world in
            let text = try await file(world, 4)
            let first = try await applied(try await receive(text, world), world)
            #expect(try await receive(text, world).id == first.id)
            #expect(try await receive(text, world, hash: true).id == first.id)
            let other = try await applied(try await receive("\n" + text, world), world)
            #expect(other.id != first.id && other.importedRows == 0 && other.existingRows == 4)
            // Known by the account, where the external id is another.
            let renamed = try await applied(
                try await receive(text.replacing("\"external_id\":\"x", with: "\"external_id\":\"y"), world), world)
            #expect(renamed.existingRows == 4)
            #expect(try await connections(world).count == 4)
        }
    }

    @Test func `rows that repeat an external id, an account or a token that rotates are told`() async throws {
        try await LifecycleWorld.with { world in
            try await world.enable("strict")
            let tokens = [
                try await world.issue("strict", account: "a"), try await world.issue("strict", account: "b"),
                try await world.issue("strict", account: "c"),
            ]
            let lines = [
                row("strict", 1, tokens[0]), row("strict", 2, tokens[0]),
                row("strict", 1, tokens[1]).replacing("x1", with: "x9"),
                row("strict", 3, tokens[2]).replacing("x3", with: "x1"),
            ]
            let job = try await receive(lines.joined(separator: "\n"), world)
            #expect(job.state == .refused && job.rejectedRows == 3)
            #expect(
                try await faults(job, world) == [
                    "2 refresh_token: stands on line 1 already", "3 account_id: stands on line 1 already",
                    "4 external_id: stands on line 1 already",
                ])
        }
    }

    /// `EVERGRANT_TEST_IMPORT_ROWS` sets how many; the time is printed.
    @Test func `a whole app moves in, first refreshes included, and no grant is lost`() async throws {
        let count = ProcessInfo.processInfo.environment["EVERGRANT_TEST_IMPORT_ROWS"].flatMap(Int.init) ?? 250
        try await LifecycleWorld.with { world in
            let text = try await file(world, count, provider: "strict-family")
            let start = ContinuousClock.now
            let done = try await applied(try await receive(text, world, hash: true, piece: 65_536), world)
            let stored = ContinuousClock.now
            #expect(done.importedRows == Int64(count))
            let all = try await connections(world)
            try await withThrowingTaskGroup(of: RefreshResult.self) { group in
                for (index, connection) in all.enumerated() {
                    if index >= 16 { #expect(try await group.next() == .refreshed) }
                    group.addTask { try await world.refresh(connection) }
                }
                for try await result in group { #expect(result == .refreshed) }
            }
            print(
                "import of \(count) grants: stored in \(stored - start), refreshed in \(ContinuousClock.now - stored)")
            #expect(world.sandbox.state.grants().allSatisfy { $0.alive && $0.replays == 0 && $0.refreshes == 1 })
        }
    }

    @Test func `first refreshes are paced at the rate that was asked for`() async throws {
        try await LifecycleWorld.with { world in
            let text = try await file(world, 10)
            let done = try await applied(try await receive(text, world) { $0.rate = 2 }, world)
            let start = try #require(done.startedAt)
            let due = try await connections(world).compactMap { $0.refreshDueAt?.timeIntervalSince(start) }
            #expect(due.map { ($0 * 100).rounded() / 100 } == (0..<10).map { Double($0) / 2 })
        }
    }

    @Test func `CSV brings the same as NDJSON, quotes, commas and line feeds included`() async throws {
        try await LifecycleWorld.with { world in
            try await world.enable("strict")
            _ = try await IntegrationSettings.put(
                environmentID: world.environmentID, integration: "sandbox-key", isEnabled: true, oauthAppID: nil,
                scopes: nil, display: IntegrationDisplay(), in: world.pool)
            let tokens = try await world.issue("strict", account: "ann")
            let key = world.sandbox.state.makeKey(account: "ann")
            let text = """
                integration,identity,identity_type,refresh_token,access_token,expires_at,scopes,name,tags,metadata,field.api_key\r
                sandbox-strict,"a ""b"", c",team,\(tokens.refreshToken?.revealedText() ?? ""),\
                \(tokens.accessToken.revealedText()),\(Int(Date().timeIntervalSince1970) + 3000),read write,"two
                lines",x;y z,"{""plan"": ""pro"", ""seats"": 3}",\r
                sandbox-key,user-2,,,,,,,,,\(key)
                """
            let job = try await receive(text, world, format: .csv, piece: 1)
            let bad = try await faults(job, world)
            #expect(job.state == .importing, "\(bad)")
            #expect(try await applied(job, world).importedRows == 2)
            let rows = try await connections(world)
            #expect(rows.map(\.identity.description) == [#"team/a "b", c"#, "user/user-2"])
            #expect(rows[0].name == "two\nlines" && rows[0].tags == ["x", "y z"])
            #expect(rows[0].grantedScopes == ["read", "write"])
            #expect(String(decoding: rows[0].document, as: UTF8.self).contains(#""seats": 3"#))
            #expect(try await world.refresh(rows[0]) == .refreshed)
            let refresher = CredentialRefresher(world.services)
            let usable = try await refresher.credential(uid: rows[1].uid, environmentID: world.environmentID)
            #expect(usable.tokens.accessToken.revealedText() == key)
        }
    }

    @Test func `a row too long is told, and the rows after it are read on`() async throws {
        try await LifecycleWorld.with { world in
            let text = try await file(world, 1)
            let long = "{\"name\":\"" + String(repeating: "x", count: ImportReader.longestRow) + "\"}\n"
            let job = try await receive(long + text, world, piece: 65536) { $0.skipBadRows = true }
            #expect(try await faults(job, world) == ["1 : is longer than \(ImportReader.longestRow) bytes"])
            #expect(try await applied(job, world).importedRows == 1)
        }
    }

    @Test func `a grant without an access token is refreshed before its first use`() async throws {
        try await LifecycleWorld.with { world in
            let text = try await file(world, 1)
            _ = try await applied(try await receive(text, world), world)
            let connection = try #require(try await connections(world).first)
            let usable = try await CredentialRefresher(world.services).credential(
                uid: connection.uid, environmentID: world.environmentID)
            #expect(usable.generation == 2)
            #expect(world.sandbox.state.lookup(usable.tokens.accessToken.revealedText()).alive)
        }
    }
}
