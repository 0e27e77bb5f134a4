import HTTPTypes
import Hummingbird
import NIOCore

/// An error as callers of the API see it: RFC 9457 `application/problem+json` with a stable code.
struct HTTPProblem: Error, Sendable, Hashable {
    /// Something wrong at one place of the input.
    struct Fault: Sendable, Hashable, Encodable {
        let field: String
        let problem: String
    }

    let status: HTTPResponse.Status
    /// Stable; callers switch on it.
    let code: String
    /// A whole sentence.
    let title: String
    /// What repairs it.
    let hint: String?
    var faults: [Fault] = []
    /// Whether the same call may succeed later.
    var isRetryable = false
    /// Seconds, sent as `Retry-After`.
    var retryAfter: Int?
    var allow: [HTTPRequest.Method] = []
    /// Of a feed: the first that is kept.
    var oldestPosition: Int64?
    /// Of a feed: its end.
    var newestPosition: Int64?

    init(_ status: HTTPResponse.Status, _ code: String, _ title: String, hint: String? = nil) {
        self.status = status
        self.code = code
        self.title = title
        self.hint = hint
    }

    static let unauthenticated = HTTPProblem(
        .unauthorized, "unauthenticated", "The API key is missing, unknown, expired or revoked.",
        hint: "send Authorization: Bearer eg_test_… or eg_live_…")
    static let notFound = HTTPProblem(
        .notFound, "not_found", "There is nothing at this path.", hint: "see /openapi.yaml for all calls")
    static let connectionNotFound = HTTPProblem(
        .notFound, "connection_not_found", "This environment has no such connection for this identity.",
        hint: "GET /v1/connections lists ids and keys")

    static func missing(_ what: String) -> HTTPProblem {
        HTTPProblem(
            .notFound, "not_found", "This environment has no such \(what).", hint: "send its id as this API answered it"
        )
    }

    static func methodNotAllowed(_ allowed: [HTTPRequest.Method]) -> HTTPProblem {
        var problem = HTTPProblem(
            .methodNotAllowed, "method_not_allowed", "This path does not take that method.",
            hint: "use " + allowed.map(\.rawValue).joined(separator: ", "))
        problem.allow = allowed
        return problem
    }

    static func invalid(_ faults: [Fault]) -> HTTPProblem {
        var problem = HTTPProblem(
            .badRequest, "invalid_request",
            faults.count == 1 ? "\(faults[0].field) \(faults[0].problem)." : "The request has \(faults.count) faults.",
            hint: "correct the named fields")
        problem.faults = faults
        return problem
    }

    static func invalid(_ field: String, _ problem: String) -> HTTPProblem {
        invalid([Fault(field: field, problem: problem)])
    }

    static func bodyTooLarge(limit: Int) -> HTTPProblem {
        HTTPProblem(.contentTooLarge, "body_too_large", "The body is longer than \(limit) bytes.", hint: "send less")
    }

    func response(requestID: String) -> Response {
        struct Body: Encodable {
            let type: String
            let title: String
            let status: Int
            let code: String
            let hint: String?
            let retryable: Bool
            let faults: [Fault]?
            let oldest_position: Int64?
            let newest_position: Int64?
            let request_id: String
        }
        let body = Body(
            type: "about:blank", title: title, status: status.code, code: code, hint: hint, retryable: isRetryable,
            faults: faults.isEmpty ? nil : faults, oldest_position: oldestPosition, newest_position: newestPosition,
            request_id: requestID)
        var headers: HTTPFields = [
            .contentType: "application/problem+json", .cacheControl: "no-store",
            .xContentTypeOptions: "nosniff",
        ]
        if let retryAfter { headers[.retryAfter] = String(retryAfter) }
        if !allow.isEmpty { headers[.allow] = allow.map(\.rawValue).joined(separator: ", ") }
        if status == .unauthorized { headers[.wwwAuthenticate] = "Bearer" }
        return Response(
            status: status, headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: (try? JSONCoding.encode(body)) ?? [])))
    }
}
