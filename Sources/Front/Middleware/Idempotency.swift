import Credentials
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Postgres
import Store
import Vault

/// `Idempotency-Key` on our POSTs: a repeat gets the first call's answer instead of a second effect. Answers are kept
/// sealed for a day; one that holds a secret is not kept, and its repeat says so.
struct Idempotency: Sendable {
    static let header = HTTPField.Name.known("Idempotency-Key")

    let pool: PostgresPool
    let vault: CredentialVault
    let bodyLimit: Int
    let logger: Logger
    var life: Duration = .seconds(86_400)

    func perform(
        _ request: Request, key name: String, context: FrontRequestContext,
        _ call: @Sendable (Request, FrontRequestContext) async throws -> Reply
    ) async throws -> Reply {
        guard (1...200).contains(name.utf8.count), name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw HTTPProblem.invalid("Idempotency-Key", "is not 1 to 200 visible ASCII characters")
        }
        var request = request
        let body = try await request.collectBody(upTo: bodyLimit)
        let environment = try context.authenticated().environment.id
        let what = Array("\(request.method.rawValue) \(request.head.path ?? "")\n".utf8) + Array(body.readableBytesView)
        let claim = try await IdempotencyKeys.claim(
            environmentID: environment, key: name, requestHash: Digest.sha256(what), life: life, in: pool)
        switch claim {
        case .first: break
        case .mismatch:
            throw HTTPProblem(
                .unprocessableContent, "idempotency_key_reused",
                "This Idempotency-Key came with another request before.",
                hint: "use a new key for every new request")
        case .atWork:
            var problem = HTTPProblem(
                .conflict, "idempotency_key_in_use", "The first call under this Idempotency-Key has not ended.",
                hint: "send the call again in a moment")
            problem.isRetryable = true
            problem.retryAfter = 1
            throw problem
        case .done(_, nil):
            throw HTTPProblem(
                .conflict, "idempotent_secret",
                "The first call under this key succeeded; its answer held a secret and was not kept.",
                hint: "if that answer was lost, make a new one with another Idempotency-Key")
        case .done(let status, let sealed?): return try await replay(status, sealed, environment, name)
        }
        do {
            let reply = try await call(request, context)
            try await remember(reply, environment, name)
            return reply
        } catch {
            // A call that failed had no effect; the same key may try again.
            try? await IdempotencyKeys.release(environmentID: environment, key: name, in: pool)
            throw error
        }
    }

    private func replay(_ status: Int, _ sealed: [UInt8], _ environment: Int64, _ name: String) async throws -> Reply {
        let opened = try await vault.open(sealed, .idempotentAnswer(environmentID: environment, key: name))
        var reply = Reply(status: HTTPResponse.Status(code: status), body: opened.revealed())
        reply.headers[.known("Idempotent-Replayed")] = "true"
        return reply
    }

    private func remember(_ reply: Reply, _ environment: Int64, _ name: String) async throws {
        do {
            let sealed =
                reply.holdsSecret
                ? nil
                : try await vault.seal(Secret(reply.body), .idempotentAnswer(environmentID: environment, key: name))
            try await IdempotencyKeys.complete(
                environmentID: environment, key: name, status: reply.status.code, sealedAnswer: sealed, in: pool)
        } catch {
            // The effect has happened and its answer goes out; only the memory of it is missing.
            logger.warning("idempotent answer not remembered", metadata: ["error": "\(error)"])
        }
    }
}
