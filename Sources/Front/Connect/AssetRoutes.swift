import Catalog
import HTTPTypes
import Hummingbird
import NIOCore

/// Style sheet, script, icon, logos, and the API's description.
struct AssetRoutes {
    let assets: Assets
    let catalog: IntegrationCatalog

    func addRoutes(to router: Router<FrontRequestContext>) {
        add("/assets/connect.css", assets.style, "text/css; charset=utf-8", to: router)
        add("/assets/connect.js", assets.script, "text/javascript; charset=utf-8", to: router)
        add("/assets/icon.svg", assets.icon, "image/svg+xml", to: router)
        add("/openapi.yaml", assets.openAPI, "application/yaml", to: router)
        for (name, bytes) in assets.window {
            // The version is part of the path, so that modules find each other by relative names and are cached for good.
            add(RouterPath("/assets/window/:version/\(name)"), bytes, Self.type(of: name), to: router)
        }
        for (name, bytes) in assets.authkit where name.hasPrefix("authkit") { share(name, bytes, to: router) }
        let catalog = catalog
        router.get("/assets/logo/:name") { _, context -> Response in
            let name = try context.parameter("name")
            guard name.hasSuffix(".svg"), let integration = catalog.integration(String(name.dropLast(4))) else {
                throw HTTPProblem.notFound
            }
            return Self.file(LogoImage.svg(integration), "image/svg+xml", maximumAge: 86_400)
        }
        router.refuseOtherMethods("/assets/logo/:name", [.get])
    }

    private func add(_ path: RouterPath, _ bytes: [UInt8], _ type: String, to router: Router<FrontRequestContext>) {
        let version = assets.version
        router.get(path) { request, context -> Response in
            // Under its version a file never changes.
            let named = context.parameters.get("version").map { $0 == version }
            let isVersioned = named ?? (request.uri.query?.hasPrefix("v=") == true)
            return Self.file(bytes, type, maximumAge: isVersioned ? 31_536_000 : 300)
        }
        router.refuseOtherMethods(path, [.get])
    }

    /// A module for pages of any origin. A short life: an app loads it by a name without version.
    private func share(_ name: String, _ bytes: [UInt8], to router: Router<FrontRequestContext>) {
        let path = RouterPath("/\(name)")
        let type = Self.type(of: name)
        router.get(path) { _, _ -> Response in
            var response = Self.file(bytes, type, maximumAge: 300)
            response.headers[.accessControlAllowOrigin] = "*"
            response.headers[.known("Cross-Origin-Resource-Policy")] = "cross-origin"
            return response
        }
        router.refuseOtherMethods(path, [.get])
    }

    private static func type(of name: String) -> String {
        if name.hasSuffix(".js") { return "text/javascript; charset=utf-8" }
        if name.hasSuffix(".css") { return "text/css; charset=utf-8" }
        if name.hasSuffix(".json") { return "application/json" }
        return "text/plain; charset=utf-8"
    }

    private static func file(_ bytes: [UInt8], _ type: String, maximumAge: Int) -> Response {
        Response(
            status: .ok,
            headers: [
                .contentType: type, .xContentTypeOptions: "nosniff", .cacheControl: "public, max-age=\(maximumAge)",
                .contentSecurityPolicy: "default-src 'none'; style-src 'unsafe-inline'",
                .known("Cross-Origin-Resource-Policy"): "same-origin",
            ], body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }
}
