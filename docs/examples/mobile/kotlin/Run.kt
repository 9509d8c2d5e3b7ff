/* Plays MienFlow.kt with a command for a camera: the address, then the command with {out}, {digits} and {turns}. */
package org.mien.example

import java.io.File
import java.nio.file.Files
import java.util.UUID
import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking

private fun filmed(command: List<String>, challenge: Challenge): Recording {
    challenge.prompts.forEach { println("   ${it.text}") }
    val folder = Files.createTempDirectory("mien-").toFile()
    try {
        val out = File(folder, "take.mp4")
        val said = mapOf("{out}" to out.path, "{digits}" to challenge.digits, "{turns}" to challenge.turns.joinToString(","))
        val words = command.map { word -> said.entries.fold(word) { text, (name, value) -> text.replace(name, value) } }
        check(ProcessBuilder(words).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor() == 0)
        return Recording(out.readBytes())
    } finally {
        folder.deleteRecursively()
    }
}

fun main(arguments: Array<String>) = runBlocking {
    val url = arguments.first()
    val session = beginSession(Mien(url, System.getenv("APP_KEY")), "person-${UUID.randomUUID()}")
    val phone = Phone(Mien(url, session.clientToken), session.id, ::println)
    val terms = phone.terms()
    println("Terms ${terms.version}, ${terms.text.length} characters. Agreed to the check.")
    phone.agreeToCheck(terms)
    val state = phone.liveCheck { challenge -> filmed(arguments.drop(1), challenge) }
    if (state.status != "passed") {
        println("Not shown live: ${state.reasons.joinToString()}")
        exitProcess(1)
    }
    println("Shown live, assurance ${state.assurance}.")

    val given = phone.consent(terms, listOf("digital_double"), listOf("portrait"), maxSeconds = 20)
    File("receipt.json").writeText(given.receipt.toString())
    println("Consent ${given.consentId}, receipt in receipt.json.")

    val mine = Consent(Mien(url, given.manageToken), given.consentId)
    println("Narrowed to ${mine.narrow(maxSeconds = 10).maxSeconds} seconds.")
    println("Taken back: ${mine.revoke().state} with ${mine.purges().size} deletions to confirm.")
}
