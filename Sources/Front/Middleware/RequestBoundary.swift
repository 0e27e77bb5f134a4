import HTTPTypes
import Hummingbird
import Logging
import Metrics

/// The outermost middleware: request id, refusal of odd request targets, errors as problems, access log, metrics.
///
/// The access log names the route's template, never the path or query as sent: paths hold session ids, queries of
/// callbacks hold codes and states.
struct RequestBoundary: RouterMiddleware {
    let bodyLimit: Int
    let logger: Logger
    let listener: String

    func handle(
        _ request: Request, context: FrontRequestContext,
        next: (Request, FrontRequestContext) async throws -> Response
    ) async throws -> Response {
        var context = context
        context.requestID = RequestIdentifier.choose(request.headers[RequestIdentifier.header])
        let start = ContinuousClock.now
        var response: Response
        do {
            // RFC 9112 §3.2: absolute form is for proxies, which this is not.
            guard request.head.path?.first == "/" else {
                throw HTTPProblem(.badRequest, "invalid_target", "The request target is not a path.")
            }
            response = try await next(request, context)
        } catch {
            let problem = HTTPProblem(error, limit: bodyLimit)
            if problem.isUnexpected {
                logger.error("request failed", metadata: ["request": "\(context.requestID)", "error": "\(error)"])
            }
            response = problem.response(requestID: context.requestID)
        }
        response.headers[RequestIdentifier.header] = context.requestID
        report(request, context, response.status.code, ContinuousClock.now - start)
        return response
    }

    private func report(_ request: Request, _ context: FrontRequestContext, _ status: Int, _ took: Duration) {
        let route = context.endpointPath ?? "unmatched"
        let seconds = Double(took.components.seconds) + Double(took.components.attoseconds) / 1e18
        Timer(
            label: "http_request_seconds",
            dimensions: [
                ("listener", listener), ("method", method(request)), ("route", route), ("status", "\(status)"),
            ]
        ).recordNanoseconds(Int64(seconds * 1e9))
        logger.info(
            "request",
            metadata: [
                "request": "\(context.requestID)", "method": "\(method(request))", "route": "\(route)",
                "status": "\(status)", "ms": "\((seconds * 10_000).rounded() / 10)",
            ])
    }

    /// Unknown methods are counted as one, so that callers cannot make metrics.
    private func method(_ request: Request) -> String {
        let known: [HTTPRequest.Method] = [.get, .head, .post, .put, .patch, .delete, .options]
        return known.contains(request.method) ? request.method.rawValue : "other"
    }
}
