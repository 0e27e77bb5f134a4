import Foundation
import LifecycleSupport

@testable import Escrow

extension LifecycleWorld {
    /// Every line of every segment in the journal's directory.
    func journalRecords() throws -> [EscrowRecord] {
        try FileManager.default.contentsOfDirectory(atPath: directory + "/journal").filter { $0.hasSuffix(".journal") }
            .sorted()
            .flatMap { name -> [EscrowRecord] in
                let bytes = FileManager.default.contents(atPath: "\(directory)/journal/\(name)") ?? Data()
                return EscrowFormat.decode(Array(bytes))
            }
    }
}
