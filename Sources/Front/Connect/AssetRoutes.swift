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
        router.get(path) { request, _ -> Response in
            // Under its version a file never changes.
            Self.file(bytes, type, maximumAge: request.uri.query?.hasPrefix("v=") == true ? 31_536_000 : 300)
        }
        router.refuseOtherMethods(path, [.get])
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
