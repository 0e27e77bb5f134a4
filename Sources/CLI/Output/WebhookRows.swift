import Foundation
import Store

/// An endpoint and how it does, as it is shown.
struct EndpointRow: Encodable {
    let id, name, environment, url, state: String
    let types: [String]?
    let failingSince, disabledAt: Date?
    let disabledReason: String?
    let previousSecretUntil: Date?
    let ended, delivered, tries, pending: Int
    let medianMs: Int?
    let lastDeliveredAt, oldestPendingAt: Date?

    init(_ record: WebhookEndpointRecord, _ health: EndpointHealth, environment: String) {
        id = record.uid
        name = record.name
        self.environment = environment
        url = record.url
        state = record.disabledAt != nil ? "disabled" : record.failingSince != nil ? "failing" : "enabled"
        types = record.types
        failingSince = record.failingSince
        disabledAt = record.disabledAt
        disabledReason = record.disabledReason
        previousSecretUntil = record.previousUntil
        ended = health.ended
        delivered = health.delivered
        tries = health.tries
        pending = health.pending
        medianMs = health.medianMilliseconds
        lastDeliveredAt = health.lastDeliveredAt
        oldestPendingAt = health.oldestPendingAt
    }

    var successText: String {
        ended == 0 ? "–" : "\(delivered)/\(ended)"
    }

    var pendingText: String { pending >= 10_000 ? "10000+" : "\(pending)" }

    var text: String {
        var lines = [
            "\(name) (\(id)) in \(environment): \(state)", "  url             \(url)",
            "  types           \(types?.joined(separator: ", ") ?? "the usual ones")",
            "  success         \(successText) of the last 1000, \(tries) tries"
                + (medianMs.map { ", median \($0) ms" } ?? ""),
            "  last delivered  \(lastDeliveredAt.tableText)",
            "  pending         \(pendingText)"
                + (oldestPendingAt.map { ", the oldest happened \($0.tableText)" } ?? ""),
        ]
        if let failingSince { lines.append("  failing since   \(failingSince.tableText)") }
        if let disabledAt {
            lines.append("  disabled        \(disabledAt.tableText): \(disabledReason ?? "no reason given")")
        }
        if let previousSecretUntil { lines.append("  old secret ends \(previousSecretUntil.tableText)") }
        return lines.joined(separator: "\n")
    }
}

/// A delivery as it is shown.
struct DeliveryRow: Encodable {
    /// One try.
    struct Try: Codable {
        let at: String
        let ms: Int?
        let status: Int?
        let error: String?
    }

    let id, endpoint, event, type, state: String
    let attempts: Int
    let nextAttemptAt: Date?
    let deliverUntil: Date
    let lastStatus: Int?
    let lastError: String?
    let createdAt: Date
    let deliveredAt, replayedAt: Date?
    let log: [Try]

    init(_ record: DeliveryRecord) {
        id = record.uid
        endpoint = record.endpointName
        event = record.eventUID
        type = record.eventType
        state = record.state.rawValue
        attempts = record.attempts
        nextAttemptAt = record.nextAttemptAt
        deliverUntil = record.deliverUntil
        lastStatus = record.lastStatus
        lastError = record.lastError
        createdAt = record.createdAt
        deliveredAt = record.deliveredAt
        replayedAt = record.replayedAt
        log = (try? JSONDecoder().decode([Try].self, from: Data(record.log))) ?? []
    }

    var last: String { lastError ?? lastStatus.map { "answered \($0)" } ?? "–" }

    var text: String {
        var table = TextTable("TRY AT", "MS", "STATUS", "ERROR")
        for entry in log {
            table.add(
                entry.at, entry.ms.map(String.init) ?? "–", entry.status.map(String.init) ?? "–", entry.error ?? "–")
        }
        return """
            \(id): \(type) (\(event)) to \(endpoint): \(state) after \(attempts) tries, next \(nextAttemptAt.tableText), \
            until \(deliverUntil.tableText)
            \(table.text)
            """
    }
}
