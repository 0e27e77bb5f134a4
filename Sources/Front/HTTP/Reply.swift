import HTTPTypes
import Hummingbird
import NIOCore
import Store

/// What a call of the API answers, before it becomes a response: so that it can be remembered under an idempotency key.
struct Reply: Sendable {
    var status: HTTPResponse.Status = .ok
    /// JSON; empty: no body.
    var body: [UInt8] = []
    /// Answers that hold a secret are not remembered.
    var holdsSecret = false
    var headers: HTTPFields = [:]
    /// Written as it is made, instead of `body`; of calls that stream.
    var stream: ResponseBody?

    static func json(_ value: some Encodable, status: HTTPResponse.Status = .ok, holdsSecret: Bool = false) throws
        -> Reply
    {
        Reply(status: status, body: try JSONCoding.encode(value), holdsSecret: holdsSecret)
    }

    /// A connection as the database shows it.
    static func connection(_ record: ConnectionRecord, status: HTTPResponse.Status = .ok) -> Reply {
        Reply(status: status, body: record.document)
    }

    /// A page of documents that are JSON already.
    static func page(_ documents: [[UInt8]], next: String?, total: Int? = nil) -> Reply {
        var body = Array(#"{"data":["#.utf8)
        for (index, document) in documents.enumerated() {
            if index > 0 { body.append(UInt8(ascii: ",")) }
            body += document
        }
        body += Array("],\"next_cursor\":\(next.map { "\"\($0)\"" } ?? "null")".utf8)
        if let total { body += Array(",\"total\":\(total)".utf8) }
        body.append(UInt8(ascii: "}"))
        return Reply(body: body)
    }

    static let empty = Reply(status: .noContent)

    var response: Response {
        var fields = headers
        fields[.cacheControl] = "no-store"
        fields[.xContentTypeOptions] = "nosniff"
        if let stream {
            fields[.contentType] = "application/octet-stream"
            return Response(status: status, headers: fields, body: stream)
        }
        if status == .noContent { return Response(status: status, headers: fields) }
        fields[.contentType] = "application/json"
        return Response(status: status, headers: fields, body: ResponseBody(byteBuffer: ByteBuffer(bytes: body)))
    }
}
