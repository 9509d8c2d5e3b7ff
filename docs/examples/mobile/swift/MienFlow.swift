// The mobile flow: live check, consent, receipt, and taking it back. iOS 15 and newer, nothing but the system's frameworks.
//
// `beginSession` is what your server does with its API key: that key is never in an app. All else is what the phone does with the
// client token, and later the person with their manage token.

import CryptoKit
import Foundation
#if canImport(DeviceCheck)
import DeviceCheck
#endif

/// The service would not do it. `code` is stable; `status` 0 means that no answer came.
struct Problem: Error {
    let code: String
    let status: Int
    /// With the code `locked_out`: when the next attempt may begin.
    var lockedUntil: Date?
}

private struct ProblemBody: Decodable {
    let code: String
    let lockedUntil: Date?
}

/// What the person says or does, in order. Left and right are their own.
struct Prompt: Decodable {
    let step: String
    let text: String
    let digits: String?
    let turn: String?
    let nods: Int?
}

struct Challenge: Decodable {
    let challengeId: String
    let digits: String
    let turns: [String]
    let prompts: [Prompt]
    let nonce: String
    let expiresAt: Date
    let attemptsLeft: Int
}

struct Advice: Decodable {
    let code: String
    let text: String
    let place: Int?
}

struct SessionState: Decodable {
    let status: String
    let reasons: [String]
    let advice: [Advice]
    let attemptsLeft: Int
    let assurance: String?
    let lockedUntil: Date?
}

struct Session: Decodable {
    let sessionId: String
    let clientToken: String
    let expiresAt: Date
}

struct Terms: Decodable {
    let version: String
    let text: String
    let sha256: String
}

struct Given: Decodable {
    let consentId: String
    let manageToken: String
}

struct Limits: Codable {
    let maxSeconds: Int
}

struct ConsentState: Decodable {
    let state: String
    let purposes: [String]
    let audience: [String]
    let limits: Limits
}

struct Purge: Decodable {
    let backend: String
    let state: String
    let dueAt: Date
    let secondsLeft: Int
}

private struct Purges: Decodable {
    let purges: [Purge]
}

private struct NewSession: Encodable {
    let subjectRef: String
    let language: String
    let purpose: String
    let deviceRef: String?
}

private struct CheckAgreed: Encodable {
    let termsSha256: String
}

private struct ChallengeWish: Encodable {
    let path: String
    let extraTime: Bool
}

private struct NewConsent: Encodable {
    let sessionId: String
    let termsSha256: String
    let purposes: [String]
    let audience: [String]
    let limits: Limits
}

private struct Narrowing: Encodable {
    let audience: [String]?
    let limits: Limits?
}

private struct Nothing: Codable {}

/// A recording as the camera wrote it.
struct Recording {
    let bytes: Data
    var mediaType = "video/mp4"
    var mirrored = false
}

/// The service as one caller sees it: `secret` is an API key, a client token or a manage token.
struct Mien {
    let url: URL
    let secret: String
    var http = URLSession.shared

    private static let tries = 4
    private static let again: Set<Int> = [0, 425, 429, 502, 503, 504]

    func call<Answer: Decodable>(
        _ method: String, _ path: String, body: (any Encodable)? = nil, recording: Recording? = nil,
        headers: [String: String] = [:], key: String = UUID().uuidString
    ) async throws -> Answer {
        let content = try await send(method, path, body: body, recording: recording, headers: headers, key: key)
        return try decoder.decode(Answer.self, from: content)
    }

    /// One call. A write is sent again under its first `Idempotency-Key`: it is carried out once, however often it arrives.
    ///
    /// - Parameter key: its `Idempotency-Key`, where the call must be gone on with after the app was restarted
    /// - Throws: `Problem`
    func send(
        _ method: String, _ path: String, body: (any Encodable)? = nil, recording: Recording? = nil,
        headers: [String: String] = [:], key: String = UUID().uuidString
    ) async throws -> Data {
        guard let address = URL(string: path, relativeTo: url) else { throw URLError(.badURL) }
        var request = URLRequest(url: address, timeoutInterval: 60)
        request.httpMethod = method
        request.setValue("Bearer \(secret)", forHTTPHeaderField: "Authorization")
        headers.forEach { request.setValue($1, forHTTPHeaderField: $0) }
        if method != "GET" { request.setValue(key, forHTTPHeaderField: "Idempotency-Key") }
        if let recording {
            let digest = Data(SHA256.hash(data: recording.bytes)).base64EncodedString()
            request.setValue("sha-256=:\(digest):", forHTTPHeaderField: "Content-Digest")
            request.setValue(recording.mediaType, forHTTPHeaderField: "Content-Type")
            request.httpBody = recording.bytes
        } else if let body {
            request.setValue("application/json", forHTTPHeaderField: "Content-Type")
            request.httpBody = try encoder.encode(body)
        }
        var number = 1
        while true {
            let (content, problem, waits) = try await sent(request)
            guard let problem else { return content }
            if number == Mien.tries || !mayPass(problem) { throw problem }
            let seconds = max(waits, 0.25 * pow(2, Double(number)))
            try await Task.sleep(nanoseconds: UInt64(seconds * 1_000_000_000))
            number += 1
        }
    }

    private func sent(_ request: URLRequest) async throws -> (content: Data, problem: Problem?, waits: Double) {
        let content: Data
        let response: URLResponse
        do {
            (content, response) = try await http.data(for: request)
        } catch let lost as URLError where lost.code != .cancelled {
            return (Data(), Problem(code: "no_answer", status: 0), 0)
        }
        guard let answer = response as? HTTPURLResponse else { throw URLError(.badServerResponse) }
        if 200..<300 ~= answer.statusCode { return (content, nil, 0) }
        let said = try? decoder.decode(ProblemBody.self, from: content)  // nil: of a proxy, not of the service
        let problem = Problem(code: said?.code ?? "no_answer", status: answer.statusCode, lockedUntil: said?.lockedUntil)
        return (content, problem, answer.value(forHTTPHeaderField: "Retry-After").flatMap(Double.init) ?? 0)
    }

    private func mayPass(_ problem: Problem) -> Bool {
        if problem.code == "request_in_progress" { return true }  // our own first sending is still being worked on
        return problem.code != "locked_out" && Mien.again.contains(problem.status)
    }

    private var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return encoder
    }

    fileprivate var decoder: JSONDecoder {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        decoder.dateDecodingStrategy = .custom { from in
            let text = try from.singleValueContainer().decode(String.self)
            let whole = text.replacingOccurrences(of: #"\.\d+"#, with: "", options: .regularExpression)
            guard let date = ISO8601DateFormatter().date(from: whole) else { throw URLError(.cannotParseResponse) }
            return date
        }
        return decoder
    }
}

// MARK: - Your server

/// Your server, with its API key. The phone gets `sessionId` and `clientToken`, and nothing else.
func beginSession(app: Mien, subjectRef: String, deviceRef: String? = nil, language: String = "en") async throws -> Session {
    let body = NewSession(subjectRef: subjectRef, language: language, purpose: "digital_double", deviceRef: deviceRef)
    return try await app.call("POST", "/v1/liveness/sessions", body: body)
}

// MARK: - The phone

/// What the person's phone does in one session. `show` is for words to the person.
struct Phone {
    let mien: Mien
    let sessionId: String
    let show: @MainActor (String) -> Void

    private var path: String { "/v1/liveness/sessions/\(sessionId)" }

    func terms(language: String = "en") async throws -> Terms {
        try await mien.call("GET", "/v1/terms/\(language)")
    }

    /// The person read `terms.text` and agrees to be checked. It is no consent to a double.
    func agreeToCheck(_ terms: Terms) async throws {
        let _: Nothing = try await mien.call("POST", "\(path)/check-consent", body: CheckAgreed(termsSha256: terms.sha256))
    }

    /// Attempts until one passes or none is left: the session as it ended.
    ///
    /// - Parameter attest: what the device's maker says of a recording, the value of `Mien-Attestation`, or nil
    /// - Throws: `Problem`, for instance `locked_out` with `lockedUntil`
    func liveCheck(
        way: String = "standard", extraTime: Bool = false,
        attest: (Challenge, Recording) async -> String? = { _, _ in nil },
        record: (Challenge) async throws -> Recording
    ) async throws -> SessionState {
        while true {
            let wish = ChallengeWish(path: way, extraTime: extraTime)
            let challenge: Challenge = try await mien.call("POST", "\(path)/challenge", body: wish)
            do {
                let recording = try await record(challenge)
                let attestation = await attest(challenge, recording)
                try await handIn(recording, key: challenge.challengeId, attestation: attestation)
            } catch let problem as Problem where problem.code == "challenge_expired" && challenge.attemptsLeft > 0 {
                await show("Time ran out. Here are new digits.")
                continue
            }
            let state = try await verdict()
            if state.status == "passed" || state.attemptsLeft == 0 { return state }
            for advice in state.advice { await show(advice.text) }  // for the person, in the language of the session
        }
    }

    /// `key`: the challenge's id. A challenge takes one recording, so it names this upload also after a restart.
    func handIn(_ recording: Recording, key: String, attestation: String? = nil) async throws {
        let headers = attestation.map { ["Mien-Attestation": $0] } ?? [:]
        let _: Nothing = try await mien.call(
            "PUT", "\(path)/capture?mirrored=\(recording.mirrored)", recording: recording, headers: headers, key: key
        )
    }

    /// Asks until the recording is judged.
    func verdict(within seconds: TimeInterval = 120) async throws -> SessionState {
        let until = Date().addingTimeInterval(seconds)
        while Date() < until {
            let state: SessionState = try await mien.call("GET", "\(path)")
            if state.status != "judging" { return state }
            try await Task.sleep(nanoseconds: 1_000_000_000)
        }
        throw Problem(code: "judging_timeout", status: 0)
    }

    /// What the person turned on; every purpose is off unless named. `answer` is the person's, with `receipt` and the manage token
    /// in it: keep it as it came, in the keychain, or in a file with complete protection.
    func consent(
        _ terms: Terms, purposes: [String], audience: [String], maxSeconds: Int
    ) async throws -> (given: Given, answer: Data) {
        let choices = NewConsent(
            sessionId: sessionId, termsSha256: terms.sha256, purposes: purposes, audience: audience,
            limits: Limits(maxSeconds: maxSeconds)
        )
        let answer = try await mien.send("POST", "/v1/consents", body: choices)
        let given = try mien.decoder.decode(Given.self, from: answer)
        return (given, answer)
    }
}

// MARK: - The person, later

/// A consent in the hands of its person: `mien` has the manage token.
struct Consent {
    let mien: Mien
    let consentId: String

    private var path: String { "/v1/consents/\(consentId)" }

    func look() async throws -> ConsentState {
        try await mien.call("GET", "\(path)")
    }

    /// What is nil stays as it is. It can only become less.
    func narrow(audience: [String]? = nil, maxSeconds: Int? = nil) async throws -> ConsentState {
        let less = Narrowing(audience: audience, limits: maxSeconds.map { Limits(maxSeconds: $0) })
        return try await mien.call("POST", "\(path)/narrow", body: less)
    }

    /// Ends it at once. Twice changes nothing.
    func revoke() async throws -> ConsentState {
        try await mien.call("POST", "\(path)/revoke")
    }

    /// Which generators still have to confirm that they deleted what they held, and until when.
    func purges() async throws -> [Purge] {
        let owed: Purges = try await mien.call("GET", "\(path)/purges")
        return owed.purges
    }
}

// MARK: - Device attestation

/// What the device's maker signs: this recording, of this challenge.
func binding(_ challenge: Challenge, _ recording: Recording) -> Data {
    var whole = Data("mien capture attestation v1\0".utf8)
    whole.append(Data(challenge.nonce.utf8))
    whole.append(Data(SHA256.hash(data: recording.bytes)))
    whole.append(Data(SHA256.hash(data: Data())))
    return Data(SHA256.hash(data: whole))
}

#if canImport(DeviceCheck)
/// The value of `Mien-Attestation` by App Attest, and the key's id to keep for the next time; nil where the device cannot.
/// `keyId`: of a key whose attestation this service has had in a recording of this person before.
func appAttest(_ challenge: Challenge, _ recording: Recording, keyId: String?) async throws -> (header: String, keyId: String)? {
    let service = DCAppAttestService.shared
    guard service.isSupported else { return nil }
    let hash = binding(challenge, recording)
    if let keyId, let id = Data(base64Encoded: keyId) {
        let assertion = try await service.generateAssertion(keyId, clientDataHash: hash)
        return ("apple_app_attest:\(base64url(assertion)):\(base64url(id))", keyId)
    }
    let made = try await service.generateKey()
    let object = try await service.attestKey(made, clientDataHash: hash)
    return ("apple_app_attest:\(base64url(object))", made)
}

private func base64url(_ content: Data) -> String {
    content.base64EncodedString()
        .replacingOccurrences(of: "+", with: "-")
        .replacingOccurrences(of: "/", with: "_")
        .replacingOccurrences(of: "=", with: "")
}
#endif
