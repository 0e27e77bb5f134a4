/// What a campaign does with each of its members.
package enum CampaignAction: String, Sendable, Hashable, CaseIterable, Codable {
    /// One attempt to refresh each.
    case refresh
    /// One probe of each.
    case validate
    /// Deletion of each: unusable at once, revoked at the provider.
    case revoke
    /// One `connection.reconnect_requested` for each identity.
    case reconnect
    /// Secrets sealed anew under the newest data key.
    case rewrap
}

/// How a campaign is steered.
package enum CampaignControl: String, Sendable, Hashable, CaseIterable {
    case pause, resume, cancel
}

/// Where a member stands. `queued` until its job begins; the last four are final.
package enum CampaignOutcome: String, Sendable, Hashable, CaseIterable, Codable {
    case queued, running
    /// Done, by this campaign or by somebody else since it began.
    case succeeded
    /// The provider refused the grant.
    case refused
    /// Trouble at the provider or at us. The connection's row owns its retry.
    case trouble
    /// There was nothing to do, or the connection was not selected any more.
    case skipped

    /// The states of rows that are shown as this.
    var states: [String] { self == .queued ? ["queued", "admitted"] : [rawValue] }
}

/// A campaign as it is asked for. Everything is checked by the database, which apps ask directly as well.
package struct CampaignOrder: Sendable, Hashable {
    package var action: String
    /// A JSON object; `docs/campaigns.md` has its fields.
    package var selection: [UInt8]
    /// `10/second`, `600/minute`, `5000/hour`; nil: as fast as the bulk lane allows.
    package var rate: String?
    /// Starting it again with the same key returns the first campaign. 1 to 200 bytes.
    package var key: String?
    /// For people, and in the events of a reconnect. At most 500 characters.
    package var note: String?

    package init(
        action: String, selection: [UInt8], rate: String? = nil, key: String? = nil, note: String? = nil
    ) {
        self.action = action
        self.selection = selection
        self.rate = rate
        self.key = key
        self.note = note
    }
}

/// Why a campaign cannot be started or steered.
package struct CampaignError: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Code: String, Sendable, Hashable {
        /// Its key stands for another campaign.
        case keyReused = "campaign_key_reused"
        /// It is finished or cancelled.
        case ended = "campaign_ended"
    }
    package let code: Code
    package let description: String
    package let hint: String?

    package init(_ code: Code, _ description: String, hint: String?) {
        self.code = code
        self.description = description
        self.hint = hint
    }
}
