import LifecycleSupport
import Sandbox

/// The steps of an attempt at which a process may die.
enum Step: CaseIterable {
    case marking, marked, sent, processed, escrowed, committed
}

/// What one history came to.
struct HistoryResult: Sendable {
    let providerClass: ProviderClass
    /// Without what the design names under *What remains*.
    var reckoning = Reckoning()
    /// Its grant was lost and told as `rotation_lost`, as no protocol can prevent.
    var isTold = false
    var wasRevoked = false

    init(providerClass: ProviderClass) { self.providerClass = providerClass }
}

/// What happened of that which no protocol survives, by the provider's ledger and by what was done.
struct Remains {
    /// A process died between sending and its journal's line.
    var diedWithAnswer = false
    /// The provider did its work and the answer never came.
    var answerDied = false
    /// An owner came back with its answer after others had given it up.
    var sleptWithAnswer = false
    /// The provider worked on a request after its client had gone.
    var wasLate = false
    var wasRevoked = false
    /// Seconds that passed in all.
    var passed = 0

    mutating func read(_ ledger: LedgerReport, _ grant: String?) {
        for line in ledger.requests where line.grant == grant && line.endpoint == .tokenRefresh {
            guard line.outcome == .issued || line.outcome == .reissued else { continue }
            if line.delivery != .answered || line.isAbandoned { answerDied = true }
        }
    }

    /// Whether a grant of this class may be lost after it, and told so.
    func excuses(_ providerClass: ProviderClass) -> Bool {
        let isUnknown = diedWithAnswer || answerDied || wasLate
        switch providerClass {
        case .replayable, .untilUsed, .key: return false
        case .windowed: return isUnknown && (passed >= HistoryPlayer.window - 10 || wasLate)
        case .strict: return isUnknown
        // The try after the wait kills it, whoever comes back with the answer then.
        case .strictFamily, .strictApp: return isUnknown || sleptWithAnswer
        }
    }
}
