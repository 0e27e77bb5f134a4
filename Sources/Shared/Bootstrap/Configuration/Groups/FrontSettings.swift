import Pacing

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
    static let bodyLimitSetting = Setting(
        "front.maximum_body_bytes", .integer(1024...104_857_600), default: 262_144,
        "Largest request body of the API, in bytes; passthrough bodies stream and have no limit of ours.")
    static let keyCacheSetting = Setting(
        "front.key_cache", .duration(.zero ... .seconds(300)), default: .seconds(2),
        "How long an API key that was found good is not looked up again; a revocation takes effect within it.")
    static let callsSetting = Setting(
        "front.calls_per_connection", .integer(1...10_000), default: 100,
        "Passthrough calls in flight for one connection; more are answered 429.")
    static let passthroughTimeoutSetting = Setting(
        "front.passthrough_timeout", .duration(.seconds(1) ... .seconds(3600)), default: .seconds(60),
        "Longest wait for the head of a provider's answer to a passthrough call.")
    static let feedWaitSetting = Setting(
        "front.feed_wait", .duration(.zero ... .seconds(60)), default: .seconds(60),
        "Longest wait of a call that reads the event feed; shorter than what a proxy before the front allows.")

    package static let rows = [
        hostSetting.row, portSetting.row, publicURLSetting.row, adminHostSetting.row, adminPortSetting.row,
        bodyLimitSetting.row, keyCacheSetting.row, callsSetting.row, passthroughTimeoutSetting.row, feedWaitSetting.row,
    ]

    package var host: String
    package var port: Int
    package var adminHost: String
    package var adminPort: Int
    /// Without a slash at its end.
    package var publicURL: String
    package var maximumBodyBytes: Int
    package var keyCacheLife: Duration
    package var callsPerConnection: Int
    package var passthroughTimeout: Duration
    package var feedWait: Duration

    package init(reading reader: SettingsReader) {
        host = reader.value(Self.hostSetting)
        port = reader.value(Self.portSetting)
        adminHost = reader.value(Self.adminHostSetting)
        adminPort = reader.value(Self.adminPortSetting)
        publicURL = reader.value(Self.publicURLSetting) ?? "http://localhost:\(port)"
        maximumBodyBytes = reader.value(Self.bodyLimitSetting)
        keyCacheLife = reader.value(Self.keyCacheSetting)
        callsPerConnection = reader.value(Self.callsSetting)
        passthroughTimeout = reader.value(Self.passthroughTimeoutSetting)
        feedWait = reader.value(Self.feedWaitSetting)
        if port == adminPort, host == adminHost {
            reader.record(
                Self.adminPortSetting.name, "is the public listener's port too",
                repair: "give the two listeners different ports")
        }
    }
}
