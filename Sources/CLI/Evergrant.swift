import ArgumentParser

/// The executable: one subcommand a role or operator's tool. Commands only read arguments; what they do is elsewhere.
@main
struct Evergrant: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evergrant",
        abstract: "Keeps the credentials of an app's end users alive.",
        discussion: """
            Configuration comes from --set and the options below, then EVERGRANT_… variables, then evergrant.yaml; \
            docs/configuration.md lists every key. Exit status: 0 done, 64 wrong arguments, 69 something is not \
            reachable, 78 wrong configuration, 1 anything else.
            """,
        version: "0.1.0",
        groupedSubcommands: [
            CommandGroup(
                name: "Processes",
                subcommands: [UpCommand.self, FrontCommand.self, SchedulerCommand.self, WorkerCommand.self]),
            CommandGroup(
                name: "Set-up",
                subcommands: [
                    MigrateCommand.self, DoctorCommand.self, APIKeysCommand.self, AppsCommand.self, SecretsCommand.self,
                ]),
            CommandGroup(
                name: "Looking and repairing",
                subcommands: [
                    ConnectionsCommand.self, ProvidersCommand.self, EventsCommand.self, WebhooksCommand.self,
                    AuditCommand.self, JobsCommand.self, SchedulesCommand.self, QueuesCommand.self,
                    LimitsCommand.self, PausesCommand.self, WorkersCommand.self, ServerCommand.self,
                ]),
            CommandGroup(name: "Moving", subcommands: [ImportCommand.self, ExportCommand.self, EraseCommand.self]),
            CommandGroup(name: "Testing", subcommands: [SandboxCommand.self, BenchCommand.self]),
        ])

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            Failure.exit(with: error)
        }
    }
}
