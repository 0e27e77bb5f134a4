import Pacing

/// Calls to providers and to webhook receivers.
package struct OutgoingConfiguration: Sendable, Hashable {
    static let authoritiesSetting = Setting(
        "egress.certificate_authorities", .optional(.path), default: nil,
        "PEM file of the certificate authorities to trust in place of the system's.")
    static let keptSetting = Setting(
        "egress.kept_connections", .integer(0...10_000), default: 256, "Connections kept open after use.")
    static let networksSetting = Setting(
        "webhooks.allowed_networks", .list(of: "networks (CIDR)"), default: [],
        "Private networks that webhook receivers may be in, for example `10.0.0.0/8`. Metadata addresses never.")

    package static let rows = [authoritiesSetting.row, keptSetting.row, networksSetting.row]

    package var certificateAuthorities: String?
    package var keptConnections: Int
    package var webhookNetworks: [String]

    package init(reading reader: SettingsReader) {
        certificateAuthorities = reader.value(Self.authoritiesSetting)
        keptConnections = reader.value(Self.keptSetting)
        webhookNetworks = reader.value(Self.networksSetting)
    }
}
