import Credentials
import Foundation
import Metrics
import Pacing
import Store

/// Performs members of campaigns: one of the lifecycle's own attempts each, and its outcome on the member's row. Performed
/// twice, a member is counted once, and a refresh that has happened is not repeated.
package struct CampaignWork: Sendable {
    /// What is to become of the member's job.
    package enum Step: Sendable, Equatable {
        /// The member has ended, or goes back to its campaign.
        case done
        /// An attempt of somebody else is open: look again.
        case later(Duration)
    }

    /// What came of one look.
    private enum Look {
        case ended(CampaignOutcome, String)
        case wait(String)
    }

    private let services: LifecycleServices
    private let attempts: RefreshAttempts
    private let validation: ConnectionValidation
    private let revocation: ConnectionRevocation
    private let rewrap: SecretRewrap
    /// Between two looks at an attempt whose answer is unknown, and how many there are.
    private let lookEvery: Duration
    private let looks: Int

    package init(
        _ services: LifecycleServices, refresher: CredentialRefresher, rewrap: SecretRewrap? = nil,
        lookEvery: Duration = .seconds(5), looks: Int = 24
    ) {
        self.services = services
        attempts = RefreshAttempts(services)
        validation = ConnectionValidation(services, refresher: refresher)
        revocation = ConnectionRevocation(services)
        self.rewrap = rewrap ?? SecretRewrap(services)
        self.lookEvery = lookEvery
        self.looks = looks
    }

    /// - Parameter environmentID: of the job; a member of another environment is left alone.
    package func perform(campaign: Int64, place: Int64, environmentID: Int64) async throws -> Step {
        guard let member = try await CampaignMembers.begin(campaign: campaign, place: place, in: services.pool),
            member.environmentID == environmentID
        else { return .done }
        let look: Look
        switch (member.verdict, member.action) {
        case (.gone, _): look = .ended(.skipped, "deleted")
        case (.changed, _): look = .ended(.skipped, "no_longer_selected")
        case (.go, .reconnect):
            let counts = try await CampaignMembers.tellReconnect(campaign: campaign, place: place, in: services.pool)
            count(member.action, .succeeded, counts.told)
            count(member.action, .skipped, counts.skipped)
            return .done
        case (.go, .refresh): look = try await refresh(member)
        case (.go, .validate): look = try await validate(member)
        case (.go, .revoke): look = try await revoke(member)
        case (.go, .rewrap): look = try await sealAnew(member)
        }
        switch look {
        case .ended(let outcome, let detail):
            try await end(campaign, place, member.action, outcome, detail)
        case .wait(let detail):
            guard let waits = try await CampaignMembers.wait(campaign: campaign, place: place, in: services.pool) else {
                return .done
            }
            if waits < looks { return .later(lookEvery) }
            try await end(campaign, place, member.action, .trouble, detail)
        }
        return .done
    }

    private func end(
        _ campaign: Int64, _ place: Int64, _ action: CampaignAction, _ outcome: CampaignOutcome, _ detail: String
    ) async throws {
        count(
            action, outcome,
            try await CampaignMembers.end(
                campaign: campaign, place: place, outcome: outcome, detail: detail, in: services.pool))
    }

    private func count(_ action: CampaignAction, _ outcome: CampaignOutcome, _ members: Int) {
        guard members > 0 else { return }
        Counter(
            label: "campaign_members_total", dimensions: [("action", action.rawValue), ("outcome", outcome.rawValue)]
        ).increment(by: Int64(members))
    }

    // MARK: Actions

    private func refresh(_ member: BegunMember) async throws -> Look {
        if let ended = try await settled(member) { return ended }
        let result = try await attempts.refresh(
            connectionID: member.subjectID, generation: member.generation, reopens: member.reopens)
        switch result {
        case .refreshed: return .ended(.succeeded, "refreshed")
        case .refused(let state, let reason): return .ended(.refused, "\(state.rawValue): \(reason.rawValue)")
        case .trouble(let reason, _): return .ended(.trouble, reason.rawValue)
        case .notRefreshable: return .ended(.skipped, "not_refreshable")
        case .notMarked, .ambiguous:
            // Somebody else's attempt is open, or the answer is unknown: its owner, or recovery, will write it.
            return try await settled(member) ?? .wait("answer_unknown")
        }
    }

    /// What the connection's row says without an attempt of ours; nil when one may be made, or is under way.
    private func settled(_ member: BegunMember) async throws -> Look? {
        guard let row = try await Connections.find(id: member.subjectID, in: services.pool) else {
            return .ended(.skipped, "deleted")
        }
        if let generation = member.generation, row.generation > generation {
            return .ended(.succeeded, "refreshed_by_another")
        }
        switch row.state {
        case .active, .degraded: return nil
        case .suspected:
            // Its re-test has a time, and asking earlier would ask twice in the same moment.
            if let next = row.nextAttemptAt, next.timeIntervalSinceNow > 0 { return .ended(.skipped, "retest_pending") }
            return nil
        case .broken: return member.reopens ? nil : .ended(.refused, "broken: \(row.reason?.rawValue ?? "unknown")")
        case .pending, .revoking, .revoked: return .ended(.skipped, row.state.rawValue)
        }
    }

    private func validate(_ member: BegunMember) async throws -> Look {
        switch try await validation.validate(connectionID: member.subjectID) {
        case .alive: return .ended(.succeeded, "alive")
        case .refused(let state): return .ended(.refused, state.rawValue)
        case .trouble:
            // A refresh that the probe led to may have had the last word.
            let row = try await Connections.find(id: member.subjectID, in: services.pool)
            if let row, row.state == .suspected || row.state == .broken {
                return .ended(.refused, "\(row.state.rawValue): \(row.reason?.rawValue ?? "unknown")")
            }
            return .ended(.trouble, row?.reason?.rawValue ?? "provider_trouble")
        case .notTested: return .ended(.skipped, "not_tested")
        }
    }

    /// The deletion and one attempt of its revocation; further ones are the row's.
    private func revoke(_ member: BegunMember) async throws -> Look {
        guard let row = try await Connections.find(id: member.subjectID, in: services.pool) else {
            return .ended(.skipped, "deleted")
        }
        if row.state == .revoked { return .ended(.succeeded, "revoked") }
        if row.state != .revoking {
            try await revocation.begin(
                id: row.id, environmentID: member.environmentID, actor: "campaign:\(member.campaign)",
                claim: services.timings.claim)
        }
        _ = try await revocation.attempt(connectionID: row.id)
        let after = try await Connections.find(id: row.id, in: services.pool)
        guard let after, after.state == .revoking else { return .ended(.succeeded, "revoked") }
        // A refresh that is under way ends first; otherwise the provider did not confirm.
        return after.attemptNonce != nil ? .wait("attempt_open") : .ended(.trouble, "not_confirmed_yet")
    }

    private func sealAnew(_ member: BegunMember) async throws -> Look {
        switch try await rewrap.rewrap(
            subject: member.subject, id: member.subjectID, environmentID: member.environmentID)
        {
        case .sealed: return .ended(.succeeded, "sealed")
        case .current: return .ended(.succeeded, "current")
        case .empty: return .ended(.skipped, "nothing_sealed")
        case .issuedLately: return .ended(.trouble, "issued_lately")
        }
    }
}
