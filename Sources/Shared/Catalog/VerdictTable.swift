/// What a provider's refusals mean, as lists; the rules that apply them are in OAuth.
///
/// Order of application: `certain`, `falseFriends`, `needsUser`, `appFault`, `dead`, then the codes of RFC 6749 unless
/// ``usesGenericCodes`` is off.
package struct VerdictTable: Sendable, Hashable {
    /// The grant is gone beyond doubt: no second try.
    package let certain: [AnswerMatcher]
    /// Looks like death and is not.
    package let falseFriends: [FalseFriend]
    package let needsUser: [NeedsUserMatcher]
    package let appFault: [AnswerMatcher]
    package let dead: [AnswerMatcher]
    /// Whether codes that no list names fall back to their meaning in RFC 6749.
    package let usesGenericCodes: Bool

    /// A provider of which nothing is known: RFC 6749 alone.
    package static let generic = VerdictTable(
        certain: [], falseFriends: [], needsUser: [], appFault: [], dead: [], usesGenericCodes: true)

    package struct FalseFriend: Sendable, Hashable {
        package let matcher: AnswerMatcher
        /// Whether it passes by itself; otherwise it is `unknown`, for the operator to see.
        package let isTemporary: Bool
    }

    package struct NeedsUserMatcher: Sendable, Hashable {
        package let matcher: AnswerMatcher
        package let reason: NeedsUserReason
    }
}

/// What a person must do before a grant works again.
package enum NeedsUserReason: String, Sendable, Hashable, CaseIterable {
    /// Consent again, or to more.
    case consent
    /// Sign in again: MFA, session control, password.
    case signIn = "sign_in"
    /// An administrator's policy stands against it.
    case adminPolicy = "admin_policy"
    /// The account itself: frozen, unpaid, suspended.
    case account
}

/// A refusal to recognise. All criteria given must hold; at least one is given.
package struct AnswerMatcher: Sendable, Hashable {
    package let statuses: [Int]
    /// The error code, exactly.
    package let code: String?
    /// A part of the error description, in any case of letters.
    package let description: String?
    /// A field (or any element of it, when it is a list) that equals one of `values`.
    package let field: AnswerPath?
    /// A header, in lower case, that is there; with `values` (and no field) it equals one of them.
    package let header: String?
    package let values: [String]

    package init(
        statuses: [Int] = [], code: String? = nil, description: String? = nil, field: AnswerPath? = nil,
        header: String? = nil, values: [String] = []
    ) {
        self.statuses = statuses
        self.code = code
        self.description = description
        self.field = field
        self.header = header
        self.values = values
    }
}
