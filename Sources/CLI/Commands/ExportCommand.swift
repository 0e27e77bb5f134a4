import ArgumentParser
import Bootstrap
import Credentials
import Foundation
import Lifecycle
import Store
import Vault

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

struct ExportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Move out: write living grants, encrypted to your own age key.",
        discussion: """
            Example:
              age-keygen -o key.txt
              evergrant export --recipient age1… --environment live > grants.ndjson.age
              age -d -i key.txt grants.ndjson.age | evergrant import - --environment other
            Each row holds tokens. Two systems that refresh one grant end it at providers that rotate.
            """)

    @OptionGroup var options: ConfigurationOptions
    @Option(name: .long, help: ArgumentHelp("Whose key opens the file; repeatable.", valueName: "age1…"))
    var recipient: [String]
    @Option(name: .long, help: "The environment; needed when there are several.")
    var environment: String?
    @Option(name: .long, help: "Only this integration.")
    var integration: String?
    @Option(name: .long, help: "Only this identity.")
    var identity: String?
    @Option(name: .long, help: "Only identities of this type.")
    var identityType: String?
    @Option(name: .long, help: "Only this state.")
    var state: String?
    @Option(name: .long, help: "Only this tag.")
    var tag: String?

    func validate() throws {
        if let state, ConnectionState(rawValue: state) == nil {
            throw ValidationError("--state \(state) is not a state")
        }
        if let identityType, IdentityType(rawValue: identityType) == nil {
            throw ValidationError("--identity-type \(identityType) is not a type")
        }
        guard isatty(STDOUT_FILENO) == 0 else {
            throw ValidationError("standard output is a terminal; write to a file: evergrant export … > grants.age")
        }
    }

    func run() async throws {
        let recipients = try recipient.map { text throws(InvalidValue) in try AgeRecipient(parsing: text) }
        var chosen = ExportSelection()
        chosen.integration = integration
        chosen.identity = identity
        chosen.identityType = identityType.flatMap(IdentityType.init)
        chosen.state = state.flatMap(ConnectionState.init)
        chosen.tag = tag
        let selection = chosen
        try await Tool.runSealing(options) { parts in
            let environment = try await Tool.environment(environment, in: parts.pool)
            let count = try await GrantExport(parts.lifecycle).run(
                selection, recipients: recipients, environmentID: environment.id, actor: "cli"
            ) { try FileHandle.standardOutput.write(contentsOf: $0) }
            FileHandle.standardError.write(Data("\(count) connections written\n".utf8))
        }
    }
}
