import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Store
import Vault

/// What travels with one request.
struct FrontRequestContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    /// Ours, or the caller's `X-Request-Id` where it is sane.
    var requestID = ""
    /// Set by ``Authentication``.
    var key: AuthenticatedKey?

    init(source: ApplicationRequestContextSource) { coreContext = CoreRequestContextStorage(source: source) }

    /// The key of an authenticated call.
    func authenticated() throws(HTTPProblem) -> AuthenticatedKey {
        guard let key else { throw .unauthenticated }
        return key
    }

    /// For audit lines.
    var actor: String { key.map { "key:\($0.uid)" } ?? "public" }

    /// A part of the path that the route names.
    func parameter(_ name: String) throws(HTTPProblem) -> String {
        guard let value = parameters.get(name) else { throw .notFound }
        return value
    }

    /// A part of the path that may hold any text: percent-decoded. A slash in it is sent as `%2F`.
    func decodedParameter(_ name: String) throws(HTTPProblem) -> String {
        guard let text = try parameter(name).removingPercentEncoding, !text.utf8.contains(0) else {
            throw .invalid(name, "is not percent-encoded UTF-8")
        }
        return text
    }
}

/// Request ids: a caller's own is kept where it can do no harm in a log.
enum RequestIdentifier {
    static let header = HTTPField.Name.known("X-Request-Id")

    static func choose(_ given: String?) -> String {
        guard let given, (1...100).contains(given.utf8.count), given.utf8.allSatisfy(isPlain) else {
            return "req_" + SecureRandom.hex(bytes: 12)
        }
        return given
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
            UInt8(ascii: ":"):
            true
        default: false
        }
    }
}
