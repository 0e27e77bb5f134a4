import HTTPTypes
import Hummingbird
import NIOCore

/// The provider's own answer to a request, before any fault touches it.
struct Answer: Sendable {
    var status: Int
    var headers: HTTPFields
    var body: ResponseBody
    /// The body's bytes where it is not streamed.
    private(set) var bytes: ByteBuffer?
    var outcome: Outcome
    /// Why, in words for the ledger.
    var detail: String?
    /// The refresh token given, by name.
    var issued: String?
    /// The grant made, for a code exchange.
    var grant: Int?

    /// A text of a media type.
    init(
        _ status: Int, _ text: String, type: String = "application/json", outcome: Outcome, headers: HTTPFields = [:],
        detail: String? = nil
    ) {
        self.status = status
        self.outcome = outcome
        self.detail = detail
        self.headers = headers
        self.headers[.contentType] = type
        let buffer = ByteBuffer(string: text)
        bytes = buffer
        body = ResponseBody(byteBuffer: buffer)
    }

    /// A streamed body.
    init(_ status: Int, body: ResponseBody, headers: HTTPFields, outcome: Outcome) {
        self.status = status
        self.body = body
        self.headers = headers
        self.outcome = outcome
    }

    /// A refusal as RFC 6749 §5.2 writes it.
    init(_ refusal: OAuthRefusal) {
        self.init(
            refusal.status, JSONText.error(refusal.code, refusal.reason), outcome: refusal.outcome,
            headers: [.cacheControl: "no-store"], detail: refusal.reason)
        if let seconds = refusal.retryAfter { headers[.retryAfter] = String(seconds) }
        if refusal.asksForBasic { headers[.wwwAuthenticate] = "Basic realm=\"sandbox\"" }
    }

    var response: Response {
        Response(status: HTTPResponse.Status(code: status), headers: headers, body: body)
    }
}
