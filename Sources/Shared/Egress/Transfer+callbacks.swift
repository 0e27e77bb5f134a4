import CLibCurl
import Pacing

// libcurl calls these on the lane's thread, inside curl_multi_perform or curl_easy_pause.

/// The send hook, called when connection and TLS stand, right before the first byte of the request.
///
/// It refuses a request whose time to be sent is over. It refuses every second call: libcurl sends a request again on its
/// own, POST included, when a reused connection ends before the first byte of the answer, and would send a refresh token
/// twice.
func releaseRequest(
    _ context: UnsafeMutableRawPointer?, _: UnsafeMutablePointer<CChar>?, _: UnsafeMutablePointer<CChar>?, _: Int32,
    _: Int32
) -> Int32 {
    guard let transfer = Transfer.from(context) else { return CURL_PREREQFUNC_ABORT }
    if transfer.releases > 0, transfer.preventsResend {
        transfer.verdict = .resendPrevented
        return CURL_PREREQFUNC_ABORT
    }
    if let sendBy = transfer.plan.request.sendBy, sendBy < .now() {
        transfer.verdict = transfer.releases > 0 ? .resendPrevented : .sendDeadline
        return CURL_PREREQFUNC_ABORT
    }
    transfer.releases += 1
    return CURL_PREREQFUNC_OK
}

func receiveHeader(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let transfer = Transfer.from(context), let bytes else { return 0 }
    switch transfer.head.take(UnsafeRawBufferPointer(start: bytes, count: size * count)) {
    case .more: break
    case .complete: transfer.touch()
    case .failed(let code):
        transfer.verdict = code
        return 0
    }
    return size * count
}

func receiveBody(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let transfer = Transfer.from(context), let bytes else { return 0 }
    let received = UnsafeRawBufferPointer(start: bytes, count: size * count)
    if let stream = transfer.stream {
        guard stream.append(received) else {
            transfer.isReceivePaused = true
            return Int(CURL_WRITEFUNC_PAUSE)
        }
        transfer.touch()
    } else {
        guard transfer.body.count + received.count <= transfer.plan.request.maximumResponseBytes else {
            transfer.verdict = .tooLarge
            return 0
        }
        transfer.body.append(contentsOf: received)
    }
    return received.count
}

func provideBody(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let transfer = Transfer.from(context), let upload = transfer.upload, let bytes else {
        return Int(CURL_READFUNC_ABORT)
    }
    switch upload.read(into: UnsafeMutableRawBufferPointer(start: bytes, count: size * count)) {
    case .bytes(let count): return count
    case .end: return 0
    case .later:
        transfer.isSendPaused = true
        return Int(CURL_READFUNC_PAUSE)
    case .failed:
        transfer.verdict = .requestBody
        return Int(CURL_READFUNC_ABORT)
    }
}

extension Transfer {
    static func from(_ context: UnsafeMutableRawPointer?) -> Transfer? {
        context.map { Unmanaged<Transfer>.fromOpaque($0).takeUnretainedValue() }
    }

    /// Notes that there is something to flush when libcurl is done with this round.
    func touch() {
        guard stream != nil || upload != nil, !isTouched else { return }
        isTouched = true
        lane.touched.append(self)
    }

    /// Lets go what the two buffers have room or bytes for again.
    func resume() -> CURLcode {
        if stream?.isPaused == false { isReceivePaused = false }
        // A source that still has nothing pauses it again.
        isSendPaused = false
        let paused = (isReceivePaused ? CURLPAUSE_RECV : 0) | (isSendPaused ? CURLPAUSE_SEND : 0)
        return curl_easy_pause(easy.pointer, paused)
    }
}
