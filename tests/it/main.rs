//! What the program promises, tried from outside: the real binary, real
//! sockets, real terminals.

mod support;

mod agentchattr; // the server that plays agentchattr, and a launch against it
mod agents; // every built-in agent finds every server
mod attach; // other terminals on a session
mod authorized; // credentials that live, on their way to a server
mod background; // sessions without a terminal
mod bridge; // an agent that speaks stdio, and its session's servers
mod completions; // what shells complete, the manual, the help
mod config; // what a configuration may say, and how a wrong one is told
mod control; // what a session says on its socket, and to whom
mod credentials; // credentials that live, from real commands and files
mod delivery; // what a receipt rests on: evidence, and the sender's own clock
mod detour; // servers behind a proxy of the environment
mod doctor; // what is found wrong, and that nothing is left behind
mod draft; // a human's unfinished line, put aside for a prompt
mod environment;
mod examples;
mod explain; // why a state is what it is: a session's, and a screen's that was written down
mod family; // sessions of one base, on agentchattr's server
mod fault; // a session that ends by an error of our own
mod foreign; // ports of ours that another user listens on
mod guests; // servers that are new to a running agent
mod hosting; // servers that are commands, run behind the proxy
mod house; // imports point down, the ground floor is pure
mod hub; // the embedded hub, over REST and MCP
mod hub_sse; // the hub over SSE, and an agent that speaks nothing else
mod identity; // one name for life, on agentchattr's server
mod inbox; // mentions on their way to become prompts, on agentchattr's server
mod inject; // what agents are told, and what is put back
mod killed; // sessions and agents that are killed, whatever they are at
mod kills; // ten thousand mentions, and ten kills of the wrapper
mod launch; // a launch from end to end, its exit codes and its leavings
mod leavings; // what an agent that was ended had left
mod listing; // `wrapper config`
mod live; // sessions and their servers, seen and changed while an agent runs
mod managed; // sessions ended, followed, and read about
mod matrix; // real agents' requests to a server that fails in every way
mod odd; // servers that are within the protocol, and unlike the others
mod output; // output that nobody takes, and what it must not show
mod owed; // an undo that failed, tried again until it has succeeded
mod peers; // callers of the hub: their number, their patience, their tokens
mod project; // the servers of the project: asked for, told, kept apart
mod prompt; // a mention becomes a prompt, safely
mod proxy; // a tool call through the proxy
mod questions; // what an agent asks its terminal
mod queue; // mentions in files that others append to
mod recordings; // real agents' output, redrawn from the middle
mod remote; // servers that are not the hub: TLS, SSE, credentials, context
mod repair; // what breaks between the proxy and an upstream
mod resume; // agents that go on with what they were at
mod rotate; // tokens and hubs that change under a running agent
mod secrets; // no token where none may be
mod send; // prompts that are sent to a session, and their receipts
mod servers; // a project's servers, and whether they are trusted
mod shell;
mod sources; // servers of the configuration, fetched
mod sse_repair; // a stream over SSE that outlives those of its upstream
mod states; // how a session's servers stand, and why
mod succession; // what sessions leave that could not say goodbye
mod team; // the sessions of a team file, started and stopped together
mod terminal; // the user's terminal, byte for byte
mod tls; // servers over TLS, and whom they are trusted by
mod tmux; // launches inside tmux
mod user_files; // what of a settings file is kept besides its text
