extension Checker {
    /// The reserved share: three quarters of what a worker has free go to the most urgent priority while it has jobs, and
    /// every eighth round goes the other way around. Judged by claims: a lease that was claimed while both lanes had jobs
    /// holds at least so many urgent ones, but for one in eight of its process, and one at each end of the window.
    func lateUrgent() -> [Violation] {
        urgentWindows.flatMap { window in
            shares(in: window).compactMap { process, leases in
                let bad = leases.filter { $0.urgent < max(1, $0.all * 3 / 4) }
                guard bad.count > (leases.count + 7) / 8 + 2 else { return nil }
                return Violation(
                    property: .urgentFirst,
                    message: "\(process) claimed \(leases.count) leases while urgent and bulk jobs waited, and "
                        + "\(bad.count) of them had too few urgent ones (such as \(bad[0].urgent) of \(bad[0].all))")
            }
        }
    }

    struct Window: Sendable {
        let from: Int64
        let to: Int64
    }

    /// From a little after a backlog's commit, when every worker has looked for lanes again, until as many urgent jobs have
    /// begun as leave some for every worker.
    var urgentWindows: [Window] {
        let starts = holdings.values.lazy.flatMap { $0 }.filter { $0.start.priority == 0 }.sorted { $0.at < $1.at }
        return entries.compactMap { entry in
            guard case .backlog(let urgent, _) = entry.fact else { return nil }
            let mine = starts.filter { $0.at > entry.at }
            let counted = urgent * 3 / 4
            guard mine.count > counted else { return nil }
            let from = entry.at + 100_000_000
            return from < mine[counted].at ? Window(from: from, to: mine[counted].at) : nil
        }
    }

    /// Claims within a window, by process, of leases that were begun as a whole: not the last ones of a process that died.
    private func shares(in window: Window) -> [String: [(urgent: Int, all: Int)]] {
        let last = Dictionary(entries.map { ($0.by, $0.at) }, uniquingKeysWith: max)
        // Jobs under a limit are left out: those that waited for room come back past the lanes.
        let leases = Dictionary(
            grouping: holdings.values.lazy.flatMap { $0 }.filter { $0.start.limitKeys.isEmpty }, by: \.start.lease)
        var shares: [String: [(urgent: Int, all: Int)]] = [:]
        for lease in leases.values {
            guard let by = lease.first?.by, let began = lease.map(\.at).min(), began >= window.from,
                began <= window.to, let end = last[by], end - began > 500_000_000
            else { continue }
            shares[by, default: []].append((lease.count { $0.start.priority == 0 }, lease.count))
        }
        return shares
    }

    /// Urgent starts among all, over all windows; nil without one.
    var urgentShare: Double? {
        let all = urgentWindows.flatMap { shares(in: $0).values.flatMap { $0 } }
        let total = all.reduce(0) { $0 + $1.all }
        return total == 0 ? nil : Double(all.reduce(0) { $0 + $1.urgent }) / Double(total)
    }
}
