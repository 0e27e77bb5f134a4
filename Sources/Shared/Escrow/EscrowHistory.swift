import Foundation

/// All that the segments of one journal still say, in the order it was written: for each key its last line and what
/// became of it.
struct EscrowHistory {
    let entries: [EscrowEntry]

    /// - Parameter segments: paths, oldest first. One that is gone by now is passed over.
    init(segments: [String]) {
        var order: [UUID] = []
        var records: [UUID: EscrowRecord] = [:]
        var settlements: [UUID: EscrowSettlement] = [:]
        for path in segments {
            guard let data = FileManager.default.contents(atPath: path) else { continue }
            for record in EscrowFormat.decode(Array(data)) {
                if record.kind == .settled {
                    settlements[record.key] = record.payload.first.flatMap(EscrowSettlement.init) ?? .noUse
                } else {
                    if records[record.key] == nil { order.append(record.key) }
                    records[record.key] = record
                    // An attempt that presents a second token opens its key again.
                    if record.kind == .intent { settlements[record.key] = nil }
                }
            }
        }
        entries = order.compactMap { key in
            records[key].map { EscrowEntry(record: $0, settlement: settlements[key]) }
        }
    }
}
