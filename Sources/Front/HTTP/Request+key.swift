import HTTPTypes
import Hummingbird

extension Request {
    /// `Authorization`, or what stands for it in the calls of the public AuthKit packages.
    var keyField: String? {
        if let field = headers[.authorization] { return field }
        return (headers[.picaSecret] ?? headers[.oneSecret]).map { "Bearer \($0)" }
    }
}
