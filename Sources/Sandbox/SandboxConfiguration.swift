/// Where the sandbox listens and what it starts with.
package struct SandboxConfiguration: Sendable {
    /// Address to listen on. The control API has no password: keep it on a loopback or a test network.
    package var host = "127.0.0.1"
    /// Addresses to listen on beside it, on the same port: each is a token host of its own to whoever counts by host, and
    /// all are one provider. Loopback has many, such as `127.0.0.2`.
    package var otherHosts: [String] = []
    /// Played from the start.
    package var scenario: SandboxScenario?
    /// Multiplies the scenario's times.
    package var scenarioScale = 1.0
    /// TCP port; 0 takes a free one, told by ``SandboxServer/port``.
    package var port = 7080
    /// Base of the issuer named in authorization answers (RFC 9207), without a final slash. Nil:
    /// `http://{host}:{port}`, as bound.
    package var publicURL: String?
    /// Where clients, grants, tokens, keys, settings and the clock are kept over restarts. Nil: nowhere.
    package var stateFile: String?
    /// What it starts with, and returns to at a reset. What a state file holds outranks it.
    package var settings = SandboxSettings()

    /// The client that is known from the start, at every class, with any `https` or loopback redirect address.
    package static let clientID = "sandbox-client"
    package static let clientSecret = "sandbox-secret"

    package init(
        host: String = "127.0.0.1", port: Int = 7080, publicURL: String? = nil, stateFile: String? = nil,
        settings: SandboxSettings = SandboxSettings(), otherHosts: [String] = [], scenario: SandboxScenario? = nil
    ) {
        self.host = host
        self.port = port
        self.publicURL = publicURL
        self.stateFile = stateFile
        self.settings = settings
        self.otherHosts = otherHosts
        self.scenario = scenario
    }
}
