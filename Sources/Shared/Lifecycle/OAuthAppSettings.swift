import Catalog
import Credentials
import Foundation
import Store

/// What an operator set for an OAuth app beside its client id and secret: pinned URL parameters, and facts on how its
/// provider treats a replayed refresh token (set per app at Okta, Cognito and others).
package struct OAuthAppSettings: Sendable {
    /// URL parameters of kind `operator_host`.
    package let parameters: [String: String]
    /// Outranks the catalog; nil when the app says nothing.
    package let replay: ReplayFacts?
    package let planning: AppPlanning

    /// Reads the stored JSON object of strings.
    ///
    /// - `replay_class` (`replayable`, `until_used`, `windowed`, `strict`), `replay_window_seconds` (whole seconds,
    ///   with `windowed`), `replay_harm` (`none`, `family`, `app`; default `family`); what ``AppPlanning`` reads; everything else is a parameter.
    /// - Throws: ``InvalidValue`` that names the setting.
    package init(json: [UInt8]) throws {
        // Most apps have none, and every attempt asks.
        if json.count <= 2 {
            try self.init([:])
            return
        }
        guard let values = try? JSONDecoder().decode([String: String].self, from: Data(json)) else {
            throw InvalidValue(
                item: "settings of the OAuth app", problem: "are not an object of strings",
                repair: "put the OAuth app again")
        }
        try self.init(values)
    }

    package init(_ values: [String: String]) throws(InvalidValue) {
        parameters = values.filter { !Self.replayKeys.contains($0.key) && !AppPlanning.keys.contains($0.key) }
        planning = try AppPlanning(values)
        guard let name = values["replay_class"] else {
            replay = nil
            return
        }
        let replayClass: ReplayClass
        switch name {
        case "replayable": replayClass = .replayable
        case "until_used": replayClass = .untilUsed
        case "strict": replayClass = .strict
        case "windowed":
            guard let seconds = values["replay_window_seconds"].flatMap(Int.init), (0...86_400).contains(seconds) else {
                throw InvalidValue(
                    item: "replay_window_seconds", problem: "is missing or not a number from 0 to 86400",
                    repair: "give the provider's reuse window in seconds")
            }
            replayClass = .windowed(seconds: seconds)
        default:
            throw InvalidValue(
                item: "replay_class", problem: "is \"\(name.prefix(40))\"",
                repair: "use one of replayable, until_used, windowed, strict")
        }
        let harmName = values["replay_harm"] ?? ReplayHarm.family.rawValue
        guard let harm = ReplayHarm(rawValue: harmName) else {
            throw InvalidValue(
                item: "replay_harm", problem: "is \"\(harmName.prefix(40))\"", repair: "use one of none, family, app")
        }
        replay = ReplayFacts(replayClass: replayClass, harm: harm)
    }

    private static let replayKeys: Set = ["replay_class", "replay_window_seconds", "replay_harm"]
}
