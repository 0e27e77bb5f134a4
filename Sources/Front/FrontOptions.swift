/// What the front needs to be told.
///
/// - `publicAddress` (host and port, default 127.0.0.1:8080): API, connect pages, callbacks.
/// - `adminAddress` (host and port, default 127.0.0.1:9090): metrics and health; keep it off the internet.
/// - `publicURL` (required): where browsers and providers reach the public listener; no trailing slash. `https`, or
///   `http` on loopback; it decides the cookies.
package struct FrontOptions: Sendable, Hashable {
    package var publicAddress: ListenAddress
    package var adminAddress: ListenAddress
    package var publicURL: String
    /// Longest JSON or form body, in bytes. Default 256 KiB. Passthrough streams and has no such limit.
    package var maximumBodyBytes = 256 * 1024
    /// How long a key that was found good is not looked up again; a revocation takes effect within it. Default 2 s.
    package var keyCacheLife: Duration = .seconds(2)
    /// Passthrough calls in flight per connection; more are answered 429. Default 100.
    package var callsPerConnection = 100
    /// Longest wait for a provider's first byte in passthrough. Default 60 s.
    package var passthroughTimeout: Duration = .seconds(60)

    /// Longest wait of a call that reads the feed; a longer one that is asked for is cut. Default 60 s.
    package var feedWait: Duration = .seconds(60)

    package init(
        publicAddress: ListenAddress = ListenAddress(host: "127.0.0.1", port: 8080),
        adminAddress: ListenAddress = ListenAddress(host: "127.0.0.1", port: 9090), publicURL: String
    ) {
        self.publicAddress = publicAddress
        self.adminAddress = adminAddress
        self.publicURL = publicURL
    }
}

/// Where a listener binds.
package struct ListenAddress: Sendable, Hashable, CustomStringConvertible {
    package var host: String
    /// 0: any free port; ``FrontApplication/addresses`` tells which.
    package var port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    package var description: String { "\(host):\(port)" }
}
