import Credentials

/// A client secret to try when the provider refuses the first one.
package struct SpareSecret: Sendable {
    package let secret: Secret
    /// Told when the provider took this secret after it had refused the first: so that it is tried first from now on.
    package let worked: @Sendable () async -> Void

    package init(secret: Secret, worked: @escaping @Sendable () async -> Void) {
        self.secret = secret
        self.worked = worked
    }
}

extension OAuthApp {
    /// Sends once more with the spare secret after the provider refused the app itself. Such a refusal is definite and
    /// comes before the provider looks at the grant (RFC 6749 §3.2.1, §5.2): nothing was spent, so this is no replay.
    ///
    /// A spare secret that could not be sent in time is remembered as well: the attempt after this one begins with it.
    func retried<Success: Sendable>(
        _ first: ProviderOutcome<Success>, _ send: (OAuthApp) async -> ProviderOutcome<Success>
    ) async -> ProviderOutcome<Success> {
        guard let spare, case .refused(let refusal) = first, refusal.verdict == .appFault else { return first }
        var app = self
        app.clientSecret = spare.secret
        app.spare = nil
        let second = await send(app)
        if case .refused(let refusal) = second, refusal.verdict == .appFault { return first }
        await spare.worked()
        return second
    }
}
