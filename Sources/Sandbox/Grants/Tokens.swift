import Vault

/// The end of a token, grant or client, and why, in words for the ledger.
struct Death: Sendable, Codable, Equatable {
    /// By the provider's clock, seconds since 1970.
    let at: Double
    let reason: String
}

/// One refresh token. It is *spent* by its first successful use where its class rotates, and *dead* when it is refused.
struct RefreshToken: Sendable, Codable {
    let id: Int
    let value: String
    /// Number of the token set it came with; the code exchange gives 1.
    let generation: Int
    /// The refresh token that was presented for it; nil for the first.
    let parent: Int?
    private(set) var issuedAt: Double
    var lastUsedAt: Double?
    /// When it was first used, in classes that rotate.
    var spentAt: Double?
    /// Successful uses.
    var uses = 0
    var death: Death?

    var name: String { "r\(id)" }

    mutating func becomeOlder(by seconds: Double) {
        issuedAt -= seconds
        lastUsedAt = lastUsedAt.map { $0 - seconds }
        spentAt = spentAt.map { $0 - seconds }
    }
}

/// One access token.
struct AccessToken: Sendable, Codable {
    let id: Int
    let value: String
    let generation: Int
    /// The refresh token it was issued with.
    let refresh: Int
    let scope: String
    private(set) var issuedAt: Double
    private(set) var expiresAt: Double
    /// Whether the API has seen it.
    var isUsed = false
    var death: Death?

    var name: String { "a\(id)" }

    mutating func becomeOlder(by seconds: Double) {
        issuedAt -= seconds
        expiresAt -= seconds
    }
}

/// What a code exchange or a refresh gives.
struct TokenPair: Sendable {
    let refresh: RefreshToken
    let access: AccessToken
}

/// Numbers and values for whatever is new.
struct TokenMint: Sendable, Codable {
    private var last = 0

    /// The next number; grants, tokens, faults and gates share one row of numbers.
    mutating func number() -> Int {
        last += 1
        return last
    }

    /// 192 random bits after `prefix`, in base64url.
    static func value(_ prefix: String) -> String { prefix + SecureRandom.token(bytes: 24) }
}
