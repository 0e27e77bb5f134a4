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

    static let giveUpAfter = Setting(
        "webhooks.give_up_after", .duration(.seconds(1) ... .seconds(30 * 86_400)), default: standard.giveUpAfter,
        "How long a delivery is tried before it is given up.")
    static let concurrency = Setting(
        "webhooks.concurrency", .integer(1...10_000), default: standard.concurrency,
        "Tries to one endpoint at a time over the fleet, for endpoints made from then on.")
    static let secretOverlap = Setting(
        "webhooks.secret_overlap", .duration(.zero ... .seconds(30 * 86_400)), default: standard.secretOverlap,
        "How long a signing secret that was replaced signs on beside the new one.")
    static let keepDeliveries = Setting(
        "webhooks.keep_deliveries", .duration(.seconds(3600) ... .seconds(3650 * 86_400)),
        default: standard.keepDeliveries, "How long deliveries stay after they ended.")
    static let keepEvents = Setting(
        "webhooks.keep_events", .duration(.seconds(3600) ... .seconds(3650 * 86_400)), default: standard.keepEvents,
        "How long events stay in the feed.")

    static let rows = [
        networks.row, plainHTTP.row, timeout.row, giveUpAfter.row, concurrency.row, secretOverlap.row,
        keepDeliveries.row, keepEvents.row,
    ]
}

extension WebhookConfiguration {
    init(reading reader: SettingsReader) {
        self.init()
        networks = reader.value(WebhookSettings.networks)
        allowsPlainHTTP = reader.value(WebhookSettings.plainHTTP)
        timeout = reader.value(WebhookSettings.timeout)
        giveUpAfter = reader.value(WebhookSettings.giveUpAfter)
        concurrency = reader.value(WebhookSettings.concurrency)
        secretOverlap = reader.value(WebhookSettings.secretOverlap)
        keepDeliveries = reader.value(WebhookSettings.keepDeliveries)
        keepEvents = reader.value(WebhookSettings.keepEvents)
    }
}
