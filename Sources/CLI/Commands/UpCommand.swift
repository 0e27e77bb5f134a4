import ArgumentParser
import Foundation

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Start the whole fleet on this machine, with a database of its own.",
        discussion: """
            Front, scheduler, worker and a sandbox provider run as children of this process. Without \
            EVERGRANT_DATABASE_URL there is a private Postgres too. Everything it keeps is in one directory.
            """)

    @OptionGroup var options: ConfigurationOptions
    @Option(name: .long, help: ArgumentHelp("Keep everything here.", valueName: "path"))
    var directory = ".evergrant"
    @Option(name: .long, help: "Port of API, connect window and callbacks; same as --set front.http_port=….")
    var frontPort: Int?
    @Option(name: .long, help: "Port of metrics and health; same as --set front.admin_port=….")
    var adminPort: Int?
    @Option(name: .long, help: "Port of the sandbox provider.")
    var sandboxPort = 7080

    func validate() throws {
        guard (1...65535).contains(sandboxPort) else { throw ValidationError("--sandbox-port takes 1 to 65535") }
    }

    func run() async throws {
        var further: [String: String] = [:]
        if let frontPort { further["front.http_port"] = String(frontPort) }
        if let adminPort { further["front.admin_port"] = String(adminPort) }
        let fleet = Fleet(
            FleetOptions(
                directory: directory, sandboxPort: sandboxPort, settings: options.values(further), file: options.config)
        ) { line in
            FileHandle.standardOutput.write(Data((line + "\n").utf8))
        }
        try await fleet.run()
    }
}
