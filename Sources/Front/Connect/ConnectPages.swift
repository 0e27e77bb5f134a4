import Catalog
import Connect
import Credentials
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Store
import Vault

/// The connect link and its pages: `/connect#token`, `/connect/s/{session}`, `/oauth/callback/{integration}`.
///
/// The browser learns its session by trading the token for a cookie; from then on every path names the session by its
/// public id, which is worth nothing without the cookie.
struct ConnectPages {
    let services: FrontServices
    let options: FrontOptions
    let renderer: PageRenderer
    let cookie: BrowserCookie
    let origin: String

    init(services: FrontServices, options: FrontOptions, renderer: PageRenderer) throws {
        self.services = services
        self.options = options
        self.renderer = renderer
        cookie = BrowserCookie(publicURL: options.publicURL)
        origin = try WebOrigin(of: options.publicURL, item: "front.public_url").description
    }

    func addRoutes(to router: Router<FrontRequestContext>) {
        router.get("/connect", use: page(entry))
        router.refuseOtherMethods("/connect", [.get])
        router.post("/connect/open", use: open)
        router.refuseOtherMethods("/connect/open", [.post])
        router.get("/connect/s/:session", use: page(show))
        router.refuseOtherMethods("/connect/s/:session", [.get])
        router.get("/connect/s/:session/:integration", use: page(integration))
        router.post("/connect/s/:session/:integration", use: page(submit))
        router.refuseOtherMethods("/connect/s/:session/:integration", [.get, .post])
        router.get("/oauth/callback/:integration", use: callbackPage)
        router.delete("/oauth/callback/:integration", use: InboundController(services: services).deleted)
        router.refuseOtherMethods("/oauth/callback/:integration", [.get, .delete])
    }

    // MARK: Link

    @Sendable private func entry(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        renderer.page("entry", ["title": "Connect an account"])
    }

    /// Trades the token for the cookie. Called by the script of the first page; answers JSON in words for the user.
    @Sendable private func open(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        struct Body: RequestFields {
            static let fields = ["token"]
            let token: String
        }
        struct Told: Encodable {
            var location: String?
            var heading: String?
            var text: String?
            var code: String?
            var retryable: Bool?
        }
        var headers = PageRenderer.headers
        headers[.contentType] = "application/json"
        do {
            try checkOrigin(request)
            let body = try await request.fields(Body.self, limit: 4096)
            let value = cookie.read(request) ?? Secret(SecureRandom.token())
            let session = try await services.connect.open(
                token: Secret(body.token), browser: BrowserBinding(cookie: value))
            headers[.setCookie] = cookie.header(value)
            let told = try JSONCoding.encode(Told(location: "/connect/s/\(session.uid)"))
            return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: told)))
        } catch {
            let error = connectError(error, context)
            let words = error.words(app: "the app")
            let told = try JSONCoding.encode(
                Told(
                    heading: words.heading, text: words.text, code: error.code.rawValue,
                    retryable: error.code.isRetryable))
            return Response(
                status: error.code.status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: told)))
        }
    }

    // MARK: Session

    @Sendable private func show(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        let browser = cookie.binding(request)
        let view = try await services.connect.view(try context.parameter("session"), browser: browser)
        let values = values(view)
        if view.session.state == .finished {
            if let url = try await services.connect.returnURL(session: view.session, browser: browser) {
                return leave(to: url, heading: "Taking you back to \(values.app)")
            }
            guard view.session.finishedBrowser == browser?.hash else {
                throw ConnectError(.sessionUsed, session: view.session.uid)
            }
            var page = renderer.page("success", values.success())
            // A popup ends here: it tells the frame that opened it, and closes.
            if view.session.kind == .embedded { page.headers[.known("Cross-Origin-Opener-Policy")] = "unsafe-none" }
            return page
        }
        guard let first = view.offers.first else {
            throw ConnectError(.setupRequired, hint: "no integration is enabled and set up")
        }
        if view.offers.count == 1 {
            return PageRenderer.redirect(to: "/connect/s/\(view.session.uid)/\(first.integration.id)")
        }
        let search = FormText.fields(request.uri.query ?? "")["q"] ?? ""
        return renderer.page("list", values.list(search: String(search.prefix(100))))
    }

    /// The page's own way back to the app, for a session that came out of a frame.
    private func values(_ view: WindowView) -> PageValues {
        PageValues(view: view, back: services.connect.backURL(of: view.session, code: .denied))
    }

    @Sendable private func integration(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        let browser = cookie.binding(request)
        let view = try await services.connect.view(try context.parameter("session"), browser: browser)
        if view.session.state == .finished { return PageRenderer.redirect(to: "/connect/s/\(view.session.uid)") }
        let offer = try offer(try context.parameter("integration"), in: view)
        return renderer.page("integration", values(view).integration(offer, typed: [:], fault: nil))
    }

    /// The form of an integration: leaves for its provider, or tests and stores its key.
    @Sendable private func submit(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        try checkOrigin(request)
        let browser = cookie.binding(request)
        let session = try context.parameter("session")
        let form = try await request.form(limit: options.maximumBodyBytes)
        let view = try await services.connect.view(session, browser: browser)
        if view.session.state == .finished { return PageRenderer.redirect(to: "/connect/s/\(view.session.uid)") }
        let offer = try offer(try context.parameter("integration"), in: view)
        do {
            if offer.integration.providerID != nil {
                let departure = try await services.connect.depart(
                    session: session, browser: browser, integration: offer.integration.id, typed: form)
                return leave(to: departure.url, heading: "Taking you to \(departure.title)")
            }
            _ = try await services.connect.submitKey(
                session: session, browser: browser, integration: offer.integration.id, form: form)
            return PageRenderer.redirect(to: "/connect/s/\(session)")
        } catch let error as ConnectError where [.invalidField, .keyRefused].contains(error.code) {
            // What was typed stays, with the fault above it.
            return renderer.page(
                "integration", values(view).integration(offer, typed: form, fault: error),
                status: error.code.status)
        }
    }

    // MARK: Callback

    @Sendable private func callback(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        let finished = try await services.connect.callback(
            integration: try context.parameter("integration"), query: Secret(request.uri.query ?? ""),
            browser: cookie.binding(request))
        // The session's own page shows the success or goes on to the app: so code and state leave the address bar, and
        // a reload does no harm.
        return PageRenderer.redirect(to: "/connect/s/\(finished.session.uid)")
    }

    /// The callback may come back into a popup, whose frame must stay its opener: whatever it answers.
    @Sendable private func callbackPage(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        var response = try await page(callback)(request, context)
        response.headers[.known("Cross-Origin-Opener-Policy")] = "unsafe-none"
        return response
    }
}

extension ConnectPages {
    private func leave(to url: Secret, heading: String) -> Response {
        renderer.page("leave", ["title": heading, "heading": heading, "refresh": url.revealedText()])
    }

    private func offer(_ id: String, in view: WindowView) throws(ConnectError) -> OfferedIntegration {
        if let offer = view.offers.first(where: { $0.integration.id == id }) { return offer }
        guard let integration = services.catalog.integration(id) else {
            throw ConnectError(.unknownIntegration, session: view.session.uid)
        }
        throw ConnectError(.notEnabled, integration: integration.title, session: view.session.uid)
    }

    /// Browsers name the origin of every POST: another one's form is refused before anything is read.
    private func checkOrigin(_ request: Request) throws {
        guard let given = request.headers[.origin] else { return }
        guard let sender = try? WebOrigin(of: given, item: "Origin"), sender.description == origin else {
            throw HTTPProblem(
                .forbidden, "wrong_origin", "This form was sent from another site.",
                hint: "open the pages under \(origin), which front.public_url names")
        }
    }

    /// Wraps a page: whatever goes wrong is a page of its own, in words, with a way forward.
    private func page(
        _ body: @escaping @Sendable (Request, FrontRequestContext) async throws -> Response
    ) -> @Sendable (Request, FrontRequestContext) async throws -> Response {
        { request, context in
            do { return try await body(request, context) } catch {
                return await errorPage(connectError(error, context), request, context)
            }
        }
    }

    private func connectError(_ error: any Error, _ context: FrontRequestContext) -> ConnectError {
        switch error {
        case let error as ConnectError: return error
        case let problem as HTTPProblem:
            return ConnectError(.invalidField, detail: problem.title, hint: problem.hint)
        default:
            services.logger.error(
                "connect page failed", metadata: ["request": "\(context.requestID)", "error": "\(error)"])
            return ConnectError(.ours)
        }
    }

    private func errorPage(
        _ error: ConnectError, _ request: Request, _ context: FrontRequestContext
    ) async -> Response {
        services.logger.info(
            "connect error",
            metadata: [
                "request": "\(context.requestID)", "code": "\(error.code.rawValue)",
                "session": "\(error.session ?? "none")", "hint": "\(error.hint)",
            ])
        var app = "the app"
        var hasChoice = false
        var back: Secret?
        var brand: String?
        // Only a browser that holds the session reads whose it is.
        if let uid = error.session,
            let session = try? await services.connect.session(uid, browser: cookie.binding(request)),
            let view = try? await services.connect.view(of: session)
        {
            app = view.environment.displayName
            hasChoice = view.offers.count > 1
            back = services.connect.backURL(of: session, code: error.code)
            brand = BrandSheet.path(view.environment)
        }
        return renderer.page(
            "error",
            PageValues.error(
                error, app: app, reference: context.requestID, hasChoice: hasChoice,
                integration: context.parameters.get("integration"), back: back, brand: brand),
            status: error.code.status)
    }
}
