//! Agents in processes of their own (`src/bin/sidecar_agent.rs`), under another name or user.

use std::{path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// How long an agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running agent that is told what to do. Killed when dropped.
#[derive(Debug)]
pub struct Agent {
    _child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Agent {
    /// Starts it with `arguments`.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut child = command(program, None, arguments).spawn().expect("the agent can be started");
        let answers = BufReader::new(child.stdout.take().expect("it was piped")).lines();
        Self { commands: child.stdin.take().expect("it was piped"), _child: child, answers }
    }

    /// Tells it to go on.
    ///
    /// # Panics
    ///
    /// When it does not listen any more.
    pub async fn tell(&mut self, line: &str) {
        self.commands.write_all(format!("{line}\n").as_bytes()).await.expect("it listens");
    }

    /// Waits for its next line; empty when it has ended.
    ///
    /// # Panics
    ///
    /// When it says nothing in time.
    pub async fn hear(&mut self) -> String {
        let line = timeout(PATIENCE, self.answers.next_line()).await.expect("it answers in time");
        line.expect("its output is text").unwrap_or_default()
    }
}

/// Runs an agent to its end, as `uid` when that is given, and returns the one line that it says.
///
/// # Panics
///
/// When it cannot be started or does not end in time.
pub async fn one_shot(program: &Path, uid: Option<u32>, arguments: &[&str]) -> String {
    let output = command(program, uid, arguments).output();
    let output = timeout(PATIENCE, output).await.expect("it ends in time").expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn command(program: &Path, uid: Option<u32>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    command
}
