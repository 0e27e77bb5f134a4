import Pacing

/// The body of a request. Egress writes `Content-Length` or `Transfer-Encoding` itself.
package enum EgressBody: Sendable {
    case none
    case bytes([UInt8])
    /// Sent as it comes, with back-pressure; chunked (HTTP/1.1) when `length`, in bytes, is nil. A source that throws,
    /// ends before `length` or yields a chunk that goes beyond it, ends the request as `requestBody`.
    case stream(any AsyncSequence<[UInt8], any Error> & Sendable, length: Int?)
}

/// One outgoing request. Redirects are never followed, proxies never used, answers never decompressed. Idempotent methods go
/// by HTTP/2 where the server speaks it, the others by HTTP/1.1.
package struct EgressRequest: Sendable {
    package var method: String
    /// Absolute, in ASCII, without user information and fragment. The path goes out as it is written, dot segments included.
    package var url: String
    /// Sent in this order. Framing (`Transfer-Encoding`, `Connection`, `Host` …) is refused here; `Content-Length` must agree.
    package var headers: [(name: String, value: String)]
    package var body: EgressBody
    package var policy: AddressPolicy

    /// From the call to the last byte of the answer; for `stream` to the end of the answer's head. Default 30 s.
    package var timeout: Duration = .seconds(30)
    /// Name resolution, TCP and TLS together. Default 5 s.
    package var connectTimeout: Duration = .seconds(5)
    /// For `stream`: the transfer ends as `timedOut` when for so long no byte moved and the reader was not the cause.
    /// Default 60 s, whole seconds; zero means no limit.
    package var idleTimeout: Duration = .seconds(60)
    /// Longest body that `send` accepts, in bytes; a longer one is `ambiguous(tooLarge)`. Default 1 MiB.
    package var maximumResponseBytes: Int = 1 << 20
    /// Opens a new connection and closes it afterwards, so that a stale kept-alive connection can't make the outcome
    /// ambiguous. Default false.
    package var freshConnection: Bool = false
    /// The last moment at which the request may leave; afterwards it is `notSent(sendDeadline)`. Looked at once the
    /// connection stands, right before the first byte.
    package var sendBy: BootInstant?
    /// Accepts an `http:` URL. Default false; `AddressPolicy.loopbackOnly` accepts it always.
    package var allowsPlainHTTP: Bool = false
    /// Sends an idempotent request (RFC 9110 §9.2.2) once more, on a new connection, when a reused connection ended before
    /// the first byte of an answer. Never for streamed bodies. Default false.
    package var retriesIdempotent: Bool = false

    package init(
        method: String = "GET", url: String, headers: [(name: String, value: String)] = [], body: EgressBody = .none,
        policy: AddressPolicy
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.policy = policy
    }

    /// RFC 9110 §9.2.2.
    var isIdempotent: Bool { ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"].contains(method) }
}
