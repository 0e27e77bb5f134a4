import Vault

/// A user of the provider, known by an e-mail address that anybody may choose on the consent page.
struct Account: Sendable {
    let email: String

    init(_ email: String) { self.email = email }

    /// The same for the same address, in every class.
    var id: String { "acct_" + Encoding.hex(Digest.sha256(email.lowercased()).prefix(8)) }

    /// The part before `@`, its words with capitals.
    var name: String {
        email.prefix { $0 != "@" }.split { ".-_+".contains($0) }
            .map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined(separator: " ")
    }
}
