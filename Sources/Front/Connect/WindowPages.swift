import Connect
import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import Store
import Vault

/// The documents of the embedded window: `/e/{environment}/frame` inside the app's page, `/connect/start` where a popup
/// begins, `/connect/go` where the whole window does.
struct WindowPages {
    let services: FrontServices
    let renderer: PageRenderer
    let cookie: BrowserCookie

    func addRoutes(to router: Router<FrontRequestContext>) {
        router.get("/e/:environment/frame", use: frame)
        router.refuseOtherMethods("/e/:environment/frame", [.get])
        router.get("/e/:environment/brand.css", use: brand)
        router.refuseOtherMethods("/e/:environment/brand.css", [.get])
        router.get("/e/:environment/preview", use: preview)
        router.refuseOtherMethods("/e/:environment/preview", [.get])
        router.get("/connect/start", use: start)
        router.refuseOtherMethods("/connect/start", [.get])
        router.get("/connect/go", use: go)
        router.refuseOtherMethods("/connect/go", [.get])
    }

    /// The frame, without anything of a session: its token comes by the message of a page of a listed origin.
    @Sendable private func frame(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        let environment = try await environment(context)
        return WindowFrame(environment: environment, language: Languages.choose(request)).response(
            renderer, template: "frame", ancestors: environment.embeddingOrigins, connects: [])
    }

    @Sendable private func brand(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        let environment = try await environment(context)
        return Response(
            status: .ok,
            headers: [
                .contentType: "text/css; charset=utf-8", .xContentTypeOptions: "nosniff",
                .cacheControl: request.uri.query?.hasPrefix("v=") == true
                    ? "public, max-age=31536000, immutable" : "no-cache",
                .known("Cross-Origin-Resource-Policy"): "same-origin",
            ], body: ResponseBody(byteBuffer: ByteBuffer(string: BrandSheet(environment.branding).text)))
    }

    /// The window's screens with made-up contents, in the environment's look: for the operator. Nothing on it does anything.
    @Sendable private func preview(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        let environment = try await environment(context)
        let logos = try await Logos.digests(environmentID: environment.id, in: services.pool)
        return WindowFrame(environment: environment, language: Languages.choose(request)).response(
            renderer, template: "frame", ancestors: [], connects: [],
            more: [
                "preview": [
                    "logo": logos[""].map { LogoRoutes.path(environment, "", $0) } ?? "",
                    "title": environment.branding.title ?? "", "intro": environment.branding.intro ?? "",
                    "footer": environment.branding.footer ?? "-",
                ]
            ])
    }

    /// A popup's first page. Binds the browser, first-party; which session it is for, it learns from an opener of our own
    /// origin, and from nobody else.
    @Sendable private func start(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        binding(renderer.page("start", ["language": Languages.choose(request)]), request)
    }

    /// The whole window's first page: trades the token of the fragment, as a link does.
    @Sendable private func go(_ request: Request, _ context: FrontRequestContext) async throws -> Response {
        renderer.page("go", ["language": Languages.choose(request)])
    }

    private func binding(_ response: Response, _ request: Request) -> Response {
        var response = response
        if cookie.read(request) == nil { response.headers[.setCookie] = cookie.header(Secret(SecureRandom.token())) }
        // Under same-origin the frame that opened it would be cut off.
        response.headers[.known("Cross-Origin-Opener-Policy")] = "unsafe-none"
        return response
    }

    private func environment(_ context: FrontRequestContext) async throws -> EnvironmentRecord {
        guard
            let found = try await Environments.find(
                reference: try context.parameter("environment"), in: services.pool)
        else { throw HTTPProblem.notFound }
        return found
    }
}

/// The frame's document, as the embedded and the compatible window share it.
struct WindowFrame {
    let environment: EnvironmentRecord
    let language: String

    /// - Parameters:
    ///   - ancestors: origins whose pages may hold it; none: no page may.
    ///   - connects: origins besides ours that its scripts may call.
    func response(
        _ renderer: PageRenderer, template: String, ancestors: [String], connects: [String],
        more: [String: Any] = [:]
    ) -> Response {
        let sheet = BrandSheet(environment.branding)
        let values: [String: Any] = [
            "language": language, "environment": environment.uid, "app": environment.displayName,
            "origins": ancestors.joined(separator: " "), "theme": environment.branding.theme ?? "system",
            "direction": "ltr", "brand": sheet.version,
        ].merging(more) { $1 }
        var response = renderer.page(template, values)
        response.headers[.contentSecurityPolicy] =
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
            + "connect-src \((["'self'"] + connects).joined(separator: " ")); form-action 'none'; base-uri 'none'; "
            + "frame-ancestors \(ancestors.isEmpty ? "'none'" : ancestors.joined(separator: " "))"
        // frame-ancestors says it better, and overrides the older header in every browser that knows both.
        response.headers[.known("X-Frame-Options")] = nil
        response.headers[.known("Referrer-Policy")] = "no-referrer"
        // A page of another origin under COEP may hold it.
        response.headers[.known("Cross-Origin-Resource-Policy")] = "cross-origin"
        return response
    }
}

/// The languages of the window, by the name of their file.
enum Languages {
    static let all = ["en", "de", "es", "fr", "ja", "pt-BR"]

    /// The first of `Accept-Language` that there is; English when there is none. Weights are taken as the order given.
    static func choose(_ request: Request) -> String {
        let wanted = (request.headers[.acceptLanguage] ?? "").prefix(500).split(separator: ",")
        for each in wanted {
            let tag = each.prefix { $0 != ";" }.trimmingPrefix(while: \.isWhitespace).lowercased()
            let main = tag.prefix { $0 != "-" }
            if let found = all.first(where: { $0.lowercased() == tag || $0.prefix(2).lowercased() == main }) {
                return found
            }
        }
        return "en"
    }
}
