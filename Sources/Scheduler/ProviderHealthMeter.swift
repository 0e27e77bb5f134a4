import Lifecycle
import Metrics
import Postgres
import Store
import Synchronization

/// Sets the gauges of breakers, quarantines and held verdicts, for the fleet as a whole. Only endpoints in trouble have
/// a series; one that is well again is set to 0 once.
final class ProviderHealthMeter: Sendable {
    private struct Series: Hashable {
        let name: String
        let labels: [String]
    }

    private let pool: PostgresPool
    private let shown = Mutex<Set<Series>>([])

    init(pool: PostgresPool) { self.pool = pool }

    func measure() async throws {
        var values: [Series: Double] = [:]
        for report in try await EndpointReports.inTrouble(limit: 500, in: pool) {
            let labels = [report.provider, report.appUID, report.host]
            values[Series(name: "breaker_state", labels: labels)] =
                switch report.breaker {
                case .closed: 0
                case .halfOpen: 1
                case .open: 2
                }
            values[Series(name: "quarantine_state", labels: labels)] = report.quarantinedAt == nil ? 0 : 1
            values[Series(name: "wave_state", labels: labels)] = report.waveSince == nil ? 0 : 1
            values[Series(name: "verdicts_held", labels: labels)] = Double(report.held)
        }
        let gone = shown.withLock { shown in
            defer { shown = Set(values.keys) }
            return shown.subtracting(values.keys)
        }
        for (series, value) in values { set(series, value) }
        for series in gone { set(series, 0) }
    }

    private func set(_ series: Series, _ value: Double) {
        Gauge(
            label: series.name,
            dimensions: [("provider", series.labels[0]), ("oauth_app", series.labels[1]), ("host", series.labels[2])]
        ).record(value)
    }
}
