import Testing

@testable import QueueChaos

@Suite struct CheckerTests {}
