import Egress

/// Calls to providers and webhook receivers, from configuration.
enum EgressSettings {
    private static let standard = EgressConfiguration()

    static let authorities = Setting(
        "egress.certificate_authorities", .optional(.path), default: nil,
        "PEM file of the certificate authorities to trust in place of the system's.")
    static let kept = Setting(
        "egress.kept_connections", .integer(0...10_000), default: standard.keptConnections,
        "Connections kept open after use.")

    static let rows = [authorities.row, kept.row]
}

extension EgressConfiguration {
    init(reading reader: SettingsReader) {
        self.init(
            certificateAuthorityFile: reader.value(EgressSettings.authorities),
            keptConnections: reader.value(EgressSettings.kept))
    }
}
