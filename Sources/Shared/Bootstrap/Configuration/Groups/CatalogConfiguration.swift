/// Further integrations, and the sandbox provider.
package struct CatalogConfiguration: Sendable, Hashable {
    static let directoriesSetting = Setting(
        "catalog.directories", .list(of: "paths"), default: [],
        "Directories with integrations of your own; a file whose id is taken replaces the bundled one.")
    static let sandboxSetting = Setting(
        "sandbox.url", .optional(.origin), default: nil,
        "Origin of a running `evergrant sandbox`; its integrations exist only when this is set.")
    static let sandboxWindowSetting = Setting(
        "sandbox.window", .integer(0...86_400), default: 60,
        "Seconds for which the sandbox's windowed provider answers an old refresh token again.")

    package static let rows = [directoriesSetting.row, sandboxSetting.row, sandboxWindowSetting.row]

    package var directories: [String]
    package var sandboxURL: String?
    package var sandboxWindow: Int

    package init(reading reader: SettingsReader) {
        directories = reader.value(Self.directoriesSetting)
        sandboxURL = reader.value(Self.sandboxSetting)
        sandboxWindow = reader.value(Self.sandboxWindowSetting)
    }
}
