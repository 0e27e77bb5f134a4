import Credentials
import Crypto
import Foundation
import Testing

@testable import Vault

@Suite struct SealedValueTests {
    @Test func `AES-256-GCM gives the answers of the GCM specification`() throws {
        let cases = try Vectors.load("published", as: Vectors.Published.self).gcm
        #expect(cases.count == 4)
        for vector in cases {
            var sealed: [UInt8] = []
            try AESGCM.seal(
                Secret(vector.plaintext.bytes), key: Secret(vector.key.bytes), nonce: vector.nonce.bytes,
                associatedData: vector.associatedData.bytes, appendingTo: &sealed)
            #expect(sealed == vector.ciphertext.bytes + vector.tag.bytes, "\(vector.name)")
            let opened = try AESGCM.open(
                sealed[...], key: Secret(vector.key.bytes), nonce: vector.nonce.bytes[...],
                associatedData: vector.associatedData.bytes)
            #expect(opened?.revealed() == vector.plaintext.bytes, "\(vector.name)")
        }
    }

    @Test func `a sealed value has the bytes that Python's cryptography gives it`() throws {
        let vectors = try Vectors.load("sealed-values", as: [Vectors.Sealed].self)
        #expect(vectors.count == 6)
        for vector in vectors {
            let key = Secret(vector.dataKey.bytes)
            let data = try SealedValue.associatedData(vector.dataKeyID, vector.context)
            #expect(data == vector.associatedData.bytes)
            let sealed = try SealedValue.seal(
                Secret(vector.plaintext.bytes), under: key, id: vector.dataKeyID, vector.context,
                nonce: vector.nonce.bytes)
            #expect(sealed == vector.sealed.bytes)
            let value = try SealedValue(parsing: vector.sealed.bytes)
            #expect(value.dataKeyID == vector.dataKeyID)
            #expect(try value.open(under: key, vector.context)?.revealed() == vector.plaintext.bytes)
        }
    }

    @Test func `swift-crypto opens what we seal, and we open what it seals`() throws {
        for length in [0, 1, 15, 16, 17, 2048, 100_000] {
            let plaintext = SecureRandom.bytes(length), key = SecureRandom.bytes(32), id = UUID()
            let context = SealContext(purpose: "token_set", environmentID: 3, rowID: "r\(length)", generation: 9)
            let data = try SealedValue.associatedData(id, context)
            let sealed = try SealedValue.seal(Secret(plaintext), under: Secret(key), id: id, context)
            #expect(sealed.count == length + SealedValue.overhead)
            let box = try AES.GCM.SealedBox(combined: sealed[17...])
            #expect(try Array(AES.GCM.open(box, using: SymmetricKey(data: key), authenticating: data)) == plaintext)

            let theirs = try AES.GCM.seal(plaintext, using: SymmetricKey(data: key), authenticating: data)
            let combined = try #require(theirs.combined)
            let value = try SealedValue(parsing: Array(sealed[..<17]) + Array(combined))
            #expect(try value.open(under: Secret(key), context)?.revealed() == plaintext)
        }
    }

    @Test func `two seals of one secret differ`() throws {
        let key = Secret(SecureRandom.bytes(32)), id = UUID()
        let context = SealContext(purpose: "p", environmentID: 1, rowID: "1")
        let first = try SealedValue.seal(Secret("same"), under: key, id: id, context)
        #expect(try SealedValue.seal(Secret("same"), under: key, id: id, context) != first)
    }

    @Test func `the parts of a place cannot run into each other`() throws {
        let id = UUID()
        let places = [
            SealContext(purpose: "ab", environmentID: 1, rowID: "c", generation: 0),
            SealContext(purpose: "a", environmentID: 1, rowID: "bc", generation: 0),
            SealContext(purpose: "abc", environmentID: 1, rowID: "", generation: 0),
            SealContext(purpose: "", environmentID: 1, rowID: "abc", generation: 0),
            SealContext(purpose: "ab", environmentID: 0, rowID: "c", generation: 1),
        ]
        #expect(Set(try places.map { try SealedValue.associatedData(id, $0) }).count == places.count)
    }
}
