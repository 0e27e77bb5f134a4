import Credentials
import Testing

@Suite struct ConnectionKeyTests {
    private let token = "0123456789abcdef0123456789abcdef"

    @Test func `a key has mode, integration, token and identity`() throws {
        let key = ConnectionKey(mode: .live, integration: "google-calendar", token: token, identity: "user-1")
        #expect(key.description == "live::google-calendar::default::\(token)|user-1")
        #expect(try ConnectionKey(parsing: key.description) == key)
        #expect(key.lookup == "live::google-calendar::default::\(token)")
    }

    @Test func `spaces and colons of the identity become dashes in the key only`() {
        let key = ConnectionKey(mode: .test, integration: "gmail", token: token, identity: "a b:c|d")
        #expect(key.identity == "a-b-c|d")
    }

    @Test func `a key without its identity is understood`() throws {
        #expect(try ConnectionKey(parsing: "test::gmail::default::\(token)").identity == nil)
    }

    @Test(arguments: [
        "", "gmail", "test::gmail::default::", "prod::gmail::default::0123456789abcdef0123456789abcdef",
        "test::Gmail::default::0123456789abcdef0123456789abcdef",
        "test::gmail::other::0123456789abcdef0123456789abcdef",
        "test::gmail::default::0123456789ABCDEF0123456789abcdef", "test:gmail:default:0123456789abcdef0123456789abcdef",
        "test::gmail::default::0123456789abcdef0123456789abcde", "test::::default::0123456789abcdef0123456789abcdef",
    ])
    func `a malformed key is refused with an example of a good one`(text: String) {
        let error = #expect(throws: InvalidValue.self) { try ConnectionKey(parsing: text) }
        #expect(error?.description.contains("test::gmail::default::") == true)
    }
}

@Suite struct IdentityTests {
    @Test(arguments: ["user@example.com", "3f0c8e0e-6f1c-4b0e-9f0a-000000000000", "日本語のユーザー", "👩‍👩‍👧‍👦", "a|b::c", " "])
    func `any identity is kept unchanged`(value: String) throws {
        #expect(try Identity(type: .user, value: value).value == value)
    }

    @Test func `an identity of 256 characters is taken, one of 257 is not`() throws {
        _ = try Identity(type: .team, value: String(repeating: "é", count: 256))
        #expect(throws: InvalidValue.self) { try Identity(type: .team, value: String(repeating: "é", count: 257)) }
    }

    @Test(arguments: ["", "a\0b"])
    func `an empty identity and one with a NUL are refused`(value: String) {
        #expect(throws: InvalidValue.self) { try Identity(type: .user, value: value) }
    }

    @Test func `an unknown type is refused with the list of the four`() {
        let error = #expect(throws: InvalidValue.self) { try IdentityType(parsing: "robot") }
        #expect(error?.repair == "use one of user, team, organization, project")
    }
}
