/// Where answers of providers are kept before they are committed.
package struct EscrowConfiguration: Sendable, Hashable {
    static let directorySetting = Setting(
        "escrow.directory", .path, default: ".evergrant/journal",
        "Directory of the escrow journal, on a disk that outlives the process and, in containers, the container.")
    static let enabledSetting = Setting(
        "escrow.enabled", .flag, default: true,
        "False runs without a journal (`--no-escrow`): a crash between a provider's answer and the commit then loses "
            + "the grant at providers that rotate strictly.")

    package static let rows = [directorySetting.row, enabledSetting.row]

    package var directory: String
    package var isEnabled: Bool

    package init(reading reader: SettingsReader) {
        directory = reader.value(Self.directorySetting)
        isEnabled = reader.value(Self.enabledSetting)
    }
}
