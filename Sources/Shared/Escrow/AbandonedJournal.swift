import Foundation

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// A journal whose process is gone: its lock could be taken.
struct AbandonedJournal {
    let incarnation: String
    private let directory: String
    private let lockFile: Int32
    private let segments: [String]

    /// The paths of a journal's segments, oldest first.
    static func segments(of incarnation: String, in directory: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        let numbered = names.compactMap { segment -> (Int, String)? in
            let parts = segment.split(separator: ".")
            guard parts.count == 3, parts[0] == incarnation, parts[2] == "journal", let number = Int(parts[1])
            else { return nil }
            return (number, "\(directory)/\(segment)")
        }
        return numbered.sorted { $0.0 < $1.0 }.map(\.1)
    }

    /// Takes the lock of every journal in `directory` that nobody holds.
    static func all(in directory: String, except own: String) -> [AbandonedJournal] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.filter { $0.hasSuffix(".lock") }.sorted().compactMap { name in
            let incarnation = String(name.dropLast(5))
            guard incarnation != own else { return nil }
            let file = open("\(directory)/\(name)", O_RDWR | O_CLOEXEC)
            guard file >= 0 else { return nil }
            guard flock(file, LOCK_EX | LOCK_NB) == 0, access("\(directory)/\(name)", F_OK) == 0 else {
                close(file)
                return nil
            }
            return AbandonedJournal(
                incarnation: incarnation, directory: directory, lockFile: file,
                segments: self.segments(of: incarnation, in: directory))
        }
    }

    /// The answers without their `settled`, and the intents without an answer, in the order they were written.
    func unsettled() -> [EscrowRecord] {
        EscrowHistory(segments: segments).entries.filter { $0.settlement == nil }.map(\.record)
    }

    func history() -> EscrowHistory { EscrowHistory(segments: segments) }

    /// When the journal was last written to.
    var lastWrite: Date? {
        segments.compactMap {
            (try? FileManager.default.attributesOfItem(atPath: $0))?[.modificationDate] as? Date
        }.max()
    }

    /// Writes what became of lines into a segment of its own: the last one's end may be torn.
    func settle(_ settlements: [(key: UUID, settlement: EscrowSettlement)]) throws {
        guard !settlements.isEmpty else { return }
        let last = segments.last.flatMap { Int($0.split(separator: ".").dropLast().last ?? "") } ?? 0
        var bytes = EscrowFormat.magic
        for (key, settlement) in settlements {
            bytes += EscrowFormat.encode(EscrowRecord(kind: .settled, key: key, payload: [settlement.rawValue]))
        }
        let path = "\(directory)/\(incarnation).\(last + 1).journal"
        try Data(bytes).write(to: URL(filePath: path), options: .atomic)
    }

    func remove() {
        for path in Self.segments(of: incarnation, in: directory) { unlink(path) }
        unlink("\(directory)/\(incarnation).lock")
        close(lockFile)
    }

    func release() { close(lockFile) }
}
