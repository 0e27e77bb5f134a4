/// Where the front listens, what it calls itself, and its limits.
package struct FrontSettings: Sendable, Hashable {
    static let hostSetting = Setting(
        "front.host", .text, default: "127.0.0.1",
        "Address of the public listener: API, connect window, callbacks. `0.0.0.0` in a container.")
    static let portSetting = Setting(
        "front.http_port", .integer(1...65535), default: 8080, "Port of the public listener.")
    static let adminHostSetting = Setting(
        "front.admin_host", .text, default: "127.0.0.1", "Address of `/metrics`, `/healthz` and `/readyz`.")
    static let adminPortSetting = Setting(
        "front.admin_port", .integer(1...65535), default: 9090, "Port of `/metrics`, `/healthz` and `/readyz`.")
    static let publicURLSetting = Setting(
        "front.public_url", .optional(.origin), default: nil,
        "Origin under which browsers and providers reach the public listener; redirect URIs begin with it. "
            + "Without it `http://localhost` and the port, for development.")
    static let appNameSetting = Setting(
        "front.app_name", .text, default: "This app",
        "Name of the app on connect pages, unless its environment has one.")
    static let bodyLimitSetting = Setting(
        "front.maximum_body_bytes", .integer(1024...104_857_600), default: 1_048_576,
        "Largest request body of the API, in bytes; passthrough bodies stream and have no limit of ours.")

    package static let rows = [
        hostSetting.row, portSetting.row, publicURLSetting.row, appNameSetting.row, bodyLimitSetting.row,
        adminHostSetting.row, adminPortSetting.row,
    ]

    package var host: String
    package var port: Int
    package var adminHost: String
    package var adminPort: Int
    /// Without a slash at its end.
    package var publicURL: String
    package var appName: String
    package var maximumBodyBytes: Int

    package init(reading reader: SettingsReader) {
        host = reader.value(Self.hostSetting)
        port = reader.value(Self.portSetting)
        adminHost = reader.value(Self.adminHostSetting)
        adminPort = reader.value(Self.adminPortSetting)
        publicURL = reader.value(Self.publicURLSetting) ?? "http://localhost:\(port)"
        appName = reader.value(Self.appNameSetting)
        maximumBodyBytes = reader.value(Self.bodyLimitSetting)
        if port == adminPort, host == adminHost {
            reader.record(
                Self.adminPortSetting.name, "is the public listener's port too",
                repair: "give the two listeners different ports")
        }
    }
}
