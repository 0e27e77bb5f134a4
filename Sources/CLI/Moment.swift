import ArgumentParser
import Bootstrap
import Foundation

/// A point in time as operators write it: `2026-01-31T09:05:07Z`, or how long ago: `24h`.
struct Moment: ExpressibleByArgument {
    let date: Date

    init?(argument: String) {
        if let ago = DurationText.parse(argument) {
            date = Date(timeIntervalSinceNow: -Double(ago.components.seconds))
        } else if let parsed = try? Date.ISO8601FormatStyle().parse(argument) {
            date = parsed
        } else {
            return nil
        }
    }
}
