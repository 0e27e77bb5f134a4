import Egress
import HTTPTypes
import Hummingbird
import NIOCore

/// The body of a passthrough call: kept, so that it can be sent again after a refresh, when it is small; else streamed.
struct CallerBody {
    /// 64 KiB.
    static let keptLimit = 64 * 1024

    let body: EgressBody

    init(_ request: Request) async throws {
        let chunked = request.headers[.transferEncoding] != nil
        let length = request.headers[.contentLength].flatMap { Int($0) }
        switch (length, chunked) {
        case (nil, false), (0, false): body = .none
        case (let length?, false) where length <= Self.keptLimit:
            body = .bytes(Array(buffer: try await request.body.collect(upTo: Self.keptLimit)))
        default:
            body = .stream(request.body.map { Array(buffer: $0) }, length: chunked ? nil : length)
        }
    }

    var canBeSentAgain: Bool {
        if case .stream = body { return false }
        return true
    }
}
