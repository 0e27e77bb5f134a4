import Foundation
import Testing

@testable import Vault

/// Reads the known-answer vectors that `Vectors/generate.py` wrote.
enum Vectors {
    struct Sealed: Decodable {
        let purpose: String, environmentID: Int64, rowID: String, generation: Int64
        let dataKeyID: UUID, dataKey: Hex, nonce: Hex, plaintext: Hex, associatedData: Hex, sealed: Hex

        var context: SealContext {
            SealContext(purpose: purpose, environmentID: environmentID, rowID: rowID, generation: generation)
        }
    }

    struct Wrapped: Decodable {
        let kekID: String, kek: Hex, environmentID: Int64, dataKeyID: UUID, dataKey: Hex, nonce: Hex, wrapped: Hex
    }

    struct Published: Decodable {
        struct GCM: Decodable {
            let name: String, key: Hex, nonce: Hex, plaintext: Hex, associatedData: Hex, ciphertext: Hex, tag: Hex
        }
        struct HMAC: Decodable { let name: String, key: Hex, message: Hex, digest: Hex }
        struct HKDF: Decodable { let name: String, key: Hex, salt: Hex, info: Hex, length: Int, output: Hex }

        let gcm: [GCM], hmac: [HMAC], hkdf: [HKDF]
    }

    /// Bytes written as hexadecimal.
    struct Hex: Decodable {
        let bytes: [UInt8]

        init(from decoder: any Decoder) throws {
            let text = try decoder.singleValueContainer().decode(String.self)
            bytes = try #require(Encoding.bytes(hex: text))
        }
    }

    static func load<T: Decodable>(_ name: String, as type: T.Type) throws -> T {
        let url = try #require(Bundle.module.url(forResource: name, withExtension: "json", subdirectory: "Vectors"))
        return try JSONDecoder().decode(type, from: Data(contentsOf: url))
    }
}
