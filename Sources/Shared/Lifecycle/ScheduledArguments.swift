import Credentials
import Foundation
import Jobs
import Postgres
import Store

/// Arguments of jobs that a person schedules, who knows connections by their public ids and may touch one environment.
package enum ScheduledArguments {
    /// The arguments as they are stored, checked: the kind is known, its handler can read them, and what they name belongs
    /// to the environment. `connection` may be given as `conn_…`.
    /// - Throws: ``InvalidValue``.
    package static func resolve(
        kind: String, arguments: [UInt8], environmentID: Int64, in db: any PostgresQuerying
    ) async throws -> [UInt8] {
        guard var object = try? JSONSerialization.jsonObject(with: Data(arguments)) as? [String: Any] else {
            throw InvalidValue(item: "args", problem: "are not a JSON object", repair: "give {…}")
        }
        if let publicID = object["connection"] as? String {
            guard let uid = ConnectionRecord.uid(publicID: publicID),
                let found = try await Connections.find(uid: uid, environmentID: environmentID, in: db)
            else { throw missing("connection") }
            object["connection"] = found.id
        }
        let stored = Array(try JSONSerialization.data(withJSONObject: object, options: .sortedKeys))
        let owner: Int64? =
            switch try JobKinds.subject(kind: kind, arguments: stored) {
            case .connection(let id): try await Connections.find(id: id, in: db)?.environmentID
            case .delivery(let id): try await Deliveries.due(id: id, in: db)?.environmentID
            }
        guard owner == environmentID else { throw missing("connection or delivery") }
        return stored
    }

    private static func missing(_ what: String) -> InvalidValue {
        InvalidValue(
            item: "args", problem: "name a \(what) that this environment does not have",
            repair: "give a connection's id as the list of connections shows it")
    }
}
