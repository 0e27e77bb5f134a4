/// Something that goes wrong at the provider, for as many requests as it was asked for.
package struct SandboxFault: Sendable {
    /// What goes wrong.
    package enum Kind: String, Sendable, CaseIterable {
        /// `status` (503), nothing done.
        case errorBefore = "5xx_before"
        /// `status` (503) after the work was done.
        case errorAfter = "5xx_after"
        /// 429, with `Retry-After` when `retry_after` is given.
        case tooMany = "429"
        /// No answer for `ms`, or until released; then a closed connection, or the late answer: see ``Hang``.
        case hang
        /// The answer `ms` (1000) late.
        case slow
        /// 200 `{"ok":false,"error":…}`, the shape of Slack.
        case okFalse = "ok_false"
        /// 400 `invalid_grant` for a grant that is alive: nothing changes.
        case invalidGrant = "invalid_grant"
        /// 401 `invalid_client` for a client that is well.
        case invalidClient = "invalid_client"
        /// The work is done and the connection closed without a byte.
        case lostAnswer = "lost_answer"
        /// The connection is closed without a byte, nothing done.
        case closed
        /// The request is worked on twice, as when something on the way repeats it; the client gets the first answer.
        case duplicate
        /// 200 with an HTML page.
        case html = "html_200"
        /// Half the true answer under its full Content-Length, then a closed connection.
        case cutBody = "cut_body"
        /// `status`, `headers` and `body` as given.
        case custom

        /// Whether the work is done where the caller does not say.
        var worksByDefault: Bool {
            switch self {
            case .errorAfter, .slow, .lostAnswer, .cutBody, .duplicate: true
            case .errorBefore, .tooMany, .hang, .okFalse, .invalidGrant, .invalidClient, .closed, .html, .custom: false
            }
        }
    }

    /// When a hanging request is worked on.
    package enum Hang: String, Sendable, CaseIterable {
        /// At once; the answer waits.
        case before
        /// Never; the connection is closed in the end.
        case never
        /// When the hang ends: a provider that works on a request its client has given up.
        case late
    }

    private(set) var id = 0
    package let kind: Kind
    package let selector: SandboxSelector
    /// Requests still to be hit; nil for all.
    package var remaining: Int?
    /// Chance of each matching request, 0…1.
    package var probability = 1.0
    /// Status of its answer, where it gives one.
    package var status: Int?
    /// `Retry-After` of its answer, as written.
    package var retryAfter: String?
    /// How long it hangs, or how late the answer is. Nil: until it is removed, or 1000 where it is slow.
    package var milliseconds: Int?
    /// Whether the provider does its work all the same.
    package var worked: Bool
    /// When a hanging request is worked on; outranks ``worked``.
    package var hang = Hang.never { didSet { worked = hang != .never } }
    /// The `error` it names, or its description.
    package var error: String?
    package var headers: [(name: String, value: String)] = []
    package var body: String?
    /// Requests hit.
    private(set) var hits = 0
    /// Opened when hanging requests may go on.
    let latch = Latch()

    /// - Parameter count: Requests to hit; nil for all.
    package init(_ kind: Kind, _ selector: SandboxSelector = SandboxSelector(), count: Int? = nil) {
        self.kind = kind
        self.selector = selector
        remaining = count
        worked = kind.worksByDefault
    }

    var name: String { "f\(id)" }

    /// This fault under its number.
    func numbered(_ id: Int) -> SandboxFault {
        var fault = self
        fault.id = id
        return fault
    }

    /// Whether it hits this request; counts it when it does.
    mutating func strikes(_ arrival: Ledger.Arrival) -> Bool {
        guard remaining != 0, selector.matches(arrival) else { return false }
        guard probability >= 1 || Double.random(in: 0..<1) < probability else { return false }
        if let left = remaining { remaining = left - 1 }
        hits += 1
        return true
    }
}
