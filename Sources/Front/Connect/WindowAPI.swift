import Catalog
import Connect
import Credentials
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Store
import Vault

/// `/connect/api/…`: what the frame, and the windows it opens, ask for. JSON; every call carries the session's token in
/// `Authorization`, and comes from our own origin: other sites' scripts fail at the preflight, which nothing here answers.
struct WindowAPI {
    let services: FrontServices
    let options: FrontOptions
    let cookie: BrowserCookie
    let origin: String
    let streams = StreamCount(limit: 2000)

    func addRoutes(to router: Router<FrontRequestContext>) {
        add(.post, "/connect/api/open", to: router, call: open)
        add(.get, "/connect/api/integrations/:integration", to: router, call: integration)
        add(.post, "/connect/api/depart", to: router, call: depart)
        add(.post, "/connect/api/key", to: router, call: key)
        add(.post, "/connect/api/leave", to: router, call: leave)
        add(.get, "/connect/api/outcome", to: router, call: outcome)
        add(.get, "/connect/api/events", to: router, call: events)
    }

    // MARK: Frame

    @Sendable private func open(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        struct Body: RequestFields {
            static let fields = ["parent", "environment"]
            let parent: String
            let environment: String
        }
        let body = try await request.fields(Body.self, limit: 4096)
        let view = try await services.connect.openFrame(
            token: try token(request), parent: body.parent, environment: body.environment)
        let logos = try await Logos.digests(environmentID: view.environment.id, in: services.pool)
        return try json(WindowDocument(view, logos: logos))
    }

    @Sendable private func integration(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        let session = try await services.connect.embedded(token: try token(request))
        let view = try await services.connect.view(of: session)
        let id = try context.parameter("integration")
        guard let offer = view.offers.first(where: { $0.integration.id == id }) else {
            throw ConnectError(services.catalog.integration(id) == nil ? .unknownIntegration : .notEnabled)
        }
        return try json(OfferDocument(offer, view: view))
    }

    /// Called by the window that leaves, not by the frame: its cookie is what the callback must come back with.
    @Sendable private func depart(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        struct Departed: Encodable {
            let url: String
            let departure: Int
        }
        guard let browser = cookie.binding(request) else {
            throw ConnectError(.wrongBrowser, hint: "the window that leaves has no cookie of ours")
        }
        let body = try await request.fields(AttemptFields.self, limit: options.maximumBodyBytes)
        let departure = try await services.connect.depart(
            token: try token(request), browser: browser, integration: body.integration, typed: body.fields ?? [:],
            name: try body.checkedName())
        return try json(Departed(url: departure.url.revealedText(), departure: departure.number))
    }

    @Sendable private func key(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        let body = try await request.fields(AttemptFields.self, limit: options.maximumBodyBytes)
        let token = try token(request)
        _ = try await services.connect.submitKey(
            token: token, integration: body.integration, form: body.fields ?? [:], name: try body.checkedName())
        return try json(try await outcome(of: token))
    }

    /// The session goes on in the whole window. Called by `/connect/go`, which is the whole window by then.
    @Sendable private func leave(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        struct Body: RequestFields {
            static let fields = ["return_url", "integration"]
            let return_url: String
            let integration: String?
        }
        struct Left: Encodable { let location: String }
        let body = try await request.fields(Body.self, limit: 16 * 1024)
        let value = cookie.read(request) ?? Secret(SecureRandom.token())
        let session = try await services.connect.leaveFrame(
            token: try token(request), returningTo: body.return_url, browser: BrowserBinding(cookie: value))
        var location = "/connect/s/\(session.uid)"
        if let id = body.integration, services.catalog.integration(id) != nil { location += "/\(id)" }
        var response = try json(Left(location: location))
        response.headers[.setCookie] = cookie.header(value)
        return response
    }

    // MARK: Outcome

    @Sendable private func outcome(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        try json(try await outcome(of: try token(request)))
    }

    /// The outcome as it changes, as server-sent events, for two minutes at most; the frame asks again then.
    ///
    /// It reads the session's row every half second, so that it does not matter which process the callback reaches.
    @Sendable private func events(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        let token = try token(request)
        let first = try JSONCoding.encode(try await outcome(of: token))
        guard streams.enter() else {
            throw HTTPProblem(.serviceUnavailable, "too_many_streams", "Too many windows wait here.")
        }
        let streams = streams
        var headers = PageRenderer.headers
        headers[.contentType] = "text/event-stream"
        headers[.known("X-Accel-Buffering")] = "no"
        return Response(
            status: .ok, headers: headers,
            body: ResponseBody { writer in
                defer { streams.leave() }
                var last = first
                try await writer.write(Self.event(first))
                for tick in 1...240 where !Task.isShuttingDownGracefully {
                    try await Task.sleep(for: .milliseconds(500))
                    guard let told = try? await outcome(of: token) else { break }
                    let now = try JSONCoding.encode(told)
                    if now != last {
                        try await writer.write(Self.event(now))
                        last = now
                    } else if tick.isMultiple(of: 20) {
                        try await writer.write(ByteBuffer(string: ":\n\n"))
                    }
                    if told.state == "finished" || told.state == "expired" { break }
                }
                try await writer.finish(nil)
            })
    }

    private static func event(_ json: [UInt8]) -> ByteBuffer {
        ByteBuffer(bytes: Array("data: ".utf8) + json + Array("\n\n".utf8))
    }

    private func outcome(of token: Secret) async throws -> OutcomeDocument {
        let session = try await services.connect.embedded(token: token)
        var connection: ConnectionRecord?
        if let id = session.finishedConnectionID { connection = try await Connections.find(id: id, in: services.pool) }
        return OutcomeDocument(session, connection)
    }
}

extension WindowAPI {
    private typealias Call = @Sendable (Request, FrontRequestContext) async throws -> Response

    private func add(
        _ method: HTTPRequest.Method, _ path: RouterPath, to router: Router<FrontRequestContext>, call: @escaping Call
    ) {
        router.on(path, method: method) { request, context in
            do {
                try checkSender(request)
                return try await call(request, context)
            } catch { return try refusal(error, context) }
        }
        router.refuseOtherMethods(path, [method])
    }

    private func token(_ request: Request) throws(ConnectError) -> Secret {
        guard let field = request.headers[.authorization], field.hasPrefix("Bearer "), field.utf8.count < 10_000 else {
            throw ConnectError(.sessionUnknown, hint: "send Authorization: Bearer <session token>")
        }
        return Secret(String(field.dropFirst(7)))
    }

    /// A browser says where a call comes from, by `Origin` or by Fetch metadata; both must be our own documents.
    private func checkSender(_ request: Request) throws {
        if let site = request.headers[.known("Sec-Fetch-Site")], site != "same-origin" { throw foreign }
        guard let given = request.headers[.origin] else { return }
        guard let sender = try? WebOrigin(of: given, item: "Origin"), sender.description == origin else {
            throw foreign
        }
    }

    private var foreign: HTTPProblem {
        HTTPProblem(
            .forbidden, "wrong_origin", "This call was sent from another site.",
            hint: "open the window under \(origin), which front.public_url names")
    }

    private func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
        var headers = PageRenderer.headers
        headers[.contentType] = "application/json"
        return Response(
            status: status, headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: try JSONCoding.encode(value))))
    }

    /// Every failure, by code, with English words for a window that has no better ones.
    private func refusal(_ error: any Error, _ context: FrontRequestContext) throws -> Response {
        struct Refusal: Encodable {
            let code: String
            let heading: String
            let text: String
            let retryable: Bool
            let field: String?
            let integration: String?
            let hint: String?
            let request_id: String
        }
        let known: ConnectError
        switch error {
        case let error as ConnectError: known = error
        case let error as InvalidValue:
            known = ConnectError(
                .invalidField, field: error.item, hint: "\(error.item) \(error.problem); \(error.repair)")
        case let error as HTTPProblem: throw error
        default:
            services.logger.error(
                "connect window failed", metadata: ["request": "\(context.requestID)", "error": "\(error)"])
            known = ConnectError(.ours)
        }
        services.logger.info(
            "connect error",
            metadata: [
                "request": "\(context.requestID)", "code": "\(known.code.rawValue)",
                "session": "\(known.session ?? "none")", "hint": "\(known.hint)",
            ])
        let words = known.words(app: "the app")
        // What a provider answered stays in the log; how the app is set up is for its developer's console.
        let tells: Set<ConnectError.Code> = [.sessionUnknown, .setupRequired, .notEnabled, .unknownIntegration]
        return try json(
            Refusal(
                code: known.code.rawValue, heading: words.heading, text: words.text, retryable: known.code.isRetryable,
                field: known.field, integration: known.integration,
                hint: tells.contains(known.code) || known.field == "return_url" ? known.hint : nil,
                request_id: context.requestID),
            status: known.code.status)
    }
}

/// What one attempt sends.
struct AttemptFields: RequestFields {
    static let fields = ["integration", "fields", "name"]
    let integration: String
    let fields: [String: String]?
    /// What the user calls the connection.
    let name: String?

    func checkedName() throws(HTTPProblem) -> String? {
        guard let name else { return nil }
        return try ConnectionFields.name(name)
    }
}
