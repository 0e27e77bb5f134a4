import Credentials

/// The text form of a keyring, in a file or an environment variable: one key a line,
/// `<key id> <base64 of 32 bytes> [primary]`; empty lines and lines that begin with `#` are skipped.
package enum KeyringText {
    static let lineForm = "<key id> <base64 of 32 bytes> [primary]"

    /// - Parameter place: where the text is from, for errors: a path or a variable.
    /// - Throws: ``VaultError`` with code `keyringMalformed` that names place and line, and quotes nothing of the line.
    package static func parse(_ text: String, place: String) throws(VaultError) -> [KeyEncryptionKey] {
        var keys: [KeyEncryptionKey] = []
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        for (number, line) in lines.enumerated() {
            let words = line.split(whereSeparator: \.isWhitespace)
            guard let id = words.first, !id.hasPrefix("#") else { continue }
            let item = "\(place) line \(number + 1)"
            func malformed(_ problem: String) -> VaultError {
                VaultError(.keyringMalformed, item: item, problem: problem, hint: "write it as \(lineForm)")
            }
            guard words.count == 2 || words.count == 3 else { throw malformed("has \(words.count) words") }
            guard words.count == 2 || words[2] == "primary" else {
                throw malformed("has a third word other than primary")
            }
            guard let key = Encoding.bytes(base64: words[1]) else { throw malformed("has a key that is not base64") }
            let secret = Secret(key)
            try check(id: String(id), key: secret, place: item)
            keys.append(KeyEncryptionKey(id: String(id), key: secret, isPrimary: words.count == 3))
        }
        guard !keys.isEmpty else {
            throw VaultError(.keyringMalformed, item: place, problem: "has no key", hint: "add one: \(lineForm)")
        }
        return keys
    }

    static func check(id: String, key: Secret, place: String) throws(VaultError) {
        guard isValid(id: id) else {
            throw VaultError(
                .keyringMalformed, item: place, problem: "has a key id that is not valid",
                hint: "use 1 to 64 letters, digits, dots, hyphens or underscores")
        }
        guard key.count == AESGCM.keyLength else {
            throw VaultError(
                .keyringMalformed, item: place, problem: "has a key of \(key.count) bytes",
                hint: "use exactly 32, for example from: openssl rand -base64 32")
        }
        guard key.withBytes({ bytes in bytes.contains { $0 != bytes[0] } }) else {
            throw VaultError(
                .keyringMalformed, item: place, problem: "has a key of 32 equal bytes, which is a placeholder",
                hint: "make a real one: openssl rand -base64 32")
        }
    }

    static func isValid(id: String) -> Bool {
        (1...64).contains(id.utf8.count)
            && id.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }
}
