/// What became of a request that was to be sent at most once.
package enum EgressOutcome: Sendable {
    /// No byte of the request left.
    case notSent(EgressFailure)
    /// The whole answer came, whatever its status.
    case answered(EgressResponse)
    /// Bytes may have left and no whole answer came: the server may or may not have acted.
    case ambiguous(EgressFailure)
}

/// As `EgressOutcome`, with the body still to come: reading it may throw what would have been `ambiguous`.
package enum EgressStreamOutcome: Sendable {
    case notSent(EgressFailure)
    case answered(head: EgressHead, body: EgressResponseBody)
    case ambiguous(EgressFailure)
}

package struct EgressResponse: Sendable {
    package let status: Int
    package let headers: EgressHeaders
    package let body: [UInt8]

    package init(status: Int, headers: EgressHeaders = EgressHeaders(), body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// The final status and header fields of an answer; interim answers (1xx) and trailers are not part of it.
package struct EgressHead: Sendable {
    package let status: Int
    package let headers: EgressHeaders

    package init(status: Int, headers: EgressHeaders = EgressHeaders()) {
        self.status = status
        self.headers = headers
    }
}

/// Why a request has no answer. The message names scheme and host at most: never path, query, headers or bodies.
package struct EgressFailure: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Code: String, Sendable, Hashable, CaseIterable {
        /// Every address of the host is outside the request's `AddressPolicy`.
        case addressRefused = "address_refused"
        /// The host has no address, or the resolver does not answer.
        case resolve
        /// No TCP connection.
        case connect
        /// The handshake failed, or the certificate does not prove the host.
        case tls
        /// The connection stood only after `EgressRequest.sendBy`.
        case sendDeadline = "send_deadline"
        /// `timeout`, `connectTimeout` or `idleTimeout` ran out.
        case timedOut = "timed_out"
        /// The connection or the HTTP/2 stream was reset.
        case reset
        /// The connection was closed before the first byte of an answer.
        case emptyAnswer = "empty_answer"
        /// The connection was closed inside the answer.
        case truncated
        /// The body is longer than `maximumResponseBytes`, or the head is longer than 256 KiB.
        case tooLarge = "too_large"
        /// The reused connection died before an answer, and sending the request again was prevented.
        case resendPrevented = "resend_prevented"
        /// The URL can't be used as it is; nothing was sent.
        case badURL = "bad_url"
        /// Method, header, body or network list can't be used as they are; nothing was sent.
        case badRequest = "bad_request"
        /// What came back is not HTTP.
        case badAnswer = "bad_answer"
        /// The source of a streamed request body failed or broke its promised length.
        case requestBody = "request_body"
        /// The calling task was cancelled, or the reader of a stream went away.
        case cancelled
        /// The client was closed.
        case closed
        /// Out of memory, descriptors or threads.
        case local
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { "\(code.rawValue): \(message)" }
}
