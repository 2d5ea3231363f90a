import ArgumentParser

struct Completion: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print what a shell completes weir's commands and options with.",
        discussion: """
            bash:  weir completion bash > ~/.local/share/bash-completion/completions/weir
            zsh:   weir completion zsh > ~/.zsh/completions/_weir     (a folder of $fpath, before compinit)
            fish:  weir completion fish > ~/.config/fish/completions/weir.fish

            \(example("completion bash"))
            """)

    @Argument(help: ArgumentHelp("bash, zsh or fish.", valueName: "shell"), completion: .list(["bash", "zsh", "fish"]))
    var shell: String

    func run() throws {
        guard let known = CompletionShell(rawValue: shell) else { throw Failure.usage("\"\(shell)\" is none of bash, zsh and fish") }
        print(Weir.completionScript(for: known))
    }
}
