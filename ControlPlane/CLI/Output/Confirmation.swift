import ArgumentParser
import Foundation

/// Asks before something that others notice, where a person sits in front of it.
struct ConfirmationOptions: ParsableArguments {
    @Flag(help: "Do not ask. Where there is no terminal nothing is asked.")
    var yes = false

    static var isInteractive: Bool { isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1 }

    var isAsked: Bool { !yes && Self.isInteractive }

    /// - Throws: `Failure.usage` when the answer is not yes.
    func ask(_ question: String) throws {
        guard isAsked else { return }
        remark("\(question) [y/N] ", terminator: "")
        guard let answer = readLine()?.lowercased(), ["y", "yes"].contains(answer) else { throw Failure.usage("nothing was changed") }
    }
}

/// Words for the person that are no answer: on standard error, so that a script's output stays what it asked for.
func remark(_ text: String, terminator: String = "\n") {
    FileHandle.standardError.write(Data((text + terminator).utf8))
}
