import Credentials
import Foundation

/// What a job works on: a row of the job's environment.
package enum JobSubject: Sendable, Hashable {
    case connection(Int64)
    case delivery(Int64)
}

/// Arguments of a kind that an operator may schedule.
package protocol SchedulableArguments: JobArguments {
    /// Arguments as an operator writes them.
    static var example: String { get }
    var subject: JobSubject { get }
}

/// Every kind of job that an operator may schedule: all but `campaign.member`, whose rows are its campaign's to choose.
package enum JobKinds {
    private static let all: [any SchedulableArguments.Type] = [
        RefreshConnection.self, RecoverAttempt.self, ValidateConnection.self, RevokeConnection.self,
        DeliverWebhook.self,
    ]

    package static var names: [String] { all.map { $0.kind } }

    /// What a job of that kind with these arguments works on.
    /// - Parameter arguments: JSON.
    /// - Throws: ``InvalidValue`` when no worker knows the kind, or its handler could not read the arguments.
    package static func subject(kind: String, arguments: [UInt8]) throws(InvalidValue) -> JobSubject {
        guard let type = all.first(where: { $0.kind == kind }) else {
            throw InvalidValue(
                item: "kind", problem: "\"\(kind.prefix(80))\" is not a kind of job",
                repair: "use one of \(names.joined(separator: ", "))")
        }
        do {
            return try JSONDecoder().decode(type, from: Data(arguments)).subject
        } catch {
            throw InvalidValue(
                item: "args", problem: "are not those of \(kind)", repair: "give, for example, \(type.example)")
        }
    }
}

extension RefreshConnection: SchedulableArguments {
    package static var example: String { #"{"connection": "conn_…", "generation": 1}"# }
    package var subject: JobSubject { .connection(connection) }
}

extension RecoverAttempt: SchedulableArguments {
    package static var example: String { #"{"connection": "conn_…", "nonce": "<UUID of the mark>"}"# }
    package var subject: JobSubject { .connection(connection) }
}

extension ValidateConnection: SchedulableArguments {
    package static var example: String { #"{"connection": "conn_…"}"# }
    package var subject: JobSubject { .connection(connection) }
}

extension RevokeConnection: SchedulableArguments {
    package static var example: String { #"{"connection": "conn_…"}"# }
    package var subject: JobSubject { .connection(connection) }
}

extension DeliverWebhook: SchedulableArguments {
    package static var example: String { #"{"delivery": 1}"# }
    package var subject: JobSubject { .delivery(delivery) }
}
