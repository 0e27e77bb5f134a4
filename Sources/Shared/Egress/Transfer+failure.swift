import CLibCurl
import Pacing

extension Transfer {
    /// Nil when the whole answer came.
    func failure(for code: CURLcode) -> EgressFailure? {
        // libcurl 7.88 calls an answer that ends inside its head a success.
        if code == CURLE_OK, verdict == nil, head.isComplete { return nil }
        let kind = verdict ?? (releases > 0 ? Self.afterSend(code) : beforeSend(code))
        return EgressFailure(kind, "\(plan.request.method) \(plan.origin): \(reason(kind, code))")
    }

    private func beforeSend(_ code: CURLcode) -> EgressFailure.Code {
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: .resolve
        case CURLE_COULDNT_CONNECT: easy.refusedSockets > 0 && easy.openedSockets == 0 ? .addressRefused : .connect
        case CURLE_OPERATION_TIMEDOUT: .timedOut
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM,
            CURLE_SSL_CIPHER, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_ENGINE_INITFAILED,
            CURLE_USE_SSL_FAILED:
            .tls
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL: .badURL
        case CURLE_OUT_OF_MEMORY, CURLE_FAILED_INIT, CURLE_BAD_FUNCTION_ARGUMENT: .local
        default: .connect
        }
    }

    private static func afterSend(_ code: CURLcode) -> EgressFailure.Code {
        switch code {
        case CURLE_OK, CURLE_PARTIAL_FILE: .truncated
        case CURLE_GOT_NOTHING: .emptyAnswer
        case CURLE_OPERATION_TIMEDOUT: .timedOut
        case CURLE_SEND_FAIL_REWIND: .resendPrevented
        case CURLE_FILESIZE_EXCEEDED: .tooLarge
        case CURLE_RECV_ERROR, CURLE_SEND_ERROR, CURLE_HTTP2, CURLE_HTTP2_STREAM, CURLE_COULDNT_CONNECT,
            CURLE_SSL_CONNECT_ERROR:
            .reset
        case CURLE_OUT_OF_MEMORY: .local
        default: .badAnswer
        }
    }

    /// A sentence without anything that came from path, query, headers or bodies. libcurl's long text is used for failures
    /// before the send hook only, where it names host, port or certificate; later it may quote the answer.
    private func reason(_ kind: EgressFailure.Code, _ code: CURLcode) -> String {
        switch kind {
        case .addressRefused:
            "every address of this host is refused by the address policy; to allow it, list its network for this host"
        case .sendDeadline: "the connection stood only after the moment at which the request had to leave"
        case .resendPrevented: "the kept-alive connection died before an answer, and nothing is sent twice"
        case .tooLarge where head.isComplete: "the body is longer than \(plan.request.maximumResponseBytes) bytes"
        case .tooLarge: "the head of the answer is too long"
        case .truncated: "the connection was closed inside the answer"
        case .requestBody: "the source of the request body failed or broke its promised length"
        case .cancelled: "the caller cancelled the request"
        case .closed: "the client was closed"
        case .timedOut where verdict != nil: "no answer within \(plan.request.timeout.milliseconds) ms"
        case _ where releases == 0 && !easy.reasonText.isEmpty: easy.reasonText
        default: String(cString: curl_easy_strerror(code))
        }
    }
}
