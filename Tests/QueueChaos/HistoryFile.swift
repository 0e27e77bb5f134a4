import ChaosSupport
import Foundation
import Logging
import Pacing
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The history of one process, a JSON line for each fact.
///
/// Each line is one write(2): what was written before a SIGKILL is there. A line is written before what it announces can
/// have an effect, or after what it reports has had one, so a missing line means "not yet known", never "did not happen".
final class HistoryFile: Sendable {
    private let descriptor: Int32
    private let name: String

    /// Appends to `directory`/`name`.jsonl.
    init(directory: String, name: String) throws {
        let path = "\(directory)/\(name).jsonl"
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw ChaosError("cannot open \(path): \(String(cString: strerror(errno)))") }
        self.name = name
    }

    deinit { close(descriptor) }

    /// Ends the process when the line cannot be written: what is not recorded cannot be judged.
    func record(_ fact: Fact) {
        let entry = Entry(at: BootInstant.now().nanoseconds, by: name, fact: fact)
        guard var line = try? JSONEncoder().encode(entry) else { exit(74) }
        line.append(UInt8(ascii: "\n"))
        let written = line.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        guard written == line.count else { exit(74) }
    }

    /// Everything that was recorded in `directory`, in the order of time. A process that was killed may have left half a
    /// last line.
    static func read(directory: String) throws -> [Entry] {
        let decoder = JSONDecoder()
        var entries: [Entry] = []
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name.hasSuffix(".jsonl") {
            let lines = (FileManager.default.contents(atPath: "\(directory)/\(name)") ?? Data())
                .split(separator: UInt8(ascii: "\n"))
            for (place, line) in lines.enumerated() {
                do {
                    entries.append(try decoder.decode(Entry.self, from: line))
                } catch  where place == lines.count - 1 {
                    continue
                }
            }
        }
        return entries.sorted { $0.at < $1.at }
    }
}

/// Puts warnings of the code under test into the history.
struct HistoryLog: LogHandler {
    let history: HistoryFile
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .warning

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = (event.metadata ?? [:]).mapValues { $0.description }
        history.record(.logged(level: event.level.rawValue, message: event.message.description, fields: fields))
    }
}
