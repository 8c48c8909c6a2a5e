package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// completionHelp is the text of --help of meridian completion.
const completionHelp = `Completion prints a script with which SHELL completes the commands and flags of meridian. The packages
install the scripts of bash, zsh and fish.

Exit: 0; 1 if there is no script for SHELL.`

// shells are the shells with a completion script.
var shells = []string{"bash", "zsh", "fish", "powershell"}

func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the completion script of a shell: bash, zsh, fish or powershell",
		Long:  completionHelp,
		Example: `  source <(meridian completion bash)
  meridian completion zsh > /usr/local/share/zsh/site-functions/_meridian`,
		ValidArgs: shells,
		RunE: func(c *cobra.Command, args []string) error {
			out, root := c.OutOrStdout(), c.Root()
			switch strings.Join(args, " ") {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return fmt.Errorf("no completion script for shell %q; want one of %s", strings.Join(args, " "), strings.Join(shells, ", "))
		},
	}
}
