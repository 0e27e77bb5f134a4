import Logging

/// What is logged, and in which form. Always to standard error.
package struct LogConfiguration: Sendable, Hashable {
    package enum Format: String, Sendable, CaseIterable {
        /// Text on a terminal, JSON elsewhere.
        case auto
        /// One JSON object a line.
        case json
        /// One line of text an event.
        case text
    }

    static let levelSetting = Setting(
        "log.level", .choice, default: Logger.Level.info, "Least severe level that is logged.")
    static let formatSetting = Setting(
        "log.format", .choice, default: Format.auto, "`auto` writes text on a terminal and JSON elsewhere.")

    package static let rows = [levelSetting.row, formatSetting.row]

    package var level: Logger.Level
    package var format: Format

    package init(reading reader: SettingsReader) {
        level = reader.value(Self.levelSetting)
        format = reader.value(Self.formatSetting)
    }
}
