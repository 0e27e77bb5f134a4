/// What a user reads: a heading, a sentence, and whether trying again makes sense.
package struct ConnectWords: Sendable, Hashable {
    package let heading: String
    package let text: String
}

extension ConnectError {
    /// - Parameter app: the app's name.
    package func words(app: String) -> ConnectWords {
        let provider = integration ?? "the provider"
        let (heading, text) = plainWords(app: app, provider: provider)
        return ConnectWords(heading: heading, text: detail ?? text)
    }

    private func plainWords(app: String, provider: String) -> (String, String) {
        switch code {
        case .denied:
            ("You did not allow access", "Nothing was connected. You can try again whenever you like.")
        case .sessionExpired:
            ("This link has expired", "Links work for a short time only. Go back to \(app) and ask for a new one.")
        case .sessionUsed:
            ("This link has been used", "It has already connected an account. Go back to \(app) to see it there.")
        case .sessionBusy:
            (
                "Already connecting",
                "Another window is connecting this account right now. Let it finish, then look here again."
            )
        case .sessionUnknown:
            ("This link is not valid", "Open it again from where you got it, or ask \(app) for a new one.")
        case .wrongClient:
            (
                "\(app) is not set up for \(provider)",
                "\(provider) does not accept the credentials of \(app). Please tell the people who run \(app)."
            )
        case .wrongRedirect:
            (
                "\(app) is not set up for \(provider)",
                "\(provider) does not know where to send you back. Please tell the people who run \(app)."
            )
        case .stateMismatch:
            (
                "This sign-in no longer counts",
                "The answer from \(provider) does not belong to a sign-in that is waiting here. Nothing was connected. "
                    + "Open the link again to start over."
            )
        case .wrongBrowser:
            (
                "Please continue in the same browser",
                "This was started in another browser, or cookies are switched off. Nothing was connected. Open the link "
                    + "again in the browser that you want to use."
            )
        case .wrongIssuer:
            (
                "The answer came from somewhere else",
                "What came back was not signed by \(provider). Nothing was connected."
            )
        case .providerUnavailable:
            ("\(provider) is not answering", "It has a problem at the moment. Please try again in a few minutes.")
        case .timeout:
            ("\(provider) took too long", "No answer came in time. Please try again.")
        case .keyRefused:
            ("\(provider) did not accept this key", "Check that it was copied whole, and that it is still valid.")
        case .accountMismatch:
            (
                "That is a different account",
                "This link renews an account that is already connected. Sign in to \(provider) with that same account."
            )
        case .notEnabled:
            ("\(provider) is not offered", "\(app) does not offer this integration. Please choose another one.")
        case .setupRequired:
            (
                "\(provider) is not ready yet",
                "\(app) has not finished setting it up. Please tell the people who run \(app)."
            )
        case .unknownIntegration:
            ("There is no such integration", "Please choose one from the list.")
        case .invalidField:
            ("Please check what you typed", "One of the fields is not right.")
        case .needsUser:
            (
                "\(provider) needs something more",
                "Your account or your administrator must allow this first. Sign in to \(provider) to see what is missing."
            )
        case .providerRefused:
            ("\(provider) said no", "It did not accept this sign-in. Please try again, or choose another account.")
        case .connectionGone:
            ("This connection was removed", "It can no longer be renewed. Go back to \(app) to connect it anew.")
        case .finishRefused:
            ("This could not be confirmed", "Go back to \(app) and connect the account again.")
        case .ours:
            ("Something went wrong here", "It is not your fault. Please try again in a moment.")
        }
    }
}

extension ConnectError.Code {
    /// Whether the same user may succeed by trying again in the same session.
    package var isRetryable: Bool {
        switch self {
        case .denied, .sessionBusy, .stateMismatch, .wrongBrowser, .wrongIssuer, .providerUnavailable, .timeout,
            .keyRefused, .accountMismatch, .notEnabled, .unknownIntegration, .invalidField, .needsUser,
            .providerRefused, .ours:
            true
        case .sessionExpired, .sessionUsed, .sessionUnknown, .wrongClient, .wrongRedirect, .setupRequired,
            .connectionGone, .finishRefused:
            false
        }
    }

    /// What the developer or operator can do.
    package var hint: String {
        switch self {
        case .denied: "nothing to repair; the session stays open"
        case .sessionExpired: "mint a new session; pass expires_in for a link that must live longer"
        case .sessionUsed: "mint a new session for every connection"
        case .sessionBusy: "wait until the other window has ended, at most two minutes"
        case .sessionUnknown: "send the token exactly as POST /v1/sessions answered it"
        case .wrongClient: "check client_id and client_secret with PUT /v1/integrations/{id}"
        case .wrongRedirect: "register the redirect_uri that GET /v1/integrations/{id} shows with the provider"
        case .stateMismatch: "start again from the connect link; a callback counts once"
        case .wrongBrowser: "the browser must keep our cookie between leaving and coming back"
        case .wrongIssuer: "check the provider's issuer in the catalog; otherwise someone mixed up two providers"
        case .providerUnavailable, .timeout: "try again; see the log for what the provider answered"
        case .keyRefused: "the key was tested with the integration's probe and refused"
        case .accountMismatch: "pass allow_other_account when the session may take over another account"
        case .notEnabled: "enable it with PUT /v1/integrations/{id}"
        case .setupRequired: "add the OAuth app with PUT /v1/integrations/{id}"
        case .unknownIntegration: "GET /v1/integrations lists the ids"
        case .invalidField: "correct the named field"
        case .needsUser: "the user or an administrator must act at the provider"
        case .providerRefused: "see the log for the provider's code"
        case .connectionGone: "mint a session without connection to make a new one"
        case .finishRefused:
            "call finish once, from your server, with the code of the return URL and the signed-in user's identity"
        case .ours: "see the log at this request id"
        }
    }
}
