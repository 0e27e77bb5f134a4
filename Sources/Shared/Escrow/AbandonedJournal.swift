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
            let segments = names.compactMap { segment -> (Int, String)? in
                let parts = segment.split(separator: ".")
                guard parts.count == 3, parts[0] == incarnation, parts[2] == "journal", let number = Int(parts[1])
                else { return nil }
                return (number, "\(directory)/\(segment)")
            }
            return AbandonedJournal(
                incarnation: incarnation, directory: directory, lockFile: file,
                segments: segments.sorted { $0.0 < $1.0 }.map(\.1))
        }
    }

    /// The answers without their `settled`, and the intents without an answer, in the order they were written.
    func unsettled() -> [EscrowRecord] {
        var order: [UUID] = []
        var records: [UUID: EscrowRecord] = [:]
        for path in segments {
            guard let data = FileManager.default.contents(atPath: path) else { continue }
            for record in EscrowFormat.decode(Array(data)) {
                if record.kind == .settled {
                    records[record.key] = nil
                } else {
                    if records[record.key] == nil { order.append(record.key) }
                    records[record.key] = record
                }
            }
        }
        return order.compactMap { records[$0] }
    }

    func remove() {
        for path in segments { unlink(path) }
        unlink("\(directory)/\(incarnation).lock")
        close(lockFile)
    }

    func release() { close(lockFile) }
}
