/// What became of jobs, lane by lane, since it was last folded into `evergrant.lane_counts`. Kept under the runner's lock:
/// two additions a job.
struct LaneCounters: Sendable {
    /// In the order of the database's arrays.
    enum Event: Int, Sendable, CaseIterable {
        case started, completed, retried, discarded, cancelled, snoozed, parked

        /// nil for a job that was given back: it has not run.
        init?(_ settlement: Settlement) {
            switch settlement.act {
            case 0: self = .completed
            case 1: self = .retried
            case 2: self = .snoozed
            case 3: self = .parked
            case 5: self = .discarded
            case 6: self = .cancelled
            default: return nil
            }
        }
    }

    private(set) var lanes: [Lane] = []
    /// Those of one lane behind each other.
    private(set) var counts: [Int64] = []
    private var places: [Lane: Int] = [:]
    /// Jobs come in batches of few lanes.
    private var last: (lane: Lane, place: Int)?

    var isEmpty: Bool { lanes.isEmpty }

    mutating func add(_ event: Event, _ lane: Lane, _ count: Int64 = 1) {
        counts[place(of: lane) * Event.allCases.count + event.rawValue] += count
    }

    mutating func add(_ other: LaneCounters) {
        for (index, lane) in other.lanes.enumerated() {
            for event in Event.allCases {
                add(event, lane, other.counts[index * Event.allCases.count + event.rawValue])
            }
        }
    }

    /// What is here, and nothing is left.
    mutating func take() -> LaneCounters {
        defer { self = LaneCounters() }
        return self
    }

    private mutating func place(of lane: Lane) -> Int {
        if let last, last.lane == lane { return last.place }
        let place = places[lane] ?? lanes.count
        if place == lanes.count {
            lanes.append(lane)
            counts += Array(repeating: 0, count: Event.allCases.count)
            places[lane] = place
        }
        last = (lane, place)
        return place
    }
}
