import CLibPQ
import Logging

/// Takes the notices that libpq would else print.
final class NoticeSink {
    private let logger: Logger
    /// Why the server ended the session, when it said so between statements.
    private(set) var farewell: ServerMessage?

    init(_ logger: Logger) { self.logger = logger }

    func attach(to handle: OpaquePointer) {
        farewell = nil
        PQsetNoticeReceiver(
            handle,
            { context, result in
                guard let context, let result else { return }
                Unmanaged<NoticeSink>.fromOpaque(context).takeUnretainedValue().receive(result)
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    private func receive(_ result: OpaquePointer) {
        let message = ServerMessage(result)
        if message.severity == "FATAL" || message.severity == "PANIC" { farewell = message }
        logger.debug(
            "notice from the database",
            metadata: [
                "message": "\(message.text)", "severity": "\(message.severity)", "sqlstate": "\(message.sqlState)",
            ])
    }
}
