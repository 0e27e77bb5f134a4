import HTTPTypes
import Hummingbird
import NIOCore
import Postgres

/// The admin listener: `/metrics`, `/healthz`, `/readyz`.
struct HealthRoutes {
    let services: FrontServices

    func addRoutes(to router: Router<FrontRequestContext>) {
        router.get("/healthz") { _, _ -> Response in Self.text("ok\n") }
        let services = services
        router.get("/readyz") { _, _ -> Response in
            do {
                try await services.pool.execute(Self.ping, [], timeout: .seconds(2))
                return Self.text("ready\n")
            } catch {
                return Self.text("not ready: the database does not answer\n", status: .serviceUnavailable)
            }
        }
        router.get("/metrics") { _, _ -> Response in
            Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: services.prometheusText())))
        }
        for path: RouterPath in ["/healthz", "/readyz", "/metrics"] { router.refuseOtherMethods(path, [.get]) }
    }

    private static let ping = PostgresStatement("ping database", "select 1")

    private static func text(_ text: String, status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status, headers: [.contentType: "text/plain; charset=utf-8", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
