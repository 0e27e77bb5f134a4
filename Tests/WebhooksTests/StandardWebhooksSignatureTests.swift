import Credentials
import Foundation
import Testing
import Vault

@testable import Webhooks

@Suite struct StandardWebhooksSignatureTests {
    private struct Vector: Decodable {
        let secret: String, id: String, timestamp: Int64, body: String, signature: String
    }

    private let secret = WebhookSecret()
    private let body = Array(#"{"type":"connection.broken"}"#.utf8)

    private func refusal(
        _ signature: StandardWebhooksSignature, body: [UInt8]? = nil, secrets: [WebhookSecret]? = nil,
        now: Int64? = nil,
        replacing name: String = "", with value: String? = nil
    ) -> StandardWebhooksSignature.Refusal? {
        var headers = Dictionary(uniqueKeysWithValues: signature.headers.map { ($0.name, $0.value) })
        if !name.isEmpty { headers[name] = value }
        do {
            try StandardWebhooksSignature.verify(
                header: { headers[$0] }, body: body ?? self.body, secrets: secrets ?? [secret],
                now: now ?? signature.timestamp)
        } catch { return error }
        return nil
    }

    @Test func `signatures are those of the reference library`() throws {
        let url = try #require(
            Bundle.module.url(forResource: "signatures", withExtension: "json", subdirectory: "Vectors"))
        let vectors = try JSONDecoder().decode([Vector].self, from: Data(contentsOf: url))
        #expect(vectors.count == 4)
        for vector in vectors {
            let secret = try WebhookSecret(parsing: Secret(vector.secret))
            let signature = StandardWebhooksSignature(
                id: vector.id, timestamp: vector.timestamp, body: Array(vector.body.utf8), secrets: [secret])
            #expect(signature.signatures == vector.signature)
            #expect(secret.text == Secret(vector.secret))
        }
    }

    @Test func `during a rotation either secret verifies, and no other`() {
        let old = WebhookSecret()
        let signature = StandardWebhooksSignature(id: "evt_1", timestamp: 100, body: body, secrets: [secret, old])
        #expect(signature.signatures.split(separator: " ").count == 2)
        #expect(refusal(signature) == nil)
        #expect(refusal(signature, secrets: [old]) == nil)
        #expect(refusal(signature, secrets: [WebhookSecret()]) == .noMatchingSignature)
        #expect(refusal(signature, secrets: []) == .noMatchingSignature)
    }

    @Test func `a change of id, time or body is refused`() {
        let signature = StandardWebhooksSignature(id: "evt_1", timestamp: 1000, body: body, secrets: [secret])
        #expect(refusal(signature, body: body + [0x20]) == .noMatchingSignature)
        #expect(refusal(signature, replacing: "webhook-id", with: "evt_2") == .noMatchingSignature)
        #expect(refusal(signature, replacing: "webhook-timestamp", with: "1001") == .noMatchingSignature)
        #expect(refusal(signature, replacing: "webhook-timestamp", with: "soon") == .timestampMalformed)
        #expect(refusal(signature, replacing: "webhook-signature", with: nil) == .headerMissing)
        #expect(refusal(signature, replacing: "webhook-id", with: "") == .headerMissing)
        let other = signature.signatures.replacingOccurrences(of: "v1,", with: "v2,")
        #expect(refusal(signature, replacing: "webhook-signature", with: other) == .noMatchingSignature)
        #expect(refusal(signature, replacing: "webhook-signature", with: "v1,!! \(signature.signatures)") == nil)
    }

    @Test func `a timestamp may be five minutes off, not more`() {
        let signature = StandardWebhooksSignature(id: "evt_1", timestamp: 10_000, body: body, secrets: [secret])
        #expect(refusal(signature, now: 10_300) == nil)
        #expect(refusal(signature, now: 10_301) == .timestampTooOld)
        #expect(refusal(signature, now: 9700) == nil)
        #expect(refusal(signature, now: 9699) == .timestampTooNew)
    }

    @Test(arguments: [
        ("whsec_not base64!", "is not whsec_ followed by base64"), ("", "has 0 bytes"),
        ("whsec_" + Encoding.base64([UInt8](repeating: 1, count: 23)), "has 23 bytes"),
        ("whsec_" + Encoding.base64([UInt8](repeating: 1, count: 65)), "has 65 bytes"),
    ])
    func `a secret of another form is refused without quoting it`(_ text: String, _ problem: String) {
        let error = #expect(throws: InvalidValue.self) { try WebhookSecret(parsing: Secret(text)) }
        #expect(error?.problem == problem)
    }

    @Test func `a secret is of 24 to 64 bytes and prints as redacted`() throws {
        for length in [24, 64] {
            _ = try WebhookSecret(parsing: Secret(Encoding.base64(SecureRandom.bytes(length))))
        }
        #expect("\(secret)" == "<redacted>")
        #expect(secret.text.revealedText().count == 6 + 44)
        #expect(try WebhookSecret(parsing: secret.text) == secret)
    }
}
