import Logging

/// One JSON object a line: `time`, `level`, `logger`, `message`, `error`, and the metadata under its own names.
///
/// Metadata named like one of the five is written with `_` before its name.
package struct JSONLogHandler: LogHandler {
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    package var logLevel: Logger.Level
    private let label: String
    private let sink: any LogSink

    package init(
        label: String, level: Logger.Level, sink: any LogSink = StandardErrorSink(),
        metadataProvider: Logger.MetadataProvider? = nil
    ) {
        self.label = label
        self.sink = sink
        self.metadataProvider = metadataProvider
        logLevel = level
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var line = JSONText()
        line.open()
        line.add("time", LogTime.now().text)
        line.add("level", event.level.rawValue)
        line.add("logger", label)
        line.add("message", event.message.description)
        if let error = event.error { line.add("error", "\(error)") }
        let reserved: Set = ["time", "level", "logger", "message", "error"]
        for (key, value) in merged(with: event.metadata) {
            // An error handed over as metadata, which most callers do, is the error.
            let isTaken = reserved.contains(key) && !(key == "error" && event.error == nil)
            line.add(isTaken ? "_\(key)" : key, value)
        }
        line.close()
        sink.write(line.text)
    }

    private func merged(with further: Logger.Metadata?) -> [(key: String, value: Logger.MetadataValue)] {
        mergedMetadata(metadataProvider, metadata, further)
    }
}

/// The provider's, the logger's and the event's metadata, the later outranking the earlier, by name.
func mergedMetadata(
    _ provider: Logger.MetadataProvider?, _ own: Logger.Metadata, _ further: Logger.Metadata?
) -> [(key: String, value: Logger.MetadataValue)] {
    var all = provider?.get() ?? [:]
    all.merge(own) { _, new in new }
    if let further { all.merge(further) { _, new in new } }
    return all.sorted { $0.key < $1.key }
}
