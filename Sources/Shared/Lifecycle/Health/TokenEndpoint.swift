import Catalog
import Credentials
import OAuth
import Store

/// Where an attempt sends, as trouble is counted by: its token endpoint, and above it the app as a whole where
/// connections have hosts or tenants of their own.
struct TokenEndpoint: Sendable, Hashable {
    /// The endpoint first. Empty when the URL cannot be built: then nothing is sent either.
    let keys: [TokenHostKey]
    let connectionID: Int64
    /// Of refusals of the OAuth app, and of limits: who speaks.
    func voice(at key: TokenHostKey) -> String {
        key.host.isEmpty ? keys[0].host : "\(connectionID)"
    }

    init(appID: Int64, provider: Provider, app: OAuthApp, facts: [String: String], connectionID: Int64) {
        self.connectionID = connectionID
        let url = provider.refreshURL ?? provider.tokenURL
        guard let place = try? url.place(app.values(facts), pinned: app.parameters) else {
            keys = []
            return
        }
        keys =
            place.isOfTenant
            ? [
                TokenHostKey(appID: appID, host: place.name, isWhole: false),
                TokenHostKey(appID: appID, host: "", isWhole: true),
            ] : [TokenHostKey(appID: appID, host: place.name, isWhole: true)]
    }
}

/// What an attempt told of its token endpoint.
enum EndpointOutcome: Sendable {
    case served(isRetest: Bool)
    case refused(isRetest: Bool)
    /// Any other whole answer of sense.
    case answered
    case appFault(reason: String)
    case trouble(String, retryAfter: Duration? = nil)
    case unclassified(AnswerSample)
}

/// What is known after an outcome was noted.
struct Heard: Sendable {
    /// It may change what the whole fleet does: tell it before going on.
    var isPressing = false
    /// Others were answered just before, so a trouble is this connection's own.
    var othersWereServed = false
    /// False: it had to be told, and could not be.
    var isTold = true
}

/// Whether an attempt may send now.
enum Admission: Sendable, Equatable {
    case send
    /// One of the few that find out whether the trouble is over.
    case trial
    case wait(ConnectionReason, Duration)
}
