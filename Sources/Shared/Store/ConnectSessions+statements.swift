import Credentials
import Foundation
import Postgres

extension ConnectSessions {
    enum Statements {
        static let columns = """
            id, uid, environment_id, kind, identity_type, identity, integrations, connection_id, allow_other_account,
            name, tags, metadata, redirect_url, require_finish, state, browsers, finished_browser,
            finished_connection_id, confirmed_at, held_grant, held_facts, created_at, expires_at,
            expires_at <= now(), waives_finish, departures, failure
            """

        static let insert = PostgresStatement(
            "insert connect session",
            """
            insert into evergrant.connect_sessions (environment_id, kind, token_hash, identity_type, identity,
                integrations, connection_id, allow_other_account, name, tags, metadata, redirect_url, require_finish,
                expires_at, created_by, waives_finish)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, now() + make_interval(secs => $14), $15, $16)
            on conflict (token_hash) do nothing
            returning \(columns)
            """)

        // Unique indexes on token_hash and uid.
        static let findByToken = PostgresStatement(
            "find connect session by token", "select \(columns) from evergrant.connect_sessions where token_hash = $1")
        static let findByUID = PostgresStatement(
            "find connect session", "select \(columns) from evergrant.connect_sessions where uid = $1")
        static let findByID = PostgresStatement(
            "find connect session by row", "select \(columns) from evergrant.connect_sessions where id = $1")

        static let open = PostgresStatement(
            "open connect session",
            """
            update evergrant.connect_sessions set
                state = case when state = 'minted' then 'opened' else state end,
                opened_at = coalesce(opened_at, now()),
                browsers = case when $2 = any(browsers) then browsers else array_append(browsers, $2) end
            where id = $1 and state <> 'finished' and expires_at > now()
                and ($2 = any(browsers) or cardinality(browsers) < $3)
            returning \(columns)
            """)

        static let depart = PostgresStatement(
            "depart connect session",
            """
            update evergrant.connect_sessions set state = 'authorizing', claim_nonce = null, claim_deadline = null,
                departures = departures + 1, failure = null
            where id = $1 and expires_at > now()
                and (state in ('opened', 'authorizing') or (state = 'exchanging' and claim_deadline < now()))
            """)

        static let openFrame = PostgresStatement(
            "open connect session in a frame",
            """
            update evergrant.connect_sessions set
                state = case when state = 'minted' then 'opened' else state end,
                opened_at = coalesce(opened_at, now()), parent_origin = coalesce($2, parent_origin)
            where id = $1 and kind = 'embedded' and state <> 'finished' and expires_at > now()
            returning \(columns)
            """)

        static let leaveFrame = PostgresStatement(
            "take connect session out of its frame",
            """
            update evergrant.connect_sessions
            set redirect_url = $2, require_finish = require_finish or not waives_finish
            where id = $1 and kind = 'embedded' and state <> 'finished' and expires_at > now()
            returning \(columns)
            """)

        static let setName = PostgresStatement(
            "name connect session",
            "update evergrant.connect_sessions set name = $2 where id = $1 and state <> 'finished'")

        static let fail = PostgresStatement(
            "note connect failure",
            """
            update evergrant.connect_sessions
            set failure = jsonb_build_object('code', $2::text, 'integration', $3::text, 'departure', departures)
            where id = $1 and kind = 'embedded' and state <> 'finished'
            """)

        static let claim = PostgresStatement(
            "claim connect session",
            """
            update evergrant.connect_sessions
            set state = 'exchanging', claim_nonce = $2, claim_deadline = now() + make_interval(secs => $3)
            where id = $1 and expires_at > now()
                and (state in ('opened', 'authorizing') or (state = 'exchanging' and claim_deadline < now()))
            """)

        static let release = PostgresStatement(
            "release connect session",
            """
            update evergrant.connect_sessions set state = 'opened', claim_nonce = null, claim_deadline = null
            where id = $1 and state = 'exchanging' and claim_nonce = $2
            """)

        static let finish = PostgresStatement(
            "finish connect session",
            """
            update evergrant.connect_sessions set state = 'finished', claim_nonce = null, claim_deadline = null,
                finished_browser = $4, finished_connection_id = $5, finished_at = now(), finish_hash = $6,
                finish_expires_at = case when $7 then now() + make_interval(secs => $8) end,
                confirmed_at = case when not $7 then now() end, held_grant = $9, held_facts = $10
            where id = $1 and (
                (state = 'exchanging' and claim_nonce = $2)
                or ($3 and (state in ('opened', 'authorizing') or (state = 'exchanging' and claim_deadline < now()))))
            """)

        static let replaceFinishCode = PostgresStatement(
            "replace finish code",
            """
            update evergrant.connect_sessions
            set finish_hash = $3, finish_expires_at = now() + make_interval(secs => $4)
            where id = $1 and state = 'finished' and require_finish and confirmed_at is null
                and finished_browser = $2 and finish_expires_at > now()
            """)

        static let confirm = PostgresStatement(
            "confirm connect session",
            """
            update evergrant.connect_sessions set confirmed_at = now(), finish_hash = null
            where uid = $1 and environment_id = $2 and state = 'finished' and confirmed_at is null
                and finish_hash = $3 and finish_expires_at > now() and identity_type = $4 and identity = $5
            returning \(columns)
            """)

        static let dropHeldGrant = PostgresStatement(
            "drop held grant",
            "update evergrant.connect_sessions set held_grant = null, held_facts = null where id = $1")

        // Index connect_sessions_by_end.
        static let prune = PostgresStatement(
            "prune connect sessions",
            """
            delete from evergrant.connect_sessions where id in (
                select id from evergrant.connect_sessions
                where expires_at < now() - make_interval(secs => $1)
                    and (finish_expires_at is null or finish_expires_at < now() - make_interval(secs => $1))
                    and held_grant is null
                order by expires_at limit $2 for update skip locked)
            """)

        // A minute late: a finish that began in time has ended by then.
        static let unfinishedReconnects = PostgresStatement(
            "find unfinished reconnects",
            """
            select \(columns) from evergrant.connect_sessions
            where held_grant is not null and confirmed_at is null
                and finish_expires_at < now() - interval '1 minute'
            order by finish_expires_at limit 100
            """)

        static let unconfirmed = PostgresStatement(
            "find unconfirmed connections",
            """
            select c.id from evergrant.connect_sessions s join evergrant.connections c on c.id = s.finished_connection_id
            where s.state = 'finished' and s.confirmed_at is null and s.finish_expires_at < now()
                and c.state = 'pending'
            order by s.finish_expires_at limit 100
            """)
    }
}

extension ConnectSessionRecord {
    init(_ row: PostgresRow) throws {
        let (kind, type, value, state): (String, String, String, String)
        let (departs, failed): (Int32, [UInt8]?)
        (
            id, uid, environmentID, kind, type, value, integrations, connectionID, allowsOtherAccount, name, tags,
            metadata, redirectURL, requiresFinish, state, browsers, finishedBrowser, finishedConnectionID, confirmedAt,
            heldGrant, heldFacts, createdAt, expiresAt, isExpired, waivesFinish, departs, failed
        ) = try row.decode(
            Int64.self, String.self, Int64.self, String.self, String.self, String.self, [String]?.self, Int64?.self,
            Bool.self, String.self, [String].self, [UInt8].self, String?.self, Bool.self, String.self, [[UInt8]].self,
            [UInt8]?.self, Int64?.self, Date?.self, [UInt8]?.self, [UInt8]?.self, Date.self, Date.self, Bool.self,
            Bool.self,
            Int32.self, [UInt8]?.self)
        departures = Int(departs)
        failure = try failed.map { try JSONDecoder().decode(ConnectFailure.self, from: Data($0)) }
        guard let kind = ConnectSessionKind(rawValue: kind), let state = ConnectSessionState(rawValue: state) else {
            throw InvalidValue(
                item: "stored connect session", problem: "is of an unknown kind or state",
                repair: "run `evergrant migrate` of this version")
        }
        self.kind = kind
        self.state = state
        identity = try Identity(type: IdentityType(parsing: type), value: value)
    }
}
