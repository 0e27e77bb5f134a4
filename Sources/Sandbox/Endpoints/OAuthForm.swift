import Foundation
import HTTPTypes
import Hummingbird
import NIOCore

/// What the token, revocation and introspection endpoints have in common: a small form by POST.
enum OAuthForm {
    /// The body as a form; bodies over 64 KiB and other media types are refused.
    static func read(_ request: Request) async throws(OAuthRefusal) -> FormFields {
        guard request.method == .post else {
            throw OAuthRefusal(status: 405, code: "invalid_request", reason: "use POST", outcome: .malformed)
        }
        let buffer: ByteBuffer
        do {
            buffer = try await request.body.collect(upTo: 65_536)
        } catch {
            throw OAuthRefusal(
                status: 413, code: "invalid_request", reason: "the body is cut, or over 64 KiB", outcome: .malformed)
        }
        let type = request.headers[.contentType]?.prefix { $0 != ";" } ?? ""
        guard type.trimmingCharacters(in: .whitespaces).lowercased() == "application/x-www-form-urlencoded" else {
            throw .malformed("invalid_request", "send application/x-www-form-urlencoded")
        }
        return FormFields(parsing: buffer.readableBytesView)
    }

    /// The client's name from HTTP Basic, for the ledger; empty when there is none.
    static func client(_ request: Request) -> String {
        (try? ClientCredentials(headers: request.headers, form: FormFields()))?.id ?? ""
    }
}
