//! The demo's end of the pipe to one of its agents.

use super::{Order, Reply};
use crate::{
    exit::Failure,
    stack::{ARCHIVE, FILES, Stack, dev_id},
};
use anyhow::Context;
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout},
    time::timeout,
};

/// How long an order may take; the broker's client gives up before that.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// An agent in a process of its own. It ends with this.
#[derive(Debug)]
pub(crate) struct Actor {
    child: Child,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Actor {
    /// Starts the workload `agent/<name>`.
    pub(crate) async fn start(stack: &Stack, name: &str) -> Result<Self, Failure> {
        let files = format!("{FILES}={}", stack.files());
        let archive = format!("{ARCHIVE}={}", stack.archive());
        let (endpoint, broker) = (stack.endpoint(), stack.broker());
        let arguments =
            ["actor", "--workload-api", &endpoint, "--broker", &broker, "--tool", &files, "--tool", &archive];
        let mut child = stack.spawn(&arguments, &dev_id(&format!("agent/{name}")), Stdio::inherit()).await?;
        let answers = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        Ok(Self { child, answers })
    }

    /// Gives an order, and waits for what comes of it.
    pub(crate) async fn obey(&mut self, order: &Order) -> Result<Reply, Failure> {
        let line = serde_json::to_string(order).context("an order")? + "\n";
        let stdin = self.child.stdin.as_mut().context("no stdin")?;
        stdin.write_all(line.as_bytes()).await.context("the agent does not listen")?;
        let answer = timeout(ANSWER_WITHIN, self.answers.next_line()).await.context("the agent says nothing")?;
        let answer = answer.context("the agent says nothing")?.context("the agent has ended")?;
        Ok(serde_json::from_str(&answer).with_context(|| format!("the agent said {answer:?}"))?)
    }

    /// Lets it end: its stdin is over.
    pub(crate) async fn end(mut self) {
        drop(self.child.stdin.take());
        if timeout(Duration::from_secs(5), self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}
