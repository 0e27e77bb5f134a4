import Credentials

/// Where the key-encryption keys are.
package struct KeyringConfiguration: Sendable {
    static let filesSetting = Setting(
        "keyring.files", .list(of: "paths"), default: [],
        "Files of key-encryption keys, mode 0600, one `<key id> <base64 of 32 bytes> [primary]` a line. Give this, "
            + "`keyring.keys`, or both.")
    static let keysSetting = Setting(
        "keyring.keys", .optional(.text), default: nil, isSecret: true,
        "The same lines as text, for platforms that hand secrets over in the environment.")

    package static let rows = [filesSetting.row, keysSetting.row]

    package var files: [String]
    package var keys: Secret?

    package init(reading reader: SettingsReader, isRequired: Bool) {
        files = reader.value(Self.filesSetting)
        keys = reader.value(Self.keysSetting).map { Secret($0) }
        if isRequired, files.isEmpty, keys == nil {
            reader.record(
                Self.filesSetting.name, "is missing",
                repair:
                    "set EVERGRANT_KEYRING_FILES to a key file, or EVERGRANT_KEYRING_KEYS to its text; make one by: "
                    + "(umask 077; echo \"key-1 $(openssl rand -base64 32) primary\" > keyring)")
        }
    }
}
