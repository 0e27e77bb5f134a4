import ArgumentParser
import Bootstrap
import Credentials
import Foundation
import Lifecycle
import Store

struct EraseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "erase", abstract: "Erase everything that belongs to an identity.",
        discussion: """
            Its connections are unusable at once; they are revoked at their providers as after any deletion, and then nothing \
            of the identity is left in the database. A running fleet does that; docs/import-export.md tells what stays.
            Example:
              evergrant erase user-17 --environment live --yes
            """)

    @OptionGroup var options: ConfigurationOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The identity, exactly as your app names it.")
    var identity: String
    @Option(name: .long, help: "Its type: \(IdentityType.allCases.map(\.rawValue).joined(separator: ", ")).")
    var type = IdentityType.user.rawValue
    @Option(name: .long, help: "The environment; needed when there are several.")
    var environment: String?
    @Flag(name: .long, help: "Do it; without this only the connections are counted.")
    var yes = false

    struct Row: Encodable {
        let id: String?
        let state: String
        let connections: Int64
    }

    func run() async throws {
        try await Tool.runSealing(options) { parts in
            let environment = try await Tool.environment(environment, in: parts.pool)
            let owner = try Identity(type: IdentityType(parsing: type), value: identity)
            guard yes else {
                var filter = ConnectionFilter(environmentID: environment.id, limit: 1)
                filter.identity = owner.value
                filter.identityType = owner.type
                let count = Int64(try await Connections.list(filter, in: parts.pool).total)
                return try output.print(
                    Row(id: nil, state: "not asked for", connections: count),
                    text: "\(owner) has \(count) connections in \(environment.name); add --yes to erase it")
            }
            let erasing = IdentityErasure(parts.lifecycle)
            let erasure = try await erasing.request(owner, environmentID: environment.id, actor: "cli")
            _ = try await erasing.finish()
            let now =
                try await Erasures.find(uid: erasure.uid, environmentID: environment.id, in: parts.pool) ?? erasure
            let isDone = now.erasedAt != nil
            try output.print(
                Row(id: now.uid, state: isDone ? "erased" : "erasing", connections: now.connections),
                text: "\(now.uid): \(now.connections) connections, "
                    + (isDone ? "erased" : "unusable from now on, erased as soon as their revocations are proven"))
        }
    }
}
