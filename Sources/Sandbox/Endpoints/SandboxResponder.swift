import HTTPTypes
import Hummingbird

/// Finds the endpoint for a request by its undecoded path.
struct SandboxResponder: HTTPResponder {
    let token: TokenEndpoint
    let revocation: RevocationEndpoint
    let introspection: IntrospectionEndpoint
    let authorization: AuthorizationEndpoint
    let api: APIEndpoint
    let control: ControlEndpoint

    init(state: SandboxState, issuer: String) {
        let interference = Interference(state: state)
        token = TokenEndpoint(state: state, interference: interference)
        revocation = RevocationEndpoint(state: state, interference: interference)
        introspection = IntrospectionEndpoint(state: state, issuer: issuer)
        authorization = AuthorizationEndpoint(state: state, issuer: issuer)
        api = APIEndpoint(state: state, interference: interference)
        control = ControlEndpoint(state: state)
    }

    func respond(to request: Request, context: SandboxContext) async throws -> Response {
        let target = RequestTarget(request)
        let parts = target.parts
        if let first = parts.first {
            if first == "control" { return await control.respond(request, target) }
            if parts.count >= 2, let providerClass = ProviderClass(rawValue: String(first)) {
                if parts[1] == "api", parts.count >= 3 {
                    let response = await api.respond(request, target, providerClass, context)
                    return request.method == .head ? response.createHeadResponse() : response
                }
                if parts.count == 2, providerClass.isOAuth {
                    switch parts[1] {
                    case "token": return await token.respond(request, providerClass, context)
                    case "revoke": return await revocation.respond(request, providerClass, context)
                    case "introspect": return await introspection.respond(request, providerClass)
                    case "authorize" where request.method == .get || request.method == .post:
                        return await authorization.respond(request, target, providerClass)
                    default: break
                    }
                }
            }
        }
        switch target.path {
        case "/key" where request.method == .get || request.method == .post:
            return await KeyEndpoint(state: control.state).respond(request)
        case "/healthz":
            return Answer(200, "ok\n", type: "text/plain", outcome: .served).response
        case "/":
            return Answer(200, Self.greeting, type: "text/plain; charset=utf-8", outcome: .served).response
        default:
            return Answer(404, JSONText.error("not_found", "nothing is at \(target.path)"), outcome: .served).response
        }
    }

    private static let greeting = """
        The sandbox provider of Evergrant.

        OAuth:   /{class}/authorize  /{class}/token  /{class}/revoke  /{class}/introspect
        API:     /{class}/api/me  echo  items  large?bytes=  slow?ms=
        Classes: \(ProviderClass.allCases.map(\.rawValue).joined(separator: ", "))
        Client:  \(SandboxConfiguration.clientID) with \(SandboxConfiguration.clientSecret)
        Keys:    /key
        Control: /control/settings  clients  keys  faults  gates  grants  ledger  lookup  clock  revoke  scenarios  reset

        """
}
