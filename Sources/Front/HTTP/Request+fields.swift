import HTTPTypes
import Hummingbird
import NIOCore

extension Request {
    /// Reads a JSON body of a call of ours.
    /// - Throws: ``HTTPProblem`` for a body that is too long, not JSON, or has unknown or wrong fields.
    func fields<Body: RequestFields>(_ type: Body.Type, limit: Int) async throws -> Body {
        if let announced = headers[.contentLength].flatMap({ Int($0) }), announced > limit {
            throw HTTPProblem.bodyTooLarge(limit: limit)
        }
        if let media = headers[.contentType], !media.lowercased().hasPrefix("application/json") {
            throw HTTPProblem(
                .unsupportedMediaType, "unsupported_media_type", "The body is not announced as JSON.",
                hint: "send Content-Type: application/json")
        }
        return try JSONCoding.decode(type, from: try await body.collect(upTo: limit))
    }

    /// Reads a form of one of our pages.
    func form(limit: Int) async throws -> [String: String] {
        FormText.fields(String(buffer: try await body.collect(upTo: limit)))
    }
}
