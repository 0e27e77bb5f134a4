import Credentials
import Foundation
import Postgres

/// A member of a campaign, as lists show it.
package struct CampaignMemberRecord: Sendable, Hashable {
    /// Its turn, from 1.
    package let place: Int64
    /// `connection`, `oauth_app` or `webhook_endpoint`.
    package let subject: String
    /// `conn_…`, `app_…` or `ep_…`; nil when the row is gone.
    package let publicID: String?
    package let integration: String?
    package let identity: String?
    package let outcome: CampaignOutcome
    /// Why, as a word.
    package let detail: String?
    package let endedAt: Date?
}

/// Campaigns as operators and apps see them. Documents are JSON objects made by the database (`campaign_document`), the
/// same for HTTP, command line and SQL.
package enum Campaigns {
    /// What a campaign would work on: `selection` in its full form, `members`, `groups` by integration and state. Counts a
    /// million connections at most.
    /// - Throws: ``InvalidValue`` that names the field.
    package static func preview(_ order: CampaignOrder, environmentID: Int64, in db: any PostgresQuerying) async throws
        -> [UInt8]
    {
        try await translated {
            let rows = try await db.execute(
                previewStatement, [.int8(environmentID), .text(order.action), .jsonb(order.selection)],
                timeout: .seconds(60))
            return try rows.first?.decode([UInt8].self) ?? []
        }
    }

    /// Starts a campaign with the commit of `db`, or finds the one that its key started.
    /// - Parameter actor: `key:<uid>`, `cli`; kept in the audit.
    /// - Throws: ``InvalidValue`` that names the field, ``CampaignError/Code/keyReused``.
    package static func start(
        _ order: CampaignOrder, environmentID: Int64, actor: String, in db: any PostgresQuerying
    ) async throws -> [UInt8] {
        try await translated {
            let rows = try await db.execute(
                startStatement,
                [
                    .int8(environmentID), .text(order.action), .jsonb(order.selection),
                    .optional(order.rate) { .text($0) }, .optional(order.key) { .text($0) },
                    .optional(order.note) { .text($0) }, .text(actor),
                ])
            return try rows.first?.decode([UInt8].self) ?? []
        }
    }

    package static func find(uid: String, environmentID: Int64, in db: any PostgresQuerying) async throws -> [UInt8]? {
        try await db.execute(findStatement, [.text(uid), .int8(environmentID)]).first?.decode([UInt8].self)
    }

    /// The newest first.
    /// - Parameters:
    ///   - before: the last id of the page before.
    ///   - onlyAtWork: leaves out those that have ended.
    package static func list(
        environmentID: Int64, before: Int64?, limit: Int, onlyAtWork: Bool = false, in db: any PostgresQuerying
    ) async throws -> [(id: Int64, document: [UInt8])] {
        try await db.execute(
            listStatement,
            [
                .int8(environmentID), .int8(before ?? .max), .int4(Int32(min(max(limit, 1), 200))), .bool(onlyAtWork),
            ]
        ).map { row in
            let (id, document) = try row.decode(Int64.self, [UInt8].self)
            return (id, document)
        }
    }

    /// Pauses, resumes or cancels; a repeat changes nothing. Jobs that have begun go on to their end.
    /// - Returns: the campaign after it; nil when the environment has none of that id.
    /// - Throws: ``CampaignError/Code/ended``.
    package static func control(
        _ what: CampaignControl, uid: String, environmentID: Int64, actor: String, in db: any PostgresQuerying
    ) async throws -> [UInt8]? {
        try await translated {
            let rows = try await db.execute(
                controlStatement, [.int8(environmentID), .text(uid), .text(what.rawValue), .text(actor)])
            return try rows.first?.decode([UInt8]?.self) ?? nil
        }
    }

    /// Members in their order, of the outcomes named.
    /// - Parameter after: the last place of the page before.
    /// - Returns: nil when the environment has no campaign of that id.
    package static func members(
        uid: String, environmentID: Int64, outcomes: [CampaignOutcome], after: Int64 = 0, limit: Int,
        in db: any PostgresQuerying
    ) async throws -> [CampaignMemberRecord]? {
        guard
            let id = try await db.execute(identifyStatement, [.text(uid), .int8(environmentID)]).first?
                .decode(Int64.self)
        else { return nil }
        return try await db.execute(
            membersStatement,
            [
                .int8(id), .textArray(outcomes.flatMap(\.states)), .int8(after),
                .int4(Int32(min(max(limit, 1), 1000))),
            ]
        ).map { row in
            let (place, subject, publicID, integration, identity, state, detail, endedAt) = try row.decode(
                Int64.self, String.self, String?.self, String?.self, String?.self, String.self, String?.self,
                Date?.self)
            return CampaignMemberRecord(
                place: place, subject: subject, publicID: publicID, integration: integration, identity: identity,
                outcome: CampaignOutcome(rawValue: state) ?? .queued, detail: detail, endedAt: endedAt)
        }
    }

    /// What the database refuses, in our own errors.
    private static func translated<T>(_ body: () async throws -> T) async throws -> T {
        do {
            return try await body()
        } catch let error as PostgresError {
            switch error.sqlState {
            case "EG106":
                let item = error.constraint ?? "campaign"
                let problem =
                    error.message.hasPrefix(item + " ")
                    ? String(error.message.dropFirst(item.count + 1)) : error.message
                throw InvalidValue(item: item, problem: problem, repair: error.hint ?? "see docs/campaigns.md")
            case "EG110": throw CampaignError(.keyReused, error.message, hint: error.hint)
            case "EG111": throw CampaignError(.ended, error.message, hint: error.hint)
            default: throw error
            }
        }
    }
}
