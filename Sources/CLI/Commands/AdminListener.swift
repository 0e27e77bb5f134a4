import Bootstrap
import Hummingbird
import Postgres
import ServiceLifecycle

/// `/metrics`, `/healthz` and `/readyz` of a worker or scheduler; a front has them on its own admin listener.
struct AdminListener {
    let host: String
    let port: Int
    /// The key that chooses another port.
    let setting: String

    /// Nothing when no port was given.
    static func services(
        _ parts: ProcessServices, host: String, port: Int?, setting: String
    ) throws(PortInUse) -> [any Service] {
        guard let port else { return [] }
        try PortCheck.require(host: host, port: port, setting: setting)
        return [AdminListener(host: host, port: port, setting: setting).application(parts)]
    }

    private func application(_ parts: ProcessServices) -> some ApplicationProtocol {
        let router = Router()
        router.get("/healthz") { _, _ in "alive\n" }
        router.get("/readyz") { _, _ -> Response in
            do {
                try await parts.pool.execute(Self.ping, [], timeout: .seconds(2))
                return Self.text("ready\n")
            } catch {
                return Self.text("the database does not answer\n", status: .serviceUnavailable)
            }
        }
        router.get("/metrics") { _, _ in
            Self.text(parts.metrics.prometheusText(), type: "text/plain; version=0.0.4; charset=utf-8")
        }
        return Application(
            router: router, configuration: ApplicationConfiguration(address: .hostname(host, port: port)),
            logger: parts.logger)
    }

    private static let ping = PostgresStatement("ping", "select 1")

    private static func text(
        _ text: String, type: String = "text/plain; charset=utf-8", status: HTTPResponse.Status = .ok
    ) -> Response {
        Response(
            status: status, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
