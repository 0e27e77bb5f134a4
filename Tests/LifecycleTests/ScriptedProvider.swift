import Catalog
import Egress
import Lifecycle
import LifecycleSupport
import OAuth
import Synchronization

/// Answers calls to providers in turn, in place of the network; the last answer stays.
final class ScriptedProvider: OAuthTransport {
    struct Reply: Sendable {
        var status = 200
        var body = "{}"
        var headers: [String: String] = [:]
    }

    private let state: Mutex<(replies: [Reply], sent: [EgressRequest])>

    init(_ replies: [Reply]) { state = Mutex((replies, [])) }

    func send(_ request: EgressRequest) async -> EgressOutcome {
        let reply = state.withLock { state in
            state.sent.append(request)
            return state.replies.count > 1 ? state.replies.removeFirst() : state.replies.first ?? Reply()
        }
        let headers = reply.headers.map { (name: $0.key, value: $0.value) } + [("Content-Type", "application/json")]
        return .answered(
            EgressResponse(status: reply.status, headers: EgressHeaders(headers), body: Array(reply.body.utf8)))
    }

    var requests: [EgressRequest] { state.withLock { $0.sent } }
}

extension LifecycleWorld {
    /// These services with another way to the providers, and perhaps another catalog.
    func services(_ provider: ScriptedProvider, catalog: IntegrationCatalog? = nil) -> LifecycleServices {
        LifecycleServices(
            pool: pool, vault: vault, catalog: catalog ?? self.catalog, oauth: OAuthClient(transport: provider),
            queue: services.queue, journal: services.journal, timings: services.timings, owner: "test",
            logger: services.logger)
    }
}
