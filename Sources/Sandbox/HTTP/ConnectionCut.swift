import HTTPTypes
import Hummingbird
import NIOCore

/// Ends a connection in the middle of an exchange.
enum ConnectionCut {
    /// Closes the connection without a byte.
    /// - Returns: A response that cannot be written any more: the server gives the connection up when it tries.
    static func close(_ channel: any Channel) async -> Response {
        try? await channel.close()
        return Response(status: .internalServerError)
    }

    /// Sends `answer` with its whole Content-Length but half of its body (a streamed one: nothing of it), then closes.
    static func half(of answer: Answer, _ channel: any Channel) -> Response {
        var headers = answer.headers
        headers[.contentLength] = String(answer.bytes?.readableBytes ?? answer.body.contentLength ?? 1)
        let body = ResponseBody { writer in
            if let bytes = answer.bytes,
                let half = bytes.getSlice(at: bytes.readerIndex, length: bytes.readableBytes / 2)
            {
                try await writer.write(half)
            }
            try await channel.close()
        }
        return Response(status: HTTPResponse.Status(code: answer.status), headers: headers, body: body)
    }
}
