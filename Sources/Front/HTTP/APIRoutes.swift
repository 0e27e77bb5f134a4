import HTTPTypes
import Hummingbird
import Store

/// One call of the API: what its key must allow, and what it does.
struct APICall: Sendable {
    let permission: Permission
    /// Whether it reads its body as it comes; then an `Idempotency-Key` says nothing, and the body has no limit here.
    var streams = false
    let perform: @Sendable (Request, FrontRequestContext) async throws -> Reply

    init(_ permission: Permission, _ perform: @escaping @Sendable (Request, FrontRequestContext) async throws -> Reply)
    {
        self.permission = permission
        self.perform = perform
    }
}

/// Adds calls of the API to a router: authentication, permission, idempotency, and 405 for the methods a path lacks.
struct APIRoutes {
    let router: Router<FrontRequestContext>
    let authenticator: KeyAuthenticator
    let idempotency: Idempotency

    /// - Parameter takesSecretHeader: the key may also stand in the header of the public AuthKit packages.
    func add(_ path: RouterPath, _ calls: [HTTPRequest.Method: APICall], takesSecretHeader: Bool = false) {
        let authenticator = authenticator
        let idempotency = idempotency
        for (method, call) in calls {
            router.on(path, method: method) { request, context in
                var context = context
                let key = try await authenticator.authenticate(
                    takesSecretHeader ? request.keyField : request.headers[.authorization])
                context.key = key
                try key.role.require(call.permission)
                guard method == .post, !call.streams, let name = request.headers[Idempotency.header] else {
                    return try await call.perform(request, context).response
                }
                return try await idempotency.perform(request, key: name, context: context, call.perform).response
            }
        }
        router.refuseOtherMethods(path, Array(calls.keys))
    }
}

extension Router<FrontRequestContext> {
    /// Answers 405 with `Allow` for the methods that `path` does not take.
    func refuseOtherMethods(_ path: RouterPath, _ taken: [HTTPRequest.Method]) {
        let allowed = taken.sorted { $0.rawValue < $1.rawValue }
        for method in [HTTPRequest.Method.get, .post, .put, .patch, .delete, .options] where !taken.contains(method) {
            on(path, method: method) { _, _ -> Response in throw HTTPProblem.methodNotAllowed(allowed) }
        }
    }
}
