import Foundation
import HTTPTypes
import Hummingbird

/// `/control/…`: JSON in, JSON out. Every call is in `docs/sandbox.md`.
struct ControlEndpoint: Sendable {
    /// A control call's answer.
    struct Done {
        var status = 200
        let body: any Encodable
    }

    let state: SandboxState

    func respond(_ request: Request, _ target: RequestTarget) async -> Response {
        do throws(ControlRefusal) {
            let call = Call(
                method: request.method, path: target.parts.dropFirst().map { PercentText.decodeForm($0.utf8) },
                fields: target.fields, request: request)
            let done = try await perform(call)
            return try Self.answer(done.status, done.body)
        } catch {
            return Answer(
                error.status, JSONText.error(error.status == 404 ? "not_found" : "invalid_call", error.message),
                outcome: .malformed
            ).response
        }
    }

    /// A control call, its path without `/control`.
    struct Call {
        let method: HTTPRequest.Method
        let path: [String]
        let fields: FormFields
        let request: Request

        func body() async throws(ControlRefusal) -> ControlBody { try await ControlBody(request) }

        func providerClass() throws(ControlRefusal) -> ProviderClass? {
            guard let name = fields["class"] else { return nil }
            guard let known = ProviderClass(rawValue: name) else {
                throw .malformed(
                    "class is \(name.debugDescription); use one of "
                        + ProviderClass.allCases.map(\.rawValue).joined(separator: ", "))
            }
            return known
        }
    }

    private func perform(_ call: Call) async throws(ControlRefusal) -> Done {
        switch call.path.first {
        case "settings": try await settings(call)
        case "clients": try await clients(call)
        case "keys": try await keys(call)
        case "faults": try await faults(call)
        case "gates": try await gates(call)
        case "grants": try grants(call)
        case "ledger", "counts": try ledger(call)
        case "lookup": try await lookup(call)
        case "clock": try await clock(call)
        case "revoke": try revoke(call)
        case "reset": try reset(call)
        case "scenarios": try await scenarios(call)
        default: throw .missing("/control/\(call.path.joined(separator: "/"))")
        }
    }

    /// A call that its path knows no such method for.
    static func misdirected(_ call: Call) -> ControlRefusal {
        ControlRefusal(
            status: 404, message: "\(call.method.rawValue) /control/\(call.path.joined(separator: "/")) is not a call")
    }

    private static func answer(_ status: Int, _ body: any Encodable) throws(ControlRefusal) -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(body) else {
            throw ControlRefusal(status: 500, message: "the answer cannot be written as JSON")
        }
        return Answer(status, String(decoding: data, as: UTF8.self) + "\n", outcome: .served).response
    }
}
