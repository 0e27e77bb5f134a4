import ArgumentParser
import Bootstrap
import Queue
import ServiceLifecycle
import Worker

struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Perform jobs: refresh, validate, revoke, deliver. Run as many as you like.",
        discussion: """
            SIGTERM drains: nothing more is claimed, calls in hand end. Each worker needs an escrow journal on a disk \
            that outlives it.
            """)

    @OptionGroup var options: ProcessOptions
    @Option(name: .long, help: "Same as --set worker.concurrency=….")
    var concurrency: Int?
    @Flag(
        name: .long,
        help: "Run without a journal: a crash at the wrong moment then loses a grant at providers that rotate strictly."
    )
    var noEscrow = false

    func run() async throws {
        var settings: [String: String] = [:]
        if let concurrency { settings["worker.concurrency"] = String(concurrency) }
        if noEscrow { settings["escrow.enabled"] = "false" }
        try await options.run(.worker, settings: settings) { parts, serve in
            let worker = WorkerProcess(
                lifecycle: parts.lifecycle, queuePool: parts.queuePool, egress: parts.egress, connect: parts.connect,
                webhooks: parts.configuration.webhooks,
                runner: parts.configuration.worker.runner(
                    name: parts.role.owner, listens: parts.configuration.database.canListen))
            let settings = parts.configuration.worker
            let admin = try AdminListener.services(
                parts, host: settings.adminHost, port: settings.adminPort, setting: "worker.admin_port")
            await worker.prepare()
            try await serve(admin + worker.services())
            await worker.finish()
        }
    }
}

extension WorkerConfiguration {
    /// The queue's runner of this configuration.
    /// - Parameter name: how operators know this process.
    /// - Parameter listens: whether it hears of new jobs, beside polling.
    fileprivate func runner(name: String, listens: Bool) -> JobRunnerConfiguration {
        var runner = JobRunnerConfiguration()
        runner.name = name
        runner.concurrency = concurrency
        runner.listens = listens
        runner.pollInterval = min(.milliseconds(20), pollInterval)...pollInterval
        // The rest of the grace is for settling what was cancelled.
        runner.drainTimeout = max(.seconds(1), shutdownGrace - .seconds(10))
        return runner
    }
}
