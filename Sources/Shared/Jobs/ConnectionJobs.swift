/// One attempt to refresh a connection. Nothing to do when the generation has moved.
///
/// It has no unique key: the timed claim of planning keeps jobs single, a second one finds the mark or the generation,
/// and a key held by a dead worker's lease would delay the next attempt until its rescue.
package struct RefreshConnection: JobArguments {
    package static let kind = "connection.refresh"
    package let connection: Int64
    package let generation: Int64
    /// Set when an alternate arrived for a broken connection: the attempt may begin in that state.
    package let reopens: Bool?

    package init(connection: Int64, generation: Int64, reopens: Bool = false) {
        self.connection = connection
        self.generation = generation
        self.reopens = reopens ? true : nil
    }
}

/// Recovery of an attempt that is open past its deadline.
package struct RecoverAttempt: JobArguments {
    package static let kind = "connection.recover"
    package let connection: Int64
    /// The mark that was seen open, as a UUID string.
    package let nonce: String

    package init(connection: Int64, nonce: String) {
        self.connection = connection
        self.nonce = nonce
    }

    /// At most one for a mark; a recovery that begins changes the mark.
    package var uniqueKey: String { "recover:\(nonce)" }
}

/// One probe of a connection's credential.
package struct ValidateConnection: JobArguments {
    package static let kind = "connection.validate"
    package let connection: Int64

    package init(connection: Int64) { self.connection = connection }

    package var uniqueKey: String { "validate:\(connection)" }
}

/// One attempt to revoke a deleted connection at its provider.
package struct RevokeConnection: JobArguments {
    package static let kind = "connection.revoke"
    package let connection: Int64

    package init(connection: Int64) { self.connection = connection }

    package var uniqueKey: String { "revoke:\(connection)" }
}

/// One try to deliver one event to one webhook endpoint.
package struct DeliverWebhook: JobArguments {
    package static let kind = "webhook.deliver"
    package let delivery: Int64

    package init(delivery: Int64) { self.delivery = delivery }

    package var uniqueKey: String { "deliver:\(delivery)" }
}

/// One member of a campaign. Made by schedulers alone: it names rows that nobody else may choose.
package struct CampaignMemberJob: JobArguments {
    package static let kind = "campaign.member"
    package let campaign: Int64
    package let place: Int64

    package init(campaign: Int64, place: Int64) {
        self.campaign = campaign
        self.place = place
    }

    /// At most one job for a member, however often it is admitted.
    package var uniqueKey: String { "\(campaign)/\(place)" }
}
