import Credentials
import Crypto
import Testing

@testable import Vault

@Suite struct DigestTests {
    @Test func `HMAC gives the digests of RFC 4231`() throws {
        let cases = try Vectors.load("published", as: Vectors.Published.self).hmac
        #expect(cases.count == 6)
        for vector in cases {
            #expect(
                Digest.hmacSHA256(key: vector.key.bytes, vector.message.bytes) == vector.digest.bytes, "\(vector.name)")
        }
    }

    @Test func `HKDF gives the keys of RFC 5869`() throws {
        let cases = try Vectors.load("published", as: Vectors.Published.self).hkdf
        #expect(cases.count == 3)
        for vector in cases {
            let key = Digest.hkdfSHA256(
                key: Secret(vector.key.bytes), salt: vector.salt.bytes, purpose: vector.info.bytes,
                length: vector.length)
            #expect(key.revealed() == vector.output.bytes, "\(vector.name)")
        }
    }

    @Test func `SHA-256 agrees with swift-crypto at every length over two blocks`() {
        for length in 0...130 {
            let bytes = SecureRandom.bytes(length)
            #expect(Vault.Digest.sha256(bytes) == Array(SHA256.hash(data: bytes)))
        }
        #expect(
            Encoding.hex(Vault.Digest.sha256("abc"))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(Vault.Digest.sha256("abc") == Vault.Digest.sha256(Secret("abc")))
        #expect(Vault.Digest.sha256("abc".utf8.lazy.map { $0 }) == Vault.Digest.sha256("abc"))
    }

    @Test func `comparison sees every difference, in length and in each byte`() {
        let bytes = SecureRandom.bytes(33)
        #expect(Vault.Digest.constantTimeEquals(bytes, bytes))
        #expect(Vault.Digest.constantTimeEquals([], [UInt8]()))
        #expect(!Vault.Digest.constantTimeEquals(bytes, bytes.dropLast()))
        #expect(!Vault.Digest.constantTimeEquals(bytes, [UInt8]()))
        for index in bytes.indices {
            var other = bytes
            other[index] ^= 0x80
            #expect(!Vault.Digest.constantTimeEquals(bytes, other))
        }
    }
}

private typealias Digest = Vault.Digest
