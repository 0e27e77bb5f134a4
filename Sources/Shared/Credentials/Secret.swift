#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Plaintext that must not be printed, logged or encoded by accident.
///
/// Prints as `<redacted>`, is not `Codable`, and overwrites its bytes when the last copy goes. Swift may still
/// have copied them elsewhere (a `String` made by ``withText(_:)``, a bridge into C): this narrows the window,
/// it does not close it.
package struct Secret: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private final class Storage: @unchecked Sendable {
        // Written only in init and deinit, so concurrent readers never see a change.
        let buffer: UnsafeMutableBufferPointer<UInt8>

        init(_ bytes: some Collection<UInt8>) {
            buffer = .allocate(capacity: bytes.count)
            _ = buffer.initialize(from: bytes)
        }

        deinit {
            if let base = buffer.baseAddress { explicit_bzero(base, buffer.count) }
            buffer.deallocate()
        }
    }

    private let storage: Storage

    /// Takes a copy of `bytes`.
    package init(_ bytes: some Collection<UInt8>) { storage = Storage(bytes) }

    /// Takes the UTF-8 bytes of `text`.
    package init(_ text: String) { storage = Storage(Array(text.utf8)) }

    /// Number of bytes.
    package var count: Int { storage.buffer.count }

    package var isEmpty: Bool { count == 0 }

    /// The plaintext, for the duration of `body` only. Do not keep what you are given.
    package func withBytes<T>(_ body: (UnsafeRawBufferPointer) throws -> T) rethrows -> T {
        try body(UnsafeRawBufferPointer(storage.buffer))
    }

    /// The plaintext as UTF-8 text, for the duration of `body` only. Invalid UTF-8 is repaired with U+FFFD.
    package func withText<T>(_ body: (String) throws -> T) rethrows -> T {
        try body(String(decoding: storage.buffer, as: UTF8.self))
    }

    /// A copy of the plaintext, for handing to C or to a wire format. Every use is a place to audit.
    package func revealed() -> [UInt8] { Array(storage.buffer) }

    /// A copy of the plaintext as text. Every use is a place to audit.
    package func revealedText() -> String { String(decoding: storage.buffer, as: UTF8.self) }

    package var description: String { "<redacted>" }
    package var debugDescription: String { "<redacted>" }
    package var customMirror: Mirror { Mirror(self, children: []) }

    /// Compares in time that depends on the lengths only.
    package static func == (left: Secret, right: Secret) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for (a, b) in zip(left.storage.buffer, right.storage.buffer) { difference |= a ^ b }
        return difference == 0
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(bytes: UnsafeRawBufferPointer(storage.buffer)) }
}
