import Logging
import Pacing

/// Listens on a connection and a thread of its own, and connects again whenever the connection is lost, until its stream
/// ends or `stop`.
final class NotificationListener: Sendable {
    /// Notifications kept for a slow reader; beyond, the oldest are dropped and `.reconnected` says so.
    static let bufferedNotifications = 4096

    private let interrupter = Interrupter()

    /// Begins listening. The stream is only the caller's: when the last reader lets go of it, listening ends.
    static func start(
        _ configuration: PostgresConfiguration, channels: [String], logger: Logger
    ) -> (NotificationListener, AsyncStream<PostgresNotification>) {
        let (stream, output) = AsyncStream<PostgresNotification>.makeStream(
            bufferingPolicy: .bufferingNewest(bufferedNotifications))
        return (NotificationListener(configuration, channels: channels, logger: logger, output), stream)
    }

    private init(
        _ configuration: PostgresConfiguration, channels: [String], logger: Logger,
        _ output: AsyncStream<PostgresNotification>.Continuation
    ) {
        var configuration = configuration
        configuration.url = configuration.listenURL ?? configuration.url
        output.onTermination = { [interrupter] _ in interrupter.close() }
        let started = startThread("postgres-listen") { [interrupter, configuration] in
            Self.run(configuration, channels, interrupter, output, logger)
            output.finish()
        }
        if !started { output.finish() }
    }

    /// Ends the stream.
    func stop() { interrupter.close() }

    private static func run(
        _ configuration: PostgresConfiguration, _ channels: [String], _ interrupter: Interrupter,
        _ output: AsyncStream<PostgresNotification>.Continuation, _ logger: Logger
    ) {
        let session = Session(configuration, interrupter: interrupter, logger: logger)
        let backoff = Backoff(base: .milliseconds(50), cap: .seconds(5))
        var failures = 0
        var news = PostgresNotification.listening
        while true {
            do {
                try session.listen(channels, within: configuration.statementTimeout)
                failures = 0
                yield([news], output)
                news = .reconnected
                while true { yield(try session.receive(), output) }
            } catch {
                session.drop()
                if error.code == .closed { return }
                failures += 1
                // Told once; while the server stays away the tries are of little interest.
                logger.log(
                    level: failures == 1 ? .warning : .debug,
                    "listening for notifications was interrupted; connecting again",
                    metadata: ["error": "\(error)", "failures": "\(failures)"])
                let wait = backoff.delay(failures: failures).nanoseconds
                guard (try? session.pause(until: monotonicNanoseconds() + wait)) != nil else { return }
            }
        }
    }

    private static func yield(
        _ news: [PostgresNotification], _ output: AsyncStream<PostgresNotification>.Continuation
    ) {
        for one in news {
            if case .dropped = output.yield(one) { output.yield(.reconnected) }
        }
    }
}
