import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Lifecycle
import Store

/// `/v1/vault/connections`: list, show, rename, tag, delete, in the words of the public AuthKit packages' service.
struct CompatibleConnections {
    /// Rows that one list looks through at most; a larger environment is listed by `/v1/connections`, which has cursors.
    private static let reach = 10_000

    let services: FrontServices
    let bodyLimit: Int

    func addRoutes(to routes: APIRoutes) {
        routes.add("/v1/vault/connections", [.get: APICall(.read, list)], takesSecretHeader: true)
        routes.add(
            "/v1/vault/connections/:id",
            [.get: APICall(.read, show), .patch: APICall(.manage, patch), .delete: APICall(.manage, delete)],
            takesSecretHeader: true)
    }

    @Sendable private func list(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let query = try QueryReader(
            request,
            allowing: [
                "key", "platform", "platformVersion", "name", "identity", "identityType", "tags", "active", "limit",
                "page", "skip",
            ])
        let limit = try query.integer("limit", 1...Int.max, default: 20)
        let page = try query.integer("page", 1...1_000_000, default: 1)
        let skip = try query.integer("skip", 0...Self.reach, default: 0)
        let size = min(150, limit)
        let found = query["active"] == "false" ? [] : try await matching(query, context)
        struct Answer: Encodable {
            let rows: [CompatibleRecord]
            let total: Int
            let page: Int
            let pages: Int
            let limit: Int
            let skip: Int
        }
        let shown = found.dropFirst(skip + (page - 1) * size).prefix(size)
        return try .json(
            Answer(
                rows: try shown.map(CompatibleRecord.init), total: found.count, page: page,
                pages: max(1, (found.count + size - 1) / size), limit: size, skip: skip))
    }

    private func matching(_ query: QueryReader, _ context: FrontRequestContext) async throws -> [ConnectionRecord] {
        var filter = ConnectionFilter(environmentID: try context.authenticated().environment.id, limit: 200)
        filter.identity = query["identity"]
        filter.identityType = try query["identityType"].map { text throws(InvalidValue) in
            try IdentityType(parsing: text)
        }
        filter.integration = query["platform"]
        filter.name = query["name"]
        let tags = Set((query["tags"] ?? "").split(separator: ",").map(String.init))
        filter.tag = tags.sorted().first
        let keys = query["key"].map { Set($0.split(separator: ",").map { $0.prefix { $0 != "|" } }) }
        var found: [ConnectionRecord] = []
        var seen = 0
        while seen < Self.reach {
            let page = try await Connections.list(filter, in: services.pool).rows
            seen += page.count
            found += page.filter { row in
                let isNamed = keys?.contains(row.key.description.prefix { $0 != "|" }) ?? true
                return isNamed && tags.isSubset(of: row.tags)
            }
            guard page.count == filter.limit, let last = page.last else { break }
            filter.after = last.id
        }
        return found
    }

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        try .json(CompatibleRecord(try await find(context)))
    }

    /// Tags replace, an empty name clears.
    @Sendable private func patch(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        struct Body: RequestFields {
            static let fields = ["name", "tags"]
            let name: String?
            let tags: [String]?
        }
        let found = try await find(context)
        let body = try await request.fields(Body.self, limit: bodyLimit)
        let changed = try await Connections.patch(
            id: found.id, name: try body.name.map(ConnectionFields.name),
            tags: try body.tags.map(ConnectionFields.tags), metadata: nil, in: services.pool)
        guard let changed else { throw HTTPProblem.connectionNotFound }
        return try .json(CompatibleRecord(changed))
    }

    @Sendable private func delete(_ request: Request, _ context: FrontRequestContext) async throws -> Reply {
        let found = try await find(context)
        let deleted = try await ConnectionRevocation(services.lifecycle).request(
            uid: found.uid, environmentID: found.environmentID, actor: context.actor)
        guard deleted != nil else { throw HTTPProblem.connectionNotFound }
        return Reply()
    }

    private func find(_ context: FrontRequestContext) async throws -> ConnectionRecord {
        guard let uid = ConnectionRecord.uid(publicID: try context.parameter("id")),
            let found = try await Connections.find(
                uid: uid, environmentID: try context.authenticated().environment.id, in: services.pool)
        else { throw HTTPProblem.connectionNotFound }
        return found
    }
}

/// A connection in that service's form, and our own fields beside it. Times are milliseconds since 1970.
struct CompatibleRecord: Encodable {
    struct Settings: Encodable {
        let parseWebhookBody = true
        let showSecret = false
        let allowCustomEvents = false
        let oauth: Bool
    }

    struct Throughput: Encodable {
        let key: String
        let limit = 100
    }

    private struct Dates: Decodable { let created_at: Date }

    let _id: String
    let id: String
    let platformVersion = "v1"
    let connectionDefinitionId: String
    let name: String
    let key: String
    let environment: String
    let platform: String
    let secretsServiceId: String
    let identity: String
    let identityType: String
    let settings: Settings
    let throughput: Throughput
    let createdAt: Int64
    let updatedAt: Int64
    let updated = false
    let version = "1.0.0"
    let lastModifiedBy = "evergrant"
    let deleted = false
    let tags: [String]
    let active = true
    let deprecated = false
    let state: String
    let account: String?

    init(_ record: ConnectionRecord) throws {
        _id = record.publicID
        id = record.publicID
        connectionDefinitionId = record.integration
        name = record.name
        key = record.key.description
        environment = record.mode.rawValue
        platform = record.integration
        secretsServiceId = record.publicID
        identity = record.identity.value
        identityType = record.identity.type.rawValue
        settings = Settings(oauth: record.oauthAppID != nil)
        throughput = Throughput(key: record.key.description)
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .custom { decoder in
            let text = try decoder.singleValueContainer().decode(String.self)
            return try Date(text, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        }
        let created = try decoder.decode(Dates.self, from: Data(record.document)).created_at
        createdAt = Int64(created.timeIntervalSince1970 * 1000)
        updatedAt = Int64(record.since.timeIntervalSince1970 * 1000)
        tags = record.tags
        account = record.accountLabel
        state =
            switch record.state {
            case .active: "operational"
            case .degraded, .suspected: "degraded"
            case .broken: "failed"
            default: "unknown"
            }
    }
}
