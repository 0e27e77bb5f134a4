import HTTPTypes
import Hummingbird
import NIOCore
import Store
import Vault

/// The images that operators supplied: `/e/{environment}/logos/{digest}[/{integration}]`, cached for a year under their
/// digest. They are public, as the window is.
struct LogoRoutes {
    let services: FrontServices

    static func path(_ environment: EnvironmentRecord, _ integration: String, _ digest: [UInt8]) -> String {
        let name = String(Encoding.hex(digest).prefix(24))
        return "/e/\(environment.uid)/logos/\(name)" + (integration.isEmpty ? "" : "/\(integration)")
    }

    func addRoutes(to router: Router<FrontRequestContext>) {
        let services = services
        for path: RouterPath in ["/e/:environment/logos/:digest", "/e/:environment/logos/:digest/:integration"] {
            router.get(path) { _, context -> Response in
                let digest = try context.parameter("digest")
                guard
                    let environment = try await Environments.find(
                        reference: try context.parameter("environment"), in: services.pool),
                    let logo = try await Logos.find(
                        environmentID: environment.id, integration: context.parameters.get("integration") ?? "",
                        in: services.pool),
                    String(Encoding.hex(logo.digest).prefix(24)) == digest
                else { throw HTTPProblem.notFound }
                return Response(
                    status: .ok,
                    headers: [
                        .contentType: logo.mediaType, .xContentTypeOptions: "nosniff",
                        .cacheControl: "public, max-age=31536000, immutable",
                        .contentSecurityPolicy: "default-src 'none'; sandbox",
                        .known("Cross-Origin-Resource-Policy"): "same-origin",
                    ], body: ResponseBody(byteBuffer: ByteBuffer(bytes: logo.bytes)))
            }
            router.refuseOtherMethods(path, [.get])
        }
    }
}
