import Logging
import Pacing
import Testing

@testable import Egress

extension EgressOutcome {
    /// `answered 200`, `not sent: connect` …: what tests compare.
    var words: String {
        switch self {
        case .notSent(let failure): "not sent: \(failure.code.rawValue)"
        case .answered(let response): "answered \(response.status)"
        case .ambiguous(let failure): "ambiguous: \(failure.code.rawValue)"
        }
    }

    var response: EgressResponse? { if case .answered(let response) = self { response } else { nil } }

    var failure: EgressFailure? {
        switch self {
        case .notSent(let failure), .ambiguous(let failure): failure
        case .answered: nil
        }
    }

    var text: String? { response.map { String(decoding: $0.body, as: UTF8.self) } }
}

extension EgressStreamOutcome {
    var words: String {
        switch self {
        case .notSent(let failure): "not sent: \(failure.code.rawValue)"
        case .answered(let head, _): "answered \(head.status)"
        case .ambiguous(let failure): "ambiguous: \(failure.code.rawValue)"
        }
    }

    /// Head and body; a failed requirement where there is no answer.
    func answer() throws -> (head: EgressHead, body: EgressResponseBody) {
        guard case .answered(let head, let body) = self else {
            Issue.record("no answer: \(words)")
            throw EgressFailure(.local, words)
        }
        return (head, body)
    }
}

extension EgressClient {
    convenience init(_ configuration: EgressConfiguration = EgressConfiguration()) {
        self.init(configuration: configuration, logger: Logger(label: "egress.tests"))
    }
}

/// A request to a server of the test.
func request(
    _ method: String = "GET", _ url: String, body: EgressBody = .none, headers: [(name: String, value: String)] = [],
    policy: AddressPolicy = .loopbackOnly, _ change: (inout EgressRequest) -> Void = { _ in }
) -> EgressRequest {
    var request = EgressRequest(method: method, url: url, headers: headers, body: body, policy: policy)
    request.allowsPlainHTTP = true
    request.timeout = .seconds(40)
    request.connectTimeout = .seconds(40)
    change(&request)
    return request
}

/// The failure that ends the body.
func ending(_ body: EgressResponseBody) async -> (bytes: Int, failure: EgressFailure?) {
    var count = 0
    do {
        for try await bytes in body { count += bytes.count }
        return (count, nil)
    } catch let failure as EgressFailure {
        return (count, failure)
    } catch {
        Issue.record("another error: \(error)")
        return (count, nil)
    }
}
