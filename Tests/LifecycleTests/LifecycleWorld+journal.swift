import Foundation

@testable import Escrow

extension LifecycleWorld {
    /// Every line of every segment in the journal's directory.
    func journalRecords() throws -> [EscrowRecord] {
        try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".journal") }.sorted()
            .flatMap { name -> [EscrowRecord] in
                let bytes = FileManager.default.contents(atPath: "\(directory)/\(name)") ?? Data()
                return EscrowFormat.decode(Array(bytes))
            }
    }
}
