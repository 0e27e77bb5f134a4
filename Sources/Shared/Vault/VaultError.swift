/// Why the vault or its keyring refused. It never holds plaintext, key bytes or the text of a keyring line.
package struct VaultError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What went wrong, for callers to switch on.
    package enum Code: String, Sendable, Hashable, CaseIterable {
        /// There is no keyring at that path, or the environment variable is unset. `evergrant up` makes one then.
        case keyringMissing = "keyring_missing"
        /// A file is already there; it is never overwritten.
        case keyringExists = "keyring_exists"
        /// The file can't be read or written.
        case keyringUnreadable = "keyring_unreadable"
        /// Mode, owner or type of the file would let others read or replace it.
        case keyringUnsafe = "keyring_unsafe"
        /// A line is not `<key id> <base64 of 32 bytes> [primary]`, or the lines contradict each other.
        case keyringMalformed = "keyring_malformed"
        /// The key that wrapped a data key is not in the ring, or the ring holds another key under its id.
        case keyringCannotOpen = "keyring_cannot_open"
        /// The data key that a sealed value names is not stored.
        case unknownDataKey = "unknown_data_key"
        /// A sealed value is shorter than the format allows, or of a version this build does not know.
        case malformed
        /// A sealed value was altered, or does not belong to the place it was read from. An alarm.
        case misplacedOrAltered = "misplaced_or_altered"
        /// A part is longer than the format can say.
        case tooLarge = "too_large"
        /// OpenSSL failed or lacks an algorithm.
        case cryptography
    }

    package let code: Code
    /// What was being worked on: a path, a key id, a place in the database.
    package let item: String
    package let problem: String
    /// What to do about it.
    package let hint: String

    package init(_ code: Code, item: String, problem: String, hint: String) {
        self.code = code
        self.item = item
        self.problem = problem
        self.hint = hint
    }

    package var description: String { "\(item) \(problem); \(hint)" }

    static func openSSL(_ doing: String) -> VaultError {
        VaultError(
            .cryptography, item: "OpenSSL", problem: "failed at \(doing)",
            hint: "check that libcrypto 3 is installed and that its configuration offers AES-256-GCM")
    }
}
