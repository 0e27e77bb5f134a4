import Credentials
import Foundation
import Postgres

/// One row of `evergrant.erasures`: what was asked to be erased, until it is.
package struct Erasure: Sendable, Hashable {
    package let id: Int64
    /// `era_<32 hex>`.
    package let uid: String
    package let environmentID: Int64
    package let connections: Int64
    package let requestedAt: Date
    /// Nil while a revocation is not proven.
    package let erasedAt: Date?
}

/// Erasing everything that belongs to an identity.
package enum Erasures {
    /// Ids of the identity's connections that are not deleted yet, locked.
    package static func living(
        environmentID: Int64, identity: Identity, in transaction: any PostgresQuerying
    ) async throws -> [Int64] {
        try await transaction.execute(
            livingStatement, [.int8(environmentID), .text(identity.type.rawValue), .text(identity.value)]
        ).map { try $0.decode(Int64.self) }
    }

    /// Writes the request down, and forgets at once what needs no proof: connect sessions with their requests in flight,
    /// rows of imports, external ids, remembered answers. Grants held by sessions become due to be given back.
    /// - Returns: nil when the identity has never had anything here.
    package static func request(
        environmentID: Int64, identity: Identity, actor: String, in transaction: any PostgresQuerying
    ) async throws -> Erasure? {
        let parameters: [PostgresParameter] = [
            .int8(environmentID), .text(identity.type.rawValue), .text(identity.value),
        ]
        for statement in forgetAtOnce { try await transaction.execute(statement, parameters) }
        return try await transaction.execute(requestStatement, parameters + [.text(actor)]).first.map(Erasure.init)
    }

    package static func find(uid: String, environmentID: Int64, in db: any PostgresQuerying) async throws -> Erasure? {
        try await db.execute(findStatement, [.text(uid), .int8(environmentID)]).first.map(Erasure.init)
    }

    /// Erases what is left of one request whose connections are all revoked, in the caller's transaction.
    /// - Returns: false when there is none.
    package static func finishOne(in transaction: any PostgresQuerying) async throws -> Bool {
        guard let id = try await transaction.execute(claimStatement).first?.decode(Int64.self) else { return false }
        for statement in eraseStatements { try await transaction.execute(statement, [.int8(id)]) }
        return true
    }
}

extension Erasure {
    static let columns = "id, uid, environment_id, cardinality(connections)::bigint, requested_at, erased_at"

    init(_ row: PostgresRow) throws {
        (id, uid, environmentID, connections, requestedAt, erasedAt) = try row.decode(
            Int64.self, String.self, Int64.self, Int64.self, Date.self, Date?.self)
    }
}
