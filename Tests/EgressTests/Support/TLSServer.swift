import Foundation
import Testing

/// nginx on loopback with HTTP/2 over TLS, under a certificate authority made for it; needs `nginx` and `openssl`.
final class TLSServer: Sendable {
    let port: UInt16
    let directory: URL
    private let process: Process

    /// PEM file of the authority that signed the certificate for `localhost`.
    var authority: String { directory.appending(path: "ca.pem").path }
    var url: String { "https://localhost:\(port)" }

    /// After `requestsPerConnection` nginx retires a connection (GOAWAY).
    init(requestsPerConnection: Int = 10_000) throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "egress-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        try Self.makeCertificates(in: directory)
        // nginx inherits the listening socket, so its port is free and connections wait for it from the start.
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(listener, pointer, length) == 0 && listen(listener, 512) == 0
                    ? getsockname(listener, pointer, &length) : -1
            }
        }
        guard result == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
        port = UInt16(bigEndian: address.sin_port)
        let configuration = directory.appending(path: "nginx.conf")
        try Self.configuration(port, directory.path, requestsPerConnection).write(
            to: configuration, atomically: true, encoding: .utf8)
        process = Process()
        process.executableURL = URL(filePath: "/usr/sbin/nginx")
        process.arguments = ["-p", directory.path, "-c", configuration.path, "-e", "\(directory.path)/error.log"]
        process.environment = ["NGINX": "0;"]
        process.standardInput = FileHandle(fileDescriptor: listener)
        process.standardError = FileHandle.nullDevice
        try process.run()
        try awaitWorker(&address)
    }

    /// Returns when nginx answers (400, for this is no TLS). Before that it would not end on a signal: its master notes one
    /// that comes early, and sleeps.
    private func awaitWorker(_ address: inout sockaddr_in) throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(descriptor) }
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                connect(descriptor, pointer, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        var byte: UInt8 = 0
        let question = Array("GET / HTTP/1.0\r\n\r\n".utf8)
        guard isConnected, send(descriptor, question, question.count, Int32(MSG_NOSIGNAL)) == question.count,
            recv(descriptor, &byte, 1, 0) == 1
        else {
            process.terminate()
            throw POSIXError(.ECONNREFUSED)
        }
    }

    /// How often the server has acted on `target`.
    func requests(_ target: String) throws -> Int {
        try String(contentsOf: directory.appending(path: "requests"), encoding: .utf8)
            .split(separator: "\n").count { $0 == target }
    }

    func stop() {
        process.terminate()
        process.waitUntilExit()
        try? FileManager.default.removeItem(at: directory)
    }

    private static func configuration(_ port: UInt16, _ directory: String, _ requests: Int) -> String {
        """
        daemon off; pid \(directory)/pid; error_log \(directory)/error.log;
        events { worker_connections 4096; }
        http {
            log_format target "$uri"; access_log off; client_body_temp_path \(directory)/body; proxy_temp_path \(directory)/proxy;
            fastcgi_temp_path \(directory)/fastcgi; uwsgi_temp_path \(directory)/uwsgi; scgi_temp_path \(directory)/scgi;
            client_max_body_size 0; keepalive_requests \(requests); http2_max_concurrent_streams 100;
            server {
                listen 127.0.0.1:\(port) ssl http2; root \(directory);
                ssl_certificate \(directory)/server.pem; ssl_certificate_key \(directory)/server.key;
                location = /protocol { return 200 "$server_protocol"; }
                location = /connection { return 200 "$connection"; }
                location = /method { proxy_pass http://unix:\(directory)/inner; }
                location = /denied { return 401; }
            }
            server {
                listen unix:\(directory)/inner; access_log \(directory)/requests target;
                location = /method { return 200 "$request_method $content_length"; }
            }
        }
        """
    }

    private static func makeCertificates(in directory: URL) throws {
        let extensions = directory.appending(path: "extensions")
        try "subjectAltName=DNS:localhost".write(to: extensions, atomically: true, encoding: .utf8)
        for arguments in [
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=Authority -keyout ca.key -out ca.pem",
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.pem",
        ] {
            let openssl = Process()
            openssl.executableURL = URL(filePath: "/usr/bin/openssl")
            openssl.arguments = arguments.components(separatedBy: " ")
            openssl.currentDirectoryURL = directory
            openssl.standardError = FileHandle.nullDevice
            openssl.standardOutput = FileHandle.nullDevice
            try openssl.run()
            openssl.waitUntilExit()
            guard openssl.terminationStatus == 0 else { throw POSIXError(.EINVAL) }
        }
    }
}
