import CLibPQ
import Logging

/// Takes the notices that libpq would else print.
final class NoticeSink {
    private let logger: Logger
    /// The server has said that it ends the session.
    var hasFatal = false

    init(_ logger: Logger) { self.logger = logger }

    func attach(to handle: OpaquePointer) {
        hasFatal = false
        PQsetNoticeReceiver(
            handle,
            { context, result in
                guard let context, let result else { return }
                Unmanaged<NoticeSink>.fromOpaque(context).takeUnretainedValue().receive(result)
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    private func receive(_ result: OpaquePointer) {
        let message = ServerMessage(result)
        if message.severity == "FATAL" || message.severity == "PANIC" { hasFatal = true }
        logger.debug(
            "notice from the database",
            metadata: [
                "message": "\(message.text)", "severity": "\(message.severity)", "sqlstate": "\(message.sqlState)",
            ])
    }
}
