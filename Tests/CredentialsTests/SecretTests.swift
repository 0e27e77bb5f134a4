import Credentials
import Foundation
import Testing

@Suite struct SecretTests {
    private let secret = Secret("hunter2-hunter2")

    @Test func `a secret never prints itself`() {
        struct Holder { let inside: Secret }
        var dumped = ""
        dump(Holder(inside: secret), to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), "\(Holder(inside: secret))", dumped, "\([secret])"] {
            #expect(!text.contains("hunter2"))
        }
    }

    @Test func `secrets are equal by content`() {
        #expect(secret == Secret(Array("hunter2-hunter2".utf8)))
        #expect(secret != Secret("hunter2-hunter3"))
        #expect(secret != Secret("hunter2"))
    }

    @Test func `a token set comes back as it was written`() throws {
        let tokens = TokenSet(
            accessToken: Secret("a\u{0}ä"), refreshToken: Secret("r"), tokenType: "bearer",
            expiresAt: Date(timeIntervalSince1970: 1_800_000_000.25), refreshExpiresAt: nil, scopes: ["x", "y"],
            furtherTokens: ["user": Secret("u")], facts: ["instance_url": "https://eu1.example.com"])
        #expect(try TokenSet(plaintext: tokens.plaintext()) == tokens)
        let bare = TokenSet(accessToken: Secret("only"))
        #expect(try TokenSet(plaintext: bare.plaintext()) == bare)
    }

    @Test(arguments: ["", "{}", #"{"v":2,"a":"x","t":"Bearer"}"#, "\u{0}"])
    func `a plaintext of another form is refused without being quoted`(text: String) {
        let error = #expect(throws: InvalidValue.self) { try TokenSet(plaintext: Secret(text)) }
        #expect(error?.item == "sealed token set")
    }
}
