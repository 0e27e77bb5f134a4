import Catalog
import Credentials
import Egress
import Foundation
import HTTPTypes
import Hummingbird
import Lifecycle
import Logging
import NIOCore
import OAuth
import Store

/// `ANY /v1/passthrough/{path}`: the provider's API with the connection's credential.
///
/// It stands before the router, because path, query and method go up exactly as they were sent. A 401 costs one
/// refresh and, where the body can be sent again, one retry.
struct Passthrough: RouterMiddleware {
    static let prefix = "/v1/passthrough"
    /// Servers answer the first two with the request itself, credential and all (RFC 9110 §9.3.8); the third is a tunnel.
    private static let refusedMethods: Set<String> = ["TRACE", "TRACK", "CONNECT"]

    let services: FrontServices
    let options: FrontOptions
    let authenticator: KeyAuthenticator
    let uses: UseRecorder

    func handle(
        _ request: Request, context: FrontRequestContext,
        next: (Request, FrontRequestContext) async throws -> Response
    ) async throws -> Response {
        guard let raw = request.head.path, raw.hasPrefix(Self.prefix) else { return try await next(request, context) }
        let rest = raw.dropFirst(Self.prefix.count)
        guard rest.isEmpty || rest.first == "/" || rest.first == "?" else { return try await next(request, context) }
        context.coreContext.endpointPath.value = Self.prefix + "/{path}"
        do { return try await answer(request, rest, context) } catch {
            let problem = HTTPProblem(error, limit: options.maximumBodyBytes)
            if problem.isUnexpected {
                services.logger.error(
                    "passthrough failed", metadata: ["request": "\(context.requestID)", "error": "\(error)"])
            }
            var response = problem.response(requestID: context.requestID)
            response.headers[.evergrantError] = problem.code
            return response
        }
    }

    private func answer(
        _ request: Request, _ rest: Substring, _ context: FrontRequestContext
    ) async throws -> Response {
        let key = try await authenticator.authenticate(request.keyField)
        try key.role.require(.use)
        guard !Self.refusedMethods.contains(request.method.rawValue.uppercased()) else {
            throw HTTPProblem.methodNotAllowed([.get, .head, .post, .put, .patch, .delete, .options])
        }
        let target = try PassthroughTarget(rest)
        let credential = try await credential(request, key)
        let connection = credential.connection
        try uses.enter(connection.id)
        // Handed to the body of a streamed answer, which leaves when it ends.
        let place = CallPlace(uses: uses, connectionID: connection.id)
        let call = try await Call(request, target, credential, body: try await CallerBody(request), services)
        uses.record(connection, actor: "key:\(key.uid)")
        let first = try await send(call, credential)
        guard first.head.status == 401 else { return respond(first, call, credential, request, place) }
        guard let fresh = await refreshed(credential) else {
            await doubt(credential, call)
            return respond(first, call, credential, request, place)
        }
        guard call.body.canBeSentAgain else {
            var response = respond(first, call, credential, request, place)
            response.headers[.evergrantRefreshed] = "true"
            return response
        }
        let second = try await send(call, fresh)
        if second.head.status == 401 { await doubt(fresh, call) }
        return respond(second, call, fresh, request, place)
    }

    /// The connection of the call's headers, its credential fresh enough to use.
    private func credential(_ request: Request, _ key: AuthenticatedKey) async throws -> UsableCredential {
        guard let text = request.headers[.evergrantConnection] ?? request.headers[.picaConnectionKey] else {
            throw HTTPProblem(
                .badRequest, "connection_missing", "No connection is named.", hint: "send Evergrant-Connection: <key>")
        }
        let named = try ConnectionKey(parsing: text)
        guard named.mode == key.environment.mode, let uid = UUID(hex: named.token) else {
            throw HTTPProblem.connectionNotFound
        }
        let credential = try await services.refresher.credential(uid: uid, environmentID: key.environment.id)
        guard credential.connection.integration == named.integration else { throw HTTPProblem.connectionNotFound }
        if let text = request.headers[.evergrantIdentity] {
            guard try identity(text) == credential.connection.identity else { throw HTTPProblem.connectionNotFound }
        }
        return credential
    }

    /// `<type>/<percent-encoded identity>`.
    private func identity(_ text: String) throws -> Identity {
        let halves = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2, let value = String(halves[1]).removingPercentEncoding else {
            throw HTTPProblem.invalid("Evergrant-Identity", "is not <type>/<percent-encoded identity>")
        }
        return try Identity(type: IdentityType(parsing: String(halves[0])), value: value)
    }

    private func send(
        _ call: Call, _ credential: UsableCredential
    ) async throws -> (head: EgressHead, body: EgressResponseBody) {
        var request = try call.request(credential)
        request.timeout = options.passthroughTimeout
        switch await services.egress.stream(request) {
        case .answered(let head, let body): return (head, body)
        case .notSent(let failure), .ambiguous(let failure): throw failure
        }
    }

    /// A newer credential after a 401; nil when a refresh is not possible or did not help: then the 401 is the answer.
    private func refreshed(_ credential: UsableCredential) async -> UsableCredential? {
        do { return try await services.refresher.credential(afterRejectionOf: credential) } catch {
            services.logger.info(
                "refresh after 401 failed",
                metadata: ["connection": "\(credential.connection.publicID)", "error": "\(error)"])
            return nil
        }
    }

    /// A 401 that no refresh mends may be the wrong path or a missing right as well as a dead credential: the probe, made
    /// soon, decides. The call itself breaks nothing.
    private func doubt(_ credential: UsableCredential, _ call: Call) async {
        guard call.integration.probe != nil else { return }
        do {
            try await Validations.hasten(
                connectionID: credential.connection.id, gap: services.lifecycle.timings.validateGap, in: services.pool)
        } catch {
            services.logger.warning(
                "a probe after a 401 could not be asked for",
                metadata: ["connection": "\(credential.connection.publicID)", "error": "\(error)"])
        }
    }

    private func respond(
        _ answer: (head: EgressHead, body: EgressResponseBody), _ call: Call, _ credential: UsableCredential,
        _ request: Request, _ place: CallPlace
    ) -> Response {
        let fields = HeaderPolicy.down(answer.head.headers, without: call.secrets(of: credential))
        let status = HTTPResponse.Status(code: answer.head.status)
        if request.method == .head || [204, 304].contains(answer.head.status) {
            return Response(status: status, headers: fields)
        }
        let length = answer.head.headers["content-length"].flatMap { Int($0) }
        let body = answer.body
        return Response(
            status: status, headers: fields,
            body: ResponseBody(contentLength: length) { writer in
                // Keeps the connection's place until the last byte.
                defer { withExtendedLifetime(place) {} }
                for try await bytes in body { try await writer.write(ByteBuffer(bytes: bytes)) }
                try await writer.finish(nil)
            })
    }
}

/// One place among a connection's calls in flight, given back when nothing holds it any longer.
private final class CallPlace: Sendable {
    private let uses: UseRecorder
    private let connectionID: Int64

    init(uses: UseRecorder, connectionID: Int64) {
        self.uses = uses
        self.connectionID = connectionID
    }

    deinit { uses.leave(connectionID) }
}
