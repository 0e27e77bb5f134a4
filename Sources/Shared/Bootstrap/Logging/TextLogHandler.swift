import Logging

/// One line of text an event, for people: time of day, level, logger, message, then metadata as `key=value`.
package struct TextLogHandler: LogHandler {
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
        let name = event.level.rawValue
        let level = name + String(repeating: " ", count: max(0, 8 - name.count))
        var line = "\(LogTime.now().clockText) \(level) \(label): \(Self.oneLine(event.message.description))"
        for (key, value) in mergedMetadata(metadataProvider, metadata, event.metadata) {
            line += " \(key)=\(Self.oneLine(value.description))"
        }
        if let error = event.error { line += " error=\(Self.oneLine("\(error)"))" }
        sink.write(line)
    }

    /// Text from outside must not forge a line or move the cursor.
    private static func oneLine(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isControl) else { return text }
        return String(
            text.unicodeScalars.map { isControl($0) ? ($0 == "\n" ? " | " : "\u{FFFD}") : String($0) }.joined())
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool { scalar.value < 0x20 || scalar.value == 0x7F }
}
