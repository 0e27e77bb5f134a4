import ArgumentParser
import Bootstrap
import Scheduler
import ServiceLifecycle

struct SchedulerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scheduler", abstract: "Find what is due and enqueue it; rescue, promote, prune.",
        discussion: "Run one or more: every duty is claimed in the database, none needs a leader.")

    @OptionGroup var options: ProcessOptions

    func run() async throws {
        try await options.run(.scheduler) { parts, serve in
            let configuration = parts.configuration
            let settings = configuration.scheduler
            let scheduler = SchedulerProcess(
                lifecycle: parts.lifecycle, connect: parts.connect, webhooks: configuration.webhooks,
                sweepInterval: settings.sweepInterval, batch: settings.sweepBatch,
                sealInterval: settings.sealInterval, keepAudit: settings.keepAudit)
            let admin = try AdminListener.services(
                parts, host: settings.adminHost, port: settings.adminPort, setting: "scheduler.admin_port")
            try await serve(admin + scheduler.services())
        }
    }
}
