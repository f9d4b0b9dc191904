//! What the manual says of a command beside its options: exit codes,
//! variables and files.

use super::error::EXIT_CODES;
use super::settings::{LEAST_FREE, LOG, SERVER, TOKEN, TOKEN_FILE, VARIABLES, Variable};

/// A term and what it means.
type Term = (&'static str, &'static str);

/// What kind of command a page is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Facts {
    /// The program as a whole.
    Program,
    Serve,
    Agent,
    Launch,
    /// A command that asks a server.
    Client,
    /// The same, and opens an editor.
    Editor,
    /// The terminal UI.
    Tui,
    /// A command that asks nobody.
    Local,
}

/// What a command finds in its environment on the worker.
pub const COMMAND_VARIABLES: [Term; 14] = [
    ("INPUT, OUTPUT, RESOURCE", "Folders with its inputs, for its results, and with its resources"),
    ("TEMP", "A folder for files of its own, which goes with the task"),
    ("CPU, THREADS", "Processor cores that it may use"),
    ("MEM", "Main memory that it may use, MiB"),
    ("PATH, HOME, USER, LANG", "As the agent has them"),
    ("SCITQ_TASK_ID", "The id of the task"),
    ("SCITQ_TASK_NAME", "Its name, where it has one"),
    ("SCITQ_EXECUTION_ID", "The id of this attempt"),
    ("SCITQ_ATTEMPT", "Which attempt it is, from 1"),
    ("SCITQ_BATCH", "The batch"),
    ("SCITQ_WORKER", "The name of the worker"),
    ("SCITQ_SERVER", "The address of the server"),
    ("SCITQ_ARRAY_INDEX", "The number of a task of --array"),
    ("NAME", "What --env NAME=VALUE says; it wins over all of these"),
];

const CLIENT_CONFIGURATION: Term = (
    "$XDG_CONFIG_HOME/scitq/client.toml",
    "The client's configuration: server, token or token_file. A token in it is sent to its server only",
);
const TUI_CONFIGURATION: Term = (
    "$XDG_CONFIG_HOME/scitq/tui.toml",
    "Keys, theme and period of the terminal UI; scitq tui --print-config prints the default one",
);
const TUI_MEMORY: Term = (
    "$XDG_STATE_HOME/scitq-tui.json",
    "The screen, filter and order that the terminal UI was left with",
);
const SERVER_FILE: Term = (
    "$XDG_RUNTIME_DIR/scitq/server.json",
    "Where a server of this user listens and where its token is; also in its data directory",
);
const AGENT_CONFIGURATION: Term = (
    "/etc/scitq/agent.toml, $XDG_CONFIG_HOME/scitq/agent.toml",
    "Options of an agent of root and of another user, named as on the command line; also server",
);
const ROOT_DATA: Term = ("/var/lib/scitq", "The data directory of a server of root");
const USER_DATA: Term = ("$XDG_STATE_HOME/scitq", "The data directory of a server of another user");
const BASH_COMPLETIONS: Term = (
    "/usr/share/bash-completion/completions/scitq, /etc/bash_completion.d/scitq",
    "Where bash looks for completions",
);
const ZSH_COMPLETIONS: Term =
    ("/usr/share/zsh/site-functions/_scitq", "Where zsh looks for completions");
const FISH_COMPLETIONS: Term =
    ("/usr/share/fish/vendor_completions.d/scitq.fish", "Where fish looks for completions");
const MANUALS: Term = ("/usr/share/man/man1", "Where man looks for manual pages");

const OPTION_VARIABLES: [(Facts, Term); 3] = [
    (Facts::Serve, ("SCITQ_SERVE_*", "One for each option, as SCITQ_SERVE_DATA for --data")),
    (Facts::Agent, ("SCITQ_AGENT_*", "One for each option, as SCITQ_AGENT_NAME for --name")),
    (Facts::Launch, ("SCITQ_LAUNCH_*", "One for each option, as SCITQ_LAUNCH_BATCH for --batch")),
];

impl Facts {
    /// Those of the page of this name.
    #[must_use]
    pub fn of(page: &str) -> Self {
        match page {
            "scitq" => Self::Program,
            "scitq-serve" => Self::Serve,
            "scitq-agent" => Self::Agent,
            "scitq-launch" => Self::Launch,
            "scitq-manage-task-edit" | "scitq-manage-task-update" => Self::Editor,
            "scitq-tui" => Self::Tui,
            "scitq-completions" | "scitq-man" => Self::Local,
            _ => Self::Client,
        }
    }

    pub fn exit_codes(self) -> Vec<Term> {
        let codes: &[&str] = match self {
            Self::Program | Self::Launch | Self::Client | Self::Editor | Self::Tui => {
                return EXIT_CODES.to_vec();
            }
            Self::Serve | Self::Agent => &["0", "1", "2", "70", "78"],
            Self::Local => &["0", "1", "2", "3", "70"],
        };
        EXIT_CODES.into_iter().filter(|(code, _)| codes.contains(code)).collect()
    }

    pub fn variables(self) -> Vec<Term> {
        let is_read = |variable: &&Variable| match self {
            Self::Program => true,
            Self::Serve => [LOG.name, LEAST_FREE.name, "XDG_RUNTIME_DIR", "XDG_STATE_HOME"]
                .contains(&variable.name),
            Self::Agent => {
                let own = [SERVER.name, TOKEN.name, TOKEN_FILE.name, LOG.name, "XDG_CONFIG_HOME"];
                own.contains(&variable.name)
            }
            Self::Launch | Self::Client => {
                ![LOG.name, LEAST_FREE.name, "VISUAL", "EDITOR", "PAGER", "TERM"]
                    .contains(&variable.name)
            }
            Self::Editor => ![LOG.name, LEAST_FREE.name, "PAGER", "TERM"].contains(&variable.name),
            Self::Tui => ![LOG.name, LEAST_FREE.name].contains(&variable.name),
            Self::Local => variable.name == "NO_COLOR",
        };
        let own =
            OPTION_VARIABLES.iter().filter(|(facts, _)| *facts == self || self == Self::Program);
        let read = VARIABLES.iter().filter(is_read).map(|variable| (variable.name, variable.doc));
        own.map(|(_, term)| *term).chain(read).collect()
    }

    pub fn files(self) -> Vec<Term> {
        match self {
            Self::Program => vec![
                CLIENT_CONFIGURATION,
                TUI_CONFIGURATION,
                SERVER_FILE,
                AGENT_CONFIGURATION,
                ROOT_DATA,
                USER_DATA,
            ],
            Self::Tui => vec![TUI_CONFIGURATION, TUI_MEMORY, CLIENT_CONFIGURATION, SERVER_FILE],
            Self::Serve => vec![ROOT_DATA, USER_DATA, SERVER_FILE],
            Self::Agent => vec![AGENT_CONFIGURATION, CLIENT_CONFIGURATION, SERVER_FILE],
            Self::Launch | Self::Client | Self::Editor => vec![CLIENT_CONFIGURATION, SERVER_FILE],
            Self::Local => vec![BASH_COMPLETIONS, ZSH_COMPLETIONS, FISH_COMPLETIONS, MANUALS],
        }
    }
}
