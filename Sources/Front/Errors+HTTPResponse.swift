import Catalog
import Connect
import Credentials
import Egress
import HTTPTypes
import Hummingbird
import Lifecycle
import NIOCore
import Postgres
import Queue
import Store
import Vault

// Every error of ours becomes an HTTP status here, and nowhere else.

extension HTTPProblem {
    /// What a caller of the API is told about `error`. Nothing unexpected is shown: it is logged under the request id.
    init(_ error: any Error, limit: Int) {
        switch error {
        case let error as HTTPProblem: self = error
        case let error as ConnectError: self.init(error)
        case let error as InvalidValue: self = .invalid(error.item, "\(error.problem); \(error.repair)")
        case let error as FormError:
            self = .invalid(error.faults.map { Fault(field: $0.item, problem: "\($0.problem); \($0.repair)") })
        case let error as ClientSecretRotation.Refusal:
            self = HTTPProblem(
                error.code == .noApp ? .notFound : .conflict, error.code.rawValue, Self.sentence(error.description),
                hint: error.repair)
        case let error as CredentialError: self.init(error)
        case let error as EgressFailure: self.init(error)
        case let error as PostgresError: self.init(error)
        case let error as QueueError where error.code == .invalid:
            self = HTTPProblem(.badRequest, "invalid_request", Self.sentence(error.description))
        case let error as QueueError where error.code == .overlap:
            self = HTTPProblem(
                .conflict, "schedule_overlap", Self.sentence(error.description),
                hint: "cancel that job, or wait for its end")
        case is NIOTooManyBytesError: self = .bodyTooLarge(limit: limit)
        case let error as HTTPError where error.status == .notFound: self = .notFound
        case let error as HTTPError:
            self.init(error.status, "bad_request", error.body ?? "The request could not be read.")
        case is CancellationError:
            self.init(.serviceUnavailable, "shutting_down", "This process is stopping.", hint: "send the call again")
            isRetryable = true
            retryAfter = 1
        default: self = .internalError
        }
    }

    static let internalError = HTTPProblem(
        .internalServerError, "internal_error", "Something went wrong here.",
        hint: "the log names the cause at this request id")

    /// Whether the log needs the error itself.
    var isUnexpected: Bool { status.code == 500 }

    private init(_ error: PostgresError) {
        switch error.code {
        case .unreachable, .connectionLost, .poolExhausted, .timedOut, .commitUnknown, .closed, .cancelled:
            self.init(
                .serviceUnavailable, "database_unavailable", "The database is not available.",
                hint: "send the call again; /readyz tells when it is back")
            isRetryable = true
            retryAfter = 2
        case .server where error.isRetryable:
            self.init(
                .serviceUnavailable, "database_busy", "The database could not do this now.", hint: "send it again")
            isRetryable = true
            retryAfter = 1
        case .server where error.sqlState == "22021" || error.sqlState == "22P05":
            self.init(
                .badRequest, "invalid_request", "A text of the request cannot be stored.",
                hint: "send valid UTF-8 without NUL characters")
        case .server, .decoding, .misuse: self = .internalError
        }
    }

    private init(_ error: ConnectError) {
        let words = error.words(app: "the app")
        self.init(error.code.status, error.code.rawValue, "\(words.heading): \(words.text)", hint: error.hint)
        isRetryable = error.code.isRetryable
        if let field = error.field { faults = [Fault(field: field, problem: error.detail ?? error.hint)] }
    }

    private init(_ error: CredentialError) {
        switch error.code {
        case .unknownConnection: self = .connectionNotFound
        case .pending, .broken, .deleted:
            self.init(
                error.code == .deleted ? .gone : .conflict, error.code.rawValue, Self.sentence(error.description),
                hint: error.code == .broken ? "POST /v1/connections/{id}/reconnect makes a link for its user" : nil)
        case .refreshFailed:
            // Without a time to come back only a person can help: no outage, a state.
            self.init(
                error.retryAfter == nil ? .conflict : .serviceUnavailable, error.code.rawValue,
                Self.sentence(error.description),
                hint: error.retryAfter == nil ? nil : "send the call again after Retry-After")
            isRetryable = error.retryAfter != nil
        }
        retryAfter = error.retryAfter.map { max(1, Int($0.components.seconds)) }
    }

    private static func sentence(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() + "." }

    private init(_ failure: EgressFailure) {
        switch failure.code {
        case .timedOut, .sendDeadline:
            self.init(
                .gatewayTimeout, "provider_timeout", "The provider did not answer in time.", hint: failure.message)
        case .addressRefused:
            self.init(
                .badGateway, "address_refused", "The provider's host is at an address that calls may not go to.",
                hint: "the operator can allow networks for an integration in its catalog file")
        case .badURL, .badRequest:
            self.init(.badRequest, "invalid_request", "The request cannot be sent as it is.", hint: failure.message)
        case .requestBody:
            self.init(.badRequest, "invalid_request", "The request body ended early.", hint: "send it whole")
        default:
            self.init(.badGateway, "provider_unreachable", "The provider could not be reached.", hint: failure.message)
        }
        isRetryable = failure.code != .badURL && failure.code != .badRequest && failure.code != .addressRefused
    }
}

extension ConnectError.Code {
    var status: HTTPResponse.Status {
        switch self {
        case .unknownIntegration, .sessionUnknown, .connectionGone: .notFound
        case .sessionExpired, .sessionUsed: .gone
        case .sessionBusy, .accountMismatch, .notEnabled, .setupRequired: .conflict
        case .invalidField, .stateMismatch, .wrongIssuer: .badRequest
        case .keyRefused, .denied, .needsUser, .providerRefused, .wrongClient, .wrongRedirect: .unprocessableContent
        case .wrongBrowser, .finishRefused: .forbidden
        case .providerUnavailable: .badGateway
        case .timeout: .gatewayTimeout
        case .ours: .internalServerError
        }
    }
}
