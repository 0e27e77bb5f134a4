import Egress
import Pacing

/// How webhooks are sent.
package struct WebhookConfiguration: Sendable {
    /// CIDR blocks that receivers may have besides public addresses, since they usually sit inside. Default none.
    /// Metadata services stay refused whatever is listed.
    package var networks: [String] = []
    /// Accepts `http:` URLs. Default false: events name users.
    package var allowsPlainHTTP = false
    /// From the start of a try to the head of its answer. Default 15 s, which Standard Webhooks recommends as the least.
    package var timeout: Duration = .seconds(15)
    /// Waits between tries, with full jitter. Default from 5 s, doubling, to 6 h.
    package var backoff = Backoff(base: .seconds(5), cap: .seconds(6 * 3600))
    /// Longest event, in bytes. Default 256 KiB.
    package var maximumBodyBytes = 256 * 1024
    /// How long a delivery is tried. Default 3 days, which outlasts a week-end.
    package var giveUpAfter: Duration = .seconds(3 * 86_400)
    /// Tries to one endpoint at a time, over the fleet, for endpoints made from now on; operators change it for one with
    /// `evergrant limits set webhook:<id>`. Default 8: an endpoint that hangs holds so many workers' places and no more.
    package var concurrency = 8
    /// How long deliveries stay after they ended. Default 30 days.
    package var keepDeliveries: Duration = .seconds(30 * 86_400)
    /// How long events stay in the feed. Default 30 days.
    package var keepEvents: Duration = .seconds(30 * 86_400)
    /// How long a replaced secret signs on beside the new one. Default 24 h.
    package var secretOverlap: Duration = .seconds(86_400)
    /// A pending delivery that is overdue for so long has lost its job and gets a new one. Default 15 min.
    package var forgottenAfter: Duration = .seconds(900)

    package init() {}

    var policy: AddressPolicy { .allowing(networks: networks) }
}
