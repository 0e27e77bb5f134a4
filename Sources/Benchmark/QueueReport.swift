/// What was measured, and under which conditions.
package struct QueueReport: Codable, Sendable {
    package var conditions: Conditions
    package var figures: [Figure] = []
}

/// What one side did in one shape.
package struct Figure: Codable, Sendable {
    package let shape: String
    /// The shape's parameters, such as "batch 100".
    package let variant: String
    /// Who did it: "evergrant", "libpq in C", …
    package let subject: String
    /// How that side was set up.
    package let settings: String
    package var measures: [Measure]

    package func measure(_ name: String) -> Measure? { measures.first { $0.name == name } }
}

/// One quantity over all rounds.
package struct Measure: Codable, Sendable {
    package let name: String
    package let unit: String
    /// In the order of the rounds.
    package let samples: [Double]
    package let median: Double
    package let lowest: Double
    package let highest: Double

    /// `samples` must not be empty.
    package init(_ name: String, _ unit: String, _ samples: [Double]) {
        self.name = name
        self.unit = unit
        self.samples = samples
        median = samples.quantile(0.5)
        lowest = samples.min() ?? 0
        highest = samples.max() ?? 0
    }
}

extension [Double] {
    /// The value below which the share `share` of all lies, between neighbours by their distance; 0 of nothing.
    func quantile(_ share: Double) -> Double {
        guard !isEmpty else { return 0 }
        let sorted = self.sorted()
        let place = share * Double(count - 1)
        let lower = Int(place)
        let upper = Swift.min(lower + 1, count - 1)
        return sorted[lower] + (sorted[upper] - sorted[lower]) * (place - Double(lower))
    }
}
