/*
 * The mobile flow: live check, consent, receipt, and taking it back, for Android and every other JVM.
 *
 * Needs kotlinx-coroutines-core and kotlinx-serialization-json (no plugin), and no HTTP library. An app that has OkHttp puts it
 * into `send`; nothing else changes. `beginSession` is what your server does with its API key: that key is never in an app.
 */
package org.mien.example

import java.io.IOException
import java.net.HttpURLConnection
import java.net.URL
import java.security.MessageDigest
import java.time.Instant
import java.util.Base64
import java.util.UUID
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.delay
import kotlinx.coroutines.runInterruptible
import kotlinx.coroutines.withTimeoutOrNull
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.contentOrNull
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.put
import kotlinx.serialization.json.putJsonObject

/** The service would not do it. [code] is stable; [status] 0 means that no answer came. */
class Problem(val code: String, val status: Int, val more: JsonObject = JsonObject(emptyMap())) : Exception(code)

/** What the person says or does, in order. Left and right are their own. */
data class Prompt(val step: String, val text: String, val digits: String?, val turn: String?, val nods: Int?)

data class Challenge(
    val id: String,
    val digits: String,
    val turns: List<String>,
    val prompts: List<Prompt>,
    val nonce: String,
    val expiresAt: Instant,
    val attemptsLeft: Int,
)

data class Advice(val code: String, val text: String)

data class SessionState(
    val status: String,
    val reasons: List<String>,
    val advice: List<Advice>,
    val attemptsLeft: Int,
    val assurance: String?,
)

data class Session(val id: String, val clientToken: String)

data class Terms(val version: String, val text: String, val sha256: String)

/** [receipt] and [manageToken] are the person's: keep both where only they can read. */
class Given(val consentId: String, val receipt: JsonObject, val manageToken: String)

data class ConsentState(val state: String, val purposes: List<String>, val audience: List<String>, val maxSeconds: Int)

data class Purge(val backend: String, val state: String, val dueAt: Instant, val secondsLeft: Int)

/** A recording as the camera wrote it: `video/mp4` or `video/webm`. */
class Recording(val bytes: ByteArray, val mediaType: String = "video/mp4", val mirrored: Boolean = false)

private class Answer(val status: Int, val body: String, val retryAfterS: Long)

/** The service as one caller sees it: [secret] is an API key, a client token or a manage token. */
class Mien(url: String, private val secret: String) {
    private val base = url.trimEnd('/')

    /**
     * One call. A write is sent again under its first `Idempotency-Key`: it is carried out once, however often it arrives.
     *
     * @param key its `Idempotency-Key`, where the call must be gone on with after the app was restarted
     * @throws Problem
     */
    suspend fun call(
        method: String,
        path: String,
        body: JsonObject? = null,
        recording: Recording? = null,
        headers: Map<String, String> = emptyMap(),
        key: String = UUID.randomUUID().toString(),
    ): JsonObject {
        val said = headers.toMutableMap()
        said["Authorization"] = "Bearer $secret"
        if (method != "GET") said["Idempotency-Key"] = key
        val content = recording?.bytes ?: body?.toString()?.encodeToByteArray()
        if (recording != null) {
            said["Content-Type"] = recording.mediaType
            said["Content-Digest"] = "sha-256=:${base64(sha256(recording.bytes))}:"
        } else if (body != null) {
            said["Content-Type"] = "application/json"
        }
        var number = 1
        while (true) {
            val answer = try {
                runInterruptible(Dispatchers.IO) { send(method, base + path, said, content) }
            } catch (lost: IOException) {
                Answer(0, "", 0)
            }
            val read = runCatching { Json.parseToJsonElement(answer.body).jsonObject }.getOrNull()
            if (answer.status in 200..299 && read != null) return read
            val problem = Problem(read?.textOrNull("code") ?: "no_answer", answer.status, read ?: JsonObject(emptyMap()))
            if (number == TRIES || !mayPass(problem)) throw problem
            delay(maxOf(250L shl number, answer.retryAfterS * 1000))
            number += 1
        }
    }

    private fun send(method: String, address: String, headers: Map<String, String>, content: ByteArray?): Answer {
        val connection = URL(address).openConnection() as HttpURLConnection
        try {
            connection.requestMethod = method
            connection.instanceFollowRedirects = false
            connection.connectTimeout = 10_000
            connection.readTimeout = 60_000
            headers.forEach(connection::setRequestProperty)
            if (content != null) {
                connection.doOutput = true
                connection.setFixedLengthStreamingMode(content.size)
                connection.outputStream.use { it.write(content) }
            }
            val status = connection.responseCode
            val stream = if (status < 400) connection.inputStream else connection.errorStream
            val body = stream?.use { it.readBytes().decodeToString() } ?: ""
            return Answer(status, body, connection.getHeaderField("Retry-After")?.toLongOrNull() ?: 0)
        } finally {
            connection.disconnect()
        }
    }

    private fun mayPass(problem: Problem): Boolean = when (problem.code) {
        "request_in_progress" -> true // our own first sending is still being worked on
        "locked_out" -> false
        else -> problem.status in AGAIN
    }

    private companion object {
        const val TRIES = 4
        val AGAIN = setOf(0, 425, 429, 502, 503, 504)
    }
}

// --- your server -----------------------------------------------------------------------------------------------------

/** Your server, with its API key. The phone gets the session's id and its client token, and nothing else. */
suspend fun beginSession(app: Mien, subjectRef: String, deviceRef: String? = null, language: String = "en"): Session {
    val made = app.call(
        "POST",
        "/v1/liveness/sessions",
        buildJsonObject {
            put("subject_ref", subjectRef)
            put("language", language)
            put("purpose", "digital_double")
            if (deviceRef != null) put("device_ref", deviceRef)
        },
    )
    return Session(made.text("session_id"), made.text("client_token"))
}

// --- the phone -------------------------------------------------------------------------------------------------------

/** What the person's phone does in one session. [show] is for words to the person. */
class Phone(private val mien: Mien, sessionId: String, private val show: (String) -> Unit) {
    private val session = sessionId
    private val path = "/v1/liveness/sessions/$sessionId"

    suspend fun terms(language: String = "en"): Terms {
        val shown = mien.call("GET", "/v1/terms/$language")
        return Terms(shown.text("version"), shown.text("text"), shown.text("sha256"))
    }

    /** The person read [Terms.text] and agrees to be checked. It is no consent to a double. */
    suspend fun agreeToCheck(terms: Terms) {
        mien.call("POST", "$path/check-consent", buildJsonObject { put("terms_sha256", terms.sha256) })
    }

    /**
     * Attempts until one passes or none is left: the session as it ended.
     *
     * @param attest what the device's maker says of a recording: the value of `Mien-Attestation`, or null
     * @throws Problem for instance `locked_out`, with `locked_until`
     */
    suspend fun liveCheck(
        way: String = "standard",
        extraTime: Boolean = false,
        attest: suspend (Challenge, Recording) -> String? = { _, _ -> null },
        record: suspend (Challenge) -> Recording,
    ): SessionState {
        while (true) {
            val challenge = challenge(way, extraTime)
            try {
                val recording = record(challenge)
                handIn(recording, key = challenge.id, attestation = attest(challenge, recording))
            } catch (problem: Problem) {
                if (problem.code != "challenge_expired" || challenge.attemptsLeft == 0) throw problem
                show("Time ran out. Here are new digits.")
                continue
            }
            val state = verdict()
            if (state.status == "passed" || state.attemptsLeft == 0) return state
            state.advice.forEach { show(it.text) } // written for the person, in the language of the session
        }
    }

    private suspend fun challenge(way: String, extraTime: Boolean): Challenge {
        val wish = buildJsonObject {
            put("path", way)
            put("extra_time", extraTime)
        }
        val drawn = mien.call("POST", "$path/challenge", wish)
        return Challenge(
            id = drawn.text("challenge_id"),
            digits = drawn.text("digits"),
            turns = drawn.texts("turns"),
            prompts = drawn.getValue("prompts").jsonArray.map { it.jsonObject }.map {
                Prompt(it.text("step"), it.text("text"), it.textOrNull("digits"), it.textOrNull("turn"), it.textOrNull("nods")?.toInt())
            },
            nonce = drawn.text("nonce"),
            expiresAt = Instant.parse(drawn.text("expires_at")),
            attemptsLeft = drawn.number("attempts_left"),
        )
    }

    /** [key]: the challenge's id. A challenge takes one recording, so it names this upload also after a restart. */
    suspend fun handIn(recording: Recording, key: String, attestation: String? = null) {
        val headers = if (attestation == null) emptyMap() else mapOf("Mien-Attestation" to attestation)
        mien.call("PUT", "$path/capture?mirrored=${recording.mirrored}", recording = recording, headers = headers, key = key)
    }

    /** Asks until the recording is judged. */
    suspend fun verdict(): SessionState = withTimeoutOrNull(JUDGING_MS) {
        var state = look()
        while (state.status == "judging") {
            delay(1_000)
            state = look()
        }
        state
    } ?: throw Problem("judging_timeout", 0)

    private suspend fun look(): SessionState {
        val seen = mien.call("GET", path)
        return SessionState(
            status = seen.text("status"),
            reasons = seen.texts("reasons"),
            advice = seen.getValue("advice").jsonArray.map { it.jsonObject }.map { Advice(it.text("code"), it.text("text")) },
            attemptsLeft = seen.number("attempts_left"),
            assurance = seen.textOrNull("assurance"),
        )
    }

    /** What the person turned on; every purpose is off unless named. */
    suspend fun consent(terms: Terms, purposes: List<String>, audience: List<String>, maxSeconds: Int): Given {
        val given = mien.call(
            "POST",
            "/v1/consents",
            buildJsonObject {
                put("session_id", session)
                put("terms_sha256", terms.sha256)
                put("purposes", list(purposes))
                put("audience", list(audience))
                putJsonObject("limits") { put("max_seconds", maxSeconds) }
            },
        )
        return Given(given.text("consent_id"), given.getValue("receipt").jsonObject, given.text("manage_token"))
    }

    private companion object {
        const val JUDGING_MS = 120_000L
    }
}

// --- the person, later -----------------------------------------------------------------------------------------------

/** A consent in the hands of its person: [mien] has the manage token. */
class Consent(private val mien: Mien, consentId: String) {
    private val path = "/v1/consents/$consentId"

    suspend fun look(): ConsentState = stateOf(mien.call("GET", path))

    /** What is null stays as it is. It can only become less. */
    suspend fun narrow(audience: List<String>? = null, maxSeconds: Int? = null): ConsentState {
        val less = buildJsonObject {
            if (audience != null) put("audience", list(audience))
            if (maxSeconds != null) putJsonObject("limits") { put("max_seconds", maxSeconds) }
        }
        return stateOf(mien.call("POST", "$path/narrow", less))
    }

    /** Ends it at once. Twice changes nothing. */
    suspend fun revoke(): ConsentState = stateOf(mien.call("POST", "$path/revoke", JsonObject(emptyMap())))

    /** Which generators still have to confirm that they deleted what they held, and until when. */
    suspend fun purges(): List<Purge> = mien.call("GET", "$path/purges").getValue("purges").jsonArray.map { it.jsonObject }.map {
        Purge(it.text("backend"), it.text("state"), Instant.parse(it.text("due_at")), it.number("seconds_left"))
    }
}

private fun stateOf(shown: JsonObject) = ConsentState(
    state = shown.text("state"),
    purposes = shown.texts("purposes"),
    audience = shown.texts("audience"),
    maxSeconds = shown.getValue("limits").jsonObject.number("max_seconds"),
)

// --- device attestation ----------------------------------------------------------------------------------------------

/** What the device's maker signs: this recording, of this challenge. As `nonce` of a classic Play Integrity request. */
fun binding(challenge: Challenge, recording: Recording): String {
    val whole = "mien capture attestation v1\u0000".encodeToByteArray() +
        challenge.nonce.encodeToByteArray() + sha256(recording.bytes) + sha256(ByteArray(0))
    return base64url(sha256(whole))
}

/** [token] is what `IntegrityManager.requestIntegrityToken` answers for [binding]. */
fun playIntegrity(token: String): String = "google_play_integrity:${base64url(token.encodeToByteArray())}"

private fun sha256(content: ByteArray): ByteArray = MessageDigest.getInstance("SHA-256").digest(content)

private fun base64(content: ByteArray): String = Base64.getEncoder().encodeToString(content)

private fun base64url(content: ByteArray): String = Base64.getUrlEncoder().withoutPadding().encodeToString(content)

private fun list(words: List<String>) = JsonArray(words.map(::JsonPrimitive))

private fun JsonObject.text(name: String): String =
    textOrNull(name) ?: throw Problem("answer_unreadable", 0)

private fun JsonObject.textOrNull(name: String): String? {
    val value: JsonElement = get(name) ?: JsonNull
    return value.jsonPrimitive.contentOrNull
}

private fun JsonObject.number(name: String): Int = get(name)?.jsonPrimitive?.int ?: throw Problem("answer_unreadable", 0)

private fun JsonObject.texts(name: String): List<String> = getValue(name).jsonArray.map { it.jsonPrimitive.content }
