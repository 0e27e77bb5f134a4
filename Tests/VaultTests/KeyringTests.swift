import Credentials
import Foundation
import Testing

@testable import Vault

@Suite struct KeyringTests {
    private func key(_ id: String, primary: Bool = false) -> KeyEncryptionKey {
        KeyEncryptionKey(id: id, key: Secret(SecureRandom.bytes(32)), isPrimary: primary)
    }

    private func fault(_ body: () throws -> Void) -> VaultError? {
        do { try body() } catch { return error as? VaultError }
        return nil
    }

    @Test func `a wrapped data key has the bytes that Python's cryptography gives it`() throws {
        let vectors = try Vectors.load("wrapped-data-keys", as: [Vectors.Wrapped].self)
        #expect(vectors.count == 4)
        for vector in vectors {
            let ring = try Keyring([
                KeyEncryptionKey(id: vector.kekID, key: Secret(vector.kek.bytes), isPrimary: false)
            ])
            let wrapped = try ring.wrap(
                Secret(vector.dataKey.bytes), id: vector.dataKeyID, environmentID: vector.environmentID,
                at: Date(timeIntervalSince1970: 0), nonce: vector.nonce.bytes)
            #expect(wrapped.wrapped == vector.wrapped.bytes)
            #expect(wrapped.kekID == vector.kekID)
            #expect(try ring.unwrap(wrapped).revealed() == vector.dataKey.bytes)
        }
    }

    @Test func `every key of the ring unwraps, the primary wraps`() throws {
        let old = key("old"), new = key("new", primary: true)
        let (wrapped, dataKey) = try Keyring([old]).newDataKey(environmentID: 7, at: Date())
        let ring = try Keyring([old, new])
        #expect(try ring.unwrap(wrapped) == dataKey)
        #expect(try ring.newDataKey(environmentID: 7, at: Date()).0.kekID == "new")
        #expect(ring.ids == ["new", "old"])
    }

    @Test func `a wrapped data key does not open when cut, altered, or moved to another id or environment`() throws {
        let ring = try Keyring([key("key-1")])
        let (wrapped, _) = try ring.newDataKey(environmentID: 7, at: Date())
        func with(_ bytes: [UInt8], id: UUID? = nil, environment: Int64 = 7) -> WrappedDataKey {
            WrappedDataKey(
                id: id ?? wrapped.id, environmentID: environment, kekID: wrapped.kekID, wrapped: bytes,
                createdAt: wrapped.createdAt)
        }
        for length in 0..<wrapped.wrapped.count {
            #expect(fault { _ = try ring.unwrap(with(Array(wrapped.wrapped.prefix(length)))) }?.code == .malformed)
        }
        for index in wrapped.wrapped.indices {
            var bytes = wrapped.wrapped
            bytes[index] ^= 1
            #expect(throws: VaultError.self) { try ring.unwrap(with(bytes)) }
        }
        #expect(fault { _ = try ring.unwrap(with(wrapped.wrapped, id: UUID())) }?.code == .keyringCannotOpen)
        #expect(fault { _ = try ring.unwrap(with(wrapped.wrapped, environment: 8)) }?.code == .keyringCannotOpen)
    }

    @Test func `a missing key is named with the ids that are present`() throws {
        let (wrapped, _) = try Keyring([key("gone")]).newDataKey(environmentID: 7, at: Date())
        let ring = try Keyring([key("a"), key("b", primary: true)])
        let error = try #require(fault { _ = try ring.unwrap(wrapped) })
        #expect(error.code == .keyringCannotOpen)
        #expect(error.description.contains("under key gone, which the keyring lacks (it holds a, b)"))
        let impostor = try #require(fault { _ = try Keyring([key("gone")]).unwrap(wrapped) })
        #expect(impostor.description.contains("the keyring's key of that id does not open it"))
    }

    @Test func `one key needs no mark, several need exactly one primary`() throws {
        #expect(try Keyring([key("only")]).primaryID == "only")
        #expect(fault { _ = try Keyring([]) }?.problem == "has no key")
        #expect(fault { _ = try Keyring([key("a"), key("b")]) }?.problem == "has 2 keys and none is primary")
        #expect(
            fault { _ = try Keyring([key("a", primary: true), key("b", primary: true)]) }?.problem
                == "has 2 primary keys (a, b)")
        #expect(
            fault { _ = try Keyring([key("a", primary: true), key("a")]) }?.problem == "has two keys with the id a")
    }

    @Test func `a keyring text may hold comments, empty lines and Windows line ends`() throws {
        let first = Encoding.base64(SecureRandom.bytes(32)), second = Encoding.base64(SecureRandom.bytes(32))
        let text = "# ours\r\n\r\n  key-1\t\(first)\r\nkey_2.b \(second) primary\r\n"
        let keys = try KeyringText.parse(text, place: "here")
        #expect(keys.map(\.id) == ["key-1", "key_2.b"])
        #expect(keys.map { Encoding.base64($0.key.revealed()) } == [first, second])
        #expect(try Keyring(keys).primaryID == "key_2.b")
    }

    static let valid = Encoding.base64(SecureRandom.bytes(32))

    @Test(arguments: [
        ("", "place has no key"), ("# only a comment\n", "place has no key"),
        ("key-1", "place line 1 has 1 words"), ("\nkey-1 \(valid) primary extra", "place line 2 has 4 words"),
        ("key-1 \(valid) Primary", "place line 1 has a third word other than primary"),
        ("key-1 \(valid.dropLast())", "place line 1 has a key that is not base64"),
        ("key-1 c2hvcnQ=", "place line 1 has a key of 5 bytes"),
        ("key:1 \(valid)", "place line 1 has a key id that is not valid"),
        ("\(String(repeating: "k", count: 65)) \(valid)", "place line 1 has a key id that is not valid"),
        ("key-1 \(Encoding.base64([UInt8](repeating: 7, count: 32)))", "place line 1 has a key of 32 equal bytes"),
    ])
    func `a faulty keyring text is refused by line, without quoting it`(_ text: String, _ sentence: String) throws {
        let error = try #require(fault { _ = try KeyringText.parse(text, place: "place") })
        #expect(error.code == .keyringMalformed)
        #expect(error.description.hasPrefix(sentence))
        #expect(!error.description.contains(Self.valid.prefix(12)))
    }

    @Test func `a keyring comes from the environment, and an unset variable is said`() throws {
        let source = EnvironmentKeySource("RING", environment: ["RING": "key-1 \(Self.valid)"])
        #expect(try Keyring(loading: [source]).ids == ["key-1"])
        let unset = EnvironmentKeySource("RING", environment: [:])
        let error = try #require(fault { _ = try Keyring(loading: [unset]) })
        #expect(error.code == .keyringMissing)
        #expect(error.description.hasPrefix("environment variable RING is not set; set it to <key id> <base64"))
    }
}
