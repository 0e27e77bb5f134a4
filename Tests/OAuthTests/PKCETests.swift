import Credentials
import OAuth
import Testing

@Suite struct `proof keys` {
    /// RFC 7636, appendix B.
    @Test func `give the challenge of the RFC's example`() throws {
        let pkce = try PKCE(verifier: Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"))
        #expect(pkce.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
    }

    @Test func `are drawn anew, 43 unreserved characters long`() throws {
        let drawn = (0..<50).map { _ in PKCE().verifier }
        #expect(Set(drawn).count == 50)
        for verifier in drawn {
            #expect(verifier.count == 43)
            _ = try PKCE(verifier: verifier)
        }
    }

    @Test(arguments: [42, 129])
    func `have 43 to 128 characters`(length: Int) {
        #expect(throws: InvalidValue.self) { try PKCE(verifier: Secret(String(repeating: "a", count: length))) }
    }

    @Test func `have no other characters`() {
        #expect(throws: InvalidValue.self) { try PKCE(verifier: Secret(String(repeating: "+", count: 43))) }
    }
}
