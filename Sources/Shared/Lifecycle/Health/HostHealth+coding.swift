import Foundation

extension HostHealth: Codable {
    private enum Key: String, CodingKey {
        case slices, answeredAt, servedAt, lastTrouble, lastTroubleAt, run, runVoices, runAt, connectionID
        case breaker, breakerSince, openedAt, canaries, nextCanaryAt, trials, trialsGood, trialsUntil
        case blockedUntil, limitVoice, limitUntil
        case faultVoice, faultAt, faultSeenAt, faultAgreed, faultReason, quarantinedAt, quarantineProbeAt
        case quarantineTrials, probedSecret
        case waveSince, waveUntil, waveProbeAt, waveCalmSince, waveProofs
    }

    /// Reads what any version wrote: what is missing has its first value.
    package init(from decoder: any Decoder) throws {
        self.init()
        let values = try decoder.container(keyedBy: Key.self)
        func read<T: Decodable>(_ key: Key, into value: inout T) throws {
            if let found = try values.decodeIfPresent(T.self, forKey: key) { value = found }
        }
        func read<T: Decodable>(_ key: Key, into value: inout T?) throws {
            value = try values.decodeIfPresent(T.self, forKey: key)
        }
        try read(.slices, into: &slices)
        try read(.answeredAt, into: &answeredAt)
        try read(.servedAt, into: &servedAt)
        try read(.lastTrouble, into: &lastTrouble)
        try read(.lastTroubleAt, into: &lastTroubleAt)
        try read(.run, into: &run)
        try read(.runVoices, into: &runVoices)
        try read(.runAt, into: &runAt)
        try read(.connectionID, into: &connectionID)
        try read(.breaker, into: &breaker)
        try read(.breakerSince, into: &breakerSince)
        try read(.openedAt, into: &openedAt)
        try read(.canaries, into: &canaries)
        try read(.nextCanaryAt, into: &nextCanaryAt)
        try read(.trials, into: &trials)
        try read(.trialsGood, into: &trialsGood)
        try read(.trialsUntil, into: &trialsUntil)
        try read(.blockedUntil, into: &blockedUntil)
        try read(.limitVoice, into: &limitVoice)
        try read(.limitUntil, into: &limitUntil)
        try read(.faultVoice, into: &faultVoice)
        try read(.faultAt, into: &faultAt)
        try read(.faultSeenAt, into: &faultSeenAt)
        try read(.faultAgreed, into: &faultAgreed)
        try read(.faultReason, into: &faultReason)
        try read(.quarantinedAt, into: &quarantinedAt)
        try read(.quarantineProbeAt, into: &quarantineProbeAt)
        try read(.quarantineTrials, into: &quarantineTrials)
        try read(.probedSecret, into: &probedSecret)
        try read(.waveSince, into: &waveSince)
        try read(.waveUntil, into: &waveUntil)
        try read(.waveProbeAt, into: &waveProbeAt)
        try read(.waveCalmSince, into: &waveCalmSince)
        try read(.waveProofs, into: &waveProofs)
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: Key.self)
        if !slices.isEmpty { try values.encode(slices, forKey: .slices) }
        try values.encodeIfPresent(answeredAt, forKey: .answeredAt)
        try values.encodeIfPresent(servedAt, forKey: .servedAt)
        try values.encodeIfPresent(lastTrouble, forKey: .lastTrouble)
        try values.encodeIfPresent(lastTroubleAt, forKey: .lastTroubleAt)
        try values.encode(run, forKey: .run)
        if !runVoices.isEmpty { try values.encode(runVoices, forKey: .runVoices) }
        try values.encodeIfPresent(runAt, forKey: .runAt)
        try values.encodeIfPresent(connectionID, forKey: .connectionID)
        try values.encode(breaker, forKey: .breaker)
        try values.encodeIfPresent(breakerSince, forKey: .breakerSince)
        try values.encodeIfPresent(openedAt, forKey: .openedAt)
        try values.encode(canaries, forKey: .canaries)
        try values.encodeIfPresent(nextCanaryAt, forKey: .nextCanaryAt)
        try values.encode(trials, forKey: .trials)
        try values.encode(trialsGood, forKey: .trialsGood)
        try values.encodeIfPresent(trialsUntil, forKey: .trialsUntil)
        try values.encodeIfPresent(blockedUntil, forKey: .blockedUntil)
        try values.encodeIfPresent(limitVoice, forKey: .limitVoice)
        try values.encodeIfPresent(limitUntil, forKey: .limitUntil)
        try values.encodeIfPresent(faultVoice, forKey: .faultVoice)
        try values.encodeIfPresent(faultAt, forKey: .faultAt)
        try values.encodeIfPresent(faultSeenAt, forKey: .faultSeenAt)
        try values.encode(faultAgreed, forKey: .faultAgreed)
        try values.encodeIfPresent(faultReason, forKey: .faultReason)
        try values.encodeIfPresent(quarantinedAt, forKey: .quarantinedAt)
        try values.encodeIfPresent(quarantineProbeAt, forKey: .quarantineProbeAt)
        try values.encode(quarantineTrials, forKey: .quarantineTrials)
        try values.encodeIfPresent(probedSecret, forKey: .probedSecret)
        try values.encodeIfPresent(waveSince, forKey: .waveSince)
        try values.encodeIfPresent(waveUntil, forKey: .waveUntil)
        try values.encodeIfPresent(waveProbeAt, forKey: .waveProbeAt)
        try values.encodeIfPresent(waveCalmSince, forKey: .waveCalmSince)
        try values.encode(waveProofs, forKey: .waveProofs)
    }

    /// As the row keeps it: moments are seconds since 2001, which is what a `Date` holds, so that they read back exactly.
    package init(json: [UInt8]) throws { self = try JSONDecoder().decode(HostHealth.self, from: Data(json)) }

    package func json() throws -> [UInt8] { Array(try JSONEncoder().encode(self)) }
}
