import Foundation
import Logging
import Testing
import Vault

@testable import Sandbox

/// A sandbox that runs for one test, on a port of its own, and how a client talks to it.
struct SandboxHarness: Sendable {
    struct Tokens: Sendable {
        var access: String
        var refresh: String
        var expiresIn: Int
    }

    static let redirect = "http://127.0.0.1:9/callback"
    static let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    static let client = [("client_id", "sandbox-client"), ("client_secret", "sandbox-secret")]

    let server: SandboxServer
    let port: Int
    var state: SandboxState { server.state }

    // MARK: HTTP

    /// One request on a connection of its own, off the cooperative pool.
    func send(
        _ method: String, _ target: String, headers: [(String, String)] = [], body: [UInt8]? = nil
    ) async throws -> WireAnswer {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { [port] in
                continuation.resume(
                    with: Result {
                        let connection = try WireConnection(port: port)
                        try connection.send(method, target, headers: headers, body: body)
                        return try connection.receive(headOnly: method == "HEAD")
                    })
            }
        }
    }

    func get(_ target: String, bearer: String? = nil) async throws -> WireAnswer {
        try await send("GET", target, headers: bearer.map { [("Authorization", "Bearer \($0)")] } ?? [])
    }

    func post(_ target: String, _ form: [(String, String)], headers: [(String, String)] = []) async throws -> WireAnswer
    {
        try await send(
            "POST", target, headers: [("Content-Type", "application/x-www-form-urlencoded")] + headers,
            body: Self.encode(form))
    }

    static func encode(_ form: [(String, String)]) -> [UInt8] {
        Array(form.map { "\($0.0)=\(PercentText.encode($0.1))" }.joined(separator: "&").utf8)
    }

    @discardableResult
    func control(_ method: String, _ path: String, _ json: String? = nil) async throws -> WireAnswer {
        try await send(method, "/control/\(path)", body: json.map { Array($0.utf8) })
    }

    // MARK: OAuth

    /// The query of an authorization request; `changes` replace or remove parameters.
    static func authorization(_ changes: [String: String?] = [:]) -> String {
        var fields: [String: String] = [
            "response_type": "code", "client_id": "sandbox-client", "redirect_uri": redirect, "scope": "read write",
            "state": "xyz", "code_challenge": Encoding.base64url(Digest.sha256(verifier)),
            "code_challenge_method": "S256",
        ]
        for (name, value) in changes { fields[name] = value }
        return fields.sorted { $0.key < $1.key }.map { "\($0.key)=\(PercentText.encode($0.value))" }.joined(
            separator: "&")
    }

    /// The parameters of the redirect that an authorization request is answered with.
    func authorize(_ providerClass: String, _ changes: [String: String?] = [:]) async throws -> [String: String] {
        let query = Self.authorization(["auto": "allow"].merging(changes) { $1 })
        let answer = try await get("/\(providerClass)/authorize?\(query)")
        try #require(answer.status == 302, "\(answer.status) \(answer.text)")
        return Self.query(of: try #require(answer["location"]))
    }

    static func query(of location: String) -> [String: String] {
        let items = URLComponents(string: location)?.queryItems ?? []
        return Dictionary(items.map { ($0.name, $0.value ?? "") }) { $1 }
    }

    func exchange(_ providerClass: String, code: String, _ changes: [(String, String)] = []) async throws -> WireAnswer
    {
        var form = [
            ("grant_type", "authorization_code"), ("code", code), ("redirect_uri", Self.redirect),
            ("code_verifier", Self.verifier),
        ]
        if !changes.contains(where: { $0.0 == "client_id" }) { form += Self.client }
        form.removeAll { field in changes.contains { $0.0 == field.0 } }
        return try await post("/\(providerClass)/token", form + changes.filter { !$0.1.isEmpty })
    }

    /// A new grant of an account.
    func connect(_ providerClass: String, account: String = "user@example.com") async throws -> Tokens {
        let code = try #require(try await authorize(providerClass, ["login_hint": account])["code"])
        return try Self.tokens(try await exchange(providerClass, code: code))
    }

    func refresh(_ providerClass: String, _ token: String, _ more: [(String, String)] = []) async throws -> WireAnswer {
        try await post("/\(providerClass)/token", Self.refreshForm(token) + more)
    }

    static func refreshForm(_ token: String) -> [(String, String)] {
        [("grant_type", "refresh_token"), ("refresh_token", token)] + client
    }

    static func tokens(_ answer: WireAnswer) throws -> Tokens {
        try #require(answer.status == 200, "\(answer.status) \(answer.text)")
        return Tokens(
            access: try #require(answer.text("access_token")), refresh: answer.text("refresh_token") ?? "",
            expiresIn: Int(answer.number("expires_in") ?? -1))
    }

    /// The only grant there is.
    func grant() throws -> GrantReport {
        let grants = state.grants()
        try #require(grants.count == 1)
        return grants[0]
    }
}

/// Runs `body` against a sandbox of its own, and stops it.
func withSandbox<Result: Sendable>(
    _ configuration: SandboxConfiguration = SandboxConfiguration(port: 0),
    _ body: @Sendable (SandboxHarness) async throws -> Result
) async throws -> Result {
    var logger = Logger(label: "sandbox")
    logger.logLevel = .error
    let server = SandboxServer(configuration: configuration, logger: logger)
    return try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await server.run() }
        let result = try await body(SandboxHarness(server: server, port: try await server.port))
        group.cancelAll()
        try await group.waitForAll()
        return result
    }
}
