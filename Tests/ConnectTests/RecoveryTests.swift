import Connect
import Credentials
import Egress
import Escrow
import Foundation
import Logging
import Postgres
import Sandbox
import Store
import Testing
import Vault

/// An exchange's answer outlives whatever happens between the provider and the commit.
@Suite struct RecoveryTests {
    @Test func `an answer that could not be committed is committed out of the journal, once`() async throws {
        try await ConnectWorld.with { world in
            let (session, browser) = try await world.opened()
            let query = try await world.consent(session, browser)
            // The database takes no connection, for a reason that trying again does not mend.
            try await world.run(
                """
                create or replace function refuse() returns trigger language plpgsql as
                $$ begin raise exception 'no connections today'; end $$
                """)
            try await world.run("create trigger t before insert on evergrant.connections execute function refuse()")
            await #expect(throws: PostgresError.self) {
                _ = try await world.flow.callback(
                    integration: "sandbox-strict-family", query: query, browser: browser)
            }
            #expect(try await world.count("select count(*) from evergrant.connections") == 0)
            world.journal.close()

            // Another process takes over the journal of the dead one.
            try await world.run("drop trigger t on evergrant.connections")
            let second = try EscrowJournal(.init(directory: world.directory), logger: ConnectWorld.quiet)
            var payloads: [[UInt8]] = []
            let found = await second.recoverAbandoned { record in
                #expect(record.kind == .exchangeAnswer)
                payloads.append(record.payload)
                return try await world.flow.recover(payload: record.payload) ? .committed : .noUse
            }
            second.close()
            #expect(found == 1)
            #expect(try await world.count("select count(*) from evergrant.connections where state = 'active'") == 1)
            #expect(
                try await world.count("select count(*) from evergrant.events where type = 'connection.created'") == 1)
            // A journal may be replayed; the answer is committed once.
            for payload in payloads { try await world.flow.recover(payload: payload) }
            #expect(try await world.count("select count(*) from evergrant.connections") == 1)

            // The browser that was told "something went wrong" finds its account connected.
            let view = try await world.flow.view(session.uid, browser: browser)
            #expect(view.session.state == .finished)
            #expect(view.connection?.accountLabel == "ann@example.com")
            let sealed = try #require(
                try await world.pool.execute(PostgresStatement("sealed", "select sealed from evergrant.credentials"))
                    .first)
            let bytes: [UInt8] = try sealed.decode([UInt8].self)
            let connection = try #require(view.connection)
            let tokens = try TokenSet(
                plaintext: await world.vault.open(
                    bytes,
                    .connectionTokens(
                        environmentID: world.environment.id, uid: connection.uid, generation: connection.generation)))
            let token = try #require(tokens.refreshToken).revealedText()
            #expect(world.sandbox.state.lookup(token).alive)
        }
    }

    @Test func `an answer in the journal is dropped when its user has connected anew`() async throws {
        try await ConnectWorld.with { world in
            let (session, browser) = try await world.opened()
            let first = try await world.consent(session, browser)
            try await world.run(
                """
                create or replace function refuse() returns trigger language plpgsql as
                $$ begin raise exception 'no connections today'; end $$
                """)
            try await world.run("create trigger t before insert on evergrant.connections execute function refuse()")
            _ = try? await world.flow.callback(integration: "sandbox-strict-family", query: first, browser: browser)
            try await world.run("drop trigger t on evergrant.connections")
            let again = try await world.consent(session, browser)
            _ = try await world.flow.callback(integration: "sandbox-strict-family", query: again, browser: browser)
            world.journal.close()
            let second = try EscrowJournal(.init(directory: world.directory), logger: ConnectWorld.quiet)
            let found = await second.recoverAbandoned {
                try await world.flow.recover(payload: $0.payload) ? .committed : .noUse
            }
            second.close()
            #expect(found == 1)
            #expect(try await world.count("select count(*) from evergrant.connections") == 1)
        }
    }

    @Test func `the journal's lines hold no token in the clear`() async throws {
        try await ConnectWorld.with { world in
            let (session, browser) = try await world.opened()
            let query = try await world.consent(session, browser)
            _ = try await world.flow.callback(integration: "sandbox-strict-family", query: query, browser: browser)
            var text = ""
            for name in try FileManager.default.contentsOfDirectory(atPath: world.directory) {
                let bytes = try Data(contentsOf: URL(fileURLWithPath: world.directory + "/" + name))
                text += String(decoding: bytes, as: UTF8.self)
            }
            #expect(text.contains(session.uid))
            #expect(!text.contains("sbx_"))
        }
    }
}
