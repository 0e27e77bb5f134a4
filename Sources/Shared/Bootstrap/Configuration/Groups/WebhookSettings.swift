import Webhooks

/// How webhooks are sent, from configuration.
enum WebhookSettings {
    private static let standard = WebhookConfiguration()

    static let networks = Setting(
        "webhooks.allowed_networks", .list(of: "networks (CIDR)"), default: standard.networks,
        "Private networks that webhook receivers may be in, for example `10.0.0.0/8`. Metadata addresses never.")
    static let plainHTTP = Setting(
        "webhooks.allow_http", .flag, default: standard.allowsPlainHTTP,
        "Accepts receivers with `http:` URLs: events name users, so only on a network of your own.")
    static let timeout = Setting(
        "webhooks.timeout", .duration(.seconds(1) ... .seconds(300)), default: standard.timeout,
        "Longest wait for a receiver's answer.")

    static let rows = [networks.row, plainHTTP.row, timeout.row]
}

extension WebhookConfiguration {
    init(reading reader: SettingsReader) {
        self.init()
        networks = reader.value(WebhookSettings.networks)
        allowsPlainHTTP = reader.value(WebhookSettings.plainHTTP)
        timeout = reader.value(WebhookSettings.timeout)
    }
}
