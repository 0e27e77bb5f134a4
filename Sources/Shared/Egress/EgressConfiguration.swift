/// What all requests of one `EgressClient` share.
package struct EgressConfiguration: Sendable {
    /// `User-Agent` of requests that bring none.
    package var userAgent: String
    /// PEM file of the certificate authorities to trust; nil, the default, means the system's.
    package var certificateAuthorityFile: String?
    /// Connections kept open after use, per address policy. Default 256.
    package var keptConnections: Int
    /// A connection that was idle for longer is not used again: most servers close theirs after 60 to 75 s. Default 55 s.
    package var connectionIdleLimit: Duration

    /// Off only in the test that shows what libcurl does without the send hook.
    var preventsResend = true

    package init(
        userAgent: String = "evergrant/0.1", certificateAuthorityFile: String? = nil, keptConnections: Int = 256,
        connectionIdleLimit: Duration = .seconds(55)
    ) {
        self.userAgent = userAgent
        self.certificateAuthorityFile = certificateAuthorityFile
        self.keptConnections = keptConnections
        self.connectionIdleLimit = connectionIdleLimit
    }
}
