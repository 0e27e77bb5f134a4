import Foundation

/// Where key-encryption keys come from.
package protocol KeyEncryptionKeySource: Sendable {
    /// Reads all keys of this source.
    /// - Throws: ``VaultError``, naming the source and never quoting a key.
    func load() throws(VaultError) -> [KeyEncryptionKey]
}

/// Key-encryption keys in an environment variable, in the text form of ``KeyringText``.
package struct EnvironmentKeySource: KeyEncryptionKeySource {
    package let variable: String
    private let environment: [String: String]

    package init(_ variable: String, environment: [String: String] = ProcessInfo.processInfo.environment) {
        self.variable = variable
        self.environment = environment
    }

    package func load() throws(VaultError) -> [KeyEncryptionKey] {
        guard let text = environment[variable] else {
            throw VaultError(
                .keyringMissing, item: "environment variable \(variable)", problem: "is not set",
                hint: "set it to \(KeyringText.lineForm)")
        }
        return try KeyringText.parse(text, place: "environment variable \(variable)")
    }
}
