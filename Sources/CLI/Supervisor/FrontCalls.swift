import Credentials
import Egress
import Foundation
import Logging

/// The few calls that `evergrant up` makes to its own front.
struct FrontCalls: Sendable {
    let client: EgressClient

    /// Whether the front says that it is ready.
    func isReady(admin: String) async -> Bool {
        var request = request("GET", "\(admin)/readyz")
        request.timeout = .seconds(2)
        guard case .answered(let answer) = await client.send(request) else { return false }
        return answer.status == 200
    }

    /// Mints a connect link for an integration, without the finish step, as a quick start may.
    /// - Returns: nil when the front refuses; `up` then shows no link.
    func connectLink(front: String, apiKey: Secret, integration: String) async -> String? {
        struct Body: Encodable {
            let identity = "user-1"
            let identity_type = "user"
            let integrations: [String]
            let require_finish = false
            let expires_in = 86_400
        }
        struct Answer: Decodable { let connect_url: String }
        guard let body = try? JSONEncoder().encode(Body(integrations: [integration])) else { return nil }
        var request = request("POST", "\(front)/v1/sessions")
        request.headers = [
            ("Authorization", "Bearer \(apiKey.revealedText())"), ("Content-Type", "application/json"),
        ]
        request.body = .bytes(Array(body))
        guard case .answered(let answer) = await client.send(request), answer.status == 201 else { return nil }
        return try? JSONDecoder().decode(Answer.self, from: Data(answer.body)).connect_url
    }

    private func request(_ method: String, _ url: String) -> EgressRequest {
        var request = EgressRequest(method: method, url: url, policy: .loopbackOnly)
        request.allowsPlainHTTP = true
        return request
    }
}
