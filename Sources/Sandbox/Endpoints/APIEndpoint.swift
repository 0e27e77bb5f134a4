import Foundation
import HTTPTypes
import Hummingbird
import NIOCore

/// `/{class}/api/…`: what a connection's credential opens.
struct APIEndpoint: Sendable {
    let state: SandboxState
    let interference: Interference

    func respond(
        _ request: Request, _ target: RequestTarget, _ providerClass: ProviderClass, _ context: SandboxContext
    ) async -> Response {
        let parts = target.parts.dropFirst(2)
        let echoed: BodyDigest?
        if parts.first == "echo" {
            guard let digest = await Self.digest(request) else {
                return Answer(400, JSONText.error("invalid_request", "the body is cut"), outcome: .malformed).response
            }
            echoed = digest
        } else {
            echoed = nil
        }
        let digest = echoed.map { (bytes: $0.bytes, sha256: $0.finish()) }
        let credential = Self.credential(request, providerClass)
        let call = state.arrive(
            method: request.method.rawValue, target: target.raw, of: providerClass, credential: credential)
        if parts.first == "slow" {
            let milliseconds = target.fields["ms"].flatMap { Int($0) } ?? 1000
            await state.closing.wait(atMost: .milliseconds(max(0, min(milliseconds, 300_000))))
        }
        return await interference.run(call, on: context.channel) {
            switch state.admit(credential, in: providerClass) {
            case .failure(let refusal):
                var answer = Answer(
                    401, JSONText.error("invalid_token", refusal.reason), outcome: .refused, detail: refusal.reason)
                if providerClass.isOAuth {
                    answer.headers[.wwwAuthenticate] =
                        credential == nil
                        ? "Bearer realm=\"sandbox\"" : "Bearer realm=\"sandbox\", error=\"invalid_token\""
                }
                return answer
            case .success(let account):
                switch (parts.first, parts.count, request.method) {
                case ("me", 1, .get), ("me", 1, .head): return me(account)
                case ("echo", 1..., _): return echo(request, target, digest)
                case ("items", 1, .get), ("items", 1, .head): return items(target.fields)
                case ("large", 1, .get): return large(target.fields)
                case ("slow", 1, _): return Answer(200, "{\"ok\":true}", outcome: .served)
                default:
                    return Answer(
                        404, JSONText.error("not_found", "me, echo, items, large and slow are here"), outcome: .served)
                }
            }
        }
    }

    /// The credential as its class takes it: a bearer token, or an API key in `x-api-key`.
    private static func credential(_ request: Request, _ providerClass: ProviderClass) -> String? {
        guard providerClass.isOAuth else { return HTTPField.Name("x-api-key").flatMap { request.headers[$0] } }
        guard let header = request.headers[.authorization], header.lowercased().hasPrefix("bearer ") else { return nil }
        return header.dropFirst(7).trimmingCharacters(in: .whitespaces)
    }

    private static func digest(_ request: Request) async -> BodyDigest? {
        let digest = BodyDigest()
        do {
            for try await buffer in request.body { digest.add(buffer) }
        } catch {
            return nil
        }
        return digest
    }

    private func me(_ account: Account) -> Answer {
        Answer(
            200,
            "{\"id\":\"\(account.id)\",\"email\":\(JSONText.quoted(account.email)),\"name\":\(JSONText.quoted(account.name))}",
            outcome: .served)
    }

    /// The request as it came, so that a test can see everything that leaked into it.
    private func echo(_ request: Request, _ target: RequestTarget, _ body: (bytes: Int, sha256: String)?) -> Answer {
        var headers = [("host", request.head.authority ?? "")]
        headers += request.headers.map { ($0.name.rawName, $0.value) }
        let list = headers.map { "[\(JSONText.quoted($0.0)),\(JSONText.quoted($0.1))]" }.joined(separator: ",")
        return Answer(
            200,
            """
            {"method":\(JSONText.quoted(request.method.rawValue)),"path":\(JSONText.quoted(String(target.path))),\
            "query":\(JSONText.quoted(String(target.query))),"headers":[\(list)],\
            "body":{"bytes":\(body?.bytes ?? 0),"sha256":"\(body?.sha256 ?? "")"}}
            """, outcome: .served)
    }

    /// Forty items, by `limit` (10) after number `after`.
    private func items(_ fields: FormFields) -> Answer {
        let after = max(0, fields["after"].flatMap { Int($0) } ?? 0)
        let limit = min(100, max(1, fields["limit"].flatMap { Int($0) } ?? 10))
        let numbers = Array((1...40).filter { $0 > after }.prefix(limit))
        let list = numbers.map { "{\"id\":\($0),\"title\":\"Item \($0)\"}" }.joined(separator: ",")
        let next = numbers.last.flatMap { $0 < 40 ? String($0) : nil } ?? "null"
        return Answer(200, "{\"items\":[\(list)],\"next\":\(next)}", outcome: .served)
    }

    /// `bytes` (1 MiB, at most 16 GiB) of text, streamed; without Content-Length where `chunked=1`.
    private func large(_ fields: FormFields) -> Answer {
        let bytes = max(0, min(fields["bytes"].flatMap { Int($0) } ?? 1 << 20, 1 << 34))
        let chunk = ByteBuffer(repeating: UInt8(ascii: "x"), count: 65_536)
        let body = ResponseBody(contentLength: fields["chunked"] == "1" ? nil : bytes) { writer in
            var left = bytes
            while left > 0 {
                let count = min(left, 65_536)
                try await writer.write(chunk.getSlice(at: 0, length: count) ?? chunk)
                left -= count
            }
            try await writer.finish(nil)
        }
        return Answer(200, body: body, headers: [.contentType: "application/octet-stream"], outcome: .served)
    }
}

extension SandboxState {
    /// Why an API call is refused.
    struct Inadmissible: Error, Sendable {
        let reason: String
    }

    /// Shows a credential to the API of a class. Counts as a use of it.
    func admit(_ credential: String?, in providerClass: ProviderClass) -> Swift.Result<Account, Inadmissible> {
        withBook { book, now in
            guard let credential else { return .failure(Inadmissible(reason: "no credential was sent")) }
            if providerClass == .key {
                guard let key = book.keys[credential] else { return .failure(Inadmissible(reason: "unknown API key")) }
                if let death = key.death {
                    return .failure(Inadmissible(reason: "\(key.name) is dead: \(death.reason)"))
                }
                book.keys[credential]?.calls += 1
                return .success(Account(key.account))
            }
            guard case .access(let grant, let token) = book.places[credential],
                let account = book.grants[grant]?.account, book.grants[grant]?.providerClass == providerClass
            else { return .failure(Inadmissible(reason: "unknown access token")) }
            if let reason = book.grants[grant]?.use(access: token, settings: book.settings[providerClass], now: now) {
                return .failure(Inadmissible(reason: reason))
            }
            if providerClass.rotation == .untilUsed { book.revision += 1 }
            return .success(Account(account))
        }
    }
}
