import Credentials
import Vault

extension KeyringConfiguration {
    /// Reads the key-encryption keys.
    /// - Throws: `VaultError` that names the file or the variable, what is wrong, and what to do.
    package func keyring() throws(VaultError) -> Keyring {
        var sources: [any KeyEncryptionKeySource] = files.map { FileKeySource($0) }
        if let keys {
            let variable = Self.keysSetting.row.variable
            sources.append(EnvironmentKeySource(variable, environment: [variable: keys.revealedText()]))
        }
        return try Keyring(loading: sources)
    }
}
