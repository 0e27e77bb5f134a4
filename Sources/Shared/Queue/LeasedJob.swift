/// A lease: who holds which claimed batch. Every settle names it.
package struct LeaseReference: Sendable, Hashable {
    package let leaseID: Int64
    package let workerID: Int64
}

/// A job as its handler gets it.
package struct LeasedJob: Sendable {
    package let jobID: Int64
    package let kind: String
    /// A JSON object.
    package let arguments: [UInt8]
    package let environmentID: Int64
    package let queue: String
    package let priority: Int16
    /// This attempt's number, from 1.
    package let attempt: Int
    package let maximumAttempts: Int
    /// How many workers died while they held it.
    package let crashes: Int
    package let limitKeys: [String]
    package let lease: LeaseReference
    /// How many jobs the lease began with.
    let leaseSize: Int
    /// The id of its queue, by which lanes are counted.
    var queueID: Int32 = 0
    var lane: Lane { Lane(queue: queueID, priority: priority) }
}
