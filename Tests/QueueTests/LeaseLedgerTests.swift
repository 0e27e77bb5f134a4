import Pacing
import Testing

@testable import Queue

@Suite struct LeaseLedgerTests {
    private let now = BootInstant(nanoseconds: 0)
    private let window: Duration = .milliseconds(3)

    private func ledger(_ jobs: [Int64], keyed: Bool = false) -> LeaseLedger {
        var ledger = LeaseLedger()
        ledger.add(LeaseReference(leaseID: 1, workerID: 9), keyed: keyed, jobs: jobs)
        return ledger
    }

    private func at(_ milliseconds: Int64) -> BootInstant { now.advanced(by: .milliseconds(milliseconds)) }

    @Test func `a lease of completed jobs goes as a whole`() {
        var ledger = ledger([1, 2])
        #expect(ledger.finish(1, of: 1, .completed, trusted: false, at: now) == .window)
        #expect(ledger.takeWhole(limit: 9).isEmpty)
        #expect(ledger.finish(2, of: 1, .completed, trusted: false, at: now) == .whole)
        #expect(ledger.takeParts(at: at(100), window: window, limit: 9).isEmpty)
        #expect(ledger.takeWhole(limit: 9) == [1])
        #expect(ledger.takeWhole(limit: 9).isEmpty)
        ledger.failedWhole([1])
        #expect(ledger.takeWhole(limit: 9) == [1])
        ledger.settledWhole([1])
        #expect(ledger.isEmpty && ledger.unsettled == 0 && ledger.occupied == 0)
    }

    @Test func `a keyed, touched or partly failed lease goes in part`() {
        for way in 0..<3 {
            var ledger = ledger([1, 2], keyed: way == 0)
            if way == 1 {
                let touched = ledger.touch(1, of: 1)
                #expect(touched)
            }
            _ = ledger.finish(1, of: 1, way == 2 ? .givenBack : .completed, trusted: false, at: now)
            #expect(ledger.finish(2, of: 1, .completed, trusted: false, at: now) == .part)
            #expect(ledger.takeWhole(limit: 9).isEmpty)
            let parts = ledger.takeParts(at: now, window: window, limit: 9)
            #expect(parts.count == 1 && parts[0].last && parts[0].jobs.count == 2)
            ledger.settled(parts[0], held: true, open: [], at: now)
            #expect(ledger.isEmpty && ledger.unsettled == 0)
        }
    }

    @Test func `finished jobs wait for the window, then go without the running ones, and never twice at once`() {
        var ledger = ledger([1, 2, 3])
        _ = ledger.finish(1, of: 1, .completed, trusted: false, at: now)
        #expect(ledger.nextDue(window: window) == at(3))
        #expect(ledger.takeParts(at: at(2), window: window, limit: 9).isEmpty)
        let first = ledger.takeParts(at: at(3), window: window, limit: 9)
        #expect(first.count == 1 && !first[0].last)
        _ = ledger.finish(2, of: 1, .completed, trusted: false, at: at(4))
        #expect(ledger.takeParts(at: at(50), window: window, limit: 9).isEmpty)
        ledger.settled(first[0], held: true, open: [], at: at(50))
        _ = ledger.finish(3, of: 1, .completed, trusted: false, at: at(51))
        // Marks are there: never as a whole.
        #expect(ledger.takeWhole(limit: 9).isEmpty)
        let second = ledger.takeParts(at: at(51), window: window, limit: 9)
        #expect(second.count == 1 && second[0].last && second[0].jobs.map(\.jobID) == [2, 3])
    }

    @Test func `a part that failed comes again, at its time`() {
        var ledger = ledger([1], keyed: true)
        _ = ledger.finish(1, of: 1, .completed, trusted: false, at: now)
        let parts = ledger.takeParts(at: now, window: window, limit: 9)
        ledger.failed(parts[0], retryAt: at(250))
        #expect(ledger.nextDue(window: window) == at(250))
        #expect(ledger.takeParts(at: at(249), window: window, limit: 9).isEmpty)
        #expect(ledger.takeParts(at: at(250), window: window, limit: 9).count == 1)
    }

    @Test func `a handler that settled leaves only the closing, and none when it closed the lease`() {
        var shared = ledger([1, 2])
        _ = shared.touch(1, of: 1)
        #expect(shared.finish(1, of: 1, nil, trusted: false, at: now) == .window)
        #expect(shared.nextDue(window: window) == nil)
        #expect(shared.finish(2, of: 1, nil, trusted: false, at: now) == .part)
        let parts = shared.takeParts(at: now, window: window, limit: 9)
        #expect(parts.count == 1 && parts[0].last && parts[0].jobs.isEmpty)

        var alone = ledger([1])
        _ = alone.touch(1, of: 1)
        #expect(alone.finish(1, of: 1, nil, trusted: true, at: now) == .later)
        #expect(alone.isEmpty)
    }

    @Test func `a job still without a mark at the closing is retried`() {
        var ledger = ledger([1])
        _ = ledger.finish(1, of: 1, nil, trusted: false, at: now)
        let parts = ledger.takeParts(at: now, window: window, limit: 9)
        ledger.settled(parts[0], held: true, open: [1], at: now)
        let again = ledger.takeParts(at: now, window: window, limit: 9)
        #expect(again.count == 1 && again[0].jobs.first?.settlement.act == 1)
        ledger.settled(again[0], held: true, open: [], at: now)
        #expect(ledger.isEmpty && ledger.unsettled == 0)
    }

    @Test func `a lost lease settles nothing, and its running jobs keep their slots`() {
        var ledger = ledger([1, 2])
        _ = ledger.finish(1, of: 1, .completed, trusted: false, at: now)
        ledger.loseAll()
        let touched = ledger.touch(2, of: 1)
        #expect(!touched && ledger.leaseIDs.isEmpty && ledger.occupied == 1 && ledger.unsettled == 0)
        _ = ledger.finish(2, of: 1, .completed, trusted: false, at: now)
        #expect(ledger.takeWhole(limit: 9).isEmpty && ledger.takeParts(at: at(99), window: window, limit: 9).isEmpty)
        #expect(ledger.isEmpty && ledger.occupied == 0)
    }

    @Test func `jobs given back while they run are settled once, whatever their handlers say later`() {
        var ledger = ledger([1, 2])
        _ = ledger.finish(1, of: 1, .completed, trusted: false, at: now)
        ledger.giveBackRunning(at: now)
        let touched = ledger.touch(2, of: 1)
        #expect(!touched)
        _ = ledger.finish(2, of: 1, .completed, trusted: false, at: now)
        let parts = ledger.takeParts(at: now, window: window, limit: 9)
        #expect(parts.first?.jobs.map(\.settlement.act) == [0, 4])
        #expect(ledger.occupied == 0)
    }
}
