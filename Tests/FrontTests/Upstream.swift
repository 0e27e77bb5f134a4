import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// A provider's API that answers with the request it got, byte for byte, and keeps all of them.
final class Upstream: Sendable {
    private let seen = Mutex<[String]>([])
    private let port = Mutex<Int?>(nil)
    private let ready = AsyncStream<Int>.makeStream()

    /// Request line and header fields of everything that arrived.
    var requests: [String] { seen.withLock { $0 } }

    var boundPort: Int {
        get async {
            for await port in ready.stream { return port }
            return 0
        }
    }

    func run() async throws {
        let application = Application(
            responder: CallbackResponder<BasicRequestContext> { [self] request, _ in try await answer(request) },
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { [ready] in ready.continuation.yield($0.localAddress?.port ?? 0) },
            logger: Logger(label: "upstream") { _ in SwiftLogNoOpLogHandler() })
        try await application.run()
    }

    private func answer(_ request: Request) async throws -> Response {
        let path = request.head.path ?? ""
        let fields = request.headers.map { "\($0.name.rawName.lowercased()): \($0.value)" }
        let text = (["\(request.method.rawValue) \(path)"] + fields).joined(separator: "\n")
        seen.withLock { $0.append(text) }
        if path.contains("/teapot") { return teapot() }
        if path.contains("/redirect") {
            return Response(status: .found, headers: [.location: "https://elsewhere.example\(path)"])
        }
        var count = 0
        for try await buffer in request.body { count += buffer.readableBytes }
        return Response(
            status: .ok, headers: [.contentType: "text/plain"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text + "\nbody: \(count) bytes\n")))
    }

    private func teapot() -> Response {
        var headers = HTTPFields()
        for (name, value) in [
            ("Set-Cookie", "a=b"), ("Access-Control-Allow-Origin", "*"), ("Connection", "x-private"),
            ("X-Private", "1"), ("Strict-Transport-Security", "max-age=1"), ("X-RateLimit-Remaining", "7"),
            ("Retry-After", "9"), ("ETag", "\"v1\""), ("Content-Type", "text/x-brew"),
        ] {
            if let field = HTTPField.Name(name) { headers.append(HTTPField(name: field, value: value)) }
        }
        return Response(
            status: .init(code: 418), headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: "teapot")))
    }
}

extension Upstream {
    /// One integration for each way of placing a credential, all at one upstream.
    static func catalog(port: Int) -> String {
        let kinds = [
            ("header", "{header: x-api-key}"), ("query", "{query: api_key}"),
            ("basic", #"{basic: {username: "{api_key}", password: x}}"#),
            ("bearer", #"{header: Authorization, prefix: "Token "}"#),
        ]
        let entries = kinds.map { name, placement in
            """
              placed-\(name):
                title: Placed by \(name)
                category: test
                color: "#334155"
                summary: A key, placed by \(name).
                api_key: {fields: {api_key: {label: API key}}}
                credential: \(placement)
                api_base: http://127.0.0.1:\(port)/base/v1
                sources: [docs/sandbox.md]
                grade: D
            """
        }
        return """
            requires: [sandbox_base]
            sandbox: true
            allow_http: true
            providers:
              issued:
                name: Issued
                authorization_url: ${sandbox_base}/windowed/authorize
                token_url: ${sandbox_base}/windowed/token
                issuer: ${sandbox_base}/windowed
                client:
                  authentication: body
                replay:
                  class: windowed
                  seconds: 600
                  harm: none
                sources: [docs/sandbox.md]
                grade: D
            integrations:
              issued:
                title: Issued
                provider: issued
                category: test
                color: "#334155"
                summary: A provider that names its issuer.
                api_base: ${sandbox_base}/windowed/api
                sources: [docs/sandbox.md]
                grade: D

            """ + entries.joined(separator: "\n") + "\n"
    }
}
