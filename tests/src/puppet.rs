//! Starts and steers the `puppet` program (`src/bin/puppet.rs`), a process that does what a test tells it to.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::processes::copy_program;

/// More than any answer takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A folder that every uid can enter, with a puppet in it that every uid can run.
#[derive(Debug)]
pub struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    /// Sets it up with a copy of `program`, which a test finds in `CARGO_BIN_EXE_puppet`.
    ///
    /// # Panics
    ///
    /// When the folder or the copy cannot be made.
    pub fn new(program: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).expect("it is ours");
        let stage = Self { folder };
        stage.copy(program, "puppet");
        stage
    }

    /// Copies `program` under another name, so that it is another file with the same bytes.
    ///
    /// # Panics
    ///
    /// When the copy cannot be made.
    pub fn copy(&self, program: &str, name: &str) -> PathBuf {
        let copy = self.path(name);
        copy_program(Path::new(program), &copy).expect("the program can be copied");
        copy
    }

    /// Returns a path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns a command that runs the puppet in `role`.
    pub fn command(&self, role: &str, argument: &Path) -> Command {
        let mut command = Command::new(self.path("puppet"));
        command.arg(role).arg(argument);
        command
    }
}

/// A running puppet. Killed when dropped.
#[derive(Debug)]
pub struct Puppet {
    child: Child,
    commands: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Puppet {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the puppet can be started");
        let answers = BufReader::new(child.stdout.take().expect("it was piped")).lines();
        Self { commands: child.stdin.take(), child, answers }
    }

    /// Returns its process id.
    ///
    /// # Panics
    ///
    /// When it has exited.
    pub fn pid(&self) -> i32 {
        self.child.id().and_then(|pid| pid.try_into().ok()).expect("it runs")
    }

    /// Tells it to do something.
    ///
    /// # Panics
    ///
    /// When it does not listen any more.
    pub async fn tell(&mut self, command: &str) {
        let commands = self.commands.as_mut().expect("it still listens");
        commands.write_all(format!("{command}\n").as_bytes()).await.expect("it still listens");
    }

    /// Waits for its next line; None when there is none any more.
    ///
    /// # Panics
    ///
    /// When it says nothing for a minute.
    pub async fn hear(&mut self) -> Option<String> {
        timeout(DEADLINE, self.answers.next_line()).await.expect("it answers in time").expect("its output is text")
    }

    /// Waits until it has exited and was reaped.
    ///
    /// # Panics
    ///
    /// When it does not exit within a minute.
    pub async fn exited(&mut self) {
        timeout(DEADLINE, self.child.wait()).await.expect("it exits in time").expect("it can be waited for");
    }
}
